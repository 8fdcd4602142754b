"""What goes wrong around an execution, and must make no difference to what it means.

The process that has its state dies, and another one makes the state again from the journal. A
runner answers though its attempt was settled, timed out or cancelled long ago.
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

import msgspec
from perdure_common.decider import Rejected
from perdure_contracts.engine import NodeResult
from perdure_contracts.executions import NodeScheduled
from perdure_engine.executions.state import Execution, place_of
from playing import Play, decider

LATE = {"n": 4, "late": True}
"""What a late answer says: nothing that was ever asked for."""


@dataclass
class Faults:
    """The faults of one story; `kept` are snapshots of states, with how many events are in them."""

    random: Random
    seen: Counter[str]
    kept: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def crash(self, play: Play) -> None:
        """Lose the state of an execution, and make it again from what was stored."""
        count, snapshot = self.kept.get(play.execution_id, (0, b""))
        from_start = not count or self.random.random() < 0.5
        state = decider.initial if from_start else msgspec.json.decode(snapshot, type=Execution)
        for event in play.events[0 if from_start else count :]:
            again = msgspec.json.decode(msgspec.json.encode(event), type=type(event))
            state = decider.evolve(state, again)
        assert state == play.state, "the journal makes another state than there was"
        play.state = state
        self.seen["crashed" if from_start else "crashed with a snapshot"] += 1
        if self.random.random() < 0.5:
            self.kept[play.execution_id] = (len(play.events), msgspec.json.encode(state))

    def late(self, play: Play) -> None:
        """Answer an attempt that is over: it is refused as stale, and changes nothing."""
        over = [task for token, task in play.tasks.items() if token not in play.state.tokens]
        if not over:
            return
        task = self.random.choice(over)
        answer = NodeResult(
            execution_id=play.execution_id,
            token=task.token,
            outcome="completed",
            ports={"main": [{"json": LATE} for _ in task.items]},
        )
        before, state = len(play.events), msgspec.json.encode(play.state)
        refused = play.ask(answer)
        assert isinstance(refused, Rejected), f"an answer was taken that came too late: {task}"
        assert refused.code == "stale_result", refused
        assert (len(play.events), msgspec.json.encode(play.state)) == (before, state)
        self.seen[f"late, {self._status(play, task.token)}"] += 1

    def _status(self, play: Play, token: str) -> str:
        for event in play.told(NodeScheduled):
            if event.token == token:
                run = play.state.runs.get(place_of(event.node_id, event.scope))
                return "no run any more" if run is None else run.status
        raise AssertionError(f"nothing was scheduled with the token {token}")
