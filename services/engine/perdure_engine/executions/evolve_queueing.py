"""State from the events of admission and of kept values. Like `evolve`, whose arms these are."""

from dataclasses import replace as changed

from msgspec.structs import replace
from perdure_contracts.admission import (
    AdmissionEvent,
    ExecutionQueued,
    ExecutionRefused,
    GatePassed,
)
from perdure_contracts.engine import ExecutionStarted
from perdure_contracts.kept import StaticDataAsked, StaticDataKept

from .instants import instant
from .state import Execution, flow_of
from .state_flow import Admission
from .state_given import Given


def admitted(state: Execution, event: AdmissionEvent) -> Execution:
    """Return the state after an event of admission."""
    match event:
        case ExecutionQueued():
            return _queued(state, event)
        case GatePassed():
            flow = flow_of(state)
            assert flow.admission is not None
            flow.admission = replace(flow.admission, passed=flow.admission.passed + 1)
        case ExecutionRefused():
            _refused(state)
    return state


def _queued(state: Execution, event: ExecutionQueued) -> Execution:
    """Begin the state of an execution that waits for its turn; a child is there already."""
    start = changed(event.start, data=event.data, pin_data=event.pin_data, rerun=event.rerun)
    if not state.execution_id:
        state = Execution(
            execution_id=event.execution_id,
            root_execution_id=start.root_execution_id or event.execution_id,
            parent_execution_id=start.parent_execution_id,
            mode=start.mode,
            triggered_by=start.triggered_by,
            handles=start.handles,
            watched_by=start.watched_by,
        )
    state.workflow_id = event.workflow_id
    state.workflow_name = event.workflow_name
    state.workflow_version = start.version
    state.workspace_id = event.workspace_id
    state.sha256 = event.sha256
    until = None if event.until is None else instant(event.until)
    state.yielded_at = until if event.gates else instant(event.queued_at)
    flow_of(state).admission = Admission(
        gates=event.gates,
        priority=event.priority,
        start=start,
        reads=event.reads,
        until=until,
    )
    if start.parts:
        state.given = Given(parts=start.parts, begun=False)
    return state


def _refused(state: Execution) -> None:
    """End an execution that never began."""
    state.status = "ERROR"
    state.yielded_at = None
    flow = flow_of(state)
    if flow.admission is not None:
        flow.admission = replace(flow.admission, start=None)


def let_in(before: Execution, state: Execution, event: ExecutionStarted) -> None:
    """Let an execution that has just begun remember its gates, and what came while it waited."""
    del event
    admission = None if before.flow is None else before.flow.admission
    if admission is None:
        return
    if admission.gates:
        flow_of(state).admission = Admission(admission.gates, admission.passed, admission.priority)
    if before.given is not None and state.given is not None:
        state.given.runs.update(before.given.runs)
        state.given.failed.update(before.given.failed)
        state.given.skipped.update(before.given.skipped)
        state.given.regions.update(before.given.regions)
        state.given.parts = before.given.parts


def static_data(state: Execution, event: StaticDataAsked | StaticDataKept) -> None:
    """Let the execution see its own change; the wait for it is remembered by its own event."""
    if isinstance(event, StaticDataAsked):
        return
    if state.given is None:
        state.given = Given()
    state.given.static_data = event.data
    state.given.static_number = event.number
