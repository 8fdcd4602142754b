"""What must be remembered of a gate: who holds a slot, who waits, and whose turn is next.

Like an execution's, the state is large and changed in place by `evolve`; `scratch` copies it.
Who waits stands in a queue for each priority and lane, so that finding the next one costs no more
for a thousand that wait than for one.
"""

from msgspec import Struct, field
from perdure_contracts.admission import PRIORITIES, GateKind

LANES_MAX = 1_000
"""Lanes of which is remembered when they had their turn, beyond those that wait."""


class Gate(Struct, gc=False):
    """A gate. `holders` and `waiting` are in the order in which they came.

    `queues` has, by priority and lane, who waits; `waiting` names the queue of each. `turns` is
    the number of the last turn that a lane had. `evicted` are those that are being cancelled.
    """

    gate_id: str = ""
    kind: GateKind = "key"
    about: str = ""
    limit: int = 1
    turn: int = 0
    holders: dict[str, None] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    queues: dict[str, dict[str, None]] = field(default_factory=dict)
    turns: dict[str, int] = field(default_factory=dict)
    evicted: dict[str, None] = field(default_factory=dict)

    def scratch(self) -> "Gate":
        """Return a copy that can be changed without changing this one."""
        return Gate(
            gate_id=self.gate_id,
            kind=self.kind,
            about=self.about,
            limit=self.limit,
            turn=self.turn,
            holders=self.holders.copy(),
            waiting=self.waiting.copy(),
            queues={name: queue.copy() for name, queue in self.queues.items()},
            turns=self.turns.copy(),
            evicted=self.evicted.copy(),
        )


def queue_of(priority: int, lane: str) -> str:
    """Return the name of the queue of a priority and a lane."""
    return f"{min(max(priority, 0), len(PRIORITIES) - 1)}|{lane}"


def _rank(gate: Gate, name: str) -> tuple[int, int, str]:
    """Return what orders queues: the higher priority, then the lane that waits for longer."""
    priority, _, lane = name.partition("|")
    return -int(priority), gate.turns.get(lane, 0), lane


def next_one(gate: Gate) -> str | None:
    """Return who is let in next, None if nobody waits."""
    if not gate.queues:
        return None
    name = min(gate.queues, key=lambda each: _rank(gate, each))
    return next(iter(gate.queues[name]))


def place_in_queue(gate: Gate, execution_id: str) -> int | None:
    """Return how many are let in before, as it stands now, plus one; None if it does not wait."""
    name = gate.waiting.get(execution_id)
    if name is None:
        return None
    own = _rank(gate, name)
    ahead = 0
    for each in gate.queues[name]:
        if each == execution_id:
            break
        ahead += 1
    before = ahead
    for other, queue in gate.queues.items():
        rank = _rank(gate, other)
        if other == name or rank[0] > own[0]:
            continue
        if rank[0] < own[0]:
            before += len(queue)
        else:  # lanes take turns: one of each for one of its own
            before += min(len(queue), ahead + (1 if rank < own else 0))
    return before + 1
