"""Which firings of a cron trigger happen, and which do not. Pure.

Whatever is asked of a trigger, first everything that was due before is settled: so a swap of
versions, a pause or a backfill cannot make a firing happen twice, or none.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from perdure_common.decider import Due, Facts, Lookup, Rejected
from perdure_contracts.cron import (
    BackfillCron,
    CronCommand,
    CronEvent,
    CronExecutionEnded,
    CronExecutionsForgotten,
    CronFired,
    CronQueued,
    CronRetired,
    CronServed,
    CronSettings,
    CronSettled,
    CronSkipped,
    NoteExecutionEnd,
    PauseTrigger,
    ResumeTrigger,
    RetireCron,
    ServeCron,
    SkipReason,
    TriggerPaused,
    TriggerResumed,
)

from .cron import Cron, cron
from .cron_event import left_out
from .cron_ids import SOURCE, execution_id, fire_id, written
from .cron_state import CronTrigger, due_at, evolve_cron, instant
from .filters import FAULT_LENGTH_MAX
from .zones import SECOND, VERSION

LATE = timedelta(seconds=60)
"""A firing that comes later than this, beside its jitter, was missed."""

MISSED_MAX = 1000
"""How far missed firings are counted."""

MADE_UP_MAX, MADE_UP_WITHIN = 100, timedelta(hours=24)
"""How many missed firings `fire_all` makes up for, and how old they may be."""

BACKFILL_MAX = 1000
"""The firings of one backfill."""

Decided: TypeAlias = tuple[CronEvent, ...] | Rejected


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


def stream_of(workflow_id: str, node_id: str) -> str:
    """Return the stream of a cron trigger: it begins with that of its deployment."""
    return f"{workflow_id}/cron/{node_id}"


def stream_of_cron(command: CronCommand) -> str:
    """Return the stream that a command is about."""
    if isinstance(command, NoteExecutionEnd):
        return command.watcher
    return stream_of(command.workflow_id, command.node_id)


def cron_facts(state: CronTrigger, command: CronCommand | Due) -> Mapping[str, Lookup]:
    """Return what a backfill must know: which of its firings have happened."""
    if not isinstance(command, BackfillCron) or not state.version:
        return {}
    firings = _asked(state, command)
    if isinstance(firings, Rejected):
        return {}
    ids = tuple(_id(state, at, command.force_id) for at in firings)
    return {"happened": Lookup("trigger_deliveries", {"source": SOURCE, "id": ids}, ("id",))}


def decide_cron(
    state: CronTrigger, command: CronCommand | Due, facts: Facts, now: datetime
) -> Decided:
    """Return what becomes of a cron trigger, or why nothing does."""
    course = Course(state, now)
    match command:
        case Due():
            settle(course, now)
        case ServeCron():
            _serve(course, command)
        case RetireCron():
            _retire(course, command)
        case PauseTrigger() | ResumeTrigger() | BackfillCron() if not state.version:
            return Rejected(
                f"workflow {command.workflow_id} serves no CRON trigger {command.node_id!r}; "
                "deploy a version that has one",
                "not_serving",
            )
        case PauseTrigger():
            _pause(course, command)
        case ResumeTrigger():
            _resume(course, command)
        case BackfillCron():
            refused = _backfill(course, command, facts)
            if refused is not None:
                return refused
        case NoteExecutionEnd():
            _ended(course, command)
    return tuple(course.events)


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
    missed_until = min(_before(on_time_from), until)
    missed = 0
    next_known = state.next_fire_at if state.tzdata == VERSION else None
    if missed_until > since and (next_known is None or next_known <= missed_until):
        missed = len(schedule.between(since, missed_until, MISSED_MAX))
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
    left_out = missed - len(firings)
    for at in [*firings, *recent]:
        _fire_or_wait(course, at, max(0, left_out))
        left_out = 0
    _settled(course, settled, missed, following)


def _settled(course: Course, until: datetime, missed: int, following: datetime | None) -> None:
    state = course.state
    if following is not None and following <= until:  # there were more than anybody makes up for
        following = course.schedule.after(until)
    course.happen(
        CronSettled(
            **_named(state),
            settled_until=_text(until),
            next_fire_at=None if following is None else _text(following),
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
            oldest = max(since, _before(course.now - MADE_UP_WITHIN))
            return course.schedule.newest(oldest, until, MADE_UP_MAX)


def _fire_or_wait(course: Course, at: datetime, missed: int) -> None:
    """Let a firing happen, unless an execution before it is open and that matters."""
    state, settings = course.state, course.state.settings
    assert settings is not None
    fired = _fired(course, at, missed)
    if _is_left_out(course, fired):
        return
    if settings.overlap == "allow" or not state.open:
        course.happen(fired)
    elif settings.overlap == "skip":
        _skip(course, at, "overlap", state.open[-1])
    else:
        if state.queued is not None:
            _skip(course, state.queued.scheduled_at, "replaced", state.open[-1])
            missed = min(MISSED_MAX, missed + state.queued.missed_count + 1)
        course.happen(
            CronQueued(
                **_named(state),
                fire_id=_id(state, at),
                scheduled_at=written(at),
                missed_count=missed,
                open_execution_ids=state.open,
                cancel=settings.overlap == "cancel_previous",
            )
        )


def _fired(
    course: Course, at: datetime, missed: int, *, backfill: bool = False, force_id: str = ""
) -> CronFired:
    state, settings = course.state, course.state.settings
    assert settings is not None
    identity = _id(state, at, force_id)
    return CronFired(
        **_named(state),
        fire_id=identity,
        execution_id=execution_id(state.tenant_id, state.workflow_id, state.node_id, at, identity),
        scheduled_at=written(at),
        scheduled_local=course.schedule.local(at).isoformat(),
        timezone=settings.timezone,
        fired_at=_text(course.now),
        missed_count=missed,
        backfill=backfill,
        watched=not backfill and settings.overlap != "allow",
    )


def _is_left_out(course: Course, fired: CronFired) -> bool:
    """Tell whether the trigger's filter keeps a firing from happening, and say so."""
    settings = course.state.settings
    assert settings is not None
    fault = left_out(fired, settings.filter) if settings.filter else None
    if fault is not None:
        message = fault[:FAULT_LENGTH_MAX]
        _skip(course, instant(fired.scheduled_at), "filter", message=message)
    return fault is not None


def _skip(
    course: Course,
    at: datetime,
    reason: SkipReason,
    open_execution_id: str | None = None,
    message: str = "",
) -> None:
    course.happen(
        CronSkipped(
            **_named(course.state),
            fire_id=_id(course.state, at),
            scheduled_at=written(at),
            reason=reason,
            open_execution_id=open_execution_id,
            message=message,
        )
    )


# What is asked ----------------------------------------------------------------------------


def _serve(course: Course, command: ServeCron) -> None:
    """Let a version serve; the same times at the same node go on where they were."""
    at = instant(command.at)
    settle(course, min(at, course.now), at_once=True)
    state, new = course.state, command.settings
    old = state.settings if state.version else None
    since = at if state.settled_until is None else max(at, state.settled_until)
    if old is not None and state.settled_until is not None and _times(old) == _times(new):
        since = state.settled_until
    following = schedule_of(new).after(since)
    course.happen(
        CronServed(
            tenant_id=command.tenant_id,
            workflow_id=command.workflow_id,
            node_id=command.node_id,
            version=command.version,
            settings=new,
            settled_until=_text(since),
            next_fire_at=None if following is None else _text(following),
            tzdata=VERSION,
        )
    )


def _times(settings: CronSettings) -> tuple[str, str, str]:
    return settings.expression, settings.timezone, settings.gap


def _retire(course: Course, command: RetireCron) -> None:
    if not course.state.version:
        return
    settle(course, min(instant(command.at), course.now), at_once=True)
    _drop_queued(course, "retired")
    state = course.state
    course.happen(CronRetired(**_named(state)))


def _pause(course: Course, command: PauseTrigger) -> None:
    if course.state.paused:
        return
    settle(course, course.now, at_once=True)
    _drop_queued(course, "paused")
    course.happen(TriggerPaused(**_named(course.state), asked_by=command.asked_by))


def _drop_queued(course: Course, reason: SkipReason) -> None:
    if course.state.queued is not None:
        _skip(course, course.state.queued.scheduled_at, reason)


def _resume(course: Course, command: ResumeTrigger) -> None:
    state = course.state
    assert state.settled_until is not None
    if state.paused:
        since = max(course.now, state.settled_until)
        following = course.schedule.after(since)
        course.happen(
            TriggerResumed(
                **_named(state),
                asked_by=command.asked_by,
                settled_until=_text(since),
                next_fire_at=None if following is None else _text(following),
                tzdata=VERSION,
            )
        )
    if command.forget_open and state.open:
        course.happen(CronExecutionsForgotten(**_named(state), execution_ids=state.open))
        _fire_queued(course)


def _backfill(course: Course, command: BackfillCron, facts: Facts) -> Rejected | None:
    """Let firings of the past happen, in their order, those that have happened left out."""
    firings = _asked(course.state, command)
    if isinstance(firings, Rejected):
        return firings
    if instant(command.until) > course.now:
        return Rejected(
            f"a backfill ends at the latest now, not at {command.until}; what is to come fires "
            "by itself",
            "backfill_in_future",
        )
    settle(course, course.now)
    happened = {str(row["id"]) for row in facts.get("happened", ())}
    happened.update(each.fire_id for each in course.events if isinstance(each, CronFired))
    queued = course.state.queued
    for at in firings:
        waits = queued is not None and queued.scheduled_at == at and not command.force_id
        if _id(course.state, at, command.force_id) not in happened and not waits:
            fired = _fired(course, at, 0, backfill=True, force_id=command.force_id)
            if not _is_left_out(course, fired):
                course.happen(fired)
    return None


def _asked(state: CronTrigger, command: BackfillCron) -> Sequence[datetime] | Rejected:
    """Return the firings that a backfill asks for."""
    try:
        first, until = instant(command.first), instant(command.until)
    except (ValueError, OverflowError):
        text = "write the beginning and the end of a backfill as 2026-01-31T12:00:00Z"
        return Rejected(text, "invalid_backfill")
    if first >= until:
        text = f"a backfill ends after it begins, not at {command.until} from {command.first} on"
        return Rejected(text, "invalid_backfill")
    assert state.settings is not None
    schedule = schedule_of(state.settings)
    firings = schedule.between(_before(first), _before(until), BACKFILL_MAX + 1)
    if len(firings) > BACKFILL_MAX:
        return Rejected(
            f"more than {BACKFILL_MAX:,} firings are due from {command.first} to {command.until}; "
            f"take {written(firings[-1])} as the end, and go on from there",
            "backfill_too_large",
        )
    return firings


def _ended(course: Course, command: NoteExecutionEnd) -> None:
    """Take an execution off the open ones; a firing that waited for the last one happens."""
    if command.execution_id not in course.state.open:
        return
    course.happen(
        CronExecutionEnded(
            **_named(course.state), execution_id=command.execution_id, status=command.status
        )
    )
    _fire_queued(course)


def _fire_queued(course: Course) -> None:
    state = course.state
    if state.queued is not None and not state.open and state.version:
        course.happen(_fired(course, state.queued.scheduled_at, state.queued.missed_count))


# Small things -----------------------------------------------------------------------------


def _named(state: CronTrigger) -> dict[str, Any]:
    return {"workflow_id": state.workflow_id, "node_id": state.node_id, "version": state.version}


def _id(state: CronTrigger, at: datetime, force_id: str = "") -> str:
    return fire_id(state.workflow_id, state.node_id, at, force_id)


def _before(at: datetime) -> datetime:
    """Return the last whole second before an instant."""
    whole = at.replace(microsecond=0)
    return whole - SECOND if whole == at else whole


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
