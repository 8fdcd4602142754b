"""A command being decided: events happen as they are made.

Whatever decides sees the state with all events so far in it, so that `decide` and `evolve`
cannot disagree.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from perdure_contracts.engine import Scope
from perdure_contracts.executions import ExecutionEvent, ExecutionYielded

from perdure_engine.definition import Node, Workflow

from .instants import text_of
from .state import Execution, edge_key, place_of

FUEL = 1_000
"""Node runs that one command may begin; the rest goes on with a wake that is due at once."""


@dataclass(slots=True)
class Progress:
    """The state so far, and the nodes that are ready to run.

    `happen` lets an event happen and returns the state after it; `verdict_wait_s` is how long
    recovery is waited for, in seconds.
    """

    state: Execution
    workflow: Workflow
    now: datetime
    verdict_wait_s: float
    happen: Callable[[ExecutionEvent], Execution]
    fuel: int = FUEL
    queue: deque[tuple[Node, Scope]] = field(default_factory=deque[tuple[Node, Scope]])
    queued: set[str] = field(default_factory=set[str])

    @property
    def at(self) -> str:
        """The batch's instant as ISO text."""
        return text_of(self.now)

    def record(self, event: ExecutionEvent) -> None:
        """Let an event happen."""
        self.state = self.happen(event)

    def enqueue(self, node: Node, scope: Scope) -> None:
        """Let a node run, once."""
        place = place_of(node.node_id, scope)
        if place not in self.queued:
            self.queued.add(place)
            self.queue.append((node, scope))

    def resolved(self, node: Node, scope: Scope) -> None:
        """Enqueue the nodes behind `node` whose in-edges are all resolved now (rule 2)."""
        workflow, edges, runs = self.workflow, self.state.edges, self.state.runs
        for edge in workflow.out_edges(node):
            target = workflow.nodes[edge.target]
            if place_of(target.node_id, scope) in runs:
                continue
            # From the last one on: where many lead to one node, they are mostly resolved in order.
            for each in reversed(workflow.in_edges(target)):
                if edge_key(each.index, scope) not in edges:
                    break
            else:
                self.enqueue(target, scope)

    def yield_rest(self) -> None:
        """Leave what is ready to the next wake, which is due at once."""
        ready = tuple((node.node_id, scope) for node, scope in self.queue)
        self.queue.clear()
        self.record(
            ExecutionYielded(execution_id=self.state.execution_id, ready=ready, yielded_at=self.at)
        )

    def since_ms(self, moment: datetime | None) -> int:
        """Return the whole milliseconds from `moment` to now, 0 where it is not known."""
        if moment is None:
            return 0
        return max(0, round((self.now - moment).total_seconds() * 1000))
