"""Recovery alone, with all its streams, in a world made from a seed: fast enough for thousands.

The engine, the runners and the people are played here by a few lines each; recovery's deciders are
the real ones. Messages take their time, some verdicts come too late, dependencies fail for a while,
people cancel, answer and switch recovery off. After every event, recovery may "crash": all streams
are folded anew from what was journalled, as JSON, and everything sent so far is made again.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
from perdure_common.breaking import breaker_of
from perdure_common.decider import Decider, Due, Facts, Lookup, Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import derived
from perdure_common.shell.codec import decode_body, encode_body
from perdure_contracts.asking import CancelInteraction, RequestInteraction
from perdure_contracts.breakers import BreakerTurned, DependencyCalls
from perdure_contracts.deciding import NoteAnswer
from perdure_contracts.engine import (
    EffectClass,
    ErrorFacts,
    ExecutionCanceled,
    ExecutionFailed,
    NodeErrored,
    NodeFailed,
    NodeRecovered,
    RecoveryVerdict,
    RetryNode,
)
from perdure_contracts.executions import AttemptDue
from perdure_contracts.failures import People, RecoveryMode, Sampler
from perdure_contracts.message import NAMES, Envelope
from perdure_contracts.recovery import SetMode
from perdure_contracts.undoing import NodeCompensated
from perdure_recovery.app import service
from perdure_recovery.hear import hear

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TENANT = "t"
DEPENDENCIES = ("http:shop", "llm:openai:m", "llm:anthropic:c")
DECIDERS: dict[str, Decider[Any, Any, Any]] = {d.name: d for d in service.deciders}
BY_COMMAND = {command: d for d in service.deciders for command in d.commands}

ERRORS: Mapping[str, Mapping[str, Any]] = {
    "down": {"type": "http_status", "status_code": 503, "effect_state": "unknown"},
    "limit": {"type": "rate_limit", "status_code": 429, "retry_after_s": 3.0,
              "effect_state": "refused"},
    "long": {"type": "context_length", "effect_state": "refused"},
    "bad": {"type": "output_invalid", "effect_state": "done"},
    "auth": {"type": "auth", "status_code": 401, "effect_state": "refused"},
    "bug": {"type": "code_failed", "effect_state": "unknown"},
    "held": {"type": "breaker_open", "effect_state": "not_sent", "retry_after_s": 5.0},
    "lost": {"type": "lease_expired", "effect_state": "unknown"},
}  # fmt: skip


@dataclass
class Stream:
    """A stream's journal as JSON, its state in memory, and what was decided about it."""

    decider: Decider[Any, Any, Any]
    state: Any
    journal: list[tuple[str, bytes, datetime]] = field(default_factory=list[Any])
    sent: list[bytes] = field(default_factory=list[bytes])
    decided: list[tuple[int, Any, Facts, datetime, list[bytes]]] = field(default_factory=list[Any])


@dataclass
class Node:
    """A node run as the engine sees it."""

    execution_id: str
    effect: EffectClass
    dependency: str
    means: Any
    deadline: datetime
    attempt: int = 1
    failure_id: str = ""
    waiting: bool = False
    until: datetime = START
    begun: int = 0
    ended: str = ""
    overrides: Any = None
    by_person: bool = False
    unsafe_in_doubt: bool = False
    undone: bool = False

    @property
    def undoes(self) -> bool:
        return self.overrides is not None and "compensate" in self.overrides

    under_way_s: float = 0.0


class Broken(AssertionError):
    """Something happened that must never happen."""


class World:
    """One world. `crashes` folds everything anew after every event."""

    def __init__(self, seed: int, *, crashes: bool = True) -> None:
        self.random = Random(seed)
        self.crashes = crashes
        self.now = START
        self.streams: dict[str, Stream] = {}
        self.tables: dict[str, dict[str, dict[str, Any]]] = {}
        self.queue: list[tuple[datetime, int, Callable[[], None]]] = []
        self.count = 0
        self.wakes: dict[str, datetime] = {}
        self.nodes: dict[str, Node] = {}
        self.mode: RecoveryMode = "auto"
        self.mode_at = START
        self.seen: set[str] = set()
        self.told = 0
        self.bad: dict[str, list[tuple[float, float, str]]] = {
            dependency: [self._trouble() for _ in range(self.random.randrange(1, 4))]
            for dependency in DEPENDENCIES
        }
        if self.random.random() < 0.3:  # a storm
            self.bad["http:shop"].append((0.0, self.random.uniform(30, 300), "down"))
        self.sampler: Sampler = "bandit" if self.random.random() < 0.3 else "rules"
        self.people: People = self.random.choice(("ask", "ask", "hold", "tell"))
        self.calls: dict[str, list[int]] = {}

    def _trouble(self) -> tuple[float, float, str]:
        begin = self.random.uniform(0, 200)
        kind = self.random.choice(list(ERRORS))
        return begin, begin + self.random.expovariate(1 / 60), kind

    # Time -----------------------------------------------------------------------------

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        self.count += 1
        moment = self.now + timedelta(seconds=max(0.0, seconds))
        heapq.heappush(self.queue, (moment, self.count, what))

    def run(self, most: int = 3_000) -> "World":
        storm = len(self.bad["http:shop"]) > 2
        for n in range(self.random.randrange(12, 25) if storm else self.random.randrange(2, 9)):
            self._start(n, storm)
        for _ in range(self.random.randrange(3)):
            self.at(self.random.uniform(0, 120), self._switch)
        self._say(SetMode(workspace_id="ws", mode="auto", set_by="ann", sampler=self.sampler,
                          people=self.people))  # fmt: skip
        self.at(5.0, self._tell_calls)
        steps = iter(range(most))
        self.go_on(lambda: next(steps, None) is None)
        return self

    def go_on(self, enough: Callable[[], bool]) -> None:
        """Let happen what is due next, until it is `enough`."""
        while self.queue and not enough():
            wake = min(self.wakes.items(), key=lambda each: (each[1], each[0]), default=None)
            if wake is not None and wake[1] <= self.queue[0][0]:
                self.now = max(self.now, wake[1])
                del self.wakes[wake[0]]
                self._decide(wake[0], Due(wake[0]))
                continue
            self.now, _, what = heapq.heappop(self.queue)
            what()

    # Recovery ---------------------------------------------------------------------------

    def _say(self, message: object, delay_s: float | None = None) -> None:
        """Let recovery hear a message, some time later; a tenth of them twice."""
        wait_s = self.random.expovariate(20) if delay_s is None else delay_s
        self.at(wait_s, lambda: self._hear(message))

    def _hear(self, message: object) -> None:
        time = self.now.isoformat()
        envelope = Envelope(id=f"engine/0/{self.count}.0", source="/engine/0", type="",
                            tenant_id=TENANT, topic="", time=time)  # fmt: skip
        command = hear(message, envelope)
        if command is not None:
            self._decide(BY_COMMAND[type(command)].stream_of(command), command)

    def _decide(self, name: str, command: Any) -> None:
        if isinstance(command, Due):
            stream = self.streams[name]
        else:
            decider = BY_COMMAND[type(command)]
            stream = self.streams.setdefault(name, Stream(decider, decider.initial))
        decider = stream.decider
        facts = self._facts(decider.facts(stream.state, command))
        decided = decider.decide(stream.state, command, facts, self.now)
        events = () if isinstance(decided, Rejected) else decided
        entry = (len(stream.journal), command, facts, self.now, [encode_body(e) for e in events])
        stream.decided.append(entry)
        for event in events:
            self._record(name, stream, event)
        wake = decider.wake_at(stream.state)
        self.wakes.pop(name, None)
        if wake is not None:
            self.wakes[name] = max(wake, self.now)

    def _record(self, name: str, stream: Stream, event: Any) -> None:
        decider = stream.decider
        stream.state = decider.evolve(stream.state, event)
        stream.journal.append((NAMES[type(event)], encode_body(event), self.now))
        recorded = Recorded(event, TENANT, name, len(stream.journal), self.now)
        self.seen.add(NAMES[type(event)])
        for upsert in decider.project(stream.state, recorded):
            self._write(upsert)
        for outgoing in decider.route(stream.state, recorded):
            stream.sent.append(encode_body(outgoing.message))
            self._send(outgoing)
        if self.crashes:
            self._crash(name, stream)

    def _crash(self, name: str, stream: Stream) -> None:
        """Fold the stream anew: its state and all that it sent must be what they were."""
        decider, state = stream.decider, stream.decider.initial
        sent: list[bytes] = []
        for version, (kind, body, at) in enumerate(stream.journal, 1):
            event = decode_body(kind, body)
            state = decider.evolve(state, event)
            recorded = Recorded(event, TENANT, name, version, at)
            sent += [encode_body(each.message) for each in decider.route(state, recorded)]
        if state != stream.state:
            raise Broken(f"{name} folds to another state")
        if sent != stream.sent:
            raise Broken(f"{name} sends something else after a crash")
        stream.state = state

    def replay(self) -> None:
        """Decide everything anew, from the journals: the events must be the same, byte by byte."""
        for name, stream in self.streams.items():
            for before, command, facts, now, made in stream.decided:
                events = [decode_body(kind, body) for kind, body, _ in stream.journal[:before]]
                state = stream.decider.fold(events)
                decided = stream.decider.decide(state, command, facts, now)
                again = [] if isinstance(decided, Rejected) else [encode_body(e) for e in decided]
                if again != made:
                    raise Broken(f"{name} decides differently the second time")

    def _facts(self, lookups: Mapping[str, Lookup]) -> Facts:
        return {name: self._found(lookup) for name, lookup in lookups.items()}

    def _found(self, lookup: Lookup) -> Sequence[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for _, row in sorted(self.tables.get(lookup.table, {}).items()):
            wanted = [
                row.get(column) in (value if isinstance(value, tuple) else (value,))
                for column, value in lookup.where.items()
            ]
            if all(wanted):
                found.append({column: _text(row.get(column)) for column in lookup.columns})
        return found

    def _write(self, upsert: Upsert) -> None:
        key = msgspec.json.encode(upsert.key).decode()
        table = self.tables.setdefault(upsert.table, {})
        if upsert.new and key in table:
            raise Broken(f"{upsert.table} has the new row {key} already")
        row = table.setdefault(key, dict(upsert.key))
        row.update(upsert.set)
        for column, more in upsert.add.items():
            row[column] = row.get(column, 0) + more

    def _send(self, outgoing: Outgoing) -> None:
        message = outgoing.message
        match message:
            case RecoveryVerdict() | RetryNode():
                late = 12.0 if self.random.random() < 0.03 else self.random.expovariate(20)
                self.at(late, lambda: self._engine(message, late))
            case RequestInteraction():
                self.at(self.random.uniform(1, 60), lambda: self._answer(message))
            case CancelInteraction() | BreakerTurned():
                pass
            case _:
                self._say(message)

    # The engine ---------------------------------------------------------------------------

    def _start(self, n: int, storm: bool) -> None:
        dependency = "http:shop" if storm else self.random.choice(DEPENDENCIES)
        other = {"provider": "anthropic", "model": "c", "base_url": "", "credential": "k"}
        means: dict[str, Any] = {}
        if dependency == "llm:openai:m":
            means = {"reduce_input": True, "reprompt": True, "refresh_credentials": "key"}
            if self.random.random() < 0.7:
                means["fallback_model"] = [other]
        if self.random.random() < 0.2:
            means["skip_compensate"] = self.random.choice(("error_port", "request", "request"))
        life_s = 60.0 if self.random.random() < 0.3 else 3_600.0
        node = Node(
            execution_id=f"e{n}",
            effect=self.random.choice(("pure", "keyed", "keyed", "unsafe", "verify_first")),
            dependency=dependency,
            means=means or None,
            deadline=START + timedelta(seconds=life_s),
        )
        self.nodes[node.execution_id] = node
        self.at(self.random.uniform(0, 20 if storm else 200), lambda: self._run(node))
        if self.random.random() < 0.2:
            self.at(self.random.uniform(0, 300), lambda: self._cancel(node))
        self.at(life_s, lambda: self._end(node, "TIMEOUT"))

    def _run(self, node: Node) -> None:
        """Begin an attempt, which fails if its dependency is in trouble."""
        if node.ended:
            return
        node.begun += 1
        node.waiting = False
        self._judge(node)
        elsewhere = node.overrides is not None and "parameters" in node.overrides
        dependency = "llm:anthropic:c" if elsewhere else node.dependency
        elapsed = (self.now - START).total_seconds()
        kinds = [kind for begin, end, kind in self.bad[dependency] if begin <= elapsed < end]
        counts = self.calls.setdefault(dependency, [0, 0])
        counts[bool(kinds) and kinds[0] in ("down", "lost")] += 1
        duration_s = self.random.uniform(0.1, 3.0)
        self.at(duration_s, lambda: self._done(node, dependency, kinds[0] if kinds else ""))

    def _done(self, node: Node, dependency: str, kind: str) -> None:
        if node.ended:
            return
        if node.undoes and not kind:
            node.undone = True
            self._say(NodeCompensated(execution_id=node.execution_id, node_id="n", scope=(), run=1,
                                      attempt=node.attempt, token="t", indexes=(0,),
                                      failure_id=node.failure_id,
                                      compensated_at=self.now.isoformat()))  # fmt: skip
            self._end(node, "ERROR")
            return
        if not kind:
            node.ended = "SUCCESS"
            if node.attempt > 1:
                self._say(NodeRecovered(execution_id=node.execution_id, node_id="n", scope=(),
                                        run=1, attempt=node.attempt))  # fmt: skip
            return
        stage = "compensate" if node.undoes else "call"
        error = ErrorFacts(message=f"{kind} happened", dependency=dependency, stage=stage,
                           **ERRORS[kind])  # fmt: skip
        self._failed(node, error)

    def _failed(self, node: Node, error: ErrorFacts) -> None:
        """Let the engine tell that an attempt has failed, and ask."""
        node.failure_id = derived("failure", node.execution_id, node.attempt, node.begun)
        node.waiting, node.until = True, self.now + timedelta(seconds=10)
        in_doubt = node.effect == "unsafe" and error.effect_state in ("unknown", "done")
        node.unsafe_in_doubt = in_doubt or (node.undoes and node.unsafe_in_doubt)
        failed = NodeFailed(
            failure_id=node.failure_id, root_failure_id=node.failure_id,
            execution_id=node.execution_id, workflow_id="w", workflow_version=1,
            workspace_id="ws", node_id="n", node_name="N", node_type="X", node_subtype="Y",
            scope=(), run=1, attempt=node.attempt, asked=True,
            effect=node.effect, error=error, first_failed_at=self.now.isoformat(),
            failed_at=self.now.isoformat(),
            deadline=node.deadline.isoformat(), verdict_until=node.until.isoformat(),
            means=node.means, runner="r1",
        )  # fmt: skip
        self._say(failed)
        if self.random.random() < 0.1:
            self._say(failed)
        self._watch(node)

    def _watch(self, node: Node) -> None:
        """Give the node up when it has waited long enough."""
        failure_id, until = node.failure_id, node.until

        def give_up() -> None:
            same = node.failure_id == failure_id and node.until == until
            if node.waiting and same and not node.ended:
                self._end(node, "ERROR")

        self.at((until - self.now).total_seconds(), give_up)

    def _engine(self, message: RecoveryVerdict | RetryNode, under_way_s: float) -> None:
        node = self.nodes[message.execution_id]
        if isinstance(message, RetryNode) or message.failure_id == node.failure_id:
            node.under_way_s = under_way_s
        if isinstance(message, RetryNode):
            if node.ended != "ERROR":
                return
            node.ended, node.overrides, node.undone = "", message.overrides, False
            node.attempt += 1
            self.at(message.delay_s, lambda: self._run(node))
            return
        if node.ended or not node.waiting or message.failure_id != node.failure_id:
            return
        if message.verdict == "give_up":
            self._end(node, "ERROR")
        elif message.verdict == "hold":
            node.until = datetime.fromisoformat(message.until or "")
            self._watch(node)
        else:
            kept = None if node.undoes else node.overrides
            node.waiting, node.overrides = False, message.overrides or kept
            self.at(message.delay_s, lambda: self._due(node, message))

    def _due(self, node: Node, verdict: RecoveryVerdict) -> None:
        if node.ended:
            return
        if not verdict.ask_again:
            node.attempt += 1
            self._run(node)
            return
        node.waiting, node.until = True, self.now + timedelta(seconds=10)
        self._say(
            AttemptDue(execution_id=node.execution_id, node_id="n", scope=(), run=1,
                       failure_id=node.failure_id, attempt_id=verdict.attempt_id,
                       due_at=self.now.isoformat(), verdict_until=node.until.isoformat())
        )  # fmt: skip
        self._watch(node)

    def _end(self, node: Node, status: str) -> None:
        if node.ended:
            return
        node.ended, node.waiting = status, False
        error = ErrorFacts(type="x", message="")
        if node.failure_id and status == "ERROR":
            self._say(NodeErrored(execution_id=node.execution_id, node_id="n", scope=(), run=1,
                                  attempt=node.attempt, error=error, step=1,
                                  failure_id=node.failure_id), 0.01)  # fmt: skip
        handled = "other" if self.random.random() < 0.2 else ""
        self._say(
            ExecutionFailed(execution_id=node.execution_id, workflow_id="w", workspace_id="ws",
                            status="ERROR" if status == "ERROR" else "TIMEOUT", error=error,
                            node_id="n", failure_id=node.failure_id or None,
                            error_workflow=handled), 0.02
        )  # fmt: skip

    def _cancel(self, node: Node) -> None:
        if not node.ended:
            node.ended, node.waiting = "CANCELED", False
            self._say(ExecutionCanceled(execution_id=node.execution_id, workflow_id="w",
                                        reason="", asked_by="ann"))  # fmt: skip

    # People and runners -------------------------------------------------------------------

    def _switch(self) -> None:
        to: RecoveryMode = self.random.choice(("off", "observe", "approve", "auto"))
        self._hear(SetMode(workspace_id="ws", mode=to, set_by="ann"))
        self.mode, self.mode_at = to, self.now

    def _answer(self, request: RequestInteraction) -> None:
        leave = request.kind == "approval"
        port = self.random.choice(("approved", "rejected") if leave else ("retry", "give_up"))
        self._say(NoteAnswer(execution_id=request.execution_id,
                             interaction_id=request.interaction_id, outcome="answered",
                             port=port, by="ann"))  # fmt: skip

    def _tell_calls(self) -> None:
        self.told += 1
        for dependency, (ok, failed) in sorted(self.calls.items()):
            if ok or failed:
                self._say(
                    DependencyCalls(breaker_id=breaker_of(TENANT, dependency), runner="r1",
                                    dependency=dependency, n=self.told, ok=ok, failed=failed,
                                    told_at=self.now.isoformat(), in_a_row=0 if ok else failed)
                )  # fmt: skip
        self.calls = {}
        if (self.now - START).total_seconds() < 900:
            self.at(5.0, self._tell_calls)

    # What must hold -----------------------------------------------------------------------

    def _judge(self, node: Node) -> None:
        """Look at an attempt that begins; the first of a node is nobody's retry."""
        if node.begun == 1:
            return
        state = self.streams[node.execution_id].state
        attempts = [e.attempt for e in state.episodes.values() if e.attempt is not None]
        if len(attempts) != 1:
            raise Broken(f"{node.execution_id} has {len(attempts)} open attempts when one begins")
        by_person = bool(attempts[0].by)
        if node.undoes != (attempts[0].strategy == "skip_compensate"):
            raise Broken(f"{node.execution_id} is undone though nobody decided so, or not")
        if node.undoes and (node.undone or "skip_compensate" not in (node.means or {})):
            raise Broken(f"{node.execution_id} is undone twice, or cannot be")
        if attempts[0].explores:
            self.seen.add("explored")
            if node.effect != "pure" or self.sampler != "bandit":
                raise Broken(f"{node.execution_id} is explored, which has effects or was not asked")
        if node.unsafe_in_doubt and not by_person and not node.undoes:
            raise Broken(f"{node.execution_id} repeats an effect of class {node.effect} in doubt")
        if self.now >= node.deadline and not by_person:
            raise Broken(f"{node.execution_id} is tried after its deadline")
        if not by_person and state.tried.get("n", 0) > 3:
            raise Broken(f"{node.execution_id} is tried {state.tried['n']} times")
        since = self.now - timedelta(seconds=node.under_way_s)  # nobody calls a message back
        long_off = since - self.mode_at > timedelta(seconds=2.5)
        if self.mode in ("off", "observe") and long_off and not by_person:
            raise Broken(f"{node.execution_id} is tried in mode {self.mode}")


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
