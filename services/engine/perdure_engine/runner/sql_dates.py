"""Dates and spans between PostgreSQL and JSON: ISO 8601, and `infinity` where there is no end.

The driver's own values have no infinity. It takes the last day of the year 9999 for it, both ways:
what has no end came out as that day, and that day went in as what has no end. Here the driver hands
on the whole numbers that the server sends, in which they are different.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

Numbers = tuple[int, ...]
"""A value as the driver has it: days, microseconds, or (months, days, microseconds)."""

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAYS_OF_MONTH, DAYS_OF_YEAR, MONTHS_OF_YEAR = 30, 365, 12
"""How long a month and a year of a span are, in which they have no place in the calendar."""

INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
ENDLESS: Mapping[Numbers, str] = {
    (INT32_MAX,): "infinity",
    (-INT32_MAX - 1,): "-infinity",
}
ENDLESS_INSTANTS: Mapping[Numbers, str] = {
    (INT64_MAX,): "infinity",
    (-INT64_MAX - 1,): "-infinity",
}
ENDLESS_SPANS: Mapping[Numbers, str] = {
    (INT32_MAX, INT32_MAX, INT64_MAX): "infinity",
    (-INT32_MAX - 1, -INT32_MAX - 1, -INT64_MAX - 1): "-infinity",
}
"""What the server sends for what has no end: all bits of the largest and the least numbers."""


def _numbers(value: Any, endless: Mapping[Numbers, str]) -> Numbers | None:
    """Return the numbers of what has no end, None for all else."""
    return next((each for each, text in endless.items() if text == value), None)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is wanted; turn it into one in the expression")
    return value


def date_sent(value: Any) -> Numbers:
    """Return a day, such as `2026-03-04`, as the driver takes it.

    Raises:
        ValueError, TypeError: It is none.
    """
    endless = _numbers(value, ENDLESS)
    return endless or (date.fromisoformat(_text(value)).toordinal() - EPOCH.toordinal(),)


def date_read(days: Numbers) -> str:
    """Return a day as text.

    Raises:
        ValueError, OverflowError: It is not within the years 1 to 9999.
    """
    return ENDLESS.get(days) or date.fromordinal(days[0] + EPOCH.toordinal()).isoformat()


def timestamp_sent(value: Any) -> Numbers:
    """Return an instant without a zone as the driver takes it. Raises as `date_sent`."""
    endless = _numbers(value, ENDLESS_INSTANTS)
    return endless or _since_epoch(datetime.fromisoformat(_text(value)).replace(tzinfo=UTC))


def timestamp_read(microseconds: Numbers) -> str:
    """Return an instant without a zone as text. Raises as `date_read`."""
    return ENDLESS_INSTANTS.get(microseconds) or _at(microseconds)


def timestamptz_sent(value: Any) -> Numbers:
    """Return an instant as the driver takes it; one without an offset is in UTC.

    Raises:
        ValueError, TypeError: It is none.
    """
    endless = _numbers(value, ENDLESS_INSTANTS)
    if endless is not None:
        return endless
    at = datetime.fromisoformat(_text(value))
    return _since_epoch(at if at.tzinfo else at.replace(tzinfo=UTC))


def timestamptz_read(microseconds: Numbers) -> str:
    """Return an instant in UTC as text. Raises as `date_read`."""
    return ENDLESS_INSTANTS.get(microseconds) or f"{_at(microseconds)}Z"


def interval_sent(value: Any) -> Numbers:
    """Return a number of seconds as the driver takes a span.

    Raises:
        ValueError, TypeError, OverflowError: It is none.
    """
    endless = _numbers(value, ENDLESS_SPANS)
    if endless is not None:
        return endless
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number of seconds is wanted; cast a text in the statement")
    return (0, 0, timedelta(seconds=value) // MICROSECOND)


def interval_read(parts: Numbers) -> float | str:
    """Return a span in seconds.

    Raises:
        OverflowError: It is longer than 999,999,999 days.
    """
    endless = ENDLESS_SPANS.get(parts)
    if endless is not None:
        return endless
    months, days, microseconds = parts
    years, rest = divmod(abs(months), MONTHS_OF_YEAR)
    sign = 1 if months >= 0 else -1
    days += sign * (years * DAYS_OF_YEAR + rest * DAYS_OF_MONTH)
    return timedelta(days=days, microseconds=microseconds).total_seconds()


def _since_epoch(at: datetime) -> Numbers:
    return ((at - EPOCH) // MICROSECOND,)


def _at(microseconds: Numbers) -> str:
    return (EPOCH + timedelta(microseconds=microseconds[0])).replace(tzinfo=None).isoformat()


CODECS: Mapping[str, tuple[Callable[[Any], Numbers], Callable[[Numbers], Any]]] = {
    "date": (date_sent, date_read),
    "timestamp": (timestamp_sent, timestamp_read),
    "timestamptz": (timestamptz_sent, timestamptz_read),
    "interval": (interval_sent, interval_read),
}
"""How each type is sent and read, also within arrays, composite values and ranges."""
