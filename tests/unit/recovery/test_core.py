"""The core of recovery, from what the engine tells to what it is told, without a server."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from perdure_common.decider import Due, Facts, Outgoing, Recorded, Rejected, Upsert
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    NodeCompleted,
    NodeErrored,
    NodeFailed,
    RecoveryVerdict,
    RetryNode,
)
from perdure_contracts.message import Envelope
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    AttemptSucceeded,
    EpisodeClosed,
    ExecutionEvent,
    Explanation,
    FailureNoted,
    NoteFailure,
    NoteLesson,
    NoteOccurrence,
)
from perdure_recovery.app import executions
from perdure_recovery.guard import EXECUTION_ATTEMPTS_MAX, NODE_ATTEMPTS_MAX
from perdure_recovery.hear import hear
from perdure_recovery.outcomes import CONFIRMED_AFTER
from perdure_recovery.state import Execution

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENVELOPE = Envelope(
    id="engine/0/1.0",
    source="/engine/0",
    type="",
    tenant_id="t",
    topic="perdure.engine.events.v1",
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


def completed(attempt: int = 2, **more: Any) -> NodeCompleted:
    fields: dict[str, Any] = {
        "execution_id": "e",
        "node_id": "fetch",
        "scope": (),
        "run": 1,
        "attempt": attempt,
        "ports": {},
        "live": (),
        "dead": (),
        "step": 1,
        **more,
    }
    return NodeCompleted(**fields)


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
            assert (key in self.rows) != upsert.new
            self.rows.setdefault(key, {}).update(upsert.set)

    def _send(self, messages: Sequence[Outgoing]) -> None:
        self.sent += [m.message for m in messages]

    def table(self, name: str) -> list[dict[str, object]]:
        return [row for (table, _), row in self.rows.items() if table == name]


def kinds(events: Sequence[object]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_passing_failure_is_retried_after_a_wait() -> None:
    story = Story()
    noted, ordered = story.hears(failed())
    assert isinstance(noted, FailureNoted)
    assert (noted.pattern.failure_type, noted.pattern.rule_id) == ("dependency_down", "status:503")
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.strategy == "backoff"
    (verdict, occurrence) = story.sent
    assert isinstance(verdict, RecoveryVerdict)
    assert (verdict.verdict, verdict.delay_s) == ("retry", ordered.delay_s)
    assert isinstance(occurrence, NoteOccurrence)
    assert occurrence.tried


def test_a_lasting_failure_goes_to_a_person_at_once() -> None:
    story = Story()
    error = ErrorFacts(type="http_status", message="no such ticket", status_code=422)
    _, refused, closed = story.hears(failed(error=error))
    assert isinstance(refused, AttemptRefused)
    assert (refused.strategy, refused.rail) == ("escalate_human", "rules")
    assert isinstance(closed, EpisodeClosed)
    assert story.verdicts() == ["give_up"]
    assert not story.state.episodes


def test_a_failure_heard_twice_is_decided_once() -> None:
    story = Story()
    story.hears(failed())
    assert story.hears(failed()) == []
    assert story.verdicts() == ["retry"]


def test_an_older_failure_of_a_node_that_is_being_retried_changes_nothing() -> None:
    story = Story()
    story.hears(failed(attempt=2))
    assert story.hears(failed("f0", attempt=1)) == []


def test_a_node_that_completes_and_lets_the_execution_end_is_recovered() -> None:
    story = Story()
    story.hears(failed())
    (succeeded,) = story.after(seconds=3).hears(completed())
    assert isinstance(succeeded, AttemptSucceeded)
    assert succeeded.resolution_s == pytest.approx(3.0)
    assert story.lessons() == [True]
    (attempt,) = story.table("recovery_attempts")
    assert (attempt["status"], attempt.get("success")) == ("succeeded", None)
    end = ExecutionCompleted(execution_id="e", workflow_id="w", result=None)
    (closed,) = story.after(seconds=1).hears(end)
    assert isinstance(closed, EpisodeClosed)
    assert (closed.outcome, closed.attempts) == ("recovered", 1)
    assert closed.duration_s == pytest.approx(3.0)
    assert (attempt["success"], attempt["recovery_outcome"]) == (True, "recovered")
    (explanation,) = story.table("recovery_explanations")
    assert explanation["severity_level"] == "low"
    assert explanation["user_action_required"] == "none"
    assert not story.state.episodes


def test_ten_quiet_minutes_confirm_a_recovery_too() -> None:
    story = Story()
    story.hears(failed())
    story.after(seconds=3).hears(completed())
    due = executions.wake_at(story.state)
    assert due == story.now + CONFIRMED_AFTER
    assert story.after(minutes=9).hears(Due("e")) == []
    (closed,) = story.after(minutes=1).hears(Due("e"))
    assert isinstance(closed, EpisodeClosed)
    assert closed.outcome == "recovered"
    assert executions.wake_at(story.state) is None


def test_each_further_failure_waits_longer_at_most_until_the_cap_of_attempts() -> None:
    story = Story()
    for n in range(1, NODE_ATTEMPTS_MAX + 1):
        events = story.hears(failed(f"f{n}", attempt=n))
        ordered = events[-1]
        assert isinstance(ordered, AttemptOrdered)
        assert ordered.attempt_number == n
        story.after(seconds=ordered.delay_s)
    *_, refused, closed = story.hears(failed("last", attempt=NODE_ATTEMPTS_MAX + 1))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "caps"
    assert isinstance(closed, EpisodeClosed)
    assert (closed.outcome, closed.attempts) == ("escalated", NODE_ATTEMPTS_MAX)
    assert story.verdicts() == ["retry"] * NODE_ATTEMPTS_MAX + ["give_up"]
    assert story.lessons() == [False] * NODE_ATTEMPTS_MAX
    outcomes = [row["recovery_outcome"] for row in story.table("recovery_attempts")]
    assert outcomes == ["same_failure"] * NODE_ATTEMPTS_MAX + ["refused:caps"]


def test_the_cap_of_a_node_holds_over_all_its_runs() -> None:
    story = Story()
    for n in range(1, NODE_ATTEMPTS_MAX + 1):
        story.hears(failed(f"f{n}", run=n))
    *_, refused, _ = story.hears(failed("next", run=NODE_ATTEMPTS_MAX + 1))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "caps"


def test_the_cap_of_an_execution_holds_over_all_its_nodes_for_a_day() -> None:
    story = Story()
    for n in range(EXECUTION_ATTEMPTS_MAX):
        story.hears(failed(f"f{n}", scope=(("each", n),)))
    _, refused, _ = story.hears(failed("more", scope=(("each", 99),)))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "caps"
    until = at(NOW + timedelta(days=3))
    tomorrow = failed("new", scope=(("each", 100),), verdict_until=until)
    assert kinds(story.after(days=1).hears(tomorrow))[-1] == "AttemptOrdered"


def test_another_failure_ends_the_attempt_and_teaches_nothing() -> None:
    story = Story()
    story.hears(failed())
    other = replace(DOWN, status_code=502, message="bad gateway")
    events = story.hears(failed("f2", other, attempt=2))
    assert kinds(events) == ["AttemptFailed", "FailureNoted", "AttemptOrdered"]
    assert isinstance(events[0], AttemptFailed)
    assert events[0].outcome == "other_failure"
    assert story.lessons() == []


def test_a_failure_after_completion_is_a_relapse() -> None:
    story = Story()
    story.hears(failed())
    story.after(seconds=5).hears(completed())
    first, *_ = story.after(seconds=5).hears(failed("f2", attempt=3))
    assert isinstance(first, AttemptFailed)
    assert first.outcome == "relapsed"
    row = story.table("recovery_attempts")[0]
    assert (row["success"], row["recovery_outcome"]) == (False, "relapsed")


def test_a_new_run_of_a_node_is_a_new_episode() -> None:
    story = Story()
    story.hears(failed())
    events = story.hears(failed("f2", run=2))
    assert kinds(events) == ["AttemptFailed", "EpisodeClosed", "FailureNoted", "AttemptOrdered"]
    last = events[-1]
    assert isinstance(last, AttemptOrdered)
    assert last.attempt_number == 1


def test_a_cancelled_execution_supersedes_what_was_planned() -> None:
    story = Story()
    story.hears(failed())
    attempt_failed, closed = story.hears(cancelled())
    assert isinstance(attempt_failed, AttemptFailed)
    assert isinstance(closed, EpisodeClosed)
    assert attempt_failed.outcome == closed.outcome == "superseded"
    (row,) = story.table("recovery_attempts")
    assert (row["status"], row["success"]) == ("superseded", None)
    assert story.lessons() == []


def test_a_verdict_that_the_engine_did_not_wait_for_supersedes_the_attempt() -> None:
    story = Story()
    story.hears(failed())
    given_up = NodeErrored(
        execution_id="e",
        node_id="fetch",
        scope=(),
        run=1,
        attempt=1,
        error=DOWN,
        step=1,
        failure_id="f1",
    )
    assert story.hears(replace(given_up, failure_id="other")) == []
    assert kinds(story.hears(given_up)) == ["AttemptFailed", "EpisodeClosed"]
    (row,) = story.table("recovery_attempts")
    assert row["status"] == "superseded"


def test_a_failure_that_the_engine_handled_meanwhile_is_no_success_of_the_attempt() -> None:
    story = Story()
    story.hears(failed())
    handled = completed(attempt=1, error_data={"count": 1})
    assert kinds(story.hears(handled)) == ["AttemptFailed", "EpisodeClosed"]
    assert story.lessons() == []


def test_what_is_only_told_is_recorded_and_explained_but_not_tried() -> None:
    story = Story()
    _, refused, _ = story.hears(failed(asked=False))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "wanted"
    assert story.verdicts() == []
    assert len(story.table("recovery_explanations")) == 1


def test_a_verdict_that_comes_too_late_is_not_sent() -> None:
    story = Story()
    _, refused = story.after(seconds=11).hears(late())
    assert isinstance(refused, AttemptRefused)
    assert (refused.rail, refused.answered) == ("wanted", False)
    assert story.verdicts() == []


def ended_by(failure_id: str) -> ExecutionFailed:
    return ExecutionFailed(
        execution_id="e",
        workflow_id="w",
        workspace_id="ws",
        status="ERROR",
        error=DOWN,
        node_id="fetch",
        failure_id=failure_id,
    )


def late() -> NodeFailed:
    return failed(verdict_until=at(NOW + timedelta(seconds=10)))


def test_an_execution_that_ended_only_because_the_verdict_was_late_goes_on() -> None:
    story = Story().after(seconds=30)
    assert kinds(story.hears(late())) == ["FailureNoted", "AttemptRefused"]
    (ordered,) = story.after(seconds=1).hears(ended_by("f1"))
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.revives
    again = [message for message in story.sent if isinstance(message, RetryNode)]
    assert [(m.execution_id, m.node_id, m.asked_by) for m in again] == [("e", "fetch", "recovery")]
    assert kinds(story.hears(completed(attempt=1, run=2))) == ["AttemptSucceeded"]
    end = ExecutionCompleted(execution_id="e", workflow_id="w", result=None)
    assert kinds(story.hears(end)) == ["EpisodeClosed"]
    outcomes = [row["recovery_outcome"] for row in story.table("recovery_attempts")]
    assert outcomes == ["refused:wanted", "recovered"]


def test_a_revived_node_that_fails_again_is_a_new_episode() -> None:
    story = Story().after(seconds=30)
    story.hears(late())
    story.hears(ended_by("f1"))
    events = story.after(seconds=5).hears(failed("f2", run=2))
    assert kinds(events) == ["AttemptFailed", "EpisodeClosed", "FailureNoted", "AttemptOrdered"]
    assert story.lessons() == [False]


@pytest.mark.parametrize("seconds", [1, 16 * 60])
def test_an_execution_is_revived_neither_too_early_nor_too_late(seconds: int) -> None:
    asked = replace(DOWN, retry_after_s=20.0)
    story = Story().after(seconds=11)
    story.hears(failed(error=asked, verdict_until=at(NOW + timedelta(seconds=10))))
    assert kinds(story.after(seconds=seconds).hears(ended_by("f1"))) == ["EpisodeClosed"]


def test_the_caps_bind_revivals_too() -> None:
    story = Story().after(seconds=30)
    story.hears(late())
    for n in range(EXECUTION_ATTEMPTS_MAX):
        until = at(story.now + timedelta(minutes=1))
        story.hears(failed(f"g{n}", scope=(("each", n),), verdict_until=until))
    assert "AttemptOrdered" not in kinds(story.hears(ended_by("f1")))


def test_an_execution_that_ended_by_something_else_is_not_revived() -> None:
    for end in (ended_by("other"), cancelled()):
        story = Story().after(seconds=30)
        story.hears(late())
        assert kinds(story.hears(end)) == ["EpisodeClosed"]
        assert not story.state.episodes


def mode_facts(**modes: str) -> Facts:
    rows: list[Mapping[str, Any]] = [
        {"workspace_id": "*" if name == "everywhere" else name, "mode": mode}
        for name, mode in modes.items()
    ]
    return {"modes": rows, "patterns": []}


def test_the_kill_switch_stops_everything_and_leaves_only_the_pattern() -> None:
    story = Story(mode_facts(ws="auto", everywhere="off"))
    _, refused, _ = story.hears(failed())
    assert isinstance(refused, AttemptRefused)
    assert (refused.rail, refused.shown) == ("mode", False)
    assert story.verdicts() == ["give_up"]
    assert story.rows == {}
    assert [type(m).__name__ for m in story.sent] == ["RecoveryVerdict", "NoteOccurrence"]


@pytest.mark.parametrize("mode", ["observe", "approve"])
def test_a_mode_that_does_not_act_explains_and_gives_up_at_once(mode: str) -> None:
    story = Story(mode_facts(ws=mode))
    _, refused, _ = story.hears(failed())
    assert isinstance(refused, AttemptRefused)
    assert (refused.rail, refused.shown, refused.strategy) == ("mode", True, "backoff")
    assert story.verdicts() == ["give_up"]
    assert len(story.table("recovery_attempts")) == 1


def test_an_effect_in_doubt_is_critical_and_not_repeated() -> None:
    story = Story()
    _, refused, _ = story.hears(failed(effect="unsafe"))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "effect"
    assert refused.explanation.severity_level == "critical"


def test_what_a_pattern_taught_decides() -> None:
    row = {
        "workspace_id": "ws",
        "dependency": DOWN.dependency,
        "lesson_successes": 0.0,
        "lesson_failures": 12.0,
        "weighed_at": at(NOW),
        "last_tried_at": at(NOW - timedelta(minutes=5)),
    }
    story = Story({"modes": [], "patterns": [row]})
    noted, refused, _ = story.hears(failed())
    assert isinstance(noted, FailureNoted)
    assert noted.transient is False
    assert noted.evidence["own"] == pytest.approx(12.0, rel=1e-4)
    assert isinstance(refused, AttemptRefused)
    assert "believed to last" in refused.reason


def test_an_execution_that_fails_without_a_node_is_a_failure_of_its_own() -> None:
    story = Story()
    stalled = ExecutionFailed(
        execution_id="e",
        workflow_id="w",
        workspace_id="ws",
        status="ERROR",
        error=ErrorFacts(type="stalled", message="no node can go on"),
    )
    noted, refused, _ = story.hears(stalled)
    assert isinstance(noted, FailureNoted)
    assert noted.pattern.root_cause_category == "platform"
    assert isinstance(refused, AttemptRefused)
    (row,) = story.table("recovery_attempts")
    assert row["triggered_by"] == "stall"


def test_an_execution_that_fails_by_its_node_adds_no_failure() -> None:
    story = Story()
    story.hears(failed(asked=False))
    end = ExecutionFailed(
        execution_id="e", workflow_id="w", workspace_id="ws", status="ERROR", error=DOWN
    )
    assert story.hears(end) == []


def test_executions_that_never_failed_leave_nothing() -> None:
    story = Story()
    assert story.hears(completed(attempt=1)) == []
    assert story.hears(completed(attempt=2)) == []
    assert story.hears(ExecutionCompleted(execution_id="e", workflow_id="w", result=None)) == []
    assert story.hears(cancelled()) == []
    assert story.version == 0


def test_secrets_are_gone_before_anything_is_kept() -> None:
    error = replace(DOWN, message="GET https://api.example/?api_key=abc123def failed")
    note = hear(failed(error=error), ENVELOPE)
    assert isinstance(note, NoteFailure)
    assert "abc123def" not in repr(note)


def test_every_column_of_an_explanation_is_filled() -> None:
    story = Story()
    story.hears(failed())
    story.hears(failed("f2", replace(DOWN, status_code=403), attempt=2))
    rows = story.table("recovery_explanations")
    assert len(rows) == 2
    for row in rows:
        assert all(value not in (None, "") for value in row.values())
    texts = {name: row for row in rows for name in row}
    assert set(Explanation.__dataclass_fields__) <= set(texts)


def test_ids_follow_from_the_failure_so_that_a_replay_makes_the_same() -> None:
    one, two = Story(), Story()
    assert one.hears(failed()) == two.hears(failed())
    assert one.rows.keys() == two.rows.keys()


def test_a_newer_engine_is_understood() -> None:
    body = msgspec.json.encode({**msgspec.to_builtins(failed()), "field_from_the_future": 1})
    heard = hear(msgspec.json.decode(body, type=NodeFailed), ENVELOPE)
    assert heard == hear(failed(), ENVELOPE)


def test_a_state_survives_being_written_down() -> None:
    story = Story()
    story.hears(failed())
    story.hears(failed("f2", scope=(("each", 3),)))
    story.after(seconds=2).hears(completed())
    text = msgspec.json.encode(story.state)
    assert msgspec.json.decode(text, type=Execution) == story.state
