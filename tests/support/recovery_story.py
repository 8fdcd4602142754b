"""Tell recovery a story and look at what it does: for tests of its core, without a server."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common.decider import Due, Facts, Outgoing, Recorded, Rejected, Upsert
from perdure_contracts.deciding import ExecutionEvent
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionCanceled,
    NodeFailed,
    NodeRecovered,
    RecoveryVerdict,
)
from perdure_contracts.message import Envelope
from perdure_contracts.patterns import NoteLesson
from perdure_recovery.app import executions
from perdure_recovery.hear import hear
from perdure_recovery.state import Execution

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENVELOPE = Envelope(
    id="engine/0/1.0",
    source="/engine/0",
    type="",
    tenant_id="t",
    topic="perdure.engine.failures.v1",
    time="2026-01-01T12:00:00Z",
)
DOWN = ErrorFacts(
    type="http_status",
    message="the answer was 503",
    status_code=503,
    dependency="http:tickets.example",
    stage="request",
    effect_state="unknown",
)


def at(moment: datetime) -> str:
    return moment.isoformat()


def failed(failure_id: str = "f1", error: ErrorFacts = DOWN, **more: Any) -> NodeFailed:
    fields: dict[str, Any] = {
        "failure_id": failure_id,
        "root_failure_id": "f1",
        "execution_id": "e",
        "workflow_id": "w",
        "workflow_version": 1,
        "workspace_id": "ws",
        "node_id": "fetch",
        "node_name": "Fetch it",
        "node_type": "EXTERNAL_ACTION",
        "node_subtype": "HTTP_REQUEST",
        "scope": (),
        "run": 1,
        "attempt": 1,
        "asked": True,
        "effect": "keyed",
        "error": error,
        "first_failed_at": at(NOW),
        "failed_at": at(NOW),
        "verdict_until": at(NOW + timedelta(days=1)),
        **more,
    }
    return NodeFailed(**fields)


def completed(attempt: int = 2, **more: Any) -> NodeRecovered:
    fields: dict[str, Any] = {
        "execution_id": "e",
        "node_id": "fetch",
        "scope": (),
        "run": 1,
        "attempt": attempt,
        **more,
    }
    return NodeRecovered(**fields)


def cancelled() -> ExecutionCanceled:
    return ExecutionCanceled(execution_id="e", workflow_id="w", reason="", asked_by="ann")


class Story:
    """One execution's stream: what was said, and what became of it."""

    def __init__(self, facts: Facts | None = None) -> None:
        self.state = Execution()
        self.facts: Facts = facts or {}
        self.now = NOW
        self.version = 0
        self.sent: list[object] = []
        self.rows: dict[tuple[str, str], dict[str, object]] = {}

    def after(self, **span: float) -> "Story":
        self.now += timedelta(**span)
        return self

    def hears(self, message: object) -> list[ExecutionEvent]:
        """Let the core hear a message; the events that followed, none for a refusal."""
        envelope = replace(ENVELOPE, time=at(self.now))
        command = message if isinstance(message, Due) else hear(message, envelope)
        return [] if command is None else self.does(command)

    def does(self, command: Any) -> list[ExecutionEvent]:
        facts: Facts = self.facts if executions.facts(self.state, command) else {}
        decided = executions.decide(self.state, command, facts, self.now)
        if isinstance(decided, Rejected):
            return []
        for event in decided:
            self._record(event)
        return list(decided)

    def verdicts(self) -> list[str]:
        return [m.verdict for m in self.sent if isinstance(m, RecoveryVerdict)]

    def lessons(self) -> list[bool]:
        return [m.succeeded for m in self.sent if isinstance(m, NoteLesson)]

    def _record(self, event: ExecutionEvent) -> None:
        self.version += 1
        self.state = executions.evolve(self.state, event)
        recorded = Recorded(event, "t", "e", self.version, self.now)
        self._write(executions.project(self.state, recorded))
        self._send(executions.route(self.state, recorded))

    def _write(self, upserts: Sequence[Upsert]) -> None:
        for upsert in upserts:
            key = (upsert.table, str(upsert.key["id"]))
            begins = upsert.new or (key not in self.rows and "tenant_id" in upsert.set)
            assert (key in self.rows) != begins
            row = self.rows.setdefault(key, {})
            row.update(upsert.set)
            for column, count in upsert.add.items():
                row[column] = int(str(row.get(column, 0))) + count

    def _send(self, messages: Sequence[Outgoing]) -> None:
        self.sent += [m.message for m in messages]

    def table(self, name: str) -> list[dict[str, object]]:
        return [row for (table, _), row in self.rows.items() if table == name]


def kinds(events: Sequence[object]) -> list[str]:
    return [type(event).__name__ for event in events]
