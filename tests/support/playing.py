"""An execution played without a shell: commands in, events folded, tasks answered by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Literal, TypeAlias, TypeVar, cast

import msgspec
from perdure_common.decider import Decider, Due, Lookup, Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import derived, sha256_of_json
from perdure_contracts.engine import (
    CancelExecution,
    ErrorFacts,
    ExecutionStarted,
    NodeResult,
    NodeTask,
    RecoveryVerdict,
    RetryNode,
    StartExecution,
)
from perdure_contracts.executions import ExecutionCommand, ExecutionEvent
from perdure_engine.definition import Validation, validate
from perdure_engine.executions.decider import decider_with
from perdure_engine.executions.resuming import ResumeUrls
from perdure_engine.executions.route import COMMANDS, FAILURES
from perdure_engine.executions.state import Execution, Run, place_of

WORKFLOW_ID = "0190f3c0-0000-7000-8000-000000000001"
WORKSPACE_ID = "0190f3c0-0000-7000-8000-0000000000aa"
EXECUTION_ID = "0190f3c0-0000-7000-8000-0000000000ee"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)

Rows: TypeAlias = dict[tuple[str, tuple[Any, ...]], dict[str, Any]]
"""Projected rows by table and key."""

T = TypeVar("T")
URLS = ResumeUrls(b"a secret", "http://engine")


@cache
def decider_of(grace_s: float) -> Decider[Execution, ExecutionCommand, ExecutionEvent]:
    """Return the decider whose cancels leave runners so many seconds."""
    return decider_with(verdict_wait_s=10.0, urls=URLS, cancel_grace_s=grace_s)


decider = decider_of(0.0)


def node(node_id: str, kind: str = "FLOW.NOOP", **more: Any) -> dict[str, Any]:
    """Return a node of a definition; `kind` is its type and subtype."""
    node_type, _, subtype = kind.partition(".")
    return {"node_id": node_id, "node_type": node_type, "node_subtype": subtype, **more}


def http(node_id: str, **more: Any) -> dict[str, Any]:
    """Return a node that is sent to the runner; what it does is pure."""
    parameters = {"url": "https://example.org/", **more.pop("parameters", {})}
    return node(node_id, "EXTERNAL_ACTION.HTTP_REQUEST", parameters=parameters, **more)


def link(text: str, kind: str = "MAIN", **more: Any) -> dict[str, Any]:
    """Return a connection from `a.port>b.port`; ports may be left out."""
    source, _, target = text.partition(">")
    (from_id, _, from_port), (to_id, _, to_port) = source.partition("."), target.partition(".")
    ports = {"source_port": from_port or "main", "target_port": to_port or "main"}
    if kind == "ERROR":
        del ports["source_port"]
    ends = {"source_node_id": from_id, "target_node_id": to_id}
    return {**ends, **ports, "connection_type": kind, **more}


def workflow(
    nodes: Sequence[Mapping[str, Any]], links: Sequence[str | Mapping[str, Any]], **settings: Any
) -> dict[str, Any]:
    """Return a definition that begins with the trigger `t`."""
    return {
        "name": "played",
        "settings": settings,
        "nodes": [node("t", "TRIGGER.MANUAL"), *nodes],
        "connections": [link(each) if isinstance(each, str) else each for each in links],
    }


def failed(kind: str = "upstream", **more: Any) -> ErrorFacts:
    """Return an error as a runner tells it."""
    return ErrorFacts(type=kind, message=f"it was {kind}", stage="run", **more)


def validated(definition: Mapping[str, Any]) -> Validation:
    """Return what validation says of a definition; one that was asked for lately is known."""
    return _validated(msgspec.json.encode(definition))


@lru_cache(maxsize=100)
def _validated(text: bytes) -> Validation:
    return validate(msgspec.json.decode(text))


@dataclass
class Play:
    """One execution. Every event is folded twice: in memory, and through JSON and back."""

    definition: Mapping[str, Any]
    now: datetime = BEGAN
    state: Execution = field(default_factory=Execution)
    events: list[ExecutionEvent] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    rows: Rows = field(default_factory=dict)
    upserts: list[Upsert] = field(default_factory=list)
    tasks: dict[str, NodeTask] = field(default_factory=dict)
    failures: list[Any] = field(default_factory=list)
    snapshots: bool = True
    workflows: list[dict[str, Any]] = field(default_factory=list)
    execution_id: str = EXECUTION_ID
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Workflows that can be called, by their names."""

    outgoing: list[Outgoing] = field(default_factory=list)
    """What went to others than runners and recovery."""

    sent: list[Any] = field(default_factory=list)
    """What went to executions."""

    versions: dict[int, Any] = field(default_factory=dict)
    grace_s: float = 0.0
    """What runners are left when the execution is cancelled."""

    def __post_init__(self) -> None:
        validation = validated(self.definition)
        assert validation.workflow is not None, validation.errors
        self.workflow = validation.workflow
        self.decider = decider_of(self.grace_s)
        self.state = self.decider.initial

    # Commands --------------------------------------------------------------------------

    def start(self, data: Any = None, node_id: str = "t", **more: Any) -> "Play":
        """Start the execution at a trigger."""
        fields: dict[str, Any] = {"mode": "MANUAL", **more}
        self.give(
            StartExecution(
                execution_id=self.execution_id,
                workflow_id=WORKFLOW_ID,
                version=1,
                node_id=node_id,
                triggered_by=f"MANUAL:{node_id}",
                trigger={"id": "e1"},
                data={} if data is None else data,
                **fields,
            )
        )
        return self

    def give(self, command: ExecutionCommand | Due) -> tuple[ExecutionEvent, ...]:
        """Let a command be decided; it must be taken."""
        decided = self.ask(command)
        assert not isinstance(decided, Rejected), decided
        return decided

    def refused(self, command: ExecutionCommand) -> str:
        """Let a command be decided; it must be refused. Returns the code."""
        decided = self.ask(command)
        assert isinstance(decided, Rejected), decided
        return decided.code

    def ask(self, command: ExecutionCommand | Due) -> tuple[ExecutionEvent, ...] | Rejected:
        """Let a command be decided, and what it leads to happen."""
        before = msgspec.json.encode(self.state)
        lookups = self.decider.facts(self.state, command)
        facts = {name: self._rows(lookup) for name, lookup in lookups.items()}
        decided = self.decider.decide(self.state, command, facts, self.now)
        assert msgspec.json.encode(self.state) == before, "decide changed the state"
        happened: list[ExecutionEvent] = []

        def happen(event: ExecutionEvent) -> Execution:
            happened.append(event)
            self._happen(event)
            return self.state

        assert self.decider.act is not None
        refused = self.decider.act(self.state, command, facts, self.now, happen)
        assert (refused or tuple(happened)) == decided, "decide and act differ"
        return decided

    def answer(
        self,
        node_id: str,
        *items: Any,
        outcome: Literal["completed", "failed"] | None = None,
        error: ErrorFacts | None = None,
        errors: Mapping[int, ErrorFacts] | None = None,
    ) -> None:
        """Answer the attempt under way of a node; without items each gives its input."""
        self.give(self.result(node_id, *items, outcome=outcome, error=error, errors=errors))

    def result(
        self,
        node_id: str,
        *items: Any,
        outcome: Literal["completed", "failed"] | None = None,
        error: ErrorFacts | None = None,
        errors: Mapping[int, ErrorFacts] | None = None,
    ) -> NodeResult:
        """Return the answer of a runner to the attempt under way of a node."""
        task = self.task(node_id)
        told = dict(errors or {})
        made: list[Any] = [
            None if at in told else {"json": each} for at, each in enumerate(items or task.items)
        ]
        return NodeResult(
            execution_id=self.execution_id,
            token=task.token,
            outcome=outcome or ("failed" if error or told else "completed"),
            ports=None if error else {"main": made},
            failed=tuple(told.items()),
            error=error or (told[min(told)] if told else None),
        )

    def task(self, node_id: str) -> NodeTask:
        """Return the task of the attempt under way of a node."""
        known = self.run(node_id).dispatch
        assert known is not None and known.token, f"{node_id} has no attempt under way"
        return self.tasks[known.token]

    def told_token(self, node_id: str) -> str:
        """Return the token of a node's newest attempt, whatever became of it."""
        return [task.token for task in self.tasks.values() if task.node_id == node_id][-1]

    def verdict(
        self, node_id: str, verdict: Literal["retry", "hold", "give_up"], **more: Any
    ) -> None:
        """Let recovery answer about a node."""
        self.give(self.verdict_about(node_id, verdict, **more))

    def verdict_about(
        self, node_id: str, verdict: Literal["retry", "hold", "give_up"], **more: Any
    ) -> RecoveryVerdict:
        """Return recovery's answer about the node's newest failure."""
        known = self.run(node_id).dispatch
        failure_id = known.failure_id if known is not None else ""
        return RecoveryVerdict(
            failure_id=failure_id,
            execution_id=self.execution_id,
            node_id=node_id,
            verdict=verdict,
            **more,
        )

    def retry(self, node_id: str, **more: Any) -> RetryNode:
        """Return the command that revives the execution at a node."""
        return RetryNode(execution_id=self.execution_id, node_id=node_id, **more)

    def cancel(self) -> CancelExecution:
        """Return the command that stops the execution."""
        return CancelExecution(execution_id=self.execution_id, reason="no more", asked_by="me")

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and every wake fire that falls due."""
        end = self.now + timedelta(seconds=seconds)
        while (at := self.decider.wake_at(self.state)) is not None and at <= end:
            self.now = max(self.now, at)
            self.give(Due(self.execution_id))
        self.now = end

    def wake(self) -> None:
        """Let time pass until the next wake, and fire it."""
        at = self.decider.wake_at(self.state)
        assert at is not None, "nothing is waited for"
        self.now = max(self.now, at)
        self.give(Due(self.execution_id))

    # What came of it -------------------------------------------------------------------

    def run(self, node_id: str) -> Run:
        """Return a node's newest run."""
        return self.state.runs[place_of(node_id, ())]

    def statuses(self) -> dict[str, str]:
        """Return the status of each node that has a run."""
        return {place: run.status for place, run in self.state.runs.items()}

    def emitted(self, node_id: str, port: str = "main") -> list[Any]:
        """Return the data that a node emitted on a port."""
        return [item["json"] for item in self.run(node_id).ports.get(port, [])]

    def told(self, kind: type[T]) -> list[T]:
        """Return the events of a kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a table, as the projection leaves them."""
        return [row for (table, _), row in self.rows.items() if table == name]

    def _happen(self, event: ExecutionEvent) -> None:
        body = msgspec.json.encode(event)
        again = msgspec.json.decode(body, type=type(event))
        assert again == event, f"{event} is {again} after JSON"
        if self.snapshots and not isinstance(event, ExecutionStarted):
            state = msgspec.json.decode(msgspec.json.encode(self.state), type=Execution)
            assert state == self.state
            restored = self.decider.evolve(state, again)
            self.state = self.decider.evolve(self.state, event)
            assert restored == self.state, "a snapshot and JSON make a difference"
        else:
            self.state = self.decider.evolve(self.state, event)
        self.events.append(event)
        self.times.append(self.now)
        recorded = Recorded(event, "tenant", self.execution_id, len(self.events), self.now)
        for outgoing in self.decider.route(self.state, recorded):
            self._send(outgoing)
        for upsert in self.decider.project(self.state, recorded):
            self.upserts.append(upsert)
            write(self.rows, upsert)

    def _send(self, outgoing: Outgoing) -> None:
        if outgoing.topic == FAILURES:
            self.failures.append(outgoing.message)
            return
        message = outgoing.message
        assert msgspec.json.decode(msgspec.json.encode(message), type=type(message)) == message
        if isinstance(message, NodeTask):
            self.tasks[message.token] = message
            return
        self.outgoing.append(outgoing)
        if outgoing.topic == COMMANDS:
            self.sent.append(message)

    def _rows(self, lookup: Lookup) -> Sequence[Mapping[str, Any]]:
        where = lookup.where
        if lookup.table == "workflows" and self.workflows:
            return self.workflows
        if lookup.table == "workflows":
            return [
                {
                    "id": workflow_id(name), "name": name, "workspace_id": WORKSPACE_ID,
                    "newest_version": 1, "deployment_status": "IDLE", "deployment_version": None,
                }
                for name in self.others
                if where.get("name") == name or where.get("id") == workflow_id(name)
            ]  # fmt: skip
        assert lookup.table == "workflow_versions"
        known = {(WORKFLOW_ID, 1): self.definition}
        known.update({(WORKFLOW_ID, n): each for n, each in self.versions.items()})
        known.update({(workflow_id(name), 1): each for name, each in self.others.items()})
        definition = known.get((str(where["workflow_id"]), cast("int", where["version"])))
        if definition is None:
            return ()
        sha256 = sha256_of_json(definition)
        row = {"definition": definition, "sha256": sha256, "workspace_id": WORKSPACE_ID}
        return ({name: row[name] for name in lookup.columns},)


def workflow_id(name: str) -> str:
    """Return the id of a workflow that can be called."""
    return derived("workflow", name)


def write(rows: Rows, upsert: Upsert) -> None:
    """Write a row as a store does."""
    key = (upsert.table, tuple(upsert.key.values()))
    assert not (upsert.new and key in rows), f"{key} is promised to be new"
    row = rows.setdefault(key, dict(upsert.key))
    stands = [row.get(column) for column in upsert.guard]
    comes = [upsert.set[column] for column in upsert.guard]
    if None in stands or cast("list[Any]", stands) <= cast("list[Any]", comes):
        row.update(upsert.set)


def play(definition: Mapping[str, Any], data: Any = None, **more: Any) -> Play:
    """Start an execution of a definition and return it."""
    return Play(definition, **more).start(data)
