"""What the log says of people who steer an execution."""

from collections.abc import Mapping

from perdure_contracts.admission import ExecutionQueued, ExecutionRefused
from perdure_contracts.control import (
    CancelBegun,
    ErrorWorkflowStarted,
    ExecutionPaused,
    ExecutionResumed,
    NodeMarked,
    RerunBegun,
)
from perdure_contracts.executions import ExecutionEvent

from .state import Execution

Said = tuple[str, str, Mapping[str, str] | None]
"""A message, the same for people, and the node that it is about."""


def said_of(state: Execution, event: ExecutionEvent) -> Said | None:
    """Return what the log says of an event of control, None for any other."""
    match event:
        case ExecutionPaused():
            why = f": {event.reason}" if event.reason else ""
            text = f"execution of {state.workflow_name} paused by {_who(event.asked_by)}{why}"
            return text, f"Paused{why}", None
        case ExecutionResumed():
            text = f"execution of {state.workflow_name} resumed by {_who(event.asked_by)}"
            return text, "It goes on", None
        case CancelBegun():
            why = f": {event.reason}" if event.reason else ""
            text = f"cancel of {state.workflow_name} begun by {_who(event.asked_by)}{why}"
            text += f"; {len(event.tokens)} attempts have until {event.until} to end"
            return text, f"It is being cancelled{why}", None
        case NodeMarked():
            why = f": {event.reason}" if event.reason else ""
            text = f"{event.node_id} marked as {event.outcome} by {_who(event.asked_by)}{why}"
            node = {"id": event.node_id, "name": event.node_id, "type": ""}
            return text, f"{event.node_id} was marked as {event.outcome}{why}", node
        case RerunBegun():
            at = f" at {event.node_id}" if event.node_id else ""
            text = (
                f"execution {event.new_execution_id} begun from this one, from {event.origin}{at}, "
                f"by {_who(event.asked_by)}; it adopts {len(event.adopted)} nodes"
            )
            return text, "Run again as another execution", None
        case ErrorWorkflowStarted():
            text = f"error workflow started with the failure, as {event.handler_execution_id}"
            return text, "The error workflow was told", None
        case ExecutionQueued() if event.gates:
            text = f"execution of {state.workflow_name} waits for its turn: {event.gates[0].about}"
            return text, "It waits for its turn", None
        case ExecutionRefused():
            text = f"execution of {state.workflow_name} was not let in: {event.error.message}"
            return text, f"It was not let in: {event.error.message}", None
        case _:
            return None


def _who(name: str) -> str:
    return name or "a program"
