"""Messages from events: tasks for the runners, failures for recovery, ends for who watches.

Who else wants to know hears the events. Recovery has a topic of its own, because it cares for few
of them: of an execution without trouble it hears nothing.
"""

from collections.abc import Iterator
from typing import Any

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.admission import ExecutionQueued, ExecutionRefused, GatePassed
from perdure_contracts.asking import MemoryAsked, PeopleAsked
from perdure_contracts.control import ErrorWorkflowStarted, NodeMarked, RerunBegun
from perdure_contracts.engine import (
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRevived,
    NodeCompleted,
    NodeErrored,
    NodeFailed,
    NodeRecovered,
    NodeTask,
)
from perdure_contracts.executions import AttemptDue, ExecutionEvent, NodeScheduled
from perdure_contracts.flow import (
    ChildEndTold,
    ChildRefused,
    ChildRequested,
    ExecutionResponded,
    WaitBegun,
    WaitEnded,
)
from perdure_contracts.kept import StaticDataAsked
from perdure_contracts.suspending import AskDropped
from perdure_contracts.undoing import NodeCompensated

from .error_workflow import asked_for, handler_start
from .files_of_items import files_by_item
from .overriding import given_items
from .rerun import messages
from .route_answers import end_noted, responded_told
from .route_asking import asked_of
from .route_flow import end_told, flow_told, refusal_told
from .route_queueing import asks, asks_after_start, releases
from .route_suspending import dropped_told
from .state import Execution, Run, edge_key, place_of

TASKS = "perdure.engine.tasks.v1"
FAILURES = "perdure.engine.failures.v1"
COMMANDS = "perdure.engine.commands.v1"
LONG_AGO = "1970-01-01T00:00:00+00:00"


def route(state: Execution, recorded: Recorded[ExecutionEvent]) -> tuple[Outgoing, ...]:
    """Return what the event sends, given the state right after it."""
    event = recorded.event
    match event:
        case NodeCompleted():
            return ()  # by far the most frequent event
        case NodeScheduled():
            return () if _is_mocked(state, event) else (_task(state, event),)
        case RerunBegun():
            to = event.new_execution_id
            return tuple(Outgoing(COMMANDS, to, each) for each in messages(state, event))
        case NodeFailed() | NodeRecovered() | NodeErrored() | AttemptDue() | NodeCompensated():
            return (Outgoing(FAILURES, event.execution_id, event),)
        case ExecutionFailed():
            return (*_failed(state, event), *releases(state, recorded))
        case ErrorWorkflowStarted():
            return (Outgoing(COMMANDS, event.handler_execution_id, handler_start(state, event)),)
        case NodeMarked() if event.failure_id:
            return (Outgoing(FAILURES, event.execution_id, event),)
        case ExecutionCompleted() | ExecutionCanceled():
            told = () if event.untroubled else (Outgoing(FAILURES, event.execution_id, event),)
            told += end_noted(state, event)
            if state.flow is None:
                return told
            return (*told, *end_told(state, event), *releases(state, recorded))
        case ExecutionResponded():
            return responded_told(state, event)
        case PeopleAsked() | MemoryAsked():
            return asked_of(event)
        case WaitEnded() if event.kind == "person":
            return asked_of(event)
        case WaitBegun() | WaitEnded() | ChildRequested() | ChildRefused() | ChildEndTold():
            return flow_told(state, recorded)
        case ExecutionQueued() | GatePassed():
            return asks(state, recorded.tenant_id)
        case ExecutionRefused():
            told = (*end_noted(state, event), *refusal_told(state, event))
            return (*told, *releases(state, recorded))
        case ExecutionRevived():
            return asks_after_start(state, recorded)
        case AskDropped():
            return dropped_told(event)
        case StaticDataAsked():
            return (Outgoing(COMMANDS, event.request.static_data_id, event.request),)
        case _:
            return ()


def _failed(state: Execution, event: ExecutionFailed) -> Iterator[Outgoing]:
    yield Outgoing(FAILURES, event.execution_id, event)
    command = asked_for(state, event)
    if command is not None:
        yield Outgoing(COMMANDS, event.execution_id, command)
    yield from end_told(state, event)
    yield from end_noted(state, event)


def _is_mocked(state: Execution, event: NodeScheduled) -> bool:
    """Return whether an attempt is answered on the spot: no runner is to hear of it."""
    return state.given is not None and event.node_id in state.given.pins


def _since(state: Execution, run: Run) -> str:
    """Return since when the effect of an attempt may have happened, empty if it is the first one.

    What a rerun is of may have begun at any time, and so may what an agent asks of a workflow.
    """
    if state.root_execution_id != state.execution_id:
        return LONG_AGO
    again = run.attempt > 1 or run.run > 1
    return state.started_at.isoformat() if again and state.started_at is not None else ""


def _task(state: Execution, event: NodeScheduled) -> Outgoing:
    place = place_of(event.node_id, event.scope)
    run = state.runs[place]
    known = run.dispatch
    assert known is not None
    items: list[Any] = []
    if state.overrides and not run.inputs:
        items.extend(given_items(state.overrides.get(place)) or ())
    for index, _ in run.inputs:
        live = state.edges[edge_key(index, run.gathered_in)]
        assert live is not None
        items.extend(state.items_of(live))
    sent = [items[index] for index in event.indexes]
    task = NodeTask(
        token=event.token,
        execution_id=event.execution_id,
        workflow_id=state.workflow_id,
        node_id=event.node_id,
        node_type=known.node_type,
        node_subtype=known.node_subtype,
        parameters=[known.parameters[str(index)] for index in event.indexes],
        items=[item["json"] for item in sent],
        effect=known.effect,
        length=known.length,
        deadline=event.deadline,
        idempotency_key=known.idempotency_key,
        attempt=event.attempt,
        indexes=event.indexes,
        answers=known.answers or None,
        avoid=event.avoid,
        again=_since(state, run) if known.effect == "verify_first" else "",
        files=files_by_item(sent) if state.files else None,
    )
    return Outgoing(TASKS, event.execution_id, task)
