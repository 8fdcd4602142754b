"""What the scheduler's cron triggers hear and say. Owner: services/scheduler.

Stream: `<workflow id>/cron/<node id>`, in the shard of its workflow's deployment. Instants are
ISO texts in UTC.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .message import message

Gap: TypeAlias = Literal["shift", "skip"]
Misfire: TypeAlias = Literal["fire_once", "skip", "fire_all"]
Overlap: TypeAlias = Literal["skip", "queue", "allow", "cancel_previous"]
SkipReason: TypeAlias = Literal["overlap", "replaced", "paused", "retired", "filter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CronSettings:
    """What a CRON node says: when it fires, and what becomes of what cannot fire in time."""

    expression: str
    timezone: str = "UTC"
    gap: Gap = "shift"
    misfire: Misfire = "fire_once"
    overlap: Overlap = "skip"
    jitter_s: int = 0
    filter: str = ""


# Commands ---------------------------------------------------------------------------


@message("scheduler.serve-cron.v1")
class ServeCron:
    """Let a version's CRON node fire from the instant `at` on. Sent by its deployment."""

    tenant_id: str
    workflow_id: str
    node_id: str
    version: int
    settings: CronSettings
    at: str


@message("scheduler.retire-cron.v1")
class RetireCron:
    """Let a CRON node fire no more after the instant `at`. Sent by its deployment."""

    workflow_id: str
    node_id: str
    at: str


@message("scheduler.pause-trigger.v1")
class PauseTrigger:
    """Let a trigger rest: what falls due meanwhile does not happen, and is not made up for."""

    workflow_id: str
    node_id: str
    asked_by: str = ""


@message("scheduler.resume-trigger.v1")
class ResumeTrigger:
    """Let a trigger that rests fire again, strictly after now.

    `forget_open`: it waits no more for executions that it started, such as one whose start became
    a dead letter that nobody redrives.
    """

    workflow_id: str
    node_id: str
    asked_by: str = ""
    forget_open: bool = False


@message("scheduler.backfill-cron.v1")
class BackfillCron:
    """Make firings in [first, until) happen that did not; with `force_id` all, once more.

    `force_id` makes them different firings: the same id twice is the same backfill.
    """

    workflow_id: str
    node_id: str
    first: str
    until: str
    force_id: str = ""
    asked_by: str = ""


@message("scheduler.note-end.v1")
class NoteExecutionEnd:
    """An execution that a cron trigger watches has ended. Sent by the engine to `watcher`."""

    watcher: str
    execution_id: str
    status: str


# Events -----------------------------------------------------------------------------


@message("scheduler.cron-served.v1")
class CronServed:
    """A version's CRON node fires from now on; everything up to `settled_until` is done with.

    `tzdata` is the edition of the time zones by which `next_fire_at` was found.
    """

    tenant_id: str
    workflow_id: str
    node_id: str
    version: int
    settings: CronSettings
    settled_until: str
    next_fire_at: str | None
    tzdata: str


@message("scheduler.cron-retired.v1")
class CronRetired:
    """The CRON node of `version` fires no more."""

    workflow_id: str
    node_id: str
    version: int


@message("scheduler.cron-fired.v1")
class CronFired:
    """The firing due at `scheduled_at` happens: it starts one execution.

    `missed_count` counts the firings before it that did not happen: all of those that are alike in
    every hour or day, of others those that were found, 1,000 at a time. `watched` says
    that the trigger wants to hear when the execution has ended. `due` is when it was to happen, its
    jitter included; empty where it waited for another execution, or is of a backfill.
    """

    workflow_id: str
    node_id: str
    version: int
    fire_id: str
    execution_id: str
    scheduled_at: str
    scheduled_local: str
    timezone: str
    fired_at: str
    missed_count: int = 0
    backfill: bool = False
    watched: bool = False
    due: str = ""


@message("scheduler.cron-skipped.v1")
class CronSkipped:
    """The firing due at `scheduled_at` does not happen.

    For `overlap` and `replaced` (it waited, and a newer one came) `open_execution_id` is the
    execution that was still open; for `filter` the `message` says what went wrong, if anything.
    """

    workflow_id: str
    node_id: str
    version: int
    fire_id: str
    scheduled_at: str
    reason: SkipReason
    open_execution_id: str | None = None
    message: str = ""


@message("scheduler.cron-queued.v1")
class CronQueued:
    """The firing waits until the execution before it has ended; that one is stopped if asked."""

    workflow_id: str
    node_id: str
    version: int
    fire_id: str
    scheduled_at: str
    missed_count: int
    open_execution_ids: tuple[str, ...]
    cancel: bool = False


@message("scheduler.cron-settled.v1")
class CronSettled:
    """Everything due up to `settled_until` has happened or was left out; `missed` were late."""

    workflow_id: str
    node_id: str
    version: int
    settled_until: str
    next_fire_at: str | None
    tzdata: str
    missed: int = 0


@message("scheduler.trigger-paused.v1")
class TriggerPaused:
    """The trigger rests."""

    workflow_id: str
    node_id: str
    version: int
    asked_by: str


@message("scheduler.trigger-resumed.v1")
class TriggerResumed:
    """The trigger fires again, after `settled_until`."""

    workflow_id: str
    node_id: str
    version: int
    asked_by: str
    settled_until: str
    next_fire_at: str | None
    tzdata: str


@message("scheduler.cron-execution-ended.v1")
class CronExecutionEnded:
    """An execution that the trigger started is not open any more."""

    workflow_id: str
    node_id: str
    version: int
    execution_id: str
    status: str


@message("scheduler.cron-executions-forgotten.v1")
class CronExecutionsForgotten:
    """The trigger waits no more for these executions, whatever becomes of them."""

    workflow_id: str
    node_id: str
    version: int
    execution_ids: tuple[str, ...]


CronCommand: TypeAlias = (
    ServeCron | RetireCron | PauseTrigger | ResumeTrigger | BackfillCron | NoteExecutionEnd
)
CronEvent: TypeAlias = (
    CronServed
    | CronRetired
    | CronFired
    | CronSkipped
    | CronQueued
    | CronSettled
    | TriggerPaused
    | TriggerResumed
    | CronExecutionEnded
    | CronExecutionsForgotten
)
