"""Streams of the engine that speak with each other: commands in, messages delivered in order.

No shell, no bus: every message that a stream sends to the engine's own commands is decided by the
stream it is for, one after the other from each source to each target, in an order that a `Random`
may choose across sources. Every event is folded through JSON and back.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import msgspec
from perdure_common.decider import Decider, Due, Lookup, Outgoing, Recorded, Rejected
from perdure_contracts.engine import NodeResult, NodeTask
from perdure_engine.app import service_with
from perdure_engine.executions.queueing import NO_LIMITS, Limits
from perdure_engine.executions.route import COMMANDS, TASKS
from perdure_engine.executions.state import Execution
from perdure_engine.gates.state import Gate
from perdure_engine.promises import Judge

TENANT = "tenant"


@dataclass
class Streams:
    """The engine's streams of one installation, in memory."""

    limits: Limits = NO_LIMITS
    random: Random | None = None
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    states: dict[str, Any] = field(default_factory=dict[str, Any])
    events: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    refused: list[tuple[str, Rejected]] = field(default_factory=list[tuple[str, Rejected]])
    tasks: dict[str, NodeTask] = field(default_factory=dict[str, NodeTask])
    rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    broken: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    under_way: dict[tuple[str, str], deque[Outgoing]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    _judges: dict[str, Judge] = field(default_factory=lambda: defaultdict(Judge))

    def __post_init__(self) -> None:
        deciders = service_with(limits=self.limits).deciders
        self._by_command = {kind: each for each in deciders for kind in each.commands}
        self._by_stream: dict[str, Decider[Any, Any, Any]] = {}

    # In -----------------------------------------------------------------------------------

    def send(self, command: Any) -> Rejected | None:
        """Let a command be decided, and all that follows from it."""
        decider = self._by_command[type(command)]
        answer = self._decide(decider, decider.stream_of(command), command)
        self.settle()
        return answer

    def settle(self) -> None:
        """Deliver what is under way until nothing is."""
        while self.under_way:
            pairs = sorted(self.under_way)
            pair = self.random.choice(pairs) if self.random is not None else pairs[0]
            queue = self.under_way[pair]
            outgoing = queue.popleft()
            if not queue:
                del self.under_way[pair]
            message: Any = outgoing.message
            decider = self._by_command[type(message)]
            self._decide(decider, decider.stream_of(message), message)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and every wake fire that falls due."""
        self.now += timedelta(seconds=seconds)
        due = True
        while due:
            due = False
            for stream, decider in list(self._by_stream.items()):
                at = decider.wake_at(self.states[stream])
                if at is not None and at <= self.now:
                    self._decide(decider, stream, Due(stream))
                    due = True
            self.settle()

    def answer(self, execution_id: str) -> None:
        """Let the runner answer every attempt under way of an execution."""
        for token in list(self.execution(execution_id).tokens):
            task = self.tasks[token]
            ports = {"main": [{"json": each} for each in task.items]}
            self.send(
                NodeResult(execution_id=execution_id, token=token, outcome="completed", ports=ports)
            )

    # Out ----------------------------------------------------------------------------------

    def execution(self, execution_id: str) -> Execution:
        """Return an execution as it stands."""
        state = self.states[execution_id]
        assert isinstance(state, Execution)
        return state

    def gates(self) -> list[Gate]:
        """Return the gates there are."""
        return [state for state in self.states.values() if isinstance(state, Gate)]

    def told(self, stream: str, kind: type) -> list[Any]:
        """Return the events of a kind in a stream."""
        return [event for event in self.events[stream] if isinstance(event, kind)]

    def _decide(self, decider: Decider[Any, Any, Any], stream: str, command: Any) -> Any:
        state = self.states.get(stream, decider.initial)
        lookups = decider.facts(state, command)
        facts = {name: self._rows(lookup) for name, lookup in lookups.items()}
        before = msgspec.json.encode(state)
        decided = decider.decide(state, command, facts, self.now)
        assert msgspec.json.encode(state) == before, "decide changed the state"
        if isinstance(decided, Rejected):
            self.refused.append((stream, decided))
            return decided
        for event in decided:
            again: Any = msgspec.json.decode(
                msgspec.json.encode(event), type=cast("type[Any]", type(event))
            )
            assert again == event
            self.states[stream] = decider.evolve(self.states.get(stream, decider.initial), again)
            self._by_stream[stream] = decider
            self.events[stream].append(event)
            version = len(self.events[stream])
            recorded = Recorded(event, TENANT, stream, version, self.now)
            self.broken.extend(self._judges[stream].see(recorded))
            for upsert in decider.project(self.states[stream], recorded):
                key = tuple(upsert.key.values())
                row = self.rows[upsert.table].setdefault(key, dict(upsert.key))
                row.update(upsert.set)
            for outgoing in decider.route(self.states[stream], recorded):
                self._take(stream, outgoing)
        return None

    def _take(self, source: str, outgoing: Outgoing) -> None:
        if outgoing.topic == TASKS and isinstance(outgoing.message, NodeTask):
            self.tasks[outgoing.message.token] = outgoing.message
        elif outgoing.topic == COMMANDS:
            self.under_way[source, outgoing.stream].append(outgoing)

    def _rows(self, lookup: Lookup) -> Sequence[Mapping[str, Any]]:
        where = {**lookup.where, "tenant_id": TENANT}
        return [
            {name: row.get(name) for name in lookup.columns}
            for row in self.rows[lookup.table].values()
            if all(row.get(name) == value for name, value in where.items())
        ]

    def check(self) -> None:
        """Assert that no promise is broken, and that every stream folds to what it is."""
        assert self.broken == []
        for stream, events in self.events.items():
            decider = self._by_stream[stream]
            assert decider.fold(events) == self.states[stream]
            text = msgspec.json.encode(self.states[stream])
            kind = cast("type[Any]", type(self.states[stream]))
            if kind in (Gate, Execution):
                assert msgspec.json.decode(text, type=kind) == self.states[stream]
