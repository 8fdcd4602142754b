"""State from the events of questions to people, memory and recovery. Like `evolve`, its arms."""

from msgspec.structs import replace
from perdure_contracts.asking import AnswerTaken, ExecutionLeft, MemoryAsked, PeopleAsked
from perdure_contracts.executions import AttemptDue

from .evolve_control import attempt_due
from .state import Execution, flow_of, place_of


def asked(
    state: Execution, event: PeopleAsked | MemoryAsked | AnswerTaken | ExecutionLeft | AttemptDue
) -> None:
    """Note that a service has a question, or that only people can let the execution go on.

    A question to people or memory is routed when it is asked, and need not be remembered.
    """
    if isinstance(event, AnswerTaken):
        waits = flow_of(state).waits
        place = place_of(event.node_id, event.scope)
        waits[place] = replace(waits[place], taken=True)
    elif isinstance(event, ExecutionLeft):
        flow_of(state).to_people = event.to_people
    elif isinstance(event, AttemptDue):
        attempt_due(state, event)
