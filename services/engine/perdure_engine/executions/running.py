"""Running what is ready: skipped, passed through, run inline, or sent to the runner."""

from msgspec.structs import replace
from perdure_common.ids import derived
from perdure_contracts.engine import NodeSkipped, Scope

from perdure_engine.definition import Node
from perdure_engine.nodes.base import Inputs, Outcome, passed_through

from .asking import ask_memory, ask_people
from .bounds import too_many_items
from .children import begin_child
from .dispatching import dispatch
from .finishing import Ended, finish, scrubbed
from .given import is_given, take, was_skipped
from .overriding import with_parameters
from .progress import Progress
from .racing import decide_race, note_late, raced_or_waits
from .responding import respond
from .rounds import enter, look, pass_by
from .state import next_run, place_of
from .static_data import ask_static_data
from .views import RunView, gather, gathered_by
from .waiting import begin_wait

HANDLED = {
    "WAIT": begin_wait,
    "SUB_WORKFLOW": begin_child,
    "RESPOND": respond,
    **dict.fromkeys(("APPROVAL", "INPUT", "SELECTION", "REVIEW"), ask_people),
    "STORE": ask_memory,
    "STATIC_DATA": ask_static_data,
}
"""How subtypes are run that are `handled`."""

LARGE_ITEMS = 10_000
"""Input items above which a node goes to a runner that can do it: the engine's process must
not stop for long."""


def advance(progress: Progress) -> None:
    """Run everything that is ready, and what becomes ready by it, while the fuel lasts."""
    while progress.state.status == "RUNNING":
        if progress.checks:
            place = next(iter(progress.checks))
            look(progress, *progress.checks.pop(place))
            continue
        if progress.late:
            note_late(progress)
        if not progress.queue and not progress.starved:
            if not progress.races:
                return
            if progress.fuel > 0:
                progress.fuel -= 1
                decide_race(progress)
                continue
        if progress.fuel <= 0 or not progress.queue:
            progress.yield_rest()
            return
        progress.fuel -= 1
        node, scope = progress.queue.popleft()
        run_node(progress, node, scope)


def run_node(progress: Progress, node: Node, scope: Scope) -> None:
    """Run one node whose in-edges are all resolved."""
    state, workflow = progress.state, progress.workflow
    place = place_of(node.node_id, scope)
    if workflow.races.order and raced_or_waits(progress, node, scope):
        return
    region = workflow.region_of(node)
    entering = region is not None and len(scope) < region.depth
    if place in state.rounds or (entering and region is not None and region.kind == "each"):
        progress.look_at(node.node_id, scope)
        return
    run = next_run(state, node.node_id, scope)
    known = state.given is not None and is_given(state, node, scope)
    passes = (node.disabled or known) and region is not None and bool(region.body)
    if region is not None and entering and not passes:
        if region.kind == "foreach" and too_many_items(progress, node, region, scope, run):
            return
        enter(progress, node, region, scope, run)
        return
    inputs, edges = gather(state, workflow, node, scope)
    if not edges and not inputs.items:
        skip(progress, node, scope, run)
        if region is not None and passes:
            pass_by(progress, node, region, scope)
        return
    if known:
        if was_skipped(state, place):
            skip(progress, node, scope, run)
        else:
            take(progress, node, scope, run, inputs, edges)
        if region is not None and passes:
            pass_by(progress, node, region, scope)
        return
    if state.overrides:
        node = with_parameters(node, state.overrides.get(place))
    specification = node.specification
    if specification.handled and not node.disabled:
        HANDLED[specification.subtype](progress, node, scope, run, inputs, edges)
        return
    if _goes_out(node, inputs) and dispatch(progress, node, scope, run, inputs, edges):
        return
    where = gathered_by(workflow, node, scope)[1] if scope else scope
    view = RunView(state, workflow, scope, inputs, edges, progress.now, where)
    if node.disabled or specification.run is None:
        outcome = passed_through(node.outputs, inputs)
    else:
        if specification.seeded:
            seed = derived("seed", state.execution_id, node.node_id, scope, run)
            inputs = Inputs(inputs.ports, inputs.connected, seed)
        outcome = _scrubbed(specification.run(node.prepared, inputs, view))
    finish(
        progress,
        Ended(node, scope, run, inputs, edges),
        outcome,
        view,
        disabled=node.disabled,
    )
    progress.worked(view.meter)
    if region is not None and passes:
        pass_by(progress, node, region, scope)


def _goes_out(node: Node, inputs: Inputs) -> bool:
    """Return whether a runner is to run the node."""
    specification = node.specification
    if node.disabled or (specification.run is not None and specification.each is None):
        return False
    return specification.run is None or node.run_in == "runner" or len(inputs.items) > LARGE_ITEMS


def _scrubbed(outcome: Outcome) -> Outcome:
    """Return the outcome without secrets in what failed: items carry the text on."""
    if not outcome.failed:
        return outcome
    failed = tuple((index, scrubbed(error)) for index, error in outcome.failed)
    return replace(outcome, failed=failed)


def skip(progress: Progress, node: Node, scope: Scope, run: int) -> None:
    """Let a node be SKIPPED, its out-edges DEAD: nothing arrived, or a person says so."""
    workflow, state = progress.workflow, progress.state
    in_edges = workflow.in_edges(node)
    progress.record(
        NodeSkipped(
            execution_id=state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=run,
            dead=tuple(edge.index for edge in workflow.leaving_edges(node)),
            step=state.steps + 1,
            cause=in_edges[0].index if in_edges else None,
            node_type=node.node_type,
            node_name=node.name,
        )
    )
    progress.resolved(node, scope)
