"""Rows of what people do to an execution: its status, its pauses, claims of what was marked."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from perdure_common.decider import Recorded, Upsert
from perdure_common.ids import time_ordered
from perdure_contracts.control import (
    CancelBegun,
    ControlEvent,
    ErrorWorkflowStarted,
    ExecutionPaused,
    ExecutionResumed,
    NodeMarked,
    RerunBegun,
    RunsAdopted,
)

from .instants import instant, milliseconds, text_of
from .project_asking import shown_status
from .state import Execution

PAUSES = "workflow_execution_pauses"


def rows_of(state: Execution, recorded: Recorded[Any], event: ControlEvent) -> Iterable[Upsert]:
    """Return the rows that an event of control writes, given the state right after it."""
    execution = {"execution_id": event.execution_id}
    match event:
        case ExecutionPaused():
            yield Upsert("workflow_executions", execution, set={"status": "PAUSED"})
            assert state.paused_at is not None
            yield Upsert(
                PAUSES,
                {"id": _id(event.execution_id, event.paused_at)},
                set={
                    "tenant_id": recorded.tenant_id,
                    "execution_id": event.execution_id,
                    "paused_at": state.paused_at,
                    "paused_node_id": "",
                    "pause_reason": "operator",
                    "resume_conditions": {
                        "resumed_by": "an operator",
                        "reason": event.reason,
                        "asked_by": event.asked_by,
                    },
                    "resumed_at": None,
                    "resume_trigger": None,
                    "status": "active",
                    "created_at": recorded.recorded_at,
                    "updated_at": recorded.recorded_at,
                },
            )
        case ExecutionResumed():
            yield Upsert("workflow_executions", execution, set={"status": shown_status(state)})
            yield _closed(recorded, event.paused_at, "operator")
        case CancelBegun():
            for token in event.tokens:
                yield stop_claim(recorded, token, instant(event.until))
        case RerunBegun() | RunsAdopted() | ErrorWorkflowStarted():
            return  # the new execution's own rows tell it
        case NodeMarked():
            if event.token and event.claimed:
                yield stop_claim(recorded, event.token)


def stop_claim(recorded: Recorded[Any], token: str, until: datetime | None = None) -> Upsert:
    """Return the row that keeps a claimed attempt from beginning, or ends it now or at `until`."""
    row: dict[str, object] = {
        "tenant_id": recorded.tenant_id,
        "execution_id": recorded.stream,
        "canceled": True,
        "stop_at": until,
    }
    return Upsert("node_claims", {"token": token}, set=row)


def pause_over(state: Execution, recorded: Recorded[Any], why: str) -> Iterable[Upsert]:
    """Return the row of a pause that the end of its execution ended, if there is one."""
    if state.paused_at is not None:
        yield _closed(recorded, text_of(state.paused_at), why)


def _closed(recorded: Recorded[Any], paused_at: str, trigger: str) -> Upsert:
    row: dict[str, object] = {
        "resumed_at": recorded.recorded_at,
        "resume_trigger": trigger,
        "status": "resumed",
        "updated_at": recorded.recorded_at,
    }
    return Upsert(PAUSES, {"id": _id(recorded.stream, paused_at)}, set=row)


def _id(execution_id: str, paused_at: str) -> str:
    return time_ordered(milliseconds(instant(paused_at)), "pause", execution_id, paused_at)
