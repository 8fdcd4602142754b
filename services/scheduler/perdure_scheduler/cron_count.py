"""How many firings lie between two instants, without finding each of them where that can be. Pure.

An expression that leaves days and hours open fires alike in every hour, one that leaves days open
alike in every day. As long as the clocks of its zone are set by whole hours (for the second kind:
not at all), the firings of a year are counted as fast as those of a day.
"""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from .cron import Cron
from .zones import SECOND, offset_of

HOUR_S, DAY_S = 3600, 86_400
LOOK_EVERY = timedelta(days=1)
"""How far apart it is asked what the clocks show: no zone has ever moved its clocks and back
again within a day."""

LOOKED_AT_MAX = 10 * 366
"""So often at most; what is further apart is counted one by one."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def count(schedule: Cron, after: datetime, until: datetime, most: int) -> int:
    """Return how many firings are in (after, until].

    All of them where they are alike in each hour or day; otherwise at most `most`, one by one.
    """
    period_s, places = _period(schedule.written.plain)
    offset = _offset_s(schedule, after, until, period_s) if period_s else None
    if offset is None:
        return len(schedule.between(after, until, most))
    return _up_to(until, offset, period_s, places) - _up_to(after, offset, period_s, places)


def _up_to(at: datetime, offset_s: int, period_s: int, places: tuple[int, ...]) -> int:
    """Return how many firings there are from the year 1970 on, up to an instant and with it."""
    seconds = (at - _EPOCH) // SECOND + offset_s
    whole, rest = divmod(seconds, period_s)
    return whole * len(places) + bisect_right(places, rest)


@lru_cache(maxsize=1000)
def _period(plain: str) -> tuple[int, tuple[int, ...]]:
    """Return after how many seconds an expression repeats itself, and when in these it fires.

    0 if it does so after no hour and no day; the expression is as cronsim reads it, of six fields.
    """
    second, minute, hour, *days = plain.split()
    if any(each != "*" for each in days):
        return 0, ()
    seconds, minutes = _values(second, 60), _values(minute, 60)
    hours = (0,) if hour == "*" else _values(hour, 24)
    places = tuple(h * HOUR_S + m * 60 + s for h in hours for m in minutes for s in seconds)
    return HOUR_S if hour == "*" else DAY_S, places


def _values(field: str, all_of: int) -> tuple[int, ...]:
    return tuple(range(all_of)) if field == "*" else tuple(sorted(map(int, field.split(","))))


def _offset_s(schedule: Cron, after: datetime, until: datetime, period_s: int) -> int | None:
    """Return how far the clocks are ahead of UTC, in seconds and within a period.

    None if that changes between the two instants, or they are too far apart to ask.
    """
    if until - after > LOOKED_AT_MAX * LOOK_EVERY:
        return None
    found = offset_of(until, schedule.where) // SECOND
    same = found % HOUR_S if period_s == HOUR_S else found
    at = after
    while at < until:
        offset = offset_of(at, schedule.where) // SECOND
        if (offset % HOUR_S if period_s == HOUR_S else offset) != same:
            return None
        at += LOOK_EVERY
    return same
