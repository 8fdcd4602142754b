"""Which firings of a cron trigger happen, and which do not. Pure.

Whatever is asked of a trigger, first everything that was due before is settled: so a swap of
versions, a pause or a backfill cannot make a firing happen twice, or none.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from perdure_common.decider import Due, Facts, Lookup, Rejected
from perdure_contracts.cron import (
    BackfillCron,
    CronCommand,
    CronEvent,
    CronExecutionEnded,
    CronExecutionsForgotten,
    CronRetired,
    CronServed,
    CronSettings,
    NoteExecutionEnd,
    PauseTrigger,
    ResumeTrigger,
    RetireCron,
    ServeCron,
    SkipReason,
    TriggerPaused,
    TriggerResumed,
)

from .cron_backfill import backfill, backfill_facts
from .cron_course import Course, fired, named, schedule_of, settle, skip, text_of
from .cron_state import CronTrigger, instant
from .zones import VERSION

Decided: TypeAlias = tuple[CronEvent, ...] | Rejected


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
    return backfill_facts(state, command)


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
            refused = backfill(course, command, facts)
            if refused is not None:
                return refused
        case NoteExecutionEnd():
            _ended(course, command)
    return tuple(course.events)


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
            settled_until=text_of(since),
            next_fire_at=None if following is None else text_of(following),
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
    course.happen(CronRetired(**named(state)))


def _pause(course: Course, command: PauseTrigger) -> None:
    if course.state.paused:
        return
    settle(course, course.now, at_once=True)
    _drop_queued(course, "paused")
    course.happen(TriggerPaused(**named(course.state), asked_by=command.asked_by))


def _drop_queued(course: Course, reason: SkipReason) -> None:
    if course.state.queued is not None:
        skip(course, course.state.queued.scheduled_at, reason)


def _resume(course: Course, command: ResumeTrigger) -> None:
    state = course.state
    assert state.settled_until is not None
    if state.paused:
        since = max(course.now, state.settled_until)
        following = course.schedule.after(since)
        course.happen(
            TriggerResumed(
                **named(state),
                asked_by=command.asked_by,
                settled_until=text_of(since),
                next_fire_at=None if following is None else text_of(following),
                tzdata=VERSION,
            )
        )
    if command.forget_open and state.open:
        course.happen(CronExecutionsForgotten(**named(state), execution_ids=state.open))
        _fire_queued(course)


def _ended(course: Course, command: NoteExecutionEnd) -> None:
    """Take an execution off the open ones; a firing that waited for the last one happens."""
    if command.execution_id not in course.state.open:
        return
    course.happen(
        CronExecutionEnded(
            **named(course.state), execution_id=command.execution_id, status=command.status
        )
    )
    _fire_queued(course)


def _fire_queued(course: Course) -> None:
    state = course.state
    if state.queued is not None and not state.open and state.version:
        waits = state.queued
        course.happen(fired(course, waits.scheduled_at, waits.missed_count, queued=True))
