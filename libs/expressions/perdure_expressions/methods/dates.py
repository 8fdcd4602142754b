"""Dates: `$now`, `new Date(…)`, `DateTime.fromISO(…)` and what can be asked of them.

One value serves Luxon's names (plus, toFormat, startOf) and those of Date (getTime,
toISOString). Without a zone in a text, and for Date's getters, the time zone is UTC or the
offset of the moment itself.
"""

import math
from collections.abc import Callable
from datetime import UTC, timedelta, timezone
from typing import Final

from perdure_expressions.access import current_moment
from perdure_expressions.dates import (
    beginning,
    between,
    end,
    formatted,
    moved,
    offset_of,
    parse_moment,
    read_iso,
    unit_of,
)
from perdure_expressions.errors import ExpressionError
from perdure_expressions.limits import Frame, Value, kind_of
from perdure_expressions.moment import Moment, from_millis
from perdure_expressions.registry import (
    METHODS,
    PROPERTIES,
    Arguments,
    Method,
    argument,
    function,
    method,
)
from perdure_expressions.values import number, primitive, to_integer, to_number, to_text


def moment_of(f: Frame, value: Value) -> Moment:
    """A moment from a moment, an ISO text or milliseconds.

    Raises:
        ExpressionError: `expression_type` when it is none.
    """
    if kind_of(value) is Moment:
        return value
    value = primitive(f, value)
    if kind_of(value) is str:
        return parse_moment(value)
    amount = to_number(f, value)
    if amount != amount or math.isinf(amount):
        raise ExpressionError("expression_type", "A date needs a text or a number.")
    return from_millis(amount)


def _spans(f: Frame, arguments: Arguments) -> list[tuple[float, str]]:
    """The spans of `({days: 1})`, `(1, 'days')` or `(milliseconds)`."""
    what = argument(arguments, 0)
    if kind_of(what) is dict:
        f.spend(20 * len(what))
        return [(to_number(f, amount), unit_of(name)) for name, amount in what.items()]
    unit = argument(arguments, 1)
    return [(to_number(f, what), "millisecond" if unit is None else unit_of(to_text(f, unit)))]


@method("plus", Moment)
def plus(f: Frame, this: Value, arguments: Arguments) -> Value:
    """So much later."""
    f.spend(20)
    for amount, unit in _spans(f, arguments):
        this = moved(this, amount, unit)
    return this


@method("minus", Moment)
def minus(f: Frame, this: Value, arguments: Arguments) -> Value:
    """So much earlier."""
    f.spend(20)
    for amount, unit in _spans(f, arguments):
        this = moved(this, -amount, unit)
    return this


def _unit(f: Frame, arguments: Arguments, place: int, default: str) -> str:
    """A unit among the arguments."""
    name = argument(arguments, place)
    return default if name is None else unit_of(to_text(f, name))


@method("startOf", Moment)
@method("beginningOf", Moment)
def start_of(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The beginning of the day, or of another unit."""
    f.spend(20)
    return beginning(this, _unit(f, arguments, 0, "day"))


@method("endOf", Moment)
@method("endOfMonth", Moment)
def end_of(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The last millisecond of the month, or of another unit."""
    f.spend(100)
    return end(this, _unit(f, arguments, 0, "month"))


@method("diff", Moment)
def difference(f: Frame, this: Value, arguments: Arguments) -> Value:
    """What lies between, as an object: `$now.diff(other, 'days').days`."""
    f.spend(150)
    unit = _unit(f, arguments, 1, "millisecond")
    f.object(1)
    return {f"{unit}s": number(between(this, moment_of(f, argument(arguments, 0)), unit))}


@method("diffTo", Moment)
def difference_to(f: Frame, this: Value, arguments: Arguments) -> Value:
    """What lies between, as a number of days or of another unit; later is positive."""
    f.spend(150)
    unit = _unit(f, arguments, 1, "day")
    return number(between(moment_of(f, argument(arguments, 0)), this, unit))


@method("toFormat", Moment)
@method("format", Moment)
def to_format(f: Frame, this: Value, arguments: Arguments) -> Value:
    """In a pattern such as 'yyyy-MM-dd'."""
    pattern = argument(arguments, 0)
    f.spend(200)
    return formatted(this, "yyyy-MM-dd" if pattern is None else to_text(f, pattern))


@method("setZone", Moment)
def set_zone(f: Frame, this: Value, arguments: Arguments) -> Value:
    """The same instant at another offset: 'utc' or 'UTC+2'; no tables of zones are read."""
    name = to_text(f, argument(arguments, 0)).lower()
    if name in ("utc", "z", "gmt"):
        return Moment(this.at.astimezone(UTC))
    sign, digits = name[3:4], name[4:].partition(":")
    if name[:3] in ("utc", "gmt") and sign in ("+", "-") and digits[0].isdecimal():
        hours, minutes = int(digits[0][:4]), int(digits[2] or 0) if digits[2].isdecimal() else 0
        if hours <= 14 and minutes < 60:
            away = timedelta(hours=hours, minutes=minutes)
            return Moment(this.at.astimezone(timezone(-away if sign == "-" else away)))
    raise ExpressionError(
        "expression_range", "setZone() knows offsets only: write 'utc' or 'UTC+2'."
    )


def _of_date(name: str) -> bool:
    """Whether a method is one of JavaScript's Date."""
    return name.startswith("get") or name in ("toISOString", "toUTCString", "toDateString")


def _reader(name: str, read: Callable[[Moment], Value]) -> None:
    """Register a method without arguments."""
    cost = 120 if name in ("toUTCString", "toDateString") else 20

    def run(f: Frame, this: Value, _arguments: Arguments) -> Value:
        f.spend(cost)
        return read(this)

    run.__doc__ = "As JavaScript's Date has it." if _of_date(name) else "As Luxon has it."
    METHODS.setdefault(name, {})[Moment] = Method(run)


def _in_utc(moment: Moment) -> Moment:
    return Moment(moment.at.astimezone(UTC))


def _utc_iso(moment: Moment) -> str:
    return _in_utc(moment).iso()


_READERS: Final[dict[str, Callable[[Moment], Value]]] = {
    "toISO": Moment.iso,
    "toString": Moment.iso,
    "toISOString": _utc_iso,
    "toJSON": _utc_iso,
    "toISODate": lambda moment: moment.at.date().isoformat(),
    "toISOTime": lambda moment: moment.iso()[11:],
    "toMillis": Moment.millis,
    "valueOf": Moment.millis,
    "getTime": Moment.millis,
    "toSeconds": lambda moment: number(moment.millis() / 1000),
    "toUnixInteger": lambda moment: moment.millis() // 1000,
    "toUTC": _in_utc,
    "toDateTime": lambda moment: moment,
    "getFullYear": lambda moment: moment.at.year,
    "getMonth": lambda moment: moment.at.month - 1,
    "getDate": lambda moment: moment.at.day,
    "getDay": lambda moment: moment.at.isoweekday() % 7,
    "getHours": lambda moment: moment.at.hour,
    "getMinutes": lambda moment: moment.at.minute,
    "getSeconds": lambda moment: moment.at.second,
    "getMilliseconds": lambda moment: moment.at.microsecond // 1000,
    "getUTCFullYear": lambda moment: moment.at.astimezone(UTC).year,
    "getUTCMonth": lambda moment: moment.at.astimezone(UTC).month - 1,
    "getUTCDate": lambda moment: moment.at.astimezone(UTC).day,
    "getUTCDay": lambda moment: moment.at.astimezone(UTC).isoweekday() % 7,
    "getUTCHours": lambda moment: moment.at.astimezone(UTC).hour,
    "getUTCMinutes": lambda moment: moment.at.astimezone(UTC).minute,
    "getUTCSeconds": lambda moment: moment.at.second,
    "getUTCMilliseconds": lambda moment: moment.at.microsecond // 1000,
    "getTimezoneOffset": lambda moment: -round(offset_of(moment.at).total_seconds() / 60),
    "toDateString": lambda moment: formatted(moment, "ccc MMM dd yyyy"),
    "toUTCString": lambda moment: formatted(_in_utc(moment), "ccc, dd MMM yyyy HH:mm:ss 'GMT'"),
}
for _name, _read in _READERS.items():
    _reader(_name, _read)

PROPERTIES[Moment] = {
    "year": lambda _f, moment: moment.at.year,
    "quarter": lambda _f, moment: (moment.at.month + 2) // 3,
    "month": lambda _f, moment: moment.at.month,
    "day": lambda _f, moment: moment.at.day,
    "hour": lambda _f, moment: moment.at.hour,
    "minute": lambda _f, moment: moment.at.minute,
    "second": lambda _f, moment: moment.at.second,
    "millisecond": lambda _f, moment: moment.at.microsecond // 1000,
    "weekday": lambda _f, moment: moment.at.isoweekday(),
    "weekNumber": lambda _f, moment: moment.at.isocalendar().week,
    "ordinal": lambda _f, moment: moment.at.timetuple().tm_yday,
    "ts": lambda _f, moment: moment.millis(),
    "isValid": lambda _f, _moment: True,
}


@function("DateTime.now")
def date_time_now(f: Frame, _this: Value, _arguments: Arguments) -> Value:
    """`$now`."""
    return current_moment(f.scope)


@function("DateTime.fromISO")
def date_time_from_iso(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The moment that an ISO 8601 text names."""
    return moment_of(f, argument(arguments, 0))


@function("DateTime.fromMillis")
def date_time_from_millis(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The moment so many milliseconds after 1970 began."""
    return moment_of(f, to_number(f, argument(arguments, 0)))


@function("DateTime.fromSeconds")
def date_time_from_seconds(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The moment so many seconds after 1970 began."""
    return moment_of(f, to_number(f, argument(arguments, 0)) * 1000)


@function("Date.now")
def date_now(f: Frame, _this: Value, _arguments: Arguments) -> Value:
    """Milliseconds since 1970 began, at `$now`."""
    return current_moment(f.scope).millis()


@function("Date.parse")
def date_parse(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The milliseconds of an ISO 8601 text, NaN if it is none."""
    found = read_iso(to_text(f, argument(arguments, 0)))
    return math.nan if found is None else found.millis()


def _utc_millis(f: Frame, arguments: Arguments) -> Value:
    """Date.UTC: year, month from 0, day, hours, minutes, seconds, milliseconds."""
    f.spend(120)
    amounts = [to_integer(f, each) for each in arguments[:7]]
    year, month, day, *rest = (*amounts, *(0, 0, 1, 0, 0, 0, 0)[len(amounts) :])
    year += 1900 if 0 <= year <= 99 else 0
    whole_year, whole_month = divmod(year * 12 + month, 12)
    if not 1 <= whole_year <= 9999:
        raise ExpressionError("expression_range", "The date leaves the years 1 to 9999.")
    begin = parse_moment(f"{whole_year:04}-{whole_month + 1:02}-01")
    spans = zip((day - 1, *rest), ("day", "hour", "minute", "second", "millisecond"), strict=True)
    for amount, unit in spans:
        begin = moved(begin, amount, unit)
    return begin.millis()


@function("Date.UTC")
def date_utc(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """The milliseconds of a date given by its parts."""
    return _utc_millis(f, arguments)


@function("new Date")
def new_date(f: Frame, _this: Value, arguments: Arguments) -> Value:
    """`$now` without arguments; from a text, milliseconds, or parts (in UTC)."""
    if not arguments:
        return current_moment(f.scope)
    if len(arguments) > 1:
        return from_millis(_utc_millis(f, arguments))
    return moment_of(f, arguments[0])
