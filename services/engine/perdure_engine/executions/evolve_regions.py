"""State from the events of regions: what goes round, and what comes out at the end.

An edge that leaves a region has an entry in the scope of each iteration, and one in the
scope around the region once that has ended. Like `evolve`, whose arms these are.
"""

from datetime import datetime

from msgspec.structs import replace
from perdure_contracts.engine import Scope
from perdure_contracts.executions import (
    IterationFailed,
    IterationStarted,
    Part,
    RegionEntered,
    RegionExited,
)

from perdure_engine.nodes.base import without_source

from .overriding import given_items
from .state import Execution, Live, Over, Rounds, Run, edge_key, place_of


def entered(state: Execution, event: RegionEntered) -> None:
    """Open a region; a LOOP or FOREACH has a run, and what arrived goes round from its port."""
    place = place_of(event.node_id, event.scope)
    if state.ready:
        state.ready.pop(place, None)
    if event.run > 1:
        _purge(state, (*event.scope, (event.node_id, -1)))
    state.over.pop(place, None)
    state.rounds[place] = Rounds(
        event.node_id, event.scope, event.run, event.kind, event.size, event.items
    )
    if not event.body:
        return
    items: list[object] = [] if event.inputs else given_items(state.overrides.get(place)) or []
    for index, _ in event.inputs:
        live = state.edges[edge_key(index, event.scope)]
        assert live is not None
        items.extend(without_source(item) for item in state.items_of(live))
    state.runs[place] = Run(
        node_id=event.node_id,
        scope=event.scope,
        run=event.run,
        status="RUNNING",
        attempt=1,
        inputs=event.inputs,
        ports={event.body: items},
        started_at=datetime.fromisoformat(event.entered_at),
    )


def iteration_started(state: Execution, event: IterationStarted) -> None:
    """Begin an iteration: its first edges are resolved."""
    place = place_of(event.node_id, event.scope)
    rounds = state.rounds[place]
    if state.ready:
        state.ready.pop(place, None)
    inner = rounds.iteration(event.iteration)
    for index, parts in event.live:
        state.edges[edge_key(index, inner)] = _live(parts)
    for index in event.dead:
        state.edges[edge_key(index, inner)] = None
    state.rounds[place] = replace(
        rounds,
        begun=max(rounds.begun, event.iteration + 1),
        taken=event.taken,
        pending={**rounds.pending, event.iteration: rounds.size} if rounds.size else {},
        left=rounds.left + tuple(_live((part,)) for part in event.left),
    )


def iteration_failed(state: Execution, event: IterationFailed) -> None:
    """Close an iteration that failed, and the regions in it."""
    place = place_of(event.node_id, event.scope)
    rounds = state.rounds[place]
    pending = {k: left for k, left in rounds.pending.items() if k != event.iteration}
    failed = {**rounds.failed, event.iteration: (event.failed_node_id, event.error)}
    state.rounds[place] = replace(rounds, pending=pending, failed=failed)
    inner = rounds.iteration(event.iteration)
    for key, each in list(state.rounds.items()):
        if each.scope[: len(inner)] == inner:
            del state.rounds[key]
    for key, (_, scope) in list(state.ready.items()):
        if scope[: len(inner)] == inner:
            del state.ready[key]


def exited(state: Execution, event: RegionExited) -> None:
    """Close a region: what leaves it is resolved, with the items of its iterations in order."""
    place = place_of(event.node_id, event.scope)
    if state.ready:
        state.ready.pop(place, None)
    rounds = state.rounds.pop(place, None)
    failed = rounds.failed if rounds is not None else {}
    for index in event.live:
        parts: list[Live] = []
        for k in range(event.iterations):
            inner = (*event.scope, (event.node_id, k))
            live = None if k in failed else state.edges.get(edge_key(index, inner))
            if live is not None:
                parts.append(live)
        state.edges[edge_key(index, event.scope)] = Live("", "", parts=tuple(parts))
    for index in event.dead:
        state.edges[edge_key(index, event.scope)] = None
    lost = tuple(range(event.iterations)) if event.failed else tuple(failed)
    state.over[place] = Over(event.node_id, event.scope, event.iterations, lost)
    if event.skipped:
        state.runs[place] = Run(event.node_id, event.scope, event.run, "SKIPPED")
        state.steps = event.step
    settle(state, event.scope)


def settle(state: Execution, scope: Scope) -> None:
    """Count a node or region of an iteration that has come to its end."""
    if not scope:
        return
    node_id, k = scope[-1]
    place = place_of(node_id, scope[:-1])
    rounds = state.rounds.get(place)
    if rounds is None or k not in rounds.pending:
        return
    left = rounds.pending[k] - 1
    pending = {each: count for each, count in rounds.pending.items() if each != k}
    if left:
        pending[k] = left
    state.rounds[place] = replace(rounds, pending=pending)


def _live(parts: tuple[Part, ...]) -> Live:
    lives = tuple(Live(source, port, picks) for source, port, picks in parts)
    return lives[0] if len(lives) == 1 else Live("", "", parts=lives)


def _purge(state: Execution, inner: Scope) -> None:
    """Forget the iterations that an earlier run of the region had."""
    prefix = place_of("", inner).removesuffix(".-1@")
    for known in (state.runs, state.edges, state.over):
        for key in [key for key in known if key.startswith(f"{prefix}.")]:
            del known[key]
