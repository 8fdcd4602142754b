"""Rows from events: the execution, its node runs, its log, and the workflow's latest.

A node run's row is written once, at its end; rows of runs that stay open are written
lazily, and never over what the journal said later (`stream_version`).
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from perdure_common.decider import Later, Recorded, Upsert
from perdure_common.ids import time_ordered
from perdure_contracts.admission import ExecutionQueued, ExecutionRefused, GatePassed
from perdure_contracts.asking import AnswerTaken, ExecutionLeft, MemoryAsked, PeopleAsked
from perdure_contracts.control import (
    CancelBegun,
    ErrorWorkflowStarted,
    ExecutionPaused,
    ExecutionResumed,
    NodeMarked,
    RerunBegun,
    RunsAdopted,
)
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRevived,
    ExecutionStarted,
    NodeCanceled,
    NodeCompleted,
    NodeErrored,
    NodeFailed,
    NodeRecovered,
    NodeSkipped,
    Scope,
)
from perdure_contracts.executions import (
    AttemptDue,
    AttemptFailed,
    ExecutionEvent,
    ExecutionYielded,
    IterationFailed,
    IterationStarted,
    NodeScheduled,
    RegionEntered,
    RegionExited,
    VerdictApplied,
)
from perdure_contracts.files import FilesReferred
from perdure_contracts.flow import (
    ChildAccepted,
    ChildEndTold,
    ChildRefused,
    ChildRequested,
    ExecutionResponded,
    RaceLost,
    ResumeUrlMade,
    SignalReceived,
    WaitBegun,
    WaitEnded,
)
from perdure_contracts.kept import StaticDataAsked, StaticDataKept
from perdure_contracts.purging import ExecutionPurged
from perdure_contracts.suspending import AskAnswered, AskDropped, RunSuspended
from perdure_contracts.undoing import NodeCompensated

from perdure_engine.nodes.base import MAIN

from . import project_pauses as pauses
from .finishing import error_data
from .instants import milliseconds
from .logs import BEGINS, log_rows
from .overriding import given_items
from .project_asking import left
from .project_control import pause_over, rows_of, stop_claim
from .project_files import file_rows
from .project_flow import child_accepted, child_refused, responded, run_data
from .project_queueing import queued, refused
from .purging import purge_row
from .state import Dispatch, Execution, Items, Run, edge_key, marked_at, place_of

TEXT_MAX = 255
"""Characters of the columns that hold ids and names of others."""

GUARD = ("stream_version",)
"""What keeps an older row of a run from being written over a newer one."""

Row = dict[str, object]
Seen = Recorded[ExecutionEvent]


def project(state: Execution, recorded: Seen) -> tuple[Upsert, ...]:
    """Return the rows that the event writes, given the state right after it."""
    event = recorded.event
    if isinstance(event, NodeCompleted) and event.inline and state.log_level != "DEBUG":
        return (_completed(state, recorded, event),)  # by far the most frequent event
    logs = log_rows(state, recorded, _given(state, event) if state.log_level == "DEBUG" else None)
    match event:
        case NodeCompleted():
            return (_completed(state, recorded, event), *logs)
        case NodeErrored() | NodeSkipped():
            return (*_ended(state, recorded, event), *logs)
        case NodeCanceled():
            rest = pauses.over(recorded, event)
            return (*_ended(state, recorded, event), *rest, *logs)
        case NodeScheduled() | AttemptFailed() | NodeFailed() | AttemptDue():
            return (*_open(state, recorded, event), *logs)
        case VerdictApplied():
            held = (*pauses.begun(recorded, event), *pauses.over(recorded, event))
            return (*_open(state, recorded, event), *held, *logs)
        case RegionEntered():
            return (*_loop(state, recorded, event), *logs)
        case RegionExited():
            return (*_passed(state, recorded, event), *logs)
        case IterationStarted() | IterationFailed() | RaceLost():
            return logs
        case WaitBegun():
            return (*_waits(state, recorded, event), *pauses.begun(recorded, event), *logs)
        case ChildAccepted():
            return (child_accepted(recorded, event),)
        case ChildRefused():
            return child_refused(state, recorded, event, error_row(event.error))
        case ExecutionResponded():
            return (responded(state, event), *logs)
        case WaitEnded() | AskAnswered() | AskDropped():
            return (*pauses.over(recorded, event), *logs)
        case SignalReceived() | ResumeUrlMade() | ChildRequested() | ChildEndTold():
            return logs
        case ExecutionStarted():
            return (_started(recorded, event), *_latest(state, recorded), *logs)
        case ExecutionCompleted() | ExecutionFailed() | ExecutionCanceled():
            over = pause_over(state, recorded, "execution_ended")
            return (_execution(state, recorded, event), *_latest(state, recorded), *over, *logs)
        case ExecutionPaused() | ExecutionResumed():
            return (*rows_of(state, recorded, event), *_latest(state, recorded), *logs)
        case NodeMarked():
            rest = pauses.over(recorded, event)
            return (*rows_of(state, recorded, event), *rest, *logs)
        case CancelBegun() | RerunBegun() | RunsAdopted() | ErrorWorkflowStarted():
            return (*rows_of(state, recorded, event), *logs)
        case ExecutionRevived():
            return (_revived(recorded), *_latest(state, recorded), *logs)
        case ExecutionLeft():
            return (left(state, event), *_latest(state, recorded), *logs)
        case ExecutionYielded() | NodeRecovered() | NodeCompensated():
            return logs
        case PeopleAsked() | MemoryAsked() | AnswerTaken():
            return logs
        case ExecutionQueued():
            return (queued(recorded, event), *logs)
        case ExecutionRefused():
            return (refused(recorded, event, error_row(event.error)), *logs)
        case RunSuspended():
            return (*_open(state, recorded, event), *pauses.begun(recorded, event), *logs)
        case FilesReferred():
            return file_rows(recorded, event)
        case ExecutionPurged():
            return purge_row(recorded)
        case GatePassed() | StaticDataAsked() | StaticDataKept():
            return logs


# The execution --------------------------------------------------------------------------


def _started(recorded: Seen, event: ExecutionStarted) -> Upsert:
    at = milliseconds(recorded.recorded_at)
    row: Row = {
        "id": time_ordered(at, "execution", event.execution_id),
        "tenant_id": recorded.tenant_id,
        "workspace_id": event.workspace_id,
        "workflow_id": event.workflow_id,
        "workflow_version": event.workflow_version,
        "status": "RUNNING",
        "mode": event.mode,
        "triggered_by": event.triggered_by[:TEXT_MAX],
        "parent_execution_id": event.parent_execution_id,
        "start_time": at,
        "metadata": {
            "workflow_name": event.workflow_name,
            "sha256": event.sha256,
            "trigger_node_id": event.node_id,
            "trigger": event.trigger,
            "root_execution_id": event.root_execution_id,
            "deadline": event.deadline,
            **({} if event.rerun is None else {"rerun": event.rerun}),
        },
        "created_at": recorded.recorded_at,
    }
    new = recorded.version == 1  # a child was accepted before
    return Upsert("workflow_executions", {"execution_id": event.execution_id}, set=row, new=new)


def _execution(
    state: Execution,
    recorded: Seen,
    event: ExecutionCompleted | ExecutionFailed | ExecutionCanceled,
) -> Upsert:
    row: Row = {"end_time": milliseconds(recorded.recorded_at)}
    match event:
        case ExecutionCompleted():
            row["status"] = "SUCCESS"
            row["run_data"] = run_data(state, event.result, cut=event.result_cut)
            row["error_message"] = row["error_details"] = None
        case ExecutionFailed():
            row["status"] = event.status
            row["error_message"] = event.error.message
            row["error_details"] = {
                **error_row(event.error),
                "node_id": event.node_id,
                "failure_id": event.failure_id,
            }
        case ExecutionCanceled():
            row["status"] = "CANCELED"
            row["error_message"] = event.reason
            row["error_details"] = {"type": "canceled", "asked_by": event.asked_by}
    return Upsert("workflow_executions", {"execution_id": event.execution_id}, set=row)


def _revived(recorded: Seen) -> Upsert:
    row: Row = {"status": "RUNNING", "end_time": None, "error_message": None}
    row["error_details"] = None
    key = {"execution_id": recorded.event.execution_id}
    return Upsert("workflow_executions", key, set=row)


def _latest(state: Execution, recorded: Seen) -> tuple[Upsert, ...]:
    """Return the workflow's latest execution: the one that was started last, as it stands."""
    if state.started_at is None:
        return ()  # a child that was stopped before it began
    row: Row = {
        "latest_execution_status": state.status,
        "latest_execution_id": state.execution_id,
        "latest_execution_time": state.started_at,
    }
    guard = ("latest_execution_time", "latest_execution_id")
    return (
        Upsert(
            "workflows", {"id": state.workflow_id}, set=row, lazy=True, guard=guard, kind="latest"
        ),
    )


# Node runs --------------------------------------------------------------------------------


def _completed(state: Execution, recorded: Seen, event: NodeCompleted) -> Upsert:
    """Return the row of a run that ended well: inserted if it never waited, else written over."""
    run = state.runs[place_of(event.node_id, event.scope)]
    row = _row(recorded, run, event.node_type, event.node_subtype, event.node_name)
    row["output_data"] = _data(event.ports)
    row["error_data"] = event.error_data
    row["max_retries"] = event.max_retries
    row["input_data"] = _data(_arrived(state, run))
    row["end_time"] = milliseconds(recorded.recorded_at)
    key = row_key(event.execution_id, event.node_id, event.scope, event.run)
    if event.inline:
        return Upsert("node_executions", key, set=row, new=True, kind="run here")
    return Upsert("node_executions", key, set=row, guard=GUARD, kind="run of a runner")


def _ended(
    state: Execution, recorded: Seen, event: NodeErrored | NodeSkipped | NodeCanceled
) -> Iterable[Upsert]:
    """Return the row of a run that ended otherwise, and what stops its attempt."""
    run = state.runs[place_of(event.node_id, event.scope)]
    subtype = "" if isinstance(event, NodeSkipped) else event.node_subtype
    row = _row(recorded, run, event.node_type, subtype, event.node_name)
    new = True
    match event:
        case NodeErrored():
            row["error_data"] = {**error_row(event.error), "failed": event.error_data}
            row["max_retries"] = event.max_retries
            row["input_data"] = _data(_arrived(state, run))
            new = event.inline
        case NodeSkipped():
            row["error_data"] = None
            if state.marked == marked_at(run):  # it was open, and its row may be there
                row["input_data"], row["max_retries"], new = None, 0, False
        case NodeCanceled():
            row["input_data"] = _data(_arrived(state, run))
            row["error_data"] = {"type": "canceled", "message": event.reason}
            row["max_retries"] = event.max_retries
            new = False
            if event.token and event.claimed:
                yield stop_claim(recorded, event.token)
    yield _written(recorded, run, row, new=new)


def _written(recorded: Seen, run: Run, row: Row, *, new: bool) -> Upsert:
    row["end_time"] = milliseconds(recorded.recorded_at)
    key = row_key(recorded.event.execution_id, run.node_id, run.scope, run.run)
    return Upsert("node_executions", key, set=row, new=new, guard=() if new else GUARD)


def _open(
    state: Execution,
    recorded: Seen,
    event: NodeScheduled | AttemptFailed | NodeFailed | VerdictApplied | RunSuspended | AttemptDue,
) -> Iterable[Upsert]:
    """Return the row of a run as it stands while it is open."""
    run = state.runs.get(place_of(event.node_id, event.scope))
    known = None if run is None else run.dispatch
    if run is None or known is None:
        return
    arrived = _arrived(state, run)

    # No closure: it and this generator would be a cycle, which keeps what arrived for a minute.
    make = partial(_opened, recorded, run, known, arrived)
    row = Later({"stream_version": recorded.version}, make)
    key = row_key(event.execution_id, event.node_id, event.scope, event.run)
    yield Upsert("node_executions", key, set=row, lazy=True, guard=GUARD)
    lost = isinstance(event, AttemptFailed) and not event.runner and known.claimed
    if isinstance(event, AttemptFailed) and lost:
        yield stop_claim(recorded, event.token)


def _opened(recorded: Seen, run: Run, known: Dispatch, arrived: dict[str, Items]) -> Row:
    """Return the columns of a run that is under way."""
    row = _row(recorded, run, known.node_type, known.node_subtype, known.node_name)
    row["max_retries"] = known.max_retries
    row["input_data"] = _data(arrived)
    failed = tuple((int(index), error) for index, error in known.failed.items())
    row["error_data"] = error_data(failed)
    return row


def _loop(state: Execution, recorded: Seen, event: RegionEntered) -> Iterable[Upsert]:
    """Return the row of a LOOP's or FOREACH's run while it is open."""
    run = state.runs.get(place_of(event.node_id, event.scope))
    if not event.body or run is None:
        return
    row = _row(recorded, run, event.node_type, event.node_subtype, event.node_name)
    row["max_retries"] = event.max_retries
    row["input_data"] = _data(_arrived(state, run))
    key = row_key(event.execution_id, event.node_id, event.scope, event.run)
    yield Upsert("node_executions", key, set=row, lazy=True, guard=("stream_version",))


def _waits(state: Execution, recorded: Seen, event: WaitBegun) -> Iterable[Upsert]:
    """Return the row of a run while it waits."""
    run = state.runs.get(place_of(event.node_id, event.scope))
    if run is None:
        return
    row = _row(recorded, run, event.node_type, event.node_subtype, event.node_name)
    row["max_retries"] = event.max_retries
    row["input_data"] = _data(_arrived(state, run))
    key = row_key(event.execution_id, event.node_id, event.scope, event.run)
    yield Upsert("node_executions", key, set=row, lazy=True, guard=GUARD)


def _passed(state: Execution, recorded: Seen, event: RegionExited) -> Iterable[Upsert]:
    """Return the row of an entry at which nothing arrived."""
    if not event.skipped:
        return
    run = state.runs[place_of(event.node_id, event.scope)]
    row = _row(recorded, run, event.node_type, "", event.node_name)
    row["error_data"] = None
    row["end_time"] = milliseconds(recorded.recorded_at)
    key = row_key(event.execution_id, event.node_id, event.scope, event.run)
    yield Upsert("node_executions", key, set=row, new=True)


def _row(recorded: Seen, run: Run, node_type: str, node_subtype: str, node_name: str) -> Row:
    began = run.started_at or recorded.recorded_at
    at = milliseconds(began)
    execution_id = recorded.event.execution_id
    return {
        "id": time_ordered(at, "run", execution_id, run.node_id, run.scope, run.run),
        "tenant_id": recorded.tenant_id,
        "status": run.status,
        "start_time": at,
        "retry_count": max(0, run.attempt - 1),
        "stream_version": recorded.version,
        "created_at": began,
        "node_type": node_type,
        "node_subtype": node_subtype,
        "node_name": node_name,
    }


def _arrived(state: Execution, run: Run) -> dict[str, Items]:
    """Return the items that arrived at a run, by input port."""
    ports: dict[str, Items] = {}
    if state.overrides and not run.inputs:
        ports[MAIN] = given_items(state.overrides.get(place_of(run.node_id, run.scope))) or []
    for index, port in run.inputs:
        live = state.edges.get(edge_key(index, run.gathered_in))
        if live is not None:
            items = state.items_of(live)
            known = ports.get(port)
            ports[port] = items if known is None else [*known, *items]
    return ports


def _given(state: Execution, event: ExecutionEvent) -> dict[str, list[Any]] | None:
    """Return what a run was given that begins with the event and in no runner, None for others."""
    if not isinstance(event, BEGINS):
        return None
    if isinstance(event, NodeCompleted | NodeErrored) and not event.inline:
        return None  # it began with an event of its own
    if isinstance(event, RegionEntered) and not event.body:
        return None  # its entry runs later
    run = state.runs.get(place_of(event.node_id, event.scope))
    return None if run is None else _data(_arrived(state, run))


def _data(ports: Any) -> dict[str, list[Any]]:
    """Return the data of each port, without what tells where it came from."""
    return {port: [item["json"] for item in items] for port, items in ports.items()}


def row_key(execution_id: str, node_id: str, scope: Scope, run: int) -> dict[str, object]:
    """Return the primary key of a node run's row; `scope` is a path such as `each.0/inner.2`."""
    path = "/".join([f"{region}.{iteration}" for region, iteration in scope]) if scope else ""
    return {"execution_id": execution_id, "node_id": node_id, "scope": path, "run": run}


def error_row(error: ErrorFacts) -> dict[str, Any]:
    """Return an error as rows show it: what a person or a program can act on."""
    row: dict[str, Any] = {
        "type": error.type,
        "message": error.message,
        "retryable": error.retryable,
        "stage": error.stage,
    }
    more = {
        "dependency": error.dependency,
        "status_code": error.status_code,
        "codes": list(error.codes),
        "detail": error.detail,
    }
    return row | {name: value for name, value in more.items() if value}
