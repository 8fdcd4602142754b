"""State from the events of races, waits, signals, children and answers.

Like `evolve`, whose arms these are.
"""

from perdure_contracts.engine import ExecutionStarted, NodeCanceled
from perdure_contracts.files import FilesReferred
from perdure_contracts.flow import (
    ChildAccepted,
    ChildRefused,
    ExecutionResponded,
    RaceLost,
    ResumeUrlMade,
    SignalReceived,
    WaitBegun,
    WaitEnded,
)

from .evolve_queueing import let_in
from .evolve_regions import settle
from .instants import instant
from .state import Execution, Run, edge_key, flow_of, place_of, wait
from .state_flow import HEARD_MAX, Parent, Signal, Waiting


def raced(state: Execution, event: NodeCanceled) -> None:
    """Note that a race that others had won stopped a run: what leads on from it is DEAD."""
    flow_of(state).raced[place_of(event.node_id, event.scope)] = None
    for index in event.dead:
        state.edges[edge_key(index, event.scope)] = None
    settle(state, event.scope)


def race_lost(state: Execution, event: RaceLost) -> None:
    """Note which edges came too late to a race."""
    lost = flow_of(state).lost
    for index in event.edges:
        lost[edge_key(index, event.scope)] = None


# Waits and signals ------------------------------------------------------------------------


def called(state: Execution, event: SignalReceived | ResumeUrlMade | FilesReferred) -> None:
    """Remember what came from outside, or by what URL it can: signals, and files of items."""
    match event:
        case SignalReceived():
            _signal_received(state, event)
        case ResumeUrlMade():
            _resume_url_made(state, event)
        case FilesReferred():
            state.files = True


def _resume_url_made(state: Execution, event: ResumeUrlMade) -> None:
    """Remember by what URL others can let the execution go on."""
    flow = flow_of(state)
    flow.resume_token, flow.resume_url = event.token, event.url


def wait_begun(state: Execution, event: WaitBegun) -> None:
    """Open a run that waits."""
    place = place_of(event.node_id, event.scope)
    if state.ready:
        state.ready.pop(place, None)
    state.runs[place] = Run(
        node_id=event.node_id,
        scope=event.scope,
        run=event.run,
        status="WAITING_INPUT" if event.kind in ("event", "webhook", "person") else "RUNNING",
        attempt=1,
        inputs=event.inputs,
        inputs_scope=event.inputs_scope,
        started_at=instant(event.began_at),
    )
    state.open[place] = None
    flow_of(state).waits[place] = Waiting(
        kind=event.kind,
        wait_id=event.wait_id,
        until=None if event.until is None else instant(event.until),
        port=event.port,
        name=event.name,
        key=event.key,
        child=event.child,
        registered=event.registered,
    )
    wait(state, place)


def wait_ended(state: Execution, event: WaitEnded) -> None:
    """Forget what a run waited for, and the signal that it was given."""
    flow = flow_of(state)
    flow.waits.pop(place_of(event.node_id, event.scope), None)
    if event.signal_id:
        flow.signals.pop(event.signal_id, None)


def _signal_received(state: Execution, event: SignalReceived) -> None:
    """Keep a signal until a WAIT takes it."""
    flow = flow_of(state)
    flow.signals[event.signal_id] = Signal(
        event.channel, event.name, event.key, event.node_id, event.payload
    )
    flow.heard[event.signal_id] = None
    while len(flow.heard) > HEARD_MAX:
        del flow.heard[next(iter(flow.heard))]


# Children and answers ---------------------------------------------------------------------


def child_accepted(event: ChildAccepted) -> Execution:
    """Begin the state of a child execution, which starts with the next wake."""
    state = Execution(
        execution_id=event.execution_id,
        root_execution_id=event.root_execution_id,
        workflow_id=event.workflow_id,
        workflow_name=event.workflow_name,
        workflow_version=event.workflow_version,
        workspace_id=event.workspace_id,
        parent_execution_id=event.parent_execution_id,
        mode=event.mode,
        yielded_at=instant(event.accepted_at),
        handles=event.handles,
    )
    flow_of(state).parent = Parent(
        execution_id=event.parent_execution_id,
        root_execution_id=event.root_execution_id,
        wait_id=event.wait_id,
        wait=event.wait,
        depth=event.depth,
        mode=event.mode,
        triggered_by=event.triggered_by,
        data=event.data,
        files=event.files,
    )
    return state


def child_refused(state: Execution, event: ChildRefused) -> Execution:
    """End a child execution that never began; one that was not accepted has only this event."""
    known = state.flow.parent if state.flow is not None else None
    refused = Execution(
        execution_id=event.execution_id,
        workflow_id=state.workflow_id,
        workflow_name=state.workflow_name,
        workflow_version=state.workflow_version,
        workspace_id=state.workspace_id,
        parent_execution_id=event.parent_execution_id,
        status="ERROR",
    )
    flow_of(refused).parent = known or Parent(
        event.parent_execution_id, "", event.wait_id, event.wait, 0, "TRIGGER", ""
    )
    return refused


def begun_later(before: Execution, state: Execution, event: ExecutionStarted) -> Execution:
    """Let an execution that has just begun remember who wants it, and what let it in.

    Its data is in the runs now.
    """
    assert before.flow is not None
    state.files = before.files
    let_in(before, state, event)
    parent = before.flow.parent
    if parent is None:
        return state
    flow_of(state).parent = Parent(
        parent.execution_id,
        parent.root_execution_id,
        parent.wait_id,
        parent.wait,
        parent.depth,
        parent.mode,
        parent.triggered_by,
    )
    return state


def responded(state: Execution, event: ExecutionResponded) -> None:
    """Remember what was answered."""
    flow_of(state).response = {
        "status": event.status,
        "headers": event.headers,
        "body": event.body,
        "node_id": event.node_id,
        **({} if event.file is None else {"file": event.file}),
    }
