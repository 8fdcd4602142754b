"""Rows of executions that wait for people alone."""

from perdure_common.decider import Upsert
from perdure_contracts.asking import ExecutionLeft

from .state import Execution


def left(state: Execution, event: ExecutionLeft) -> Upsert:
    """Return the row of an execution that is left to people, or runs again."""
    status = "WAITING_FOR_HUMAN" if event.to_people else state.status
    key = {"execution_id": event.execution_id}
    return Upsert("workflow_executions", key, set={"status": status})
