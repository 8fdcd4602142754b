"""Messages from events: a copy that was made to serve is handed to the scheduler."""

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.deployments import DeployCopy
from perdure_contracts.workflows import Event, WorkflowSaved

from .state import Definition

SCHEDULER = "perdure.scheduler.commands.v1"


def route(state: Definition, recorded: Recorded[Event]) -> tuple[Outgoing, ...]:
    """Return what the scheduler is told of a copy; of other versions the events tell."""
    del state
    event = recorded.event
    if not isinstance(event, WorkflowSaved) or event.rollback_of is None:
        return ()
    copy = DeployCopy(
        workflow_id=event.workflow_id,
        version=event.version,
        sha256=event.sha256,
        definition=event.definition,
        rollback_of=event.rollback_of,
    )
    return (Outgoing(SCHEDULER, event.workflow_id, copy),)
