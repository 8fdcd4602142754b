"""Races: who wins, and what is stopped then (rules 4, 8, 22 and 27).

A race is decided when nothing else can run in the batch, so that branches of the engine's own
run to their ends first. Whatever becomes ready later though a race has done without it does
not run.
"""

from collections.abc import Iterable

from perdure_contracts.engine import Scope
from perdure_contracts.executions import RegionExited
from perdure_contracts.flow import RaceLost

from perdure_engine.definition import Edge, Node
from perdure_engine.definition.region import Region
from perdure_engine.nodes.base import Inputs, Outcome

from .ending import cancel_run
from .finishing import Ended, finish
from .progress import Progress
from .state import Execution, edge_key, next_run, place_of
from .views import RunView

REASON = "race_lost"


def decide_race(progress: Progress) -> None:
    """Let one race that something has arrived at be won: the one that comes first of all."""
    order, by_id = progress.workflow.races.order, progress.workflow.by_id
    places = progress.races

    def rank(place: str) -> tuple[int, Scope]:
        node_id, scope = places[place]
        return order[by_id[node_id].position], scope

    node_id, scope = places.pop(min(places, key=rank))
    _decide(progress, by_id[node_id], scope)


def _decide(progress: Progress, node: Node, scope: Scope) -> None:
    state, workflow = progress.state, progress.workflow
    place = place_of(node.node_id, scope)
    known = state.runs.get(place)
    if known is not None and known.status in ("SUCCESS", "SKIPPED"):
        return
    arrived = _arrived(state, workflow.in_edges(node), scope)
    winner = arrived[0]
    live = state.edges[edge_key(winner.index, scope)]
    assert live is not None
    inputs = Inputs({"main": state.items_of(live)})
    edges = ((winner.index, winner.target_port),)
    run = next_run(state, node.node_id, scope)
    view = RunView(state, workflow, scope, inputs, edges, progress.now)
    outcome = Outcome(ports={"main": [{"json": item["json"]} for item in inputs.items]})
    finish(progress, Ended(node, scope, run, inputs, edges), outcome, view)
    won = progress.state.runs.get(place)
    if won is None or won.status != "SUCCESS" or won.run != run:
        return
    if len(arrived) > 1:
        _note(progress, node, scope, run, [edge.index for edge in arrived[1:]])
    _stop_guarded(progress, node, scope)


def note_late(progress: Progress) -> None:
    """Note what came to races that had been won, once for each edge (rule 27)."""
    for edge, scope in progress.late:
        state, node = progress.state, progress.workflow.nodes[edge.target]
        run, key = state.runs[place_of(node.node_id, scope)], edge_key(edge.index, scope)
        if run.status != "SUCCESS" or state.edges.get(key) is None:
            continue
        known = state.flow is not None and key in state.flow.lost
        if not known and all(edge.index != index for index, _ in run.inputs):
            _note(progress, node, scope, run.run, [edge.index])
    progress.late.clear()


def raced_or_waits(progress: Progress, node: Node, scope: Scope) -> bool:
    """Keep a node that is ready from running where races forbid it.

    A race itself waits until nothing else can run. A node that a race has done without is
    stopped; one at which nothing arrived is skipped like any other.
    """
    workflow, state = progress.workflow, progress.state
    if _adopted(state, node, scope) or not _arrived(state, workflow.forward_edges(node), scope):
        return False
    if not _decided(progress, node, scope):
        if node.position in workflow.races.order:
            progress.races[place_of(node.node_id, scope)] = (node.node_id, scope)
            return True
        return False
    region = workflow.region_of(node)
    if region is None or region.body:
        _cancel(progress, node, scope, next_run(state, node.node_id, scope))
    if region is not None:
        _exit(progress, node, region, scope, reach=True)
    return True


def _decided(progress: Progress, node: Node, scope: Scope) -> bool:
    workflow, runs = progress.workflow, progress.state.runs
    guard = workflow.races.guards.get(node.position)
    while guard is not None:
        race = workflow.nodes[guard]
        run = runs.get(place_of(race.node_id, scope))
        if _adopted(progress.state, race, scope) or (run is not None and run.status == "SUCCESS"):
            return True
        guard = workflow.races.guards.get(guard)
    return False


def _adopted(state: Execution, node: Node, scope: Scope) -> bool:
    """Tell whether a run is taken over from the execution that this one is a rerun of.

    A race that was won there is won here: what it stopped is not run once more.
    """
    given, place = state.given, place_of(node.node_id, scope)
    return given is not None and (place in given.runs or place in given.regions)


def _arrived(state: Execution, edges: Iterable[Edge], scope: Scope) -> list[Edge]:
    """Return the LIVE ones of edges, in edge order."""
    return [edge for edge in edges if state.edges.get(edge_key(edge.index, scope)) is not None]


def _note(progress: Progress, node: Node, scope: Scope, run: int, edges: list[int]) -> None:
    progress.record(
        RaceLost(
            execution_id=progress.state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=run,
            edges=tuple(edges),
            node_type=node.node_type,
            node_name=node.name,
        )
    )


# What is stopped --------------------------------------------------------------------------


def _stop_guarded(progress: Progress, race: Node, scope: Scope) -> None:
    """Stop all that runs only for the sake of a race that was won."""
    workflow = progress.workflow
    for position in workflow.races.guarded[race.position]:
        node = workflow.nodes[position]
        place = place_of(node.node_id, scope)
        state = progress.state
        if place in state.rounds:
            region = workflow.region_of(node)
            assert region is not None
            _stop_region(progress, node, region, scope)
        elif place in state.open:
            _cancel(progress, node, scope, state.runs[place].run)
        progress.races.pop(place, None)


def _stop_region(progress: Progress, node: Node, region: Region, scope: Scope) -> None:
    """Stop a region as a whole: what runs in it, the regions in it, and itself."""
    state, workflow, depth = progress.state, progress.workflow, len(scope)
    place = place_of(node.node_id, scope)

    def within(at: Scope) -> bool:
        return at[:depth] == scope and len(at) > depth and at[depth][0] == node.node_id

    inner = [rounds for rounds in state.rounds.values() if within(rounds.scope)]
    for open_place in [p for p in state.open if within(state.runs[p].scope)]:
        cancel_run(progress, open_place, REASON)
    for rounds in sorted(inner, key=lambda each: len(each.scope), reverse=True):
        entry = workflow.by_id[rounds.node_id]
        inner_place = place_of(entry.node_id, rounds.scope)
        known = state.runs.get(inner_place)
        inner_region = workflow.region_of(entry)
        assert inner_region is not None
        if inner_region.body and known is not None and known.status == "RUNNING":
            cancel_run(progress, inner_place, REASON)
        _exit(progress, entry, inner_region, rounds.scope, reach=False)
    run = progress.state.runs.get(place)
    if region.body and run is not None and run.status == "RUNNING":
        _cancel(progress, node, scope, run.run)
    _exit(progress, node, region, scope, reach=True)
    for places in (progress.checks, progress.starved, progress.races):
        for each in [p for p, (_, at) in places.items() if within(at)]:
            del places[each]


def _exit(progress: Progress, node: Node, region: Region, scope: Scope, *, reach: bool) -> None:
    """Close a region whose iterations count for nothing: what would leave it is DEAD."""
    state = progress.state
    rounds = state.rounds.get(place_of(node.node_id, scope))
    progress.record(
        RegionExited(
            execution_id=state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=1 if rounds is None else rounds.run,
            iterations=0 if rounds is None else rounds.begun,
            dead=region.outward,
            failed=True,
            step=state.steps,
            node_type=node.node_type,
            node_name=node.name,
        )
    )
    if reach:
        for index in region.outward:
            progress.reach(progress.workflow.edges[index], scope)
        progress.check(scope)


def _cancel(progress: Progress, node: Node, scope: Scope, run: int) -> None:
    """Stop a run, or what was about to run; its out-edges are DEAD."""
    leaving = progress.workflow.leaving_edges(node)
    place = place_of(node.node_id, scope)
    dead = tuple(edge.index for edge in leaving)
    cancel_run(progress, place, REASON, node=node, scope=scope, run=run, dead=dead)
    progress.resolved(node, scope)
