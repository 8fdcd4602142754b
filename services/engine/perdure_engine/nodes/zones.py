"""Moments in time zones of the IANA database, as the node DATE_TIME reads and moves them.

Days and longer units move the calendar and keep the time of day; hours and shorter ones
move the instant. A time of day that a change of clocks leaves out becomes the one after the
gap; of one that comes twice the first is meant. The database is read from the system, else
from the package tzdata; results are recorded, so a replay does not ask it again.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from perdure_expressions.dates import MILLIS, MONTHS, beginning, between, moved, read_iso
from perdure_expressions.moment import Moment, from_millis

from .each import ItemFault

CALENDAR = ("week", "day", *MONTHS)
"""Units that move the calendar; the others move the instant."""

HAS_OFFSET = re.compile(r"\d:\d.*(?:Z|[+-]\d\d:?(?:\d\d)?)\s*\Z", re.IGNORECASE)

ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+){0,2}")


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name, such as Europe/Berlin.

    Raises:
        ItemFault: `invalid_zone`.
    """
    if name in ("UTC", "Z"):
        return UTC
    fault = ItemFault(
        "invalid_zone", f"there is no time zone {name[:80]!r}; write one such as Europe/Berlin"
    )
    if not ZONE.fullmatch(name):
        raise fault
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not there, or a folder of zones
        raise fault from None


def read(value: Any, zone: tzinfo, name: str) -> Moment:
    """Return the moment that a text or a number of milliseconds since 1970 names, in `zone`.

    A text without an offset is meant in `zone`.

    Raises:
        ItemFault: `invalid_date`.
    """
    moment: Moment | None = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        moment = from_millis(value)
    elif isinstance(value, str):
        moment = read_iso(value)
        if moment is not None and not HAS_OFFSET.search(value):
            return settled(moment.at.replace(tzinfo=zone))
    if moment is None:
        shown = repr(value)[:80]
        text = f"`{name}` is {shown}, which is no date; write it as 2026-01-31T12:00:00Z"
        raise ItemFault("invalid_date", text)
    return Moment(moment.at.astimezone(zone))


def settled(at: datetime) -> Moment:
    """Return the moment of a wall clock; one that a change of clocks leaves out is moved on."""
    return Moment(at.astimezone(UTC).astimezone(at.tzinfo))


def later(moment: Moment, amount: float, unit: str) -> Moment:
    """Return a moment so many units later; fractions of calendar units are left out."""
    if unit in CALENDAR:
        return settled(moved(moment, int(amount), unit).at)
    made = moved(Moment(moment.at.astimezone(UTC)), amount, unit)
    return Moment(made.at.astimezone(moment.at.tzinfo))


def rounded(moment: Moment, unit: str, mode: str) -> Moment:
    """Return the unit's beginning, the next one's, or the nearer of the two."""
    start = settled(beginning(moment, unit).at)
    if mode == "down" or start.millis() == moment.millis():
        return start
    end = later(start, 1, unit)
    if mode == "nearest" and moment.millis() - start.millis() < end.millis() - moment.millis():
        return start
    return end


def difference(end: Moment, start: Moment, unit: str) -> float:
    """Return how many units lie between two moments of one zone; negative backwards."""
    if unit not in CALENDAR:
        return (end.millis() - start.millis()) / MILLIS[unit]
    return between(_as_utc(end), _as_utc(start), unit)  # what the clocks on the wall show


def _as_utc(moment: Moment) -> Moment:
    return Moment(moment.at.replace(tzinfo=UTC))


def _offset_minutes(at: datetime) -> int:
    return (at.utcoffset() or timedelta()) // timedelta(minutes=1)


PARTS: Mapping[str, Callable[[datetime], int]] = {
    "year": lambda at: at.year,
    "quarter": lambda at: (at.month + 2) // 3,
    "month": lambda at: at.month,
    "week": lambda at: at.isocalendar().week,
    "week_year": lambda at: at.isocalendar().year,
    "day": lambda at: at.day,
    "day_of_year": lambda at: at.timetuple().tm_yday,
    "weekday": lambda at: at.isoweekday(),
    "hour": lambda at: at.hour,
    "minute": lambda at: at.minute,
    "second": lambda at: at.second,
    "millisecond": lambda at: at.microsecond // 1000,
    "offset_minutes": _offset_minutes,
}
"""What can be taken out of a date; weeks are those of ISO 8601, Monday is 1."""
