"""Rows of executions that wait for people alone."""

from perdure_common.decider import Upsert
from perdure_contracts.asking import ExecutionLeft

from .state import Execution


def shown_status(state: Execution) -> str:
    """Return the status that an open execution's row has: whom it waits for, if it runs at all."""
    to_people = state.flow is not None and state.flow.to_people
    return "WAITING_FOR_HUMAN" if to_people and state.status == "RUNNING" else state.status


def left(state: Execution, event: ExecutionLeft) -> Upsert:
    """Return the row of an execution that is left to people, or runs again."""
    key = {"execution_id": event.execution_id}
    return Upsert("workflow_executions", key, set={"status": shown_status(state)})
