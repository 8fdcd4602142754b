"""A cron trigger's decision as it is made: what is due happens, waits, or is counted. Pure.

cron_decide.py says what is decided; this is what all of its commands do first, and do it with.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_contracts.cron import (
    CronEvent,
    CronFired,
    CronQueued,
    CronSettings,
    CronSettled,
    CronSkipped,
    SkipReason,
)

from .cron import Cron, cron
from .cron_count import count
from .cron_event import left_out
from .cron_ids import execution_id, fire_id, written
from .cron_state import CronTrigger, due_at, evolve_cron, instant
from .filters import FAULT_LENGTH_MAX
from .zones import SECOND, VERSION

LATE = timedelta(seconds=60)
"""A firing that comes later than this, beside its jitter, was missed."""

MISSED_MAX = 1000
"""How far missed firings are counted that must be found one by one."""

MADE_UP_MAX, MADE_UP_WITHIN = 100, timedelta(hours=24)
"""How many missed firings `fire_all` makes up for, and how old they may be."""


class Course:
    """A decision as it is made: its events so far, and the state after them."""

    def __init__(self, state: CronTrigger, now: datetime) -> None:
        self.state, self.now = state, now
        self.events: list[CronEvent] = []

    def happen(self, event: CronEvent) -> None:
        """Add an event."""
        self.events.append(event)
        self.state = evolve_cron(self.state, event)

    @property
    def schedule(self) -> Cron:
        """When the trigger fires."""
        assert self.state.settings is not None
        return schedule_of(self.state.settings)


def schedule_of(settings: CronSettings) -> Cron:
    """Return when a CRON node fires; what it says was checked at its deployment."""
    return cron(settings.expression, settings.timezone, settings.gap)


# What is due ------------------------------------------------------------------------------


def settle(course: Course, until: datetime, *, at_once: bool = False) -> None:
    """Let everything happen that is due up to `until`; nothing while the clock is behind.

    `at_once` does not wait for jitter: what comes after is another version, or a pause.
    """
    state = course.state
    since = state.settled_until
    if not state.version or state.paused or since is None or until <= since:
        return
    assert state.settings is not None
    schedule = course.schedule
    on_time_from = course.now - LATE - timedelta(seconds=state.settings.jitter_s)
    missed_until = min(before(on_time_from), until)
    missed = 0
    next_known = state.next_fire_at if state.tzdata == VERSION else None
    if missed_until > since and (next_known is None or next_known <= missed_until):
        missed = count(schedule, since, missed_until, MISSED_MAX)
    firings = _made_up(course, since, missed_until) if missed else []
    begin = max(since, missed_until)
    known = next_known is not None and next_known > begin
    first = next_known if known else schedule.after(begin)  # what is known need not be found
    recent, following = schedule.walk(first, until, MISSED_MAX)
    settled = until
    for k, at in enumerate(recent):
        if not at_once and due_at(state, at) > course.now:
            recent, settled, following = recent[:k], at - SECOND, at
            break
    if state.settings.misfire == "fire_once" and recent:
        firings = []
    untold = max(0, missed - len(firings))  # the first firing that happens tells how many did not
    for at in [*firings, *recent]:
        if _fire_or_wait(course, at, untold):
            untold = 0
    _settled(course, settled, missed, following)


def _settled(course: Course, until: datetime, missed: int, following: datetime | None) -> None:
    state = course.state
    if following is not None and following <= until:  # there were more than anybody makes up for
        following = course.schedule.after(until)
    course.happen(
        CronSettled(
            **named(state),
            settled_until=text_of(until),
            next_fire_at=None if following is None else text_of(following),
            tzdata=VERSION,
            missed=missed,
        )
    )


def _made_up(course: Course, since: datetime, until: datetime) -> list[datetime]:
    """Return the missed firings that happen all the same, oldest first."""
    settings = course.state.settings
    assert settings is not None
    match settings.misfire:
        case "skip":
            return []
        case "fire_once":
            return course.schedule.newest(since, until, 1)
        case "fire_all":
            oldest = max(since, before(course.now - MADE_UP_WITHIN))
            return course.schedule.newest(oldest, until, MADE_UP_MAX)


def _fire_or_wait(course: Course, at: datetime, missed: int) -> bool:
    """Let a firing happen, unless an execution before it is open and that matters.

    Return False where the filter leaves it out: then the next one tells what was missed.
    """
    state, settings = course.state, course.state.settings
    assert settings is not None
    event = fired(course, at, missed)
    if is_left_out(course, event):
        return False
    if settings.overlap == "allow" or not state.open:
        course.happen(event)
    elif settings.overlap == "skip":
        skip(course, at, "overlap", state.open[-1])
    else:
        if state.queued is not None:
            skip(course, state.queued.scheduled_at, "replaced", state.open[-1])
            missed += state.queued.missed_count + 1
        queue(course, at, missed, cancel=settings.overlap == "cancel_previous")
    return True


def queue(course: Course, at: datetime, missed: int, *, cancel: bool) -> None:
    """Let a firing wait until nothing is open; `cancel` stops what is."""
    state = course.state
    course.happen(
        CronQueued(
            **named(state),
            fire_id=id_of(state, at),
            scheduled_at=written(at),
            missed_count=missed,
            open_execution_ids=state.open,
            cancel=cancel,
        )
    )


def fired(
    course: Course,
    at: datetime,
    missed: int,
    *,
    backfill: bool = False,
    force_id: str = "",
    queued: bool = False,
) -> CronFired:
    """Return a firing as it happens now; one of a backfill is watched by nobody.

    One that was `queued` happens when another execution has ended, and not when it is due.
    """
    state, settings = course.state, course.state.settings
    assert settings is not None
    identity = id_of(state, at, force_id)
    return CronFired(
        **named(state),
        fire_id=identity,
        execution_id=execution_id(state.tenant_id, state.workflow_id, state.node_id, at, identity),
        scheduled_at=written(at),
        scheduled_local=course.schedule.local(at).isoformat(),
        timezone=settings.timezone,
        fired_at=text_of(course.now),
        missed_count=missed,
        backfill=backfill,
        watched=not backfill and settings.overlap != "allow",
        due="" if backfill or queued else text_of(due_at(state, at)),
    )


def is_left_out(course: Course, event: CronFired) -> bool:
    """Tell whether the trigger's filter keeps a firing from happening, and say so."""
    settings = course.state.settings
    assert settings is not None
    fault = left_out(event, settings.filter) if settings.filter else None
    if fault is not None:
        message = fault[:FAULT_LENGTH_MAX]
        skip(course, instant(event.scheduled_at), "filter", message=message)
    return fault is not None


def skip(
    course: Course,
    at: datetime,
    reason: SkipReason,
    open_execution_id: str | None = None,
    message: str = "",
) -> None:
    """Say that a firing does not happen, and why."""
    course.happen(
        CronSkipped(
            **named(course.state),
            fire_id=id_of(course.state, at),
            scheduled_at=written(at),
            reason=reason,
            open_execution_id=open_execution_id,
            message=message,
        )
    )


# Small things -----------------------------------------------------------------------------


def named(state: CronTrigger) -> dict[str, Any]:
    """Return what each event says of its trigger."""
    return {"workflow_id": state.workflow_id, "node_id": state.node_id, "version": state.version}


def id_of(state: CronTrigger, at: datetime, force_id: str = "") -> str:
    """Return the id of a trigger's firing at an instant."""
    return fire_id(state.workflow_id, state.node_id, at, force_id)


def before(at: datetime) -> datetime:
    """Return the last whole second before an instant."""
    whole = at.replace(microsecond=0)
    return whole - SECOND if whole == at else whole


def text_of(at: datetime) -> str:
    """Return an instant as events have it."""
    return at.astimezone(UTC).isoformat()
