"""Messages from questions that nobody wants answered any more."""

from perdure_common.decider import Outgoing
from perdure_contracts.asking import CancelInteraction
from perdure_contracts.engine import CancelExecution
from perdure_contracts.suspending import AskDropped

from .asks import child_of
from .route_asking import PEOPLE

COMMANDS = "perdure.engine.commands.v1"


def dropped_told(event: AskDropped) -> tuple[Outgoing, ...]:
    """Return what stops a child, or takes a notice back; of a memory nothing is stopped."""
    if event.kind == "workflow":
        child = child_of(event.ask_id)
        reason = f"the agent {event.node_id} of {event.execution_id} waits for it no more"
        stop = CancelExecution(execution_id=child, reason=reason, asked_by="engine")
        return (Outgoing(COMMANDS, child, stop),)
    if event.kind == "approval":
        over = CancelInteraction(
            interaction_id=event.ask_id, execution_id=event.execution_id, reason=event.reason
        )
        return (Outgoing(PEOPLE, event.ask_id, over),)
    return ()
