"""Rows of runs that wait, of child executions before they begin, and of answers."""

from collections.abc import Mapping
from typing import Any

from perdure_common.decider import Upsert
from perdure_common.ids import time_ordered
from perdure_contracts.flow import ChildAccepted, ChildRefused, ExecutionResponded

from .instants import milliseconds
from .state import Execution


def child_accepted(recorded: Any, event: ChildAccepted) -> Upsert:
    """Return the row of a child that has not begun; its beginning writes over it."""
    at = milliseconds(recorded.recorded_at)
    row: dict[str, object] = {
        "id": time_ordered(at, "execution", event.execution_id),
        "tenant_id": recorded.tenant_id,
        "workspace_id": event.workspace_id,
        "workflow_id": event.workflow_id,
        "workflow_version": event.workflow_version,
        "status": "NEW",
        "mode": event.mode,
        "triggered_by": event.triggered_by[:255],
        "parent_execution_id": event.parent_execution_id,
        "metadata": {"workflow_name": event.workflow_name},
        "created_at": recorded.recorded_at,
    }
    key = {"execution_id": event.execution_id}
    return Upsert("workflow_executions", key, set=row, new=True)


def child_refused(
    state: Execution, recorded: Any, event: ChildRefused, error: Mapping[str, Any]
) -> tuple[Upsert, ...]:
    """Return the row of a child that was accepted and cannot begin; others have none."""
    if not state.workflow_id:
        return ()
    row: dict[str, object] = {
        "status": "ERROR",
        "end_time": milliseconds(recorded.recorded_at),
        "error_message": event.error.message,
        "error_details": dict(error),
    }
    return (Upsert("workflow_executions", {"execution_id": event.execution_id}, set=row),)


def responded(state: Execution, event: ExecutionResponded) -> Upsert:
    """Return the row of an execution that has answered."""
    row: dict[str, object] = {"run_data": {"response": _response(state)}}
    return Upsert("workflow_executions", {"execution_id": event.execution_id}, set=row)


def run_data(state: Execution, result: object, *, cut: bool) -> dict[str, object]:
    """Return what an execution came to, with its answer if it gave one."""
    data: dict[str, object] = {"result": result, "result_cut": cut}
    response = _response(state)
    return data if response is None else {**data, "response": response}


def _response(state: Execution) -> object:
    return None if state.flow is None else state.flow.response
