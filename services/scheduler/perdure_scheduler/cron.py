"""When a cron expression fires: cronsim on the clock on the wall, and what clocks do to it. Pure.

cronsim walks over wall times without a zone, as if clocks were never changed; here these become
instants. An expression with `*` for the hour follows elapsed time: it fires whenever the clocks
show a time that it names, twice in the hour that comes twice. Every other one fires once for each
wall time: the first time it comes, and, when clocks leave it out, at the first instant after the
gap (`gap: skip` leaves it out too). All instants are whole seconds in UTC.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from .cron_text import CronError, Written, understand
from .zones import SECOND, end_of_gap, instants_of, set_back, wall_of, zone

Gap: TypeAlias = Literal["shift", "skip"]
"""What becomes of a firing that the clocks leave out."""

KNOWN_MAX = 4
"""Answers that an expression remembers."""

_ORIGIN = datetime(2000, 1, 1)  # noqa: DTZ001 - a wall clock without a zone
_LAST = datetime(9900, 1, 1, tzinfo=UTC)  # from here on years run out


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression in a time zone. Made by `cron`, which checks both."""

    written: Written
    where: ZoneInfo
    gap: Gap
    walls: CronSim
    known: dict[datetime, datetime | None] = field(
        default_factory=dict[datetime, datetime | None], compare=False, repr=False
    )
    """What `after` has found lately: many triggers share an expression, and an instant."""

    @property
    def text(self) -> str:
        """The expression as it was written, with single spaces."""
        return self.written.text

    def after(self, at: datetime) -> datetime | None:
        """Return the first firing after an instant, None if there is none any more."""
        at = at.astimezone(UTC).replace(microsecond=0)
        if at > _LAST:
            return None
        if at in self.known:
            return self.known[at]
        if len(self.known) >= KNOWN_MAX:
            self.known.clear()
        found = self._elapsed(at) if self.written.every_hour else self._once(at)
        self.known[at] = found
        return found

    def firings(self, after: datetime) -> Iterator[datetime]:
        """Yield the firings after an instant."""
        at = self.after(after)
        while at is not None:
            yield at
            at = self.after(at)

    def between(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """Return the first firings in (after, until], at most `most`."""
        found, _ = self.walk(self.after(after), until, most)
        return found

    def walk(
        self, first: datetime | None, until: datetime, most: int
    ) -> tuple[list[datetime], datetime | None]:
        """Return firings from one on up to `until`, at most `most`, and the one that follows."""
        found: list[datetime] = []
        at = first
        while at is not None and at <= until and len(found) < most:
            found.append(at)
            at = self.after(at)
        return found, at

    def newest(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """Return the last firings in (after, until], at most `most`, oldest first.

        They are found by windows that double, so that it does not matter how many lie before;
        where times are so uneven that a window holds far too many, one by one.
        """
        width = SECOND
        while True:
            start = max(after, until - width)
            found = self.between(start, until, 2 * most + 1)
            if len(found) <= 2 * most and (len(found) >= most or start <= after):
                return found[-most:]
            if len(found) > 2 * most:
                return self._one_by_one(after, until, most)
            width *= 2

    def _one_by_one(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        found: list[datetime] = []
        while len(found) < most:
            at = self._before(after, until)
            if at is None:
                break
            found.append(at)
            until = at - SECOND
        return found[::-1]

    def local(self, at: datetime) -> datetime:
        """Return an instant as the clocks of the zone show it, with their offset."""
        return at.astimezone(self.where)

    # Between wall times and instants --------------------------------------------------

    def _walls_after(self, wall: datetime) -> Iterator[datetime]:
        """Yield the wall times that the expression names, as if clocks were never changed."""
        walls = copy(self.walls)
        walls.dt = wall
        return walls

    def _elapsed(self, at: datetime) -> datetime | None:
        found = self._first_instant(wall_of(at, self.where), at)
        back = set_back(at, self.where)
        if back is None or (found is not None and found < back):
            return found
        again = self._first_instant(wall_of(back, self.where) - SECOND, back - SECOND)
        return min((each for each in (found, again) if each is not None), default=None)

    def _first_instant(self, wall: datetime, at: datetime) -> datetime | None:
        """Return when, after `at`, the clocks first show a named wall time after `wall`."""
        for named in self._walls_after(wall):
            for each in instants_of(named, self.where):
                if each > at:
                    return each
        return None

    def _once(self, at: datetime) -> datetime | None:
        for named in self._walls_after(wall_of(at, self.where)):
            instants = instants_of(named, self.where)
            if instants:
                found = instants[0]
            elif self.written.makes_up and self.gap == "shift":
                found = end_of_gap(named, self.where)
            else:
                continue
            if found > at:
                return found
        return None

    def _before(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last firing in (after, until]."""
        near, width = until, SECOND
        while True:
            far = max(after, until - width)
            if self._fires(far, until):
                break
            if far <= after:
                return None
            near, width = far, width * 2
        while near - far > SECOND:
            middle = far + (near - far) // 2 // SECOND * SECOND
            if self._fires(middle, until):
                far = middle
            else:
                near = middle
        return self.after(far)

    def _fires(self, after: datetime, until: datetime) -> bool:
        found = self.after(after)
        return found is not None and found <= until


@lru_cache(maxsize=5000)
def cron(text: str, timezone: str = "UTC", gap: Gap = "shift") -> Cron:
    """Return what an expression in a time zone means.

    Raises:
        CronError: The expression cannot be used, never fires, or there is no such zone.
    """
    written = understand(text)
    try:
        where = zone(timezone)
    except LookupError:
        raise CronError(
            "invalid_timezone",
            f"there is no time zone {timezone[:80]!r}; write one of the IANA names, with their "
            "capitals, such as Europe/Berlin",
        ) from None
    never = CronError(
        "cron_never_fires", f"{written.text!r} never fires: no month has such a day; write one "
        "that it has"
    )  # fmt: skip
    try:
        walls = CronSim(written.plain, _ORIGIN)
    except CronSimError:
        raise never from None
    found = Cron(written, where, gap, walls)
    if found.after(_ORIGIN.replace(tzinfo=UTC)) is None:
        raise never
    return found


def shortest(schedule: Cron, after: datetime, count: int = 100) -> timedelta | None:
    """Return the shortest of the next `count` intervals, None if it fires less than twice."""
    times = list(islice(schedule.firings(after), count + 1))
    return min((b - a for a, b in pairwise(times)), default=None)
