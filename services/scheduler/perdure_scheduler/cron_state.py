"""What is remembered of a cron trigger to decide when it fires next. Pure."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from perdure_contracts.cron import (
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
    TriggerPaused,
    TriggerResumed,
)

from .cron_ids import fire_id, jitter

LOOK_AGAIN = timedelta(days=1)
"""A trigger looks at its next firing at least so often: time zones may have changed."""


@dataclass(frozen=True)
class Waiting:
    """The firing that waits for the end of the execution before it."""

    scheduled_at: datetime
    missed_count: int


@dataclass(frozen=True)
class CronTrigger:
    """A CRON node as it serves; `version` is 0 while none does.

    Everything up to `settled_until` is done with. `open` are the executions that it started and
    watches, in the order of their starts.
    """

    tenant_id: str = ""
    workflow_id: str = ""
    node_id: str = ""
    version: int = 0
    settings: CronSettings | None = None
    settled_until: datetime | None = None
    next_fire_at: datetime | None = None
    tzdata: str = ""
    paused: bool = False
    open: tuple[str, ...] = ()
    queued: Waiting | None = None


def instant(text: str) -> datetime:
    """Return an ISO text as an instant in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def maybe(text: str | None) -> datetime | None:
    """Return an ISO text as an instant in UTC, None for None."""
    return None if text is None else instant(text)


def due_at(state: CronTrigger, scheduled_at: datetime) -> datetime:
    """Return when a firing is to happen: when it is scheduled, and its jitter later."""
    assert state.settings is not None
    if not state.settings.jitter_s:
        return scheduled_at
    identity = fire_id(state.workflow_id, state.node_id, scheduled_at)
    return scheduled_at + jitter(identity, state.settings.jitter_s)


def wake_at(state: CronTrigger) -> datetime | None:
    """Return when the trigger is to be looked at again."""
    if not state.version or state.paused or state.settled_until is None:
        return None
    look = state.settled_until + LOOK_AGAIN
    return look if state.next_fire_at is None else min(due_at(state, state.next_fire_at), look)


def evolve_cron(state: CronTrigger, event: CronEvent) -> CronTrigger:
    """Return the trigger as it stands after `event`."""
    match event:
        case CronServed():
            return replace(
                state,
                tenant_id=event.tenant_id,
                workflow_id=event.workflow_id,
                node_id=event.node_id,
                version=event.version,
                settings=event.settings,
                settled_until=instant(event.settled_until),
                next_fire_at=maybe(event.next_fire_at),
                tzdata=event.tzdata,
            )
        case CronSettled() | TriggerResumed():
            return replace(
                state,
                settled_until=instant(event.settled_until),
                next_fire_at=maybe(event.next_fire_at),
                tzdata=event.tzdata,
                paused=state.paused and not isinstance(event, TriggerResumed),
            )
        case CronFired():
            opened = (*state.open, event.execution_id) if event.watched else state.open
            at = instant(event.scheduled_at)
            waits = state.queued
            return replace(
                state,
                open=opened,
                queued=None if waits is not None and waits.scheduled_at == at else waits,
            )
        case CronQueued():
            return replace(state, queued=Waiting(instant(event.scheduled_at), event.missed_count))
        case CronSkipped():
            at, waits = instant(event.scheduled_at), state.queued
            return replace(
                state, queued=None if waits is not None and waits.scheduled_at == at else waits
            )
        case CronExecutionEnded():
            return replace(
                state, open=tuple(each for each in state.open if each != event.execution_id)
            )
        case CronExecutionsForgotten():
            return replace(state, open=())
        case TriggerPaused():
            return replace(state, paused=True)
        case CronRetired():
            return replace(state, version=0, next_fire_at=None, paused=False, queued=None)
        case _:
            assert_never(event)
