"""Rows of the files that executions refer to: a file is kept as long as one of them is there."""

from perdure_common.decider import Recorded, Upsert
from perdure_contracts.executions import ExecutionEvent
from perdure_contracts.files import FilesReferred


def file_rows(recorded: Recorded[ExecutionEvent], event: FilesReferred) -> tuple[Upsert, ...]:
    """Return a row for each file; one that is there already is told the same again."""
    return tuple(
        Upsert(
            "execution_files",
            {"execution_id": event.execution_id, "file_id": ref["file_id"]},
            set={
                "tenant_id": recorded.tenant_id,
                "node_id": event.node_id,
                "file_name": ref["file_name"],
                "mime_type": ref["mime_type"],
                "size": ref["size"],
                "created_at": recorded.recorded_at,
            },
        )
        for ref in event.files
    )
