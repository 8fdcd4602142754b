"""State from the events of people who steer an execution. Like `evolve`, whose arms these are."""

from datetime import datetime, timedelta

from msgspec.structs import replace
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
from perdure_contracts.engine import ExecutionStarted
from perdure_contracts.executions import AttemptDue

from .instants import instant
from .state import Execution, awaited, flow_of, place_of, wait
from .state_flow import Stopping
from .state_given import Given


def steered(state: Execution, event: ControlEvent) -> None:
    """Apply an event of control; the state is changed in place."""
    match event:
        case ExecutionPaused():
            state.status = "PAUSED"
            state.paused_at = instant(event.paused_at)
        case ExecutionResumed():
            _resumed(state, event)
        case CancelBegun():
            until = instant(event.until)
            flow_of(state).stopping = Stopping(until, event.reason, event.asked_by)
        case NodeMarked():
            # How the run ends is told by the next event.
            state.marked = f"{place_of(event.node_id, event.scope)}#{event.run}"
        case RerunBegun() | ErrorWorkflowStarted():
            pass  # this execution stays as it is
        case RunsAdopted():
            given = state.given
            assert given is not None
            given.runs.update(event.runs)
            given.failed.update(event.failed)
            given.skipped.update(dict.fromkeys(event.skipped))
            given.regions.update(dict.fromkeys(event.regions))
            given.parts -= 1


def given_at_start(event: ExecutionStarted) -> Given | None:
    """Return what an execution is given from its beginning, None for nearly all of them."""
    reads = event.vars is not None or event.static_data is not None
    if not event.pins and not event.parts and not reads:
        return None
    return Given(
        pins=event.pins or {},
        parts=event.parts,
        data=event.data,
        begun=not event.parts,
        vars=event.vars,
        static_data=event.static_data,
        static_number=event.static_number,
        files=event.files,
    )


def _resumed(state: Execution, event: ExecutionResumed) -> None:
    """Let every deadline be later by what the pause took; what is ready stands in the queue."""
    state.status = "RUNNING"
    resumed_at = instant(event.resumed_at)
    paused_s = resumed_at - instant(event.paused_at)
    state.deadline = None if event.deadline is None else instant(event.deadline)
    if state.yielded_at is not None and state.yielded_at <= resumed_at:
        state.ready = {}
    for place in state.open:
        run = state.runs[place]
        known = run.dispatch
        if known is None:
            continue
        moved = replace(
            known,
            deadline=_later(known.deadline, paused_s),
            verdict_until=_later(known.verdict_until, paused_s),
            run_until=_later(known.run_until, paused_s),
            asks={i: replace(a, until=_later(a.until, paused_s)) for i, a in known.asks.items()},
        )
        state.runs[place] = replace(run, dispatch=moved)
    if state.flow is not None:  # time-outs stand still; an instant that is waited for does not
        for place, each in state.flow.waits.items():
            if each.kind != "time":
                until = _later(each.until, paused_s)
                state.flow.waits[place] = replace(each, until=until)
    found = ((awaited(state, place), place) for place in state.open)
    state.waits = sorted((at, place) for at, place in found if at is not None)
    state.paused_at = None


def _later(at: datetime | None, by: timedelta) -> datetime | None:
    return None if at is None else at + by


def frozen(state: Execution, until: datetime | None, told_at: str) -> datetime | None:
    """Return an instant as it counts: one that is set in a pause waits from its end on.

    What the pause took so far is taken off, because its end adds all of it.
    """
    if until is None or state.paused_at is None or state.status != "PAUSED":
        return until
    return until - (instant(told_at) - state.paused_at)


def attempt_due(state: Execution, event: AttemptDue) -> None:
    """Let a run wait for a verdict again; what the first one changed is still changed."""
    place = place_of(event.node_id, event.scope)
    known = state.runs[place]
    assert known.dispatch is not None
    dispatch = replace(
        known.dispatch,
        retry_at=None,
        verdict_until=frozen(state, instant(event.verdict_until), event.due_at),
        ask_again=False,
    )
    state.runs[place] = replace(known, dispatch=dispatch)
    wait(state, place)
