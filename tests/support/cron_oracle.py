"""Cron by brute force: look at the clock on the wall at every minute (or second) of a time.

It knows nothing of the code that it judges: fields are matched value by value. Only the edition
of the time zones is the same.
"""

import calendar
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

DAYS = {name: k for k, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MONTHS = {name: k for k, name in enumerate(_MONTHS, start=1)}


def expected(
    expression: str,
    zone: str,
    first: datetime,
    until: datetime,
    *,
    gap: str = "shift",
) -> list[datetime]:
    """Return the firings in (first, until]."""
    fields = expression.split()
    step = timedelta(seconds=1) if len(fields) == 6 else timedelta(minutes=1)
    fields = fields if len(fields) == 6 else ["0", *fields]
    elapsed, makes_up = fields[2] == "*", step.seconds == 60 and not fields[2].startswith("*")
    with files("tzdata.zoneinfo").joinpath(*zone.split("/")).open("rb") as file:
        where = ZoneInfo.from_file(file)
    found = dict[datetime, None]()
    shown: datetime | None = None  # the latest wall time that has been
    at = first.replace(second=0, microsecond=0) - timedelta(
        hours=26
    )  # so that an overlap under way is known
    while at <= until:
        wall = at.astimezone(where).replace(tzinfo=None)
        left_out = () if shown is None else _between(shown + step, wall, step)
        due = (elapsed or shown is None or wall > shown) and matches(fields, wall)
        if makes_up and gap == "shift":
            due = due or any(matches(fields, each) for each in left_out)
        if due and at > first:
            found[at] = None
        shown = wall if shown is None else max(wall, shown)
        at += step
    return list(found)


def _between(first: datetime, until: datetime, step: timedelta) -> Iterator[datetime]:
    while first < until:
        yield first
        first += step


def matches(fields: list[str], wall: datetime) -> bool:
    """Return whether six fields name a wall time."""
    second, minute, hour, day, month, weekday = fields
    if not (
        _has(minute, wall.minute, 0, 59)
        and _has(hour, wall.hour, 0, 23)
        and _has(second, wall.second, 0, 59)
        and _has(month, wall.month, 1, 12)
    ):
        return False
    on_day = any(_is_day(term, wall) for term in day.split(","))
    on_weekday = any(_is_weekday(term, wall) for term in weekday.split(","))
    if day in "*?" or weekday in "*?":
        return on_day and on_weekday
    return on_day or on_weekday


def _is_day(term: str, wall: datetime) -> bool:
    if term == "?":
        return True
    if term == "L":
        return wall.day == calendar.monthrange(wall.year, wall.month)[1]
    return _has(term, wall.day, 1, 31)


def _is_weekday(term: str, wall: datetime) -> bool:
    number = (wall.weekday() + 1) % 7
    if term == "?":
        return True
    if term.endswith("L"):
        last = wall.day + 7 > calendar.monthrange(wall.year, wall.month)[1]
        return last and _number(term[:-1].rstrip("#")) % 7 == number
    if "#" in term:
        name, _, nth = term.partition("#")
        return _number(name) % 7 == number and (wall.day - 1) // 7 + 1 == int(nth)
    return _has(term, number, 0, 6) or (number == 0 and _names(term, 7, 0, 6))


def _has(field: str, value: int, low: int, high: int) -> bool:
    return value in _allowed(field, low, high)


@lru_cache(maxsize=10_000)
def _allowed(field: str, low: int, high: int) -> frozenset[int]:
    return frozenset(each for each in range(low, high + 1) if _names(field, each, low, high))


def _names(field: str, value: int, low: int, high: int) -> bool:
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        begin = low if first == "*" else _number(first)
        end = _number(last) if last else high if first == "*" or step else begin
        if begin <= value <= end and (value - begin) % int(step or 1) == 0:
            return True
    return False


def _number(text: str) -> int:
    return DAYS[text] if text in DAYS else MONTHS[text] if text in MONTHS else int(text)
