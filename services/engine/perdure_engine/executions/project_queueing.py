"""Rows of executions before they begin: they wait for their turn, or are not let in."""

from collections.abc import Mapping
from typing import Any

from perdure_common.decider import Upsert
from perdure_common.ids import time_ordered
from perdure_contracts.admission import ExecutionQueued, ExecutionRefused

from .instants import milliseconds


def queued(recorded: Any, event: ExecutionQueued) -> Upsert:
    """Return the row of an execution that waits; its beginning writes over it."""
    at, start = milliseconds(recorded.recorded_at), event.start
    row: dict[str, object] = {
        "id": time_ordered(at, "execution", event.execution_id),
        "tenant_id": recorded.tenant_id,
        "workspace_id": event.workspace_id,
        "workflow_id": event.workflow_id,
        "workflow_version": start.version,
        "status": "NEW",
        "mode": start.mode,
        "triggered_by": start.triggered_by[:255],
        "parent_execution_id": start.parent_execution_id,
        "metadata": {"workflow_name": event.workflow_name},
        "created_at": recorded.recorded_at,
    }
    return Upsert(
        "workflow_executions",
        {"execution_id": event.execution_id},
        set=row,
        new=recorded.version == 1,
    )


def refused(recorded: Any, event: ExecutionRefused, error: Mapping[str, Any]) -> Upsert:
    """Return the row of an execution that was not let in."""
    row: dict[str, object] = {
        "status": "ERROR",
        "end_time": milliseconds(recorded.recorded_at),
        "error_message": event.error.message,
        "error_details": dict(error),
    }
    return Upsert("workflow_executions", {"execution_id": event.execution_id}, set=row)
