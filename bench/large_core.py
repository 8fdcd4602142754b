"""Large executions in the engine's core, for `bench.foreach`: what the core alone takes of it.

Decided, folded, projected, routed and encoded in memory as the shell does it, answered by the
runner's code; no shell, database or Kafka. Times are CPU time of this process.
"""

import gc
import time
import tracemalloc
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from perdure_common.decider import Due, Recorded, Rejected
from perdure_common.shell import codec
from perdure_common.shell.codec import decode_body, encode_body
from perdure_common.shell.intake import Registry
from perdure_common.shell.ports import JournalRow, Snapshot
from perdure_common.shell.remake import restore
from perdure_common.shell.snapshots import is_due
from perdure_contracts.engine import NodeTask, SaveWorkflow, StartExecution
from perdure_contracts.message import NAMES
from perdure_engine.app import service
from perdure_engine.definition import validate
from perdure_engine.executions.decider import decider_with
from perdure_engine.executions.state import Execution
from perdure_engine.runner.answers import answer_of
from perdure_engine.runner.perform import at_once
from perdure_engine.workflows.decider import decider as definitions

ITEMS = 10_000
BRANCHES = 1_000
RUNS = 10_000
NODES = 1_000

ID = "00000000-0000-7000-8000-000000000abc"
decider = decider_with(10.0)


def node(node_id: str, kind: str, **more: Any) -> dict[str, Any]:
    """Return a node; `kind` is `TYPE.SUBTYPE`."""
    node_type, _, subtype = kind.partition(".")
    return {"node_id": node_id, "node_type": node_type, "node_subtype": subtype, **more}


def edge(source: str, target: str, port: str = "main", into: str = "main") -> dict[str, Any]:
    """Return a connection."""
    return {
        "source_node_id": source,
        "target_node_id": target,
        "source_port": port,
        "target_port": into,
    }


def foreach() -> dict[str, Any]:
    """Return a workflow that computes with each item for itself."""
    values = {"twice": "{{ $json.n * 2 }}"}
    return {
        "name": "foreach",
        "nodes": [
            node("start", "TRIGGER.MANUAL"),
            node("each", "FLOW.FOREACH", parameters={"max_concurrency": 100}),
            node("body", "ACTION.SET", parameters={"values": values}),
        ],
        "connections": [
            edge("start", "each"),
            edge("each", "body", "item"),
            edge("body", "each"),
        ],
    }


def fan(branches: int, *, dispatched: bool) -> dict[str, Any]:
    """Return a workflow of as many steps side by side, which one joins."""
    place = {"run_in": "runner"} if dispatched else {}
    names = [f"n{at}" for at in range(branches)]
    return {
        "name": "fan",
        "nodes": [
            node("start", "TRIGGER.MANUAL"),
            *(node(name, "FLOW.NOOP", **place) for name in names),
            node("join", "FLOW.NOOP"),
        ],
        "connections": [
            *(edge("start", name) for name in names),
            *(edge(name, "join") for name in names),
        ],
    }


def long(nodes: int) -> dict[str, Any]:
    """Return a workflow of as many nodes, each with an expression and some with a condition."""
    made = [node("start", "TRIGGER.MANUAL")]
    links: list[dict[str, Any]] = []
    last, port = "start", "main"
    for at in range(nodes - 1):
        name = f"n{at}"
        if at % 5 == 4:
            made.append(node(name, "FLOW.IF", parameters={"condition": "{{ $json.a > 1 }}"}))
        else:
            values = {"a": "{{ $json.a + 1 }}", "b": "{{ $('start').first().json.b }}"}
            made.append(node(name, "ACTION.SET", parameters={"values": values}))
        links.append(edge(last, name, port))
        last, port = name, "true" if at % 5 == 4 else "main"
    return {"name": "long", "nodes": made, "connections": links}


@dataclass
class Played:
    """An execution as the shell plays it.

    `bodies` are its events if they are `kept`, `grown` the bytes of those since the snapshot.
    """

    definition: dict[str, Any]
    kept: bool = False
    state: Execution = field(default_factory=lambda: decider.initial)
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    snapshot: Snapshot | None = None
    grown: int = 0
    count: int = 0
    _waiting: deque[Any] = field(default_factory=deque)
    _now: datetime = field(default_factory=lambda: datetime.now(UTC))
    _version: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def run(self, data: Any) -> "Played":
        """Play the execution from its start to its end."""
        sha256 = validate(self.definition).sha256
        self._version = {"definition": self.definition, "sha256": sha256, "workspace_id": ID}
        start = StartExecution(
            execution_id=ID, workflow_id=ID, version=1, node_id="start", mode="MANUAL",
            triggered_by="MANUAL:start", trigger={"id": "bench"}, data=data,
        )  # fmt: skip
        self._waiting.append(start)
        while self._waiting or self.state.status == "RUNNING":
            self._take(self._waiting.popleft() if self._waiting else Due(ID))
        assert self.state.status == "SUCCESS", self.state.status
        return self

    def _take(self, command: Any) -> None:
        act = decider.act
        assert act is not None
        facts = {name: (self._version,) for name in decider.facts(self.state, command)}
        refused = act(self.state, command, facts, self._now, self._happen)
        assert refused is None, refused
        decider.wake_at(self.state)
        known = self.snapshot
        version, size = (0, 0) if known is None else (known.version, len(known.state))
        if self.kept and is_due(self.count - version, self.grown, size):
            text = codec.encode_frame(decider.name, "tenant", self.state)
            self.snapshot = Snapshot(ID, self.count, decider.state_version, text)
            self.grown = 0

    def _happen(self, event: Any) -> Execution:
        self.count += 1
        body = encode_body(event)
        if self.kept:
            self.bodies.append((NAMES[type(event)], body))
            self.grown += len(body)
        self.state = decider.evolve(self.state, event)
        recorded = Recorded(event, "tenant", ID, self.count, self._now)
        for outgoing in decider.route(self.state, recorded):
            if isinstance(outgoing.message, NodeTask):
                self._waiting.append(_answered(encode_body(outgoing.message)))
        decider.project(self.state, recorded)
        return self.state


def _answered(body: bytes) -> Any:
    answer = at_once(decode_body(NAMES[NodeTask], body), "runner")
    assert answer is not None
    return decode_body("engine.node-result.v1", answer_of(answer, "tenant", "runner", 8).value)


def items() -> float:
    """Return the items of a FOREACH that are done in a second."""
    played = Played(foreach())
    began = time.process_time()
    played.run([{"n": n} for n in range(ITEMS)])
    taken = time.process_time() - began
    assert len(played.state.runs["each"].ports["done"]) == ITEMS
    return ITEMS / taken


def fanout() -> float:
    """Return the seconds that dispatched steps side by side and their join take."""
    played = Played(fan(BRANCHES, dispatched=True))
    began = time.process_time()
    played.run({"n": 1})
    return time.process_time() - began


def resume() -> tuple[float, float]:
    """Return how long an execution of many runs takes to be folded again, and its MB."""
    played = Played(fan(RUNS - 2, dispatched=False), kept=True).run({"n": 1})
    after = 0 if played.snapshot is None else played.snapshot.version
    now = datetime.now(UTC)
    rows = [
        JournalRow("0", at, ID, at, "tenant", name, body.decode(), "{}", now)
        for at, (name, body) in enumerate(played.bodies, 1)
        if at > after
    ]
    registry, snapshot = Registry(service), played.snapshot
    del played
    gc.collect()
    began = time.process_time()
    held = restore(registry, snapshot, rows)
    taken = time.process_time() - began
    assert len(held.state.runs) >= RUNS
    del held
    gc.collect()
    tracemalloc.start()
    held = restore(registry, snapshot, rows)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held.version
    return taken, size / 1e6


def deploy() -> float:
    """Return the milliseconds until a workflow of many nodes is a version with its rows."""
    best = float("inf")
    for n in range(3):
        definition = {**long(NODES), "name": f"long {n}"}  # each is new: nothing is remembered
        body = msgspec.json.encode(SaveWorkflow(workflow_id=ID, definition=definition))
        began = time.process_time()
        command = decode_body(NAMES[SaveWorkflow], body)
        decided = definitions.decide(definitions.initial, command, {}, datetime.now(UTC))
        assert not isinstance(decided, Rejected), decided
        (saved,) = decided
        encode_body(saved)
        state = definitions.evolve(definitions.initial, saved)
        recorded = Recorded(saved, "tenant", ID, 1, datetime.now(UTC))
        assert len(definitions.project(state, recorded)) > NODES
        best = min(best, time.process_time() - began)
    return best * 1e3
