"""A command being decided: events happen as they are made.

Whatever decides sees the state with all events so far in it, so that `decide` and `evolve`
cannot disagree.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from perdure_contracts.engine import Scope
from perdure_contracts.executions import ExecutionEvent, ExecutionYielded

from perdure_engine.definition import Edge, Node, Workflow
from perdure_engine.expressions import Meter

from .instants import text_of
from .state import Execution, edge_key, place_of

OUTPUT_BYTES_MAX = 8 * 1024 * 1024
"""What a run may emit, and be given, as JSON, where nobody says otherwise."""

FUEL = 1_000
"""Node runs that one command may begin; the rest goes on with a wake that is due at once."""

UNITS_A_RUN = 10_000
"""Units of work of expressions (`perdure_expressions.limits`) that count as one node run: 1 ms."""


@dataclass(slots=True, eq=False)
class Progress:
    """The state so far, and the nodes that are ready to run.

    `happen` lets an event happen and returns the state after it; `checks` are regions in which
    something has ended, `starved` those that can begin an iteration and have no fuel for it, by
    the place of their entry. `races` are those that something has arrived at, `late` what
    arrived at one that had been won. `verdict_wait_s` is how long recovery is waited for, in
    seconds; `output_bytes_max` how large what a node emits may be.
    """

    state: Execution
    workflow: Workflow
    now: datetime
    verdict_wait_s: float
    happen: Callable[[ExecutionEvent], Execution]
    output_bytes_max: int = OUTPUT_BYTES_MAX
    fuel: int = FUEL
    queue: deque[tuple[Node, Scope]] = field(default_factory=deque)
    queued: set[str] = field(default_factory=set)
    checks: dict[str, tuple[str, Scope]] = field(default_factory=dict)

    starved: dict[str, tuple[str, Scope]] = field(default_factory=dict)
    races: dict[str, tuple[str, Scope]] = field(default_factory=dict)
    late: list[tuple[Edge, Scope]] = field(default_factory=list)

    @property
    def at(self) -> str:
        """The batch's instant as ISO text."""
        return text_of(self.now)

    def record(self, event: ExecutionEvent) -> None:
        """Let an event happen."""
        self.state = self.happen(event)

    def worked(self, meter: Meter) -> None:
        """Spend fuel for what the expressions of a run did: no turn lasts long."""
        self.fuel -= meter.spent // UNITS_A_RUN

    def enqueue(self, node: Node, scope: Scope) -> None:
        """Let a node run, once."""
        place = place_of(node.node_id, scope)
        if place not in self.queued:
            self.queued.add(place)
            self.queue.append((node, scope))

    def take_up(self) -> None:
        """Enqueue what an earlier batch left ready; not before its time, if it was to wait.

        An open loop is looked at: it may have ended when its turn comes.
        """
        state = self.state
        if state.yielded_at is not None and state.yielded_at > self.now:
            return
        for place, (node_id, scope) in state.ready.items():
            if place in state.rounds:
                self.look_at(node_id, scope)
            else:
                self.enqueue(self.workflow.by_id[node_id], scope)

    def resolved(self, node: Node, scope: Scope) -> None:
        """Enqueue the nodes behind `node` whose in-edges are all resolved now (rule 2)."""
        for edge in self.workflow.leaving_edges(node):
            self.reach(edge, scope)
        self.check(scope)

    def all_resolved(self, nodes: Iterable[Node], scope: Scope) -> None:
        """Enqueue what is behind several nodes; a target of many of them is looked at once."""
        seen: set[int] = set()
        for node in nodes:
            for edge in self.workflow.leaving_edges(node):
                if edge.target not in seen:
                    self.reach(edge, scope)
                if edge.target not in self.workflow.eager:
                    seen.add(edge.target)
        self.check(scope)

    def reach(self, edge: Edge, scope: Scope) -> None:
        """Enqueue the target of an edge that was resolved in `scope`, if nothing else is awaited.

        An edge that leaves a region waits for its end, one that leads back is the region's own.
        """
        workflow, state = self.workflow, self.state
        target = workflow.nodes[edge.target]
        if len(scope) != workflow.gathering_depth[edge.target] or edge.index in workflow.back:
            return
        place = place_of(target.node_id, scope)
        if edge.target in workflow.eager:
            self._reach_eager(edge, target, scope, place)
            return
        if place in state.runs or place in state.rounds or place in state.over:
            return
        if place in self.queued:
            return
        edges = state.edges
        # From the last one on: where many lead to one node, they are mostly resolved in order.
        for each in reversed(workflow.forward_edges(target)):
            if edge_key(each.index, scope) not in edges:
                return
        self.enqueue(target, scope)

    def _reach_eager(self, edge: Edge, target: Node, scope: Scope, place: str) -> None:
        """Let a node be looked at that does not wait for all of its in-edges."""
        state = self.state
        if target.join == "each":
            if place not in state.over:
                self.look_at(target.node_id, scope)
        elif place in state.runs:
            self.late.append((edge, scope))
        elif state.edges.get(edge_key(edge.index, scope)) is not None or all(
            edge_key(each.index, scope) in state.edges for each in self.workflow.in_edges(target)
        ):
            self.enqueue(target, scope)

    def check(self, scope: Scope) -> None:
        """Let the region of an iteration be looked at: something in it has ended."""
        if scope:
            self.look_at(scope[-1][0], scope[:-1])

    def look_at(self, node_id: str, scope: Scope) -> None:
        """Let the region of an entry be looked at before the next node runs."""
        self.checks[place_of(node_id, scope)] = (node_id, scope)

    def starve(self, node_id: str, scope: Scope) -> None:
        """Let a region's next iteration begin with the next wake: the fuel is spent."""
        self.starved[place_of(node_id, scope)] = (node_id, scope)

    def forget(self, within: Scope) -> None:
        """Forget what is ready in a scope: it has come to its end."""
        depth = len(within)
        self.queue = deque(each for each in self.queue if each[1][:depth] != within)
        for places in (self.checks, self.starved, self.races):
            for place in [place for place, each in places.items() if each[1][:depth] == within]:
                del places[place]

    def yield_rest(self) -> None:
        """Leave what is ready to the next wake, which is due at once."""
        ready = [(node.node_id, scope) for node, scope in self.queue]
        ready.extend(self.starved.values())
        ready.extend(self.races.values())
        self.queue.clear()
        self.starved.clear()
        self.races.clear()
        self.record(
            ExecutionYielded(
                execution_id=self.state.execution_id, ready=tuple(ready), yielded_at=self.at
            )
        )

    def since_ms(self, moment: datetime | None) -> int:
        """Return the whole milliseconds from `moment` to now, 0 where it is not known."""
        if moment is None:
            return 0
        return max(0, round((self.now - moment).total_seconds() * 1000))
