"""State from events. Pure; a released arm is never edited, only joined by a new one.

The state given is changed in place and returned, but for `ExecutionStarted`, which begins
one of its own: the decider's `initial` is shared by all executions.
"""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace
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

from perdure_engine.nodes.mending import UNDOES

from .evolve_asking import asked
from .evolve_control import frozen, given_at_start, steered
from .evolve_flow import (
    begun_later,
    called,
    child_accepted,
    child_refused,
    race_lost,
    raced,
    responded,
    wait_begun,
    wait_ended,
)
from .evolve_queueing import admitted, static_data
from .evolve_regions import entered, exited, iteration_failed, iteration_started, settle
from .evolve_suspending import suspending
from .instants import instant
from .purging import tombstone
from .retries import held_back
from .state import (
    Dispatch,
    Execution,
    Live,
    Over,
    Run,
    RunStatus,
    Status,
    edge_key,
    forget_waits,
    place_of,
    wait,
)
from .undoing import compensated


def evolve(state: Execution, event: ExecutionEvent) -> Execution:
    """Return `state` as it stands after `event`; it is changed in place."""
    match event:
        case NodeCompleted():
            _completed(state, event)
        case NodeScheduled():
            _scheduled(state, event)
        case NodeSkipped():
            _skipped(state, event)
        case ExecutionStarted():
            started = _started(event)
            return started if state.flow is None else begun_later(state, started, event)
        case AttemptFailed():
            _attempt_failed(state, event)
        case NodeFailed():
            _failed(state, event)
        case VerdictApplied():
            _verdict(state, event)
        case NodeErrored():
            _ended(state, event, "ERROR", attempt=event.attempt, inputs=event.inputs)
            state.steps = event.step
        case NodeCanceled():
            _canceled(state, event)
        case NodeCompensated():
            compensated(state, event)
        case NodeRecovered() | ChildRequested() | ChildEndTold():
            pass  # it tells others; the state has it, or does not care
        case RegionEntered():
            entered(state, event)
        case IterationStarted():
            iteration_started(state, event)
        case IterationFailed():
            iteration_failed(state, event)
        case RegionExited():
            exited(state, event)
        case ExecutionYielded():
            state.ready = _places(event.ready)
            state.yielded_at = instant(event.yielded_at)
        case ExecutionCompleted() | ExecutionCanceled():
            _end(state, "SUCCESS" if isinstance(event, ExecutionCompleted) else "CANCELED")
        case ExecutionFailed():
            _end(state, event.status)
        case ExecutionRevived():
            _revived(state, event)
        case ExecutionPaused() | ExecutionResumed() | CancelBegun() | NodeMarked():
            steered(state, event)
        case RerunBegun() | RunsAdopted() | ErrorWorkflowStarted():
            steered(state, event)
        case RaceLost():
            race_lost(state, event)
        case WaitBegun():
            wait_begun(state, event)
        case WaitEnded():
            wait_ended(state, event)
        case SignalReceived() | ResumeUrlMade() | FilesReferred():
            called(state, event)
        case ChildAccepted():
            return child_accepted(event)
        case ChildRefused():
            return child_refused(state, event)
        case ExecutionResponded():
            responded(state, event)
        case PeopleAsked() | MemoryAsked() | AnswerTaken() | ExecutionLeft() | AttemptDue():
            asked(state, event)
        case ExecutionQueued() | GatePassed() | ExecutionRefused():
            return admitted(state, event)
        case StaticDataAsked() | StaticDataKept():
            static_data(state, event)
        case RunSuspended() | AskAnswered() | AskDropped():
            suspending(state, event)
        case ExecutionPurged():
            return tombstone(event)
        case _:
            assert_never(event)
    return state


def _canceled(state: Execution, event: NodeCanceled) -> None:
    _ended(state, event, "CANCELED")
    if event.raced:
        raced(state, event)


def _started(event: ExecutionStarted) -> Execution:
    return Execution(
        execution_id=event.execution_id,
        root_execution_id=event.root_execution_id,
        workflow_id=event.workflow_id,
        workflow_name=event.workflow_name,
        workflow_version=event.workflow_version,
        sha256=event.sha256,
        workspace_id=event.workspace_id,
        status="RUNNING",
        mode=event.mode,
        triggered_by=event.triggered_by,
        trigger_node_id=event.node_id,
        trigger=event.trigger,
        parent_execution_id=event.parent_execution_id,
        log_level=event.log_level,
        started_at=instant(event.started_at),
        deadline=_maybe(event.deadline),
        steps_total=event.steps_total,
        edges={edge_key(index, ()): None for index in event.dead},
        given=given_at_start(event),
        overrides=event.overrides or {},
        watched_by=event.watched_by,
        error_workflow=event.error_workflow,
        handles=event.handles,
    )


def _completed(state: Execution, event: NodeCompleted) -> None:
    place = place_of(event.node_id, event.scope)
    known = _leave(state, place)
    ports = event.ports if event.errors is None else {**event.ports, "error": event.errors}
    if place in state.rounds and known is not None:  # what went round is still referred to
        ports = {**known.ports, **ports}
    state.runs[place] = Run(
        node_id=event.node_id,
        scope=event.scope,
        run=event.run,
        status="SUCCESS",
        attempt=event.attempt,
        inputs=event.inputs,
        ports=ports,
        started_at=known.started_at if known is not None and known.run == event.run else None,
        inputs_scope=event.inputs_scope,
    )
    picks = event.picks
    for index, port in event.live:
        state.edges[edge_key(index, event.scope)] = Live(place, port, picks.get(str(index)))
    for index in event.dead:
        state.edges[edge_key(index, event.scope)] = None
    state.steps = event.step
    settle(state, event.scope)
    if state.given is not None:
        state.given.begun = True
        state.given.runs.pop(place, None)


def _skipped(state: Execution, event: NodeSkipped) -> None:
    place = place_of(event.node_id, event.scope)
    _leave(state, place)
    state.runs[place] = Run(event.node_id, event.scope, event.run, "SKIPPED")
    for index in event.dead:
        state.edges[edge_key(index, event.scope)] = None
    state.steps = event.step
    settle(state, event.scope)


def _scheduled(state: Execution, event: NodeScheduled) -> None:
    place = place_of(event.node_id, event.scope)
    deadline = instant(event.deadline)
    state.tokens[event.token] = place
    if event.attempt > 1:
        known = state.runs[place]
        assert known.dispatch is not None
        parameters = known.dispatch.parameters
        if event.parameters is not None:
            changed = zip(event.indexes, event.parameters, strict=True)
            parameters = {**parameters, **{str(index): each for index, each in changed}}
        dispatch = replace(
            known.dispatch,
            parameters=parameters,
            indexes=event.indexes,
            token=event.token,
            deadline=deadline,
            retry_at=None,
            verdict_until=None,
            held=False,
            overrides=None,
            undoes=bool(event.parameters) and UNDOES in event.parameters[0],
        )
        state.runs[place] = replace(
            known, status="RUNNING", attempt=event.attempt, dispatch=dispatch
        )
        wait(state, place)
        return
    if state.ready:
        state.ready.pop(place, None)
    state.open[place] = None
    sets = zip(event.indexes, event.parameters, strict=True)
    state.runs[place] = Run(
        node_id=event.node_id,
        scope=event.scope,
        run=event.run,
        status="RUNNING",
        attempt=1,
        inputs=event.inputs,
        inputs_scope=event.inputs_scope,
        started_at=instant(event.scheduled_at),
        dispatch=Dispatch(
            node_type=event.node_type,
            node_subtype=event.node_subtype,
            node_name=event.node_name,
            effect=event.effect,
            length=event.length,
            idempotency_key=event.idempotency_key,
            max_retries=event.max_retries,
            parameters={str(index): each for index, each in sets},
            indexes=event.indexes,
            token=event.token,
            deadline=deadline,
            failed={str(index): error for index, error in event.failed},
            run_until=_maybe(event.run_until),
        ),
    )
    wait(state, place)


def _attempt_failed(state: Execution, event: AttemptFailed) -> None:
    place = place_of(event.node_id, event.scope)
    known = state.runs[place]
    assert known.dispatch is not None
    state.tokens.pop(event.token, None)
    failed = {k: error for k, error in known.dispatch.failed.items() if k not in event.done}
    failed.update((str(index), error) for index, error in event.failed)
    dispatch = replace(
        known.dispatch,
        token="",
        deadline=None,
        done={**known.dispatch.done, **event.done},
        failed=failed,
        retry_at=_maybe(event.retry_at),
        max_retries=known.dispatch.max_retries + held_back(dict(event.failed)),
        first_failed_at=known.dispatch.first_failed_at or event.failed_at,
    )
    state.runs[place] = replace(known, status="RETRYING", dispatch=dispatch)
    wait(state, place)


def _failed(state: Execution, event: NodeFailed) -> None:
    """Remember that recovery was told, and about which run it was asked."""
    state.troubled = True
    place = place_of(event.node_id, event.scope)
    known = state.runs.get(place)
    if not event.asked or known is None or known.dispatch is None:
        return
    dispatch = replace(
        known.dispatch,
        asked=True,
        failure_id=event.failure_id,
        root_failure_id=event.root_failure_id,
        verdict_until=frozen(state, _maybe(event.verdict_until), event.failed_at),
    )
    state.runs[place] = replace(known, dispatch=dispatch)
    wait(state, place)


def _verdict(state: Execution, event: VerdictApplied) -> None:
    place = place_of(event.node_id, event.scope)
    known = state.runs[place]
    assert known.dispatch is not None
    at = _maybe(event.at)
    dispatch = replace(
        known.dispatch,
        retry_at=at if event.verdict == "retry" else None,
        verdict_until=at if event.verdict == "hold" else None,
        held=event.verdict == "hold",
        held_since=event.held_since if event.verdict == "hold" else "",
        overrides=event.overrides,
        attempt_id=event.attempt_id,
        ask_again=event.ask_again,
    )
    state.runs[place] = replace(known, dispatch=dispatch)
    wait(state, place)


def _ended(
    state: Execution,
    event: NodeErrored | NodeCanceled,
    status: RunStatus,
    *,
    attempt: int = 0,
    inputs: tuple[tuple[int, str], ...] | None = None,
) -> None:
    """End a run without an effect on its edges."""
    place = place_of(event.node_id, event.scope)
    known = _leave(state, place)
    same = known if known is not None and known.run == event.run else None
    if isinstance(event, NodeErrored) and place in state.rounds:
        rounds = state.rounds.pop(place)
        state.over[place] = Over(
            event.node_id, event.scope, rounds.begun, tuple(range(rounds.begun))
        )
    state.runs[place] = Run(
        node_id=event.node_id,
        scope=event.scope,
        run=event.run,
        status=status,
        attempt=attempt or (same.attempt if same else 0),
        inputs=inputs if inputs is not None else same.inputs if same else (),
        ports=same.ports if same else {},
        started_at=same.started_at if same else None,
        inputs_scope=event.inputs_scope if isinstance(event, NodeErrored) else None,
    )


def _revived(state: Execution, event: ExecutionRevived) -> None:
    state.status = "RUNNING"
    state.deadline = _maybe(event.deadline)
    place = place_of(event.node_id, event.scope)
    state.overrides = {} if event.overrides is None else {place: event.overrides}
    state.ready = _places(event.reopened)
    state.yielded_at = instant(event.revived_at)
    state.delayed_until = _maybe(event.not_before)
    state.paused_at = None
    for entry in state.rounds:  # open loops go on by what ends in them
        state.ready.pop(entry, None)
        run = state.runs.get(entry)
        if run is not None and run.status == "CANCELED":
            state.runs[entry] = replace(run, status="RUNNING")


def _leave(state: Execution, place: str) -> Run | None:
    """Take a place out of what is open and ready; return the run that it had."""
    known = state.runs.get(place)
    if state.ready:
        state.ready.pop(place, None)
    if known is None:
        return None
    if place in state.open:
        del state.open[place]
        if known.dispatch is not None and known.dispatch.token:
            state.tokens.pop(known.dispatch.token, None)
        forget_waits(state)
    return known


def _end(state: Execution, status: Status) -> None:
    state.status = status
    state.troubled = state.troubled or status in ("ERROR", "TIMEOUT")
    state.ready = {}
    if state.flow is not None:
        state.flow.stopping = None


def _places(ready: tuple[tuple[str, Scope], ...]) -> dict[str, tuple[str, Scope]]:
    return {place_of(node_id, scope): (node_id, scope) for node_id, scope in ready}


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else instant(text)
