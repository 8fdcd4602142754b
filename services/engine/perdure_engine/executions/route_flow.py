"""Messages from the events of waits and children: to the scheduler, and to other executions."""

from typing import Any

from perdure_common.decider import Outgoing, Recorded
from perdure_common.ids import event_register
from perdure_contracts.admission import ExecutionRefused
from perdure_contracts.engine import (
    CancelExecution,
    ErrorFacts,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
)
from perdure_contracts.files import FilesByItem
from perdure_contracts.flow import (
    ChildEndTold,
    ChildRefused,
    ChildRequested,
    NoteChildEnd,
    StartChild,
    WaitBegun,
    WaitEnded,
)
from perdure_contracts.scheduler import ForgetWait, RegisterWait

from .state import Execution

OURS = "perdure.engine.commands.v1"
SCHEDULER = "perdure.scheduler.commands.v1"


def flow_told(state: Execution, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
    """Return what follows for others from a wait that begins or ends, or from a child."""
    event = recorded.event
    match event:
        case WaitBegun() if event.registered:
            register = event_register(recorded.tenant_id, event.name, event.key)
            wait = RegisterWait(
                register_id=register,
                name=event.name,
                key=event.key,
                wait_id=event.wait_id,
                execution_id=event.execution_id,
                until=event.until,
            )
            return (Outgoing(SCHEDULER, register, wait),)
        case WaitEnded() if event.registered:
            register = event_register(recorded.tenant_id, event.name, event.key)
            over = ForgetWait(register_id=register, wait_id=event.wait_id)
            return (Outgoing(SCHEDULER, register, over),)
        case WaitEnded() if event.kind == "child" and event.by != "child":
            stop = CancelExecution(
                execution_id=event.child,
                reason=f"its parent execution {event.execution_id} waits for it no more",
                asked_by="engine",
            )
            return (Outgoing(OURS, event.child, stop),)
        case ChildRequested():
            return (Outgoing(OURS, event.child_execution_id, _start(state, event)),)
        case ChildEndTold():
            cut = event.result_cut
            files = event.files
            told = _noted(
                state, event.execution_id, event.status, result=event.result, cut=cut, files=files
            )
            return (told,)
        case ChildRefused() if event.wait:
            return (_noted(state, event.execution_id, "ERROR", error=event.error),)
        case _:
            return ()


def end_told(
    state: Execution, event: ExecutionCompleted | ExecutionFailed | ExecutionCanceled
) -> tuple[Outgoing, ...]:
    """Return what the parent of an execution that has ended is told, if it waits for it."""
    parent = None if state.flow is None else state.flow.parent
    if parent is None or not parent.wait:
        return ()
    match event:
        case ExecutionCompleted():
            cut = event.result_cut
            files = event.files
            told = _noted(
                state, event.execution_id, "SUCCESS", result=event.result, cut=cut, files=files
            )
        case ExecutionFailed():
            told = _noted(state, event.execution_id, event.status, error=event.error)
        case ExecutionCanceled():
            text = event.reason or "no reason was given"
            error = ErrorFacts(type="canceled", message=text, stage="engine")
            told = _noted(state, event.execution_id, "CANCELED", error=error)
    return (told,)


def refusal_told(state: Execution, event: ExecutionRefused) -> tuple[Outgoing, ...]:
    """Return what the parent of an execution hears that was not let in."""
    parent = None if state.flow is None else state.flow.parent
    if parent is None or not parent.wait:
        return ()
    return (_noted(state, event.execution_id, "ERROR", error=event.error),)


def _start(state: Execution, event: ChildRequested) -> StartChild:
    mode: Any = "TRIGGER" if state.mode == "RETRY" else state.mode
    return StartChild(
        execution_id=event.child_execution_id,
        workflow=event.workflow,
        version=event.version,
        data=event.data,
        parent_execution_id=event.execution_id,
        root_execution_id=event.child_root_execution_id,
        wait_id=event.wait_id,
        wait=event.wait,
        depth=event.depth,
        mode=mode,
        triggered_by=f"SUB_WORKFLOW:{event.node_id}",
        handles=state.handles,
        files=event.files,
    )


def _noted(
    state: Execution,
    execution_id: str,
    status: Any,
    *,
    result: object = None,
    cut: bool = False,
    error: ErrorFacts | None = None,
    files: FilesByItem | None = None,
) -> Outgoing:
    assert state.flow is not None and state.flow.parent is not None
    parent = state.flow.parent
    message = NoteChildEnd(
        execution_id=parent.execution_id,
        wait_id=parent.wait_id,
        child_execution_id=execution_id,
        status=status,
        result=result,
        result_cut=cut,
        error=error,
        files=files,
    )
    return Outgoing(OURS, parent.execution_id, message)
