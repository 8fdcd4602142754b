"""Reading, moving and printing moments. All are proleptic Gregorian, years 1 to 9999.

Read are ISO 8601 dates with or without a time (a date alone and a time without offset are
UTC) and milliseconds since 1970. Printed are ISO 8601 and patterns of Unicode letters, as
Luxon's `toFormat` takes them, with English names.
"""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from .errors import ExpressionError
from .moment import Moment

_ISO: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"(Z|[+-]\d\d:?(?:\d\d)?)?\Z",
    re.ASCII | re.IGNORECASE,
)
MILLIS: Final = {
    "week": 604_800_000,
    "day": 86_400_000,
    "hour": 3_600_000,
    "minute": 60_000,
    "second": 1_000,
    "millisecond": 1,
}
"""Units of fixed length, in milliseconds."""
MONTHS: Final = {"year": 12, "quarter": 3, "month": 1}
"""Units of varying length, in months."""
_SPANS_MAX: Final = 10**16
_MONTH_NAMES: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAY_NAMES: Final = (
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
)
_PATTERN: Final = re.compile(r"'([^']*)'|([A-Za-z])\2*|[^A-Za-z']+|'")


def read_iso(text: str) -> Moment | None:
    """The moment that an ISO 8601 text names, None if it names none."""
    match = _ISO.match(text) if len(text) <= 64 else None
    if match is None:
        return None
    year, month, day, hour, minute, second, part, offset = match.groups()
    millis = int((part or "").ljust(3, "0")[:3])
    try:
        zone = _zone(offset)
        extra = timedelta(days=1) if hour == "24" else timedelta()
        hour_number = 0 if hour == "24" else int(hour or 0)
        if extra and (int(minute), int(second or 0), millis) != (0, 0, 0):
            return None
        at = datetime(
            *(int(year), int(month or 1), int(day or 1), hour_number, int(minute or 0)),
            *(int(second or 0), millis * 1000),
            tzinfo=zone,
        )
        return Moment(at + extra)
    except (ValueError, OverflowError):
        return None


def offset_of(at: datetime) -> timedelta:
    """How far ahead of UTC an aware datetime is."""
    return at.utcoffset() or timedelta()


def _zone(offset: str | None) -> timezone:
    """The time zone of `Z`, `+hh`, `+hhmm` or `+hh:mm`."""
    if not offset or offset in "Zz":
        return UTC
    digits = offset[1:].replace(":", "").ljust(4, "0")
    away = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-away if offset[0] == "-" else away)


def parse_moment(text: str) -> Moment:
    """As `read_iso`.

    Raises:
        ExpressionError: `expression_type` when the text names no moment.
    """
    found = read_iso(text)
    if found is None:
        raise ExpressionError(
            "expression_type",
            "The text is no date: write it as 2026-01-31 or 2026-01-31T12:00:00Z.",
        )
    return found


def unit_of(name: str) -> str:
    """A unit in the singular.

    Raises:
        ExpressionError: `expression_range` for an unknown one.
    """
    unit = name.lower()
    unit = unit[:-1] if unit.endswith("s") else unit
    if unit not in MILLIS and unit not in MONTHS:
        raise ExpressionError(
            "expression_range",
            "The unit of time is not known: use years, quarters, months, weeks, days, hours, "
            "minutes, seconds or milliseconds.",
        )
    return unit


def _out_of_range() -> ExpressionError:
    return ExpressionError("expression_range", "The date leaves the years 1 to 9999.")


def moved(moment: Moment, amount: float, unit: str) -> Moment:
    """A moment so many units later; the day is kept within the month.

    Raises:
        ExpressionError: `expression_range` outside the years 1 to 9999.
    """
    if amount != amount or abs(amount) > _SPANS_MAX:
        raise _out_of_range()
    try:
        if unit in MILLIS:
            return Moment(moment.at + timedelta(milliseconds=int(amount * MILLIS[unit])))
        return Moment(_months_later(moment.at, int(amount * MONTHS[unit])))
    except (OverflowError, ValueError):
        raise _out_of_range() from None


def _months_later(at: datetime, months: int) -> datetime:
    """The same day in another month, or its last day."""
    year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        raise OverflowError
    return at.replace(year=year, month=month + 1, day=min(at.day, monthrange(year, month + 1)[1]))


def beginning(moment: Moment, unit: str) -> Moment:
    """The beginning of the unit; weeks begin on Monday.

    Raises:
        ExpressionError: `expression_range` outside the years 1 to 9999.
    """
    at = moment.at
    if unit == "millisecond":
        return moment
    at = at.replace(microsecond=0)
    for each in ("second", "minute", "hour"):
        if unit == each:
            return Moment(at)
        at = at.replace(second=0) if each == "second" else at.replace(minute=0)
    at = at.replace(hour=0)
    try:
        if unit == "week":
            at -= timedelta(days=at.weekday())
        elif unit == "month":
            at = at.replace(day=1)
        elif unit == "quarter":
            at = at.replace(month=(at.month - 1) // 3 * 3 + 1, day=1)
        elif unit == "year":
            at = at.replace(month=1, day=1)
    except OverflowError:
        raise _out_of_range() from None
    return Moment(at)


def end(moment: Moment, unit: str) -> Moment:
    """The last millisecond of the unit."""
    return moved(moved(beginning(moment, unit), 1, unit), -1, "millisecond")


def between(later: Moment, earlier: Moment, unit: str) -> float:
    """How many units lie between two moments, with a fraction."""
    if unit in MILLIS:
        return (later.millis() - earlier.millis()) / MILLIS[unit]
    months = (later.at.year - earlier.at.year) * 12 + later.at.month - earlier.at.month
    anchor = moved(earlier, months, "month")
    if anchor.millis() > later.millis():
        months -= 1
        anchor = moved(earlier, months, "month")
    span = moved(earlier, months + 1, "month").millis() - anchor.millis()
    return (months + (later.millis() - anchor.millis()) / span) / MONTHS[unit]


def formatted(moment: Moment, pattern: str) -> str:
    """The moment in a pattern such as `yyyy-MM-dd HH:mm`; text in '…' stays.

    Raises:
        ExpressionError: `expression_range` for an unknown letter, or a long pattern.
    """
    if len(pattern) > 200:
        raise ExpressionError("expression_range", "The date pattern is too long (200 characters).")
    parts: list[str] = []
    for match in _PATTERN.finditer(pattern):
        word = match.group()
        if match.group(1) is not None:
            parts.append(match.group(1))
        elif match.group(2):
            parts.append(_field(moment.at, word))
        else:
            parts.append(word)
    return "".join(parts)


_NUMBERS: Final[dict[str, Callable[[datetime], int]]] = {
    **dict.fromkeys("ML", lambda at: at.month),
    **dict.fromkeys("dD", lambda at: at.day),
    **dict.fromkeys("yY", lambda at: at.year),
    "H": lambda at: at.hour,
    "h": lambda at: at.hour % 12 or 12,
    "m": lambda at: at.minute,
    "s": lambda at: at.second,
    "S": lambda at: at.microsecond // 1000,
    "q": lambda at: (at.month + 2) // 3,
    "o": lambda at: at.timetuple().tm_yday,
    "W": lambda at: at.isocalendar().week,
    "k": lambda at: at.isocalendar().year,
    "x": lambda at: int(at.timestamp() * 1000),
    "X": lambda at: int(at.timestamp()),
}


def _field(at: datetime, word: str) -> str:
    """What a run of one letter prints."""
    letter, length = word[0], len(word)
    if letter in "ML" and length > 2:
        return _MONTH_NAMES[at.month - 1][: 3 if length == 3 else None]
    if letter in "cE":
        name = _DAY_NAMES[at.weekday()]
        return str(at.isoweekday()) if length < 3 else name[:3] if length == 3 else name
    if letter == "a":
        return "AM" if at.hour < 12 else "PM"
    if letter == "Z":
        offset = at.strftime("%z")
        short = offset[0] + str(int(offset[1:3])) + (":" + offset[3:] if offset[3:] != "00" else "")
        return short if length == 1 else offset[:3] + (":" if length == 2 else "") + offset[3:]
    if letter in "Yy" and length == 2:
        return f"{at.year % 100:02}"
    read = _NUMBERS.get(letter)
    if read is None:
        raise ExpressionError(
            "expression_range", f"The letter '{letter}' means nothing in a date pattern: quote it."
        )
    return str(read(at)).rjust(length, "0")
