"""The pause of triggers that events fire. Pure."""

from perdure_common.decider import Rejected
from perdure_contracts.deployments import (
    EventTriggerPaused,
    EventTriggerResumed,
    PauseEventTrigger,
    ResumeEventTrigger,
)

from .state import Deployment


def rest(
    state: Deployment, command: PauseEventTrigger | ResumeEventTrigger
) -> tuple[EventTriggerPaused | EventTriggerResumed, ...] | Rejected:
    """Let a trigger that serves rest, or fire again."""
    serving = state.serving
    if serving is None or command.node_id not in serving.node_ids:
        return Rejected(
            f"workflow {command.workflow_id} serves no trigger {command.node_id!r}; "
            "`perdure triggers list` shows those that serve",
            "not_serving",
        )
    if command.node_id in serving.crons:
        return Rejected(
            f"trigger {command.node_id!r} is fired by a clock; send `scheduler.pause-trigger.v1` "
            "or `scheduler.resume-trigger.v1`",
            "wrong_trigger",
        )
    rests = command.node_id in state.paused
    if rests == isinstance(command, PauseEventTrigger):
        return ()  # unchanged
    kind = EventTriggerResumed if rests else EventTriggerPaused
    return (
        kind(
            workflow_id=command.workflow_id,
            version=serving.version,
            node_id=command.node_id,
            asked_by=command.asked_by,
        ),
    )
