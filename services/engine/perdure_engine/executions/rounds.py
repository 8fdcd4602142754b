"""Regions as they go: entered, round after round, and left when all has ended (rules 16 to 26).

Whatever ends in an iteration has its region looked at (`look`), from the loop in `running`;
so nothing here calls itself, however many rounds there are.
"""

from collections.abc import Sequence

from perdure_contracts.engine import ErrorFacts, NodeSkipped, Scope
from perdure_contracts.executions import IterationStarted, Part, RegionEntered, RegionExited

from perdure_engine.definition import Edge, Node
from perdure_engine.definition.region import Region
from perdure_engine.nodes.base import Inputs, Item, Outcome, without_source
from perdure_engine.nodes.conditions import holds
from perdure_engine.nodes.errors import data_error, error_json, whole_run
from perdure_engine.nodes.flow_foreach import ForeachPlan
from perdure_engine.nodes.flow_loop import LoopPlan

from .conditions import pick
from .ending import close_iteration
from .finishing import Ended, fail, finish
from .given import adopted_failure
from .progress import Progress
from .racing import raced_or_waits
from .state import Live, Rounds, edge_key, next_run, next_run_of_region, place_of
from .views import RunView, gather


def enter(progress: Progress, node: Node, region: Region, scope: Scope, run: int) -> None:
    """Open the region of a node whose in-edges are all resolved in `scope`."""
    inputs, edges = gather(progress.state, progress.workflow, node, scope)
    if not edges and not inputs.items:
        _skip(progress, node, region, scope, run)
        return
    progress.record(
        RegionEntered(
            execution_id=progress.state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=next_run_of_region(progress.state, node.node_id, scope, run),
            kind=region.kind,
            size=region.size,
            items=len(inputs.items),
            entered_at=progress.at,
            inputs=edges,
            body=region.body,
            node_type=node.node_type,
            node_subtype=node.node_subtype,
            node_name=node.name,
            max_retries=node.max_retries,
        )
    )
    if region.kind == "cycle":
        _start(progress, node, region, place_of(node.node_id, scope))
    progress.look_at(node.node_id, scope)


def look(progress: Progress, node_id: str, scope: Scope) -> None:
    """Let a region go on as far as it can: the next round, its `done`, its end."""
    place = place_of(node_id, scope)
    node = progress.workflow.by_id[node_id]
    region = progress.workflow.region_of(node)
    assert region is not None
    if place not in progress.state.rounds:
        if region.kind == "each":
            _look_before(progress, node, region, scope)
        return
    match region.kind:
        case "loop":
            _loop(progress, node, region, place)
        case "foreach":
            _foreach(progress, node, region, place)
        case "cycle":
            _cycle(progress, node, region, place)
        case "each":
            _each(progress, node, region, place)


# The four kinds -------------------------------------------------------------------------


def _loop(progress: Progress, node: Node, region: Region, place: str) -> None:
    plan = node.prepared
    assert isinstance(plan, LoopPlan)
    while progress.state.runs[place].status == "RUNNING":
        rounds = progress.state.rounds[place]
        if rounds.begun and not _came_back(progress, region, rounds, rounds.begun - 1):
            return
        if progress.fuel <= 0:
            progress.starve(node.node_id, rounds.scope)
            return
        if plan.condition is None:
            if rounds.taken < rounds.items:
                end = min(rounds.taken + plan.batch, rounds.items)
                batch = tuple(range(rounds.taken, end))
                _start(progress, node, region, place, [(place, region.body, batch)], taken=end)
                continue
            _done(progress, node, region, place, _batches_done(progress, region, rounds, plan))
            continue
        if not rounds.begun:
            _start(progress, node, region, place, [(place, region.body, None)])
            continue
        went = _asked(progress, node, region, rounds, plan)
        if isinstance(went, ErrorFacts):
            _fail_whole(progress, node, place, went)
            return
        going, left = went
        most = plan.max_iterations or progress.workflow.settings.max_iterations
        if not going:
            parts = (*rounds.left, *(Live(*part) for part in left))
            _done(progress, node, region, place, _items(progress, parts))
        elif rounds.begun >= most:
            ended, _ = _ended(progress, node, place)
            fail(progress, ended, _too_many(node, most), ())
            return
        else:
            _start(progress, node, region, place, going, left=left)
    _leave_if_over(progress, node, region, place)


def _foreach(progress: Progress, node: Node, region: Region, place: str) -> None:
    plan = node.prepared
    assert isinstance(plan, ForeachPlan)
    while progress.state.runs[place].status == "RUNNING":
        rounds = progress.state.rounds[place]
        if rounds.failed and plan.on_item_error == "fail":
            failed_node_id, error = rounds.failed[min(rounds.failed)]
            for k in list(rounds.pending):
                close_iteration(progress, rounds, k, failed_node_id, error)
            _fail_whole(progress, node, place, error)
            continue
        if rounds.taken < rounds.items and len(rounds.pending) < plan.max_concurrency:
            if progress.fuel <= 0:
                progress.starve(node.node_id, rounds.scope)
                return
            k = rounds.taken
            _start(progress, node, region, place, [(place, region.body, (k,))], taken=k + 1)
            failed = adopted_failure(progress.state, place, k)
            if failed is not None:
                close_iteration(progress, progress.state.rounds[place], k, *failed)
            continue
        if rounds.pending or rounds.taken < rounds.items:
            return
        items: list[Item] = []
        for k in range(rounds.items):
            if k not in rounds.failed:
                came = _lives_back(progress, region, rounds, k)
                items.extend({**item, "source": k} for item in _items(progress, came))
            elif plan.on_item_error == "collect":
                item = progress.state.runs[place].ports[region.body][k]
                failed_node_id, error = rounds.failed[k]
                json = error_json(item["json"], error, failed_node_id)
                items.append({**without_source(item), "json": json, "source": k})
        _done(progress, node, region, place, items)
    _leave_if_over(progress, node, region, place)


def _cycle(progress: Progress, node: Node, region: Region, place: str) -> None:
    rounds = progress.state.rounds[place]
    k = rounds.begun - 1
    if not _came_back(progress, region, rounds, k):
        return
    if _lives_back(progress, region, rounds, k):
        most = node.max_iterations or progress.workflow.settings.max_iterations
        if rounds.begun >= most:
            scope = rounds.iteration(k + 1)
            inputs, edges = gather(progress.state, progress.workflow, node, scope)
            before = progress.state.runs.get(place_of(node.node_id, scope))
            run = rounds.run if before is None else before.run + 1  # it was revived, in vain
            fail(progress, Ended(node, scope, run, inputs, edges), _too_many(node, most), ())
            return
        _start(progress, node, region, place)
        return
    _leave_if_over(progress, node, region, place)


def _each(progress: Progress, node: Node, region: Region, place: str) -> None:
    """Begin an iteration for each in-edge that became LIVE; leave when all are resolved."""
    rounds = progress.state.rounds[place]
    edges = progress.workflow.forward_edges(node)
    for k, edge in enumerate(edges):
        live = progress.state.edges.get(edge_key(edge.index, rounds.scope))
        inner = place_of(node.node_id, rounds.iteration(k))
        if live is not None and inner not in progress.state.runs and inner not in progress.queued:
            _start(progress, node, region, place, k=k)
    if all(edge_key(e.index, rounds.scope) in progress.state.edges for e in edges):
        _leave_if_over(progress, node, region, place, len(edges))


def _look_before(progress: Progress, node: Node, region: Region, scope: Scope) -> None:
    """Look at a node with `join: each` that has no iteration yet."""
    place = place_of(node.node_id, scope)
    if place in progress.state.over:
        return
    if progress.workflow.races.order and raced_or_waits(progress, node, scope):
        return
    edges = progress.workflow.forward_edges(node)
    found = [progress.state.edges.get(edge_key(edge.index, scope)) for edge in edges]
    resolved = all(edge_key(edge.index, scope) in progress.state.edges for edge in edges)
    if resolved or any(live is not None for live in found):
        enter(progress, node, region, scope, next_run(progress.state, node.node_id, scope))


# Rounds ---------------------------------------------------------------------------------


def _start(
    progress: Progress,
    node: Node,
    region: Region,
    place: str,
    parts: Sequence[Part] = (),
    *,
    k: int | None = None,
    taken: int | None = None,
    left: Sequence[Part] = (),
) -> None:
    """Begin the next iteration, on the body's edges with `parts`, or at the entry itself."""
    progress.fuel -= 1
    rounds = progress.state.rounds[place]
    k = rounds.begun if k is None else k
    live, dead = _first_edges(progress, node, region, rounds, parts)
    progress.record(
        IterationStarted(
            execution_id=progress.state.execution_id,
            node_id=node.node_id,
            scope=rounds.scope,
            iteration=k,
            live=tuple((edge.index, tuple(carried)) for edge, carried in live),
            dead=tuple(edge.index for edge in dead),
            taken=rounds.taken if taken is None else taken,
            left=tuple(left),
        )
    )
    inner = rounds.iteration(k)
    if not region.body:
        progress.enqueue(node, inner)
        return
    for edge in (*(edge for edge, _ in live), *dead):
        progress.reach(edge, inner)


def _first_edges(
    progress: Progress, node: Node, region: Region, rounds: Rounds, parts: Sequence[Part]
) -> tuple[list[tuple[Edge, Sequence[Part]]], list[Edge]]:
    """Return the edges on which an iteration begins: LIVE ones with their items, DEAD ones."""
    if not region.body:
        return [], []
    edges = progress.workflow.out_edges_of_port(node, region.body)
    conditional = [edge for edge in edges if edge.connection_type == "CONDITIONAL"]
    places: dict[int, list[int]] = {}
    if conditional:
        items = _items(progress, [Live(*part) for part in parts])
        inputs = Inputs({"main": items})
        view = RunView(progress.state, progress.workflow, rounds.scope, inputs, (), progress.now)
        places = pick(conditional, {region.body: items}, view, node.node_id).places
        progress.worked(view.meter)
    live: list[tuple[Edge, Sequence[Part]]] = []
    dead: list[Edge] = []
    for edge in edges:
        carried = parts
        if edge.index in places:
            carried = _chosen(progress, parts, places[edge.index])
        if carried:
            live.append((edge, carried))
        else:
            dead.append(edge)
    return live, dead


def _chosen(progress: Progress, parts: Sequence[Part], places: Sequence[int]) -> list[Part]:
    """Return the parts that are left when only the items at `places` stay."""
    wanted, chosen, first = set(places), list[Part](), 0
    for source, port, picks in parts:
        length = len(progress.state.runs[source].ports[port])
        each = range(length) if picks is None else picks
        kept = tuple(pick for at, pick in enumerate(each, first) if at in wanted)
        first += len(each)
        if kept:
            chosen.append((source, port, kept))
    return chosen


def _came_back(progress: Progress, region: Region, rounds: Rounds, k: int) -> bool:
    """Tell whether all edges back are resolved in an iteration."""
    inner, edges = rounds.iteration(k), progress.state.edges
    return all(edge_key(index, inner) in edges for index in region.back)


def _lives_back(progress: Progress, region: Region, rounds: Rounds, k: int) -> list[Live]:
    """Return what the LIVE edges back carry, in edge order."""
    inner, edges = rounds.iteration(k), progress.state.edges
    found = [edges.get(edge_key(index, inner)) for index in region.back]
    return [part for live in found if live is not None for part in live.flat()]


def _asked(
    progress: Progress, node: Node, region: Region, rounds: Rounds, plan: LoopPlan
) -> tuple[list[Part], list[Part]] | ErrorFacts:
    """Ask the condition of each item that came back: which go round again, and which leave."""
    lives = _lives_back(progress, region, rounds, rounds.begun - 1)
    items = _items(progress, lives)
    inner = rounds.iteration(rounds.begun - 1)
    edges = tuple((index, "main") for index in region.back)
    inputs = Inputs({"main": items})
    view = RunView(progress.state, progress.workflow, inner, inputs, edges, progress.now)
    assert plan.condition is not None
    stay: list[int] = []
    for at in range(len(items)):
        answer = holds(plan.condition, view(at))
        if isinstance(answer, ErrorFacts):
            return answer
        if answer:
            stay.append(at)
    progress.worked(view.meter)
    parts: list[Part] = [(live.source, live.port, live.picks) for live in lives]
    kept = set(stay)
    leave = [at for at in range(len(items)) if at not in kept]
    return _chosen(progress, parts, stay), _chosen(progress, parts, leave)


def _items(progress: Progress, lives: Sequence[Live]) -> list[Item]:
    """Return the items of what edges carry, as what they are now: items of no input yet."""
    state = progress.state
    return [
        {**without_source(item), "source": []} for live in lives for item in state.items_of(live)
    ]


def _batches_done(progress: Progress, region: Region, rounds: Rounds, plan: LoopPlan) -> list[Item]:
    """Return what came back of all batches; an item belongs to the items of its batch."""
    items: list[Item] = []
    for k in range(rounds.begun):
        first = k * plan.batch
        source = list(range(first, min(first + plan.batch, rounds.items)))
        came = _items(progress, _lives_back(progress, region, rounds, k))
        items.extend({**item, "source": source} for item in came)
    return items


# Ends -----------------------------------------------------------------------------------


def _ended(progress: Progress, node: Node, place: str) -> tuple[Ended, RunView]:
    state = progress.state
    run, scope = state.runs[place], state.rounds[place].scope
    inputs, edges = gather(state, progress.workflow, node, scope)
    view = RunView(state, progress.workflow, scope, inputs, edges, progress.now)
    return Ended(node, scope, run.run, inputs, edges, run), view


def _done(
    progress: Progress, node: Node, region: Region, place: str, items: Sequence[Item]
) -> None:
    """End the run of a LOOP or FOREACH: what came back leaves on `done`."""
    del region
    ended, view = _ended(progress, node, place)
    finish(progress, ended, Outcome(ports={"done": list(items)} if items else {}), view)


def _fail_whole(progress: Progress, node: Node, place: str, error: ErrorFacts) -> None:
    """End the run of a LOOP or FOREACH with an error, by its own error mode (rule 25)."""
    ended, view = _ended(progress, node, place)
    finish(progress, ended, whole_run(ended.inputs, error), view)


def _too_many(node: Node, most: int) -> ErrorFacts:
    """Return the error of a cycle that needs one round more than it may have (rule 18)."""
    text = (
        f"{node.node_id!r} would go round more than {most:,} times; let the condition of the "
        "cycle end it, or raise `max_iterations`"
    )
    return data_error("max_iterations", text)


def _leave_if_over(
    progress: Progress, node: Node, region: Region, place: str, iterations: int | None = None
) -> None:
    """Close a region of which every run has ended; what leaves it is resolved."""
    rounds = progress.state.rounds.get(place)
    if rounds is None or rounds.pending or progress.state.status != "RUNNING":
        return
    count = rounds.begun if iterations is None else iterations
    failed = set(rounds.failed)
    nothing = bool(failed) and _fails_whole(node)
    live = [] if nothing else [
        index for index in region.outward
        if any(
            progress.state.edges.get(edge_key(index, rounds.iteration(k))) is not None
            for k in range(count)
            if k not in failed
        )
    ]  # fmt: skip
    _leave(progress, node, region, rounds.scope, rounds.run, count, live, failed=nothing)


def _fails_whole(node: Node) -> bool:
    """Tell whether a failed iteration of a FOREACH failed all of it."""
    return isinstance(node.prepared, ForeachPlan) and node.prepared.on_item_error == "fail"


def _leave(
    progress: Progress,
    node: Node,
    region: Region,
    scope: Scope,
    run: int,
    iterations: int,
    live: Sequence[int],
    *,
    skipped: bool = False,
    failed: bool = False,
) -> None:
    state, workflow = progress.state, progress.workflow
    into = workflow.in_edges(node)
    progress.record(
        RegionExited(
            execution_id=state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=run,
            iterations=iterations,
            live=tuple(live),
            dead=tuple(index for index in region.outward if index not in set(live)),
            skipped=skipped,
            failed=failed,
            cause=into[0].index if skipped and into else None,
            step=state.steps + 1 if skipped else state.steps,
            node_type=node.node_type,
            node_name=node.name,
        )
    )
    for index in region.outward:
        progress.reach(workflow.edges[index], scope)
    progress.check(scope)


def _skip(progress: Progress, node: Node, region: Region, scope: Scope, run: int) -> None:
    """Nothing arrived at an entry: no iteration, and all that would leave is DEAD (rule 19)."""
    if region.body:
        into = progress.workflow.in_edges(node)
        progress.record(
            NodeSkipped(
                execution_id=progress.state.execution_id,
                node_id=node.node_id,
                scope=scope,
                run=run,
                dead=tuple(edge.index for edge in progress.workflow.leaving_edges(node)),
                step=progress.state.steps + 1,
                cause=into[0].index if into else None,
                node_type=node.node_type,
                node_name=node.name,
            )
        )
        progress.resolved(node, scope)
    _leave(progress, node, region, scope, run, 0, (), skipped=not region.body)


def pass_by(progress: Progress, node: Node, region: Region, scope: Scope) -> None:
    """Close the region of a disabled LOOP or FOREACH, which passed its items on (rule 23)."""
    _leave(progress, node, region, scope, 1, 0, ())
