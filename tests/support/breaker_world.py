"""Recovery and its runners around one dependency that is down for a while, in a world from a seed.

Recovery's streams are the real ones (`World`), and so is what each runner knows of breakers
(`Dependencies`). News take their time, and come to each in the order in which they were sent, but
to one sooner than to another. Which runner gets an attempt is as a partition would have it, or not.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from perdure_common.breaking import breaker_of
from perdure_common.decider import Outgoing
from perdure_contracts.breakers import BreakerTurned, DependencyCalls
from perdure_contracts.deciding import IncidentOpened, NoteProbe
from perdure_contracts.engine import ErrorFacts, NodeRecovered, RecoveryVerdict, RetryNode
from perdure_contracts.recovery import SetMode
from perdure_engine.runner.breakers import TELL_S
from perdure_engine.runner.dependencies import Begun, Called, Dependencies
from perdure_engine.runner.failures import Failed
from recovery_world import ERRORS, START, TENANT, Node, World

SHOP = "http:shop"
CALLED = Called(TENANT, SHOP)
BREAKER = f"{breaker_of(TENANT, SHOP)}/breaker"
CALL_MAX_S = 3.0
SETTLED_S = CALL_MAX_S + TELL_S + 2.0
"""How long after the dependency is well again the last failure of before has been told."""
NEWS_MAX_S = 3.0
LIFE_S = 3_600.0


class BreakerWorld(World):
    """One world, in which the shop is down until `well_s`.

    `possible_s` is the first instant after that at which a breaker and all incidents let a call
    through, `waits_s` how long each node waited from then on that was held back, `followed_s` how
    long from the first call on that is answered (`first_s`). `orders` are the orders of events in
    which a probe was turned away, `unjust` what was taken for a failure of the shop, and was none.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed, crashes=False)
        self.well_s = self.random.uniform(5, 150)
        self.runners = [
            Dependencies(runner=f"r{n}", now=lambda: self.now, time_s=lambda: self.elapsed_s)
            for n in range(self.random.randrange(1, 4))
        ]
        self.home: dict[str, int] = {}
        self.strays = self.random.choice((0.0, 0.0, 0.2))
        self.slow_s = [self.random.choice((0.05, 0.3, 1.0)) for _ in self.runners]
        self.numbers = [0] * len(self.runners)
        self.order: dict[tuple[str, str], float] = {}
        self.source = ""
        self.possible_s: float | None = None
        self.held_s: dict[str, float] = {}
        self.first_s: float | None = None
        self.waits_s: dict[str, float] = {}
        self.followed_s: dict[str, float] = {}
        self.news: dict[int, BreakerTurned] = {}
        self.orders: set[str] = set()
        self.refused: set[str] = set()
        self.unjust: list[str] = []

    @property
    def elapsed_s(self) -> float:
        return (self.now - START).total_seconds()

    def play(self) -> "BreakerWorld":
        """Let it happen, until nobody waits any more or an hour has passed."""
        self._hear(SetMode(workspace_id="ws", mode="auto", set_by="ann", people="tell"))
        for n in range(self.random.randrange(3, 16)):
            node = Node(
                execution_id=f"e{n}", effect="pure", dependency=SHOP, means=None,
                deadline=START + timedelta(seconds=LIFE_S),
            )  # fmt: skip
            self.nodes[node.execution_id] = node
            self.home[node.execution_id] = self.random.randrange(len(self.runners))
            begins_s = self.random.uniform(0, self.random.choice((2, 20, self.well_s + 60)))
            self.at(begins_s, lambda node=node: self._run(node))
        for n, runner in enumerate(self.runners):
            runner.hurry = lambda n=n: self.at(0.0, lambda: self._tell(n))
            self.at(self.random.uniform(0, TELL_S), lambda n=n: self._tells(n))
        self.at(self.well_s + SETTLED_S, self._look)
        self.go_on(lambda: self.elapsed_s > LIFE_S or all(n.ended for n in self.nodes.values()))
        for name in self.held_s:
            self.waits_s[name] = self.followed_s[name] = LIFE_S  # it waits still
        return self

    def _look(self) -> None:
        """Note the instant from which a call can be made that is answered."""
        if self.possible_s is not None or self.elapsed_s < self.well_s + SETTLED_S:
            return
        breaker = self.streams.get(BREAKER)
        shut = any(
            stream.state.incident_id and stream.state.gate == "shut"
            for name, stream in self.streams.items()
            if name.endswith("/incident")
        )
        if not shut and (breaker is None or breaker.state.state != "open"):
            self.possible_s = self.elapsed_s

    # News --------------------------------------------------------------------------------

    def _record(self, name: str, stream: Any, event: Any) -> None:
        self.source = name
        super()._record(name, stream, event)
        if isinstance(event, IncidentOpened):
            self.orders.add("incident")
        self._look()

    def _send(self, outgoing: Outgoing) -> None:
        message = outgoing.message
        match message:
            case RecoveryVerdict() | RetryNode():
                self._after(outgoing.stream, 0.05, lambda: self._engine(message, 0.0))
            case BreakerTurned():
                if message.state == "open" and self.elapsed_s > self.well_s + SETTLED_S:
                    self.unjust.append(f"at {self.elapsed_s:.1f} s: {message.reason}")
                for n in range(len(self.runners)):
                    self._after(f"r{n}", self.slow_s[n], lambda n=n: self._heard(n, message))
            case NoteProbe() if not message.succeeded and message.attempt_id in self.refused:
                self.unjust.append(f"at {self.elapsed_s:.1f} s: {message.attempt_id} made no call")
            case _:
                self._after(outgoing.stream, 0.05, lambda: self._hear(message))

    def _heard(self, n: int, turned: BreakerTurned) -> None:
        self.news[n] = turned
        self.runners[n].turn(turned)

    def _after(self, to: str, mean_s: float, what: Callable[[], None]) -> None:
        """Let somebody hear what one stream tells, behind what it told before."""
        way = (self.source, to)
        at_s = self.elapsed_s + min(NEWS_MAX_S, self.random.expovariate(1 / mean_s))
        self.order[way] = max(at_s, self.order.get(way, 0.0) + 1e-6)
        self.at(self.order[way] - self.elapsed_s, what)

    def _tells(self, n: int) -> None:
        self._tell(n)
        self.at(TELL_S, lambda: self._tells(n))

    def _tell(self, n: int) -> None:
        runner = self.runners[n]
        self.source = runner.runner
        for called, heard in runner.take():
            self.numbers[n] += 1
            calls = DependencyCalls(
                breaker_id=called.breaker_id, dependency=called.dependency, runner=runner.runner,
                n=self.numbers[n], ok=heard.ok, failed=heard.failed, in_a_row=heard.in_a_row,
                told_at=self.now.isoformat(), probe_at=heard.probe_at,
                probe_ok=heard.probe_ok, probe_failed=heard.probe_failed,
            )  # fmt: skip
            self._after("breaker", 0.05, lambda calls=calls: self._hear(calls))

    # Attempts ----------------------------------------------------------------------------

    def _run(self, node: Node) -> None:
        if node.ended:
            return
        node.begun += 1
        node.waiting = False
        strays = self.random.random() < self.strays
        n = self.random.randrange(len(self.runners)) if strays else self.home[node.execution_id]
        begun = self.runners[n].begin(CALLED)
        name = node.execution_id
        if isinstance(begun, Failed):
            self.held_s.setdefault(name, self.elapsed_s)
            self._turned_away(node, n)
            error = begun.error
            self.at(self.random.uniform(0.01, 0.2), lambda: self._answered(node, error))
            return
        since_s = self.held_s.pop(name, None)
        if self.possible_s is not None:
            self.first_s = self.elapsed_s if self.first_s is None else self.first_s
            if since_s is not None:
                _longer(self.waits_s, name, self.elapsed_s - max(since_s, self.possible_s))
                _longer(self.followed_s, name, self.elapsed_s - max(since_s, self.first_s))
        fails = self.elapsed_s < self.well_s
        error = ErrorFacts(message="down", dependency=SHOP, stage="call", **ERRORS["down"])
        answered = partial(self._called, node, n, begun, error if fails else None)
        self.at(self.random.uniform(0.05, CALL_MAX_S), answered)

    def _turned_away(self, node: Node, n: int) -> None:
        """Note in which order of events an attempt that was to go and see is turned away."""
        stream = self.streams.get(node.execution_id)
        episodes = stream.state.episodes.values() if stream is not None else ()
        attempts = [each.attempt for each in episodes if each.attempt is not None]
        self.refused |= {each.attempt_id for each in attempts}
        if not any(each.probe_of for each in attempts):
            return
        news, stands = self.news[n], self.streams[BREAKER].state.state
        if news.state == "open":
            self.orders.add("early" if stands == "half_open" else "open")
        elif news.prober not in ("", self.runners[n].runner):
            strays = n != self.home[node.execution_id]
            self.orders.add("elsewhere" if strays else "not the prober")

    def _called(self, node: Node, n: int, begun: Begun, error: ErrorFacts | None) -> None:
        self.runners[n].heard(begun, error)
        self._answered(node, error)

    def _answered(self, node: Node, error: ErrorFacts | None) -> None:
        self.source = f"engine/{node.execution_id}"
        if node.ended:
            return
        if error is not None:
            self._failed(node, error)
            return
        node.ended = "SUCCESS"
        if node.attempt > 1:
            done = NodeRecovered(execution_id=node.execution_id, node_id="n", scope=(), run=1,
                                 attempt=node.attempt)  # fmt: skip
            self._say(done)

    def _engine(self, message: RecoveryVerdict | RetryNode, under_way_s: float) -> None:
        if isinstance(message, RecoveryVerdict) and message.verdict == "hold":
            self.held_s.setdefault(message.execution_id, self.elapsed_s)
        super()._engine(message, under_way_s)

    def _end(self, node: Node, status: str) -> None:
        self.held_s.pop(node.execution_id, None)
        super()._end(node, status)


def _longer(known: dict[str, float], name: str, seconds: float) -> None:
    known[name] = max(seconds, known.get(name, 0.0))
