"""State from events. Pure; a released arm is never edited, only joined by a new one.

The state given is changed in place and returned; the first event begins one of its own, because
the decider's `initial` is shared by all gates.
"""

from typing import assert_never

from perdure_contracts.admission import Gate as Wanted
from perdure_contracts.admission import (
    GateEvent,
    SlotAwaited,
    SlotEvicted,
    SlotLeft,
    SlotRefused,
    SlotTaken,
)

from .state import LANES_MAX, Gate, queue_of


def evolve(state: Gate, event: GateEvent) -> Gate:
    """Return `state` as it stands after `event`; it is changed in place."""
    if not state.gate_id:
        state = Gate(gate_id=event.gate_id)
    match event:
        case SlotTaken(again=True):
            pass
        case SlotTaken():
            _known(state, event.gate)
            _leave(state, event.execution_id)
            state.holders[event.execution_id] = None
            state.turn += 1
            state.turns.pop(event.lane, None)
            state.turns[event.lane] = state.turn
            _forget_lanes(state)
        case SlotAwaited():
            _known(state, event.gate)
            name = queue_of(event.priority, event.lane)
            state.queues.setdefault(name, {})[event.execution_id] = None
            state.waiting[event.execution_id] = name
        case SlotRefused():
            _known(state, event.gate)
        case SlotEvicted():
            state.evicted[event.execution_id] = None
        case SlotLeft():
            _leave(state, event.execution_id)
            state.holders.pop(event.execution_id, None)
            state.evicted.pop(event.execution_id, None)
        case _:
            assert_never(event)
    return state


def _known(state: Gate, wanted: Wanted | None) -> None:
    """Follow what the newest version of the workflow, or the newest setting, says of the gate."""
    if wanted is not None:
        state.kind, state.about, state.limit = wanted.kind, wanted.about, wanted.limit


def _leave(state: Gate, execution_id: str) -> None:
    """Take an execution out of its queue, if it waits."""
    name = state.waiting.pop(execution_id, None)
    if name is None:
        return
    queue = state.queues[name]
    queue.pop(execution_id, None)
    if not queue:
        del state.queues[name]


def _forget_lanes(state: Gate) -> None:
    """Forget the turns of lanes that nobody waits in, the oldest first, when they are many."""
    if len(state.turns) <= LANES_MAX:
        return
    waits = {name.partition("|")[2] for name in state.queues}
    for lane in list(state.turns):
        if len(state.turns) <= LANES_MAX:
            return
        if lane not in waits:
            del state.turns[lane]
