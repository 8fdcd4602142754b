"""Which runs go on when an ended execution is revived. Pure.

What ran in a region that is over, or in an iteration that has failed, is not wanted by anybody any
more: its outcome has been folded into the region's. So it does not go on by itself; the region's
own node does, from its beginning, where it failed.
"""

from perdure_contracts.engine import Scope

from .state import Execution, place_of, raced


def open_again(state: Execution, node_id: str, scope: Scope) -> tuple[str, Scope]:
    """Return the run that goes on in place of one: itself, or the outermost region that is over."""
    for depth, (region, iteration) in enumerate(scope):
        rounds = state.rounds.get(place_of(region, scope[:depth]))
        if rounds is None or iteration in rounds.failed:
            return region, scope[:depth]
    return node_id, scope


def reopened(state: Execution, node_id: str, scope: Scope) -> tuple[tuple[str, Scope], ...]:
    """Return the runs that go on when one is asked for: it, and what stopped with it."""
    found = {open_again(state, node_id, scope): None}
    for run in state.runs.values():
        at = (run.node_id, run.scope)
        if raced(state, place_of(*at)):
            continue  # a race was won without it
        if run.status in ("ERROR", "CANCELED") and open_again(state, *at) == at:
            found[at] = None
    return tuple(found)
