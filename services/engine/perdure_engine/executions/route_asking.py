"""Messages from questions: to the services that have people and memory."""

from perdure_common.decider import Outgoing
from perdure_contracts.asking import CancelInteraction, MemoryAsked, PeopleAsked
from perdure_contracts.flow import WaitEnded

PEOPLE = "perdure.hil.commands.v1"
MEMORY = "perdure.memory.commands.v1"


def asked_of(event: PeopleAsked | MemoryAsked | WaitEnded) -> tuple[Outgoing, ...]:
    """Return what a service is asked, or told that nobody wants to know any more."""
    match event:
        case PeopleAsked():
            return (Outgoing(PEOPLE, event.request.interaction_id, event.request),)
        case MemoryAsked():
            return (Outgoing(MEMORY, event.request.request_id, event.request),)
        case WaitEnded() if event.kind == "person" and event.by != "answer":
            over = CancelInteraction(
                interaction_id=event.wait_id,
                execution_id=event.execution_id,
                reason=f"node {event.node_id} waits for it no more: {event.by}",
            )
            return (Outgoing(PEOPLE, event.wait_id, over),)
        case _:
            return ()
