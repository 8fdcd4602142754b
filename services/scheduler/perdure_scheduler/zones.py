"""Time zones by name from the pinned package tzdata, whatever the machine has. Pure.

Every scheduler must know the same zones: a firing that two of them put at different instants
would happen twice.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import tzdata

VERSION: str = tzdata.IANA_VERSION
"""The edition of the database; firings are computed again when it changes."""

SECOND = timedelta(seconds=1)
SHIFT_MAX = timedelta(hours=25)
"""No clock was ever moved further; a day was left out, and one came twice."""


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """Return the names of all zones, as they are written."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


@lru_cache(maxsize=1000)
def zone(name: str) -> ZoneInfo:
    """Return a zone.

    Raises:
        LookupError: There is none of that name.
    """
    if name not in names():
        raise LookupError(f"there is no time zone {name!r}")
    with files("tzdata.zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def wall_of(at: datetime, where: ZoneInfo) -> datetime:
    """Return what the clocks of a zone show at an instant, without the zone."""
    return at.astimezone(where).replace(tzinfo=None, fold=0)


def offset_of(at: datetime, where: ZoneInfo) -> timedelta:
    """Return how far the clocks of a zone are ahead of UTC at an instant."""
    return at.astimezone(where).utcoffset() or timedelta()


def instants_of(wall: datetime, where: ZoneInfo) -> tuple[datetime, ...]:
    """Return when the clocks show `wall`: once, twice in an overlap, never in a gap."""
    first = wall.replace(tzinfo=where, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=where, fold=1).astimezone(UTC)
    if first == second:
        return (first,)
    return (first, second) if first < second else ()


def end_of_gap(wall: datetime, where: ZoneInfo) -> datetime:
    """Return the first instant after the gap into which `wall` falls."""
    after = wall.replace(tzinfo=where, fold=0).astimezone(UTC)
    before = wall.replace(tzinfo=where, fold=1).astimezone(UTC)
    return _change(before, after, where)


def set_back(after: datetime, where: ZoneInfo) -> datetime | None:
    """Return when the clocks are next set back, if that is soon enough to repeat what they show."""
    until = after + SHIFT_MAX
    if offset_of(after, where) <= offset_of(until, where):
        return None
    return _change(after, until, where)


def _change(low: datetime, high: datetime, where: ZoneInfo) -> datetime:
    """Return when, in (low, high], the offset becomes that of `high`; it changes once there."""
    later = offset_of(high, where)
    left, right = 0, int((high - low) / SECOND)
    while right - left > 1:
        middle = (left + right) // 2
        if offset_of(low + middle * SECOND, where) == later:
            right = middle
        else:
            left = middle
    return low + right * SECOND
