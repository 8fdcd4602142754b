"""What must hold of every cron trigger; for `perdure verify` (I8). I14 is about paths (paths.py).

A firing happens at most once, at an instant that its expression names; and nothing that was due
is passed over in silence: between two settled instants each due firing has fired, was queued or
skipped with a reason, or was counted as missed because it came too late.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from perdure_common.decider import Recorded
from perdure_contracts.cron import (
    CronFired,
    CronQueued,
    CronServed,
    CronSettled,
    CronSkipped,
    TriggerResumed,
)
from perdure_contracts.paths import PathGranted, PathRefused, PathReleased

from .cron_course import LATE, MISSED_MAX, schedule_of
from .cron_ids import fire_id, written
from .cron_state import instant
from .paths import PathJudge
from .zones import SECOND, VERSION

DUE_MAX = 2 * MISSED_MAX
"""Firings between two looks that are judged one by one; of more only the fired ones are."""


class Judge:
    """Sees one stream; implements `perdure_common.service.Judge`."""

    def __init__(self) -> None:
        self._fired: set[str] = set()
        self._served: CronServed | None = None
        self._settled: datetime | None = None
        self._accounted: set[datetime] = set()
        self._queued: set[str] = set()
        self._path = PathJudge()

    def see(self, recorded: Recorded[Any]) -> Iterable[tuple[str, str, str]]:
        """Return what the next event breaks."""
        event = recorded.event
        if isinstance(event, CronFired):
            yield from self._once(event)
            self._accounted.add(instant(event.scheduled_at))
        elif isinstance(event, CronQueued | CronSkipped):
            self._accounted.add(instant(event.scheduled_at))
            if isinstance(event, CronQueued):
                self._queued.add(event.fire_id)
        elif isinstance(event, CronSettled):
            yield from self._nothing_lost(event, recorded.recorded_at)
            self._settled, self._accounted = instant(event.settled_until), set()
        elif isinstance(event, PathGranted | PathRefused | PathReleased):
            yield from self._path.see(event)
        elif isinstance(event, CronServed | TriggerResumed):
            self._settled = instant(event.settled_until)
            if isinstance(event, CronServed):
                self._served = event

    def _once(self, event: CronFired) -> Iterable[tuple[str, str, str]]:
        where, at = f"firing {event.fire_id}", instant(event.scheduled_at)
        if event.fire_id in self._fired:
            yield "I8", where, f"it happened more than once ({event.scheduled_at})"
        self._fired.add(event.fire_id)
        own = fire_id(event.workflow_id, event.node_id, at)
        if event.fire_id != own and not event.backfill:
            yield "I8", where, f"its id is not that of {event.scheduled_at}, {own}"
        served = self._served
        if served is None:
            yield "I8", where, "it happened before its trigger served"
        elif event.fire_id in self._queued:
            return  # what waits when a version is replaced was named by that one
        elif served.tzdata == VERSION and schedule_of(served.settings).after(at - SECOND) != at:
            yield "I8", where, f"{served.settings.expression} does not name {event.scheduled_at}"

    def _nothing_lost(self, event: CronSettled, now: datetime) -> Iterable[tuple[str, str, str]]:
        served = self._served
        if served is None or self._settled is None or event.tzdata != VERSION:
            return  # by other time zones other firings were due
        until, settings = instant(event.settled_until), served.settings
        schedule = schedule_of(settings)
        due = schedule.between(self._settled, until, DUE_MAX)
        left = [at for at in due if at not in self._accounted]
        late = now - LATE - timedelta(seconds=settings.jitter_s)
        where = f"trigger {event.workflow_id}/{event.node_id}"
        for at in left:
            if at >= late:
                yield "I8", where, f"{written(at)} was due in time and did not happen"
        if len(left) > event.missed and event.missed < MISSED_MAX:
            yield "I8", where, f"{len(left)} firings did not happen, {event.missed} were counted"
