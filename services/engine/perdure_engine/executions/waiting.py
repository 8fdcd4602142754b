"""Node runs that wait: for an instant, an event, a call of the resume URL, a child's end.

A run that waits is open like one in the runner, and its instant is among those of the state;
so it survives restarts, and is cancelled like any other.
"""

from datetime import datetime, timedelta

from perdure_common.ids import derived
from perdure_contracts.engine import Scope
from perdure_contracts.flow import WaitBegun, WaitEnd
from perdure_contracts.message import Json

from perdure_engine.definition import Node
from perdure_engine.nodes.base import MAIN, Inputs, Item, Outcome, passed_through
from perdure_engine.nodes.errors import data_error, expression_error, whole_run
from perdure_engine.nodes.flow_wait import TIMEOUT, WaitPlan, plan_of

from .ending import end_wait
from .finishing import Edges, Ended, finish, scrubbed
from .items import as_items
from .progress import Progress
from .state import place_of
from .state_flow import Signal, Waiting
from .views import RunView, gather, gathered_by


def begin_wait(
    progress: Progress, node: Node, scope: Scope, run: int, inputs: Inputs, edges: Edges
) -> None:
    """Let a WAIT begin; one whose time has come, or whose event is there, ends at once."""
    _, where = gathered_by(progress.workflow, node, scope)
    view = RunView(progress.state, progress.workflow, scope, inputs, edges, progress.now, where)
    plan = plan_of(node.prepared, view(0), progress.now)
    ended = Ended(node, scope, run, inputs, edges)
    if not isinstance(plan, WaitPlan):
        error = plan if not isinstance(plan, Exception) else expression_error(plan)
        finish(progress, ended, whole_run(inputs, scrubbed(error)), view)
        return
    if plan.kind == "time" and plan.until is not None and plan.until <= progress.now:
        port = MAIN if plan.port == MAIN else TIMEOUT
        finish(progress, ended, passed_through((port,), inputs), view)
        return
    signal_id = _at_hand(progress, plan, node.node_id)
    begin(
        progress,
        node,
        scope,
        run,
        edges,
        Waiting(
            kind=plan.kind,
            wait_id=wait_id(progress, node.node_id, scope, run),
            until=plan.until,
            port=plan.port,
            name=plan.name,
            key=plan.key,
            registered=plan.kind == "event" and not signal_id,
        ),
    )
    if signal_id:
        take_signal(progress, place_of(node.node_id, scope), signal_id)


def wait_id(progress: Progress, node_id: str, scope: Scope, run: int) -> str:
    """Return the id of a wait, which no other one has."""
    return derived("wait", progress.state.execution_id, node_id, scope, run)


def begin(
    progress: Progress, node: Node, scope: Scope, run: int, edges: Edges, waiting: Waiting
) -> None:
    """Let a run wait from now on."""
    _, where = gathered_by(progress.workflow, node, scope)
    progress.record(
        WaitBegun(
            execution_id=progress.state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=run,
            kind=waiting.kind,
            wait_id=waiting.wait_id,
            began_at=progress.at,
            until=None if waiting.until is None else waiting.until.isoformat(),
            port=waiting.port,
            name=waiting.name,
            key=waiting.key,
            child=waiting.child,
            registered=waiting.registered,
            inputs=edges,
            inputs_scope=None if where == scope else where,
            node_type=node.node_type,
            node_subtype=node.node_subtype,
            node_name=node.name,
            max_retries=node.max_retries,
        )
    )


def time_up(progress: Progress, place: str) -> None:
    """Let the instant of a run that waits have its effect: it leaves, or fails."""
    state = progress.state
    assert state.flow is not None
    waiting = state.flow.waits[place]
    by: WaitEnd = "time" if waiting.kind == "time" and waiting.port == MAIN else "timeout"
    inputs = inputs_of(progress, place)
    if waiting.kind == "memory":
        there = "" if waiting.taken else "; no service of memory has taken the question"
        late = data_error("memory_timeout", f"memory did not answer in time{there}")
        end(progress, place, by, whole_run(inputs, late))
        return
    if waiting.port:
        end(progress, place, by, passed_through((waiting.port,), inputs))
        return
    node = progress.workflow.by_id[state.runs[place].node_id]
    text = f"it did not end within {node.timeout_s:g} s; raise `timeout_s` of the node"
    error = data_error("timeout", text, {"execution_id": waiting.child})
    end(progress, place, by, whole_run(inputs, error))


def take_signal(progress: Progress, place: str, signal_id: str) -> None:
    """Let a WAIT go on with what it was told: the payload's items leave on `main`."""
    flow = progress.state.flow
    assert flow is not None
    signal = flow.signals[signal_id]
    outcome = Outcome(ports={MAIN: told(signal.payload, inputs_of(progress, place))})
    end(progress, place, signal.channel, outcome, signal_id=signal_id)


def told(payload: Json, inputs: Inputs) -> list[Item]:
    """Return what was told as items; they belong to the input item where there is only one."""
    source: list[int] = [0] if len(inputs.items) == 1 else []
    return [{"json": json, "source": source} for json in as_items(payload)]


def end(
    progress: Progress, place: str, by: WaitEnd, outcome: Outcome, *, signal_id: str = ""
) -> None:
    """Let a run wait no more, and end with `outcome`."""
    run = progress.state.runs[place]
    node = progress.workflow.by_id[run.node_id]
    inputs, edges = gather(progress.state, progress.workflow, node, run.scope)
    end_wait(progress, place, by, signal_id=signal_id)
    ended = Ended(node, run.scope, run.run, inputs, edges, run)
    view = RunView(
        progress.state, progress.workflow, run.scope, inputs, edges, progress.now, run.gathered_in
    )
    finish(progress, ended, outcome, view)


def waits_for(waiting: Waiting, signal: Signal, node_id: str) -> bool:
    """Tell whether a signal is what a run of a node waits for."""
    if waiting.kind != signal.channel:
        return False
    if signal.channel == "webhook":
        return signal.node_id in ("", node_id)
    return signal.name == waiting.name and signal.key in ("", waiting.key)


def _at_hand(progress: Progress, plan: WaitPlan, node_id: str) -> str:
    """Return the id of the oldest signal that a WAIT which begins now can take, empty if none."""
    flow = progress.state.flow
    wanted = Waiting(kind=plan.kind, wait_id="", name=plan.name, key=plan.key)
    for signal_id, signal in flow.signals.items() if flow is not None else ():
        if waits_for(wanted, signal, node_id):
            return signal_id
    return ""


def inputs_of(progress: Progress, place: str) -> Inputs:
    """Return what arrived at a run that is open."""
    run = progress.state.runs[place]
    node = progress.workflow.by_id[run.node_id]
    return gather(progress.state, progress.workflow, node, run.scope)[0]


def in_time(now: datetime, seconds: float | None) -> datetime | None:
    """Return the instant some seconds from now, None if there is no limit."""
    return None if seconds is None else now + timedelta(seconds=seconds)
