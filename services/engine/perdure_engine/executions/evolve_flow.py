"""State from the events of races. Like `evolve`, whose arms these are."""

from perdure_contracts.engine import NodeCanceled
from perdure_contracts.flow import RaceLost

from .evolve_regions import settle
from .state import Execution, edge_key, flow_of, place_of


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
