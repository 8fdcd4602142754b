"""An execution that has ended is deleted: its stream ends with a tombstone. Pure.

Only the tombstone is decided here. The rows before it, and those of the tables, go later and in
one transaction (perdure_engine/retention.py); until then a replay makes all of them.
"""

from collections.abc import Callable
from typing import Any

from perdure_common.decider import Recorded, Rejected, Upsert
from perdure_contracts.purging import ExecutionPurged, PurgeExecution

from .state import ENDED, Execution


def purge(
    state: Execution, command: PurgeExecution, happen: Callable[[ExecutionPurged], Execution]
) -> Rejected | None:
    """Let the execution be purged, or return why it is not."""
    if state.status not in ENDED:
        return Rejected(
            f"execution {command.execution_id!r} has not ended, it is {state.status}; cancel it "
            f"first: `perdure executions cancel {command.execution_id}`",
            "execution_open",
        )
    happen(
        ExecutionPurged(
            execution_id=command.execution_id,
            workflow_id=state.workflow_id,
            workspace_id=state.workspace_id,
            status=state.status,
            asked_by=command.asked_by,
        )
    )
    return None


def purged(execution_id: str) -> Rejected:
    """Return the refusal of whatever is asked of a purged execution, a second start included."""
    return Rejected(
        f"execution {execution_id!r} was purged: nothing of it is kept; to begin another one, "
        "choose another key",
        "execution_purged",
    )


def tombstone(event: ExecutionPurged) -> Execution:
    """Return what is remembered of a purged execution: that there was one."""
    return Execution(execution_id=event.execution_id, status="PURGED")


def purge_row(recorded: Recorded[Any]) -> tuple[Upsert, ...]:
    """Return the row by which the execution's rows are found when their time has come."""
    row = {
        "tenant_id": recorded.tenant_id,
        "version": recorded.version,
        "purged_at": recorded.recorded_at,
    }
    key = {"execution_id": recorded.event.execution_id}
    return (Upsert("execution_purges", key, set=row),)
