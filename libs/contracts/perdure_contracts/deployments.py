"""Deployments that take more than one step, and the pause of triggers that events fire.

Owner: services/scheduler. Stream: the workflow id, as of the other deployment messages, which
stand in `scheduler`.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from .message import Json, message

# Commands ---------------------------------------------------------------------------


@message("scheduler.rollback-workflow.v1")
class RollbackWorkflow:
    """Let a version serve again that served before, under a new number.

    `to_version` is None for the one that served before the one that serves now.
    `expected_version` and `credentials` are as in `DeployWorkflow`.
    """

    workflow_id: str
    to_version: int | None = None
    asked_by: str = ""
    expected_version: int | None = None
    config: Json = None
    credentials: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


@message("scheduler.deploy-copy.v1")
class DeployCopy:
    """The engine has frozen version `rollback_of` again, as `version`: let that serve."""

    workflow_id: str
    version: int
    sha256: str
    definition: Json
    rollback_of: int


@message("scheduler.settle-hook.v1")
class SettleHook:
    """What a trigger needs outside is there, or is not. Sent by the scheduler's own edges.

    `code` and `message` say why not, and what to do about it. The answer of a path says which
    `attempt` of the workflow's deployments it is for; 0 is said by the edges.
    """

    workflow_id: str
    version: int
    node_id: str
    ok: bool
    message: str = ""
    code: str = ""
    attempt: int = 0


@message("scheduler.pause-event-trigger.v1")
class PauseEventTrigger:
    """Let a trigger rest that events fire; what comes meanwhile does not start anything."""

    workflow_id: str
    node_id: str
    asked_by: str = ""


@message("scheduler.resume-event-trigger.v1")
class ResumeEventTrigger:
    """Let a trigger fire again that rests."""

    workflow_id: str
    node_id: str
    asked_by: str = ""


# Events -----------------------------------------------------------------------------


@message("scheduler.hook-settled.v1")
class HookSettled:
    """What a trigger of a version needs outside is there."""

    workflow_id: str
    version: int
    node_id: str
    at: str
    message: str = ""


@message("scheduler.event-trigger-paused.v1")
class EventTriggerPaused:
    """A trigger that events fire rests."""

    workflow_id: str
    version: int
    node_id: str
    asked_by: str = ""


@message("scheduler.event-trigger-resumed.v1")
class EventTriggerResumed:
    """A trigger that events fire does so again."""

    workflow_id: str
    version: int
    node_id: str
    asked_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """What one trigger node needs outside before it can serve; `what` is for people."""

    node_id: str
    what: str


MoreCommand: TypeAlias = (
    RollbackWorkflow | DeployCopy | SettleHook | PauseEventTrigger | ResumeEventTrigger
)
MoreEvent: TypeAlias = HookSettled | EventTriggerPaused | EventTriggerResumed
