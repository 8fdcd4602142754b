"""State from the events of questions to people and memory. Like `evolve`, whose arms these are."""

from msgspec.structs import replace
from perdure_contracts.asking import AnswerTaken, ExecutionLeft, MemoryAsked, PeopleAsked

from .state import Execution, flow_of, place_of


def asked(state: Execution, event: PeopleAsked | MemoryAsked | AnswerTaken | ExecutionLeft) -> None:
    """Note that a service has a question, or that only people can let the execution go on.

    The question itself is routed when it is asked, and need not be remembered.
    """
    if isinstance(event, AnswerTaken):
        waits = flow_of(state).waits
        place = place_of(event.node_id, event.scope)
        waits[place] = replace(waits[place], taken=True)
    elif isinstance(event, ExecutionLeft):
        flow_of(state).to_people = event.to_people
