"""The core of recovery at its edges: revivals, modes, explanations, replays."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from perdure_common.decider import Facts
from perdure_contracts.control import NodeMarked
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionCompleted,
    ExecutionFailed,
    NodeFailed,
    RetryNode,
)
from perdure_contracts.failures import Explanation
from perdure_contracts.recovery import (
    AttemptOrdered,
    AttemptRefused,
    FailureNoted,
    NoteEnd,
    NoteFailure,
)
from perdure_recovery.app import executions
from perdure_recovery.guard import EXECUTION_ATTEMPTS_MAX
from perdure_recovery.hear import hear
from perdure_recovery.state import Execution
from recovery_story import DOWN, ENVELOPE, NOW, Story, at, cancelled, completed, failed, kinds


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


def test_a_verdict_that_comes_too_late_is_not_sent() -> None:
    story = Story()
    _, refused = story.after(seconds=11).hears(late())
    assert isinstance(refused, AttemptRefused)
    assert (refused.rail, refused.answered) == ("wanted", False)
    assert story.verdicts() == []


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


def test_an_execution_is_not_revived_too_late() -> None:
    story = Story().after(seconds=11)
    story.hears(failed(verdict_until=at(NOW + timedelta(seconds=10))))
    assert kinds(story.after(seconds=16 * 60).hears(ended_by("f1"))) == ["EpisodeClosed"]


def test_a_revived_execution_waits_as_long_as_the_other_side_asked() -> None:
    asked = replace(DOWN, retry_after_s=20.0)
    story = Story().after(seconds=11)
    story.hears(failed(error=asked, verdict_until=at(NOW + timedelta(seconds=10))))
    (ordered,) = story.after(seconds=1).hears(ended_by("f1"))
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.revives
    assert 8.0 <= ordered.delay_s <= 10.0  # 12 s are over, and up to a tenth is added to 20
    (retry,) = [each for each in story.sent if isinstance(each, RetryNode)]
    assert retry.delay_s == ordered.delay_s


def test_the_caps_bind_revivals_too() -> None:
    story = Story().after(seconds=30)
    story.hears(late())
    for n in range(EXECUTION_ATTEMPTS_MAX):
        until = at(story.now + timedelta(minutes=1))
        story.hears(failed(f"g{n}", scope=(("each", n),), verdict_until=until))
    assert "AttemptOrdered" not in kinds(story.hears(ended_by("f1")))


@pytest.mark.parametrize(("state", "revived"), [("closed", True), ("open", False)])
def test_an_execution_is_not_revived_with_a_model_whose_breaker_is_open(
    state: str, revived: bool
) -> None:
    error = replace(DOWN, dependency="llm:openai:b")
    other = {"provider": "anthropic", "model": "c", "overrides": {"parameters": {"model": "c"}}}
    story = Story({"modes": [], "patterns": []})
    until = at(NOW + timedelta(seconds=10))
    late_one = failed(error=error, verdict_until=until, means={"fallback_model": [other]})
    _, refused = story.after(seconds=30).hears(late_one)
    assert isinstance(refused, AttemptRefused)
    assert (refused.strategy, refused.late) == ("fallback_model", True)
    row = {
        "breaker_id": "c", "dependency": "llm:anthropic:c", "credential": "",
        "state": state, "until": at(NOW + timedelta(minutes=5)),
    }  # fmt: skip
    end = hear(ended_by("f1"), ENVELOPE)
    assert isinstance(end, NoteEnd)
    looked_up = executions.facts(story.state, end)["breakers"].where["dependency"]
    found = [row] if looked_up == ("llm:anthropic:c", "llm:openai:b") else []
    story.facts = {"modes": [], "patterns": [], "breakers": found}
    events = story.after(seconds=1).hears(ended_by("f1"))
    assert kinds(events) == ["AttemptOrdered" if revived else "EpisodeClosed"]


def test_an_execution_that_ended_by_something_else_is_not_revived() -> None:
    for end in (ended_by("other"), cancelled()):
        story = Story().after(seconds=30)
        story.hears(late())
        assert kinds(story.hears(end)) == ["EpisodeClosed"]
        assert not story.state.episodes


def mode_facts(**modes: str) -> Facts:
    rows: list[Mapping[str, Any]] = [
        {
            "workspace_id": "*" if name == "everywhere" else name,
            "mode": mode,
            "sampler": "rules",
            "people": "tell",
        }
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


def test_a_mode_that_does_not_act_explains_and_gives_up_at_once() -> None:
    story = Story(mode_facts(ws="observe"))
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


def test_a_node_that_a_person_settled_closes_the_attempt_that_was_ordered_for_it() -> None:
    story = Story()
    story.hears(failed("f1"))
    marked = NodeMarked(
        execution_id="e", node_id="fetch", scope=(), run=1, outcome="done", failure_id="f1"
    )
    assert "EpisodeClosed" in kinds(story.hears(marked))


def test_an_attempt_that_revives_an_execution_is_scored_as_it_was_drawn() -> None:
    records = [
        {"failure_type": "dependency_down", "strategy": name, "tried": 20, "recovered": 9}
        for name in ("fallback_model", "backoff")
    ]
    other = {"provider": "anthropic", "model": "c", "base_url": "", "credential": "k"}
    bandit = {"workspace_id": "ws", "mode": "auto", "sampler": "bandit", "people": "tell"}
    known: Facts = {"modes": [bandit], "records": records}
    error = replace(DOWN, dependency="llm:openai:m")
    more: dict[str, Any] = {"error": error, "means": {"fallback_model": [other]}}
    strategies: set[str] = set()
    for n in range(30):
        timely, too_late = Story(known), Story(known)
        (_, drawn) = timely.hears(failed(f"f{n}", **more))
        too_late.after(seconds=11).hears(
            failed(f"f{n}", **more, verdict_until=at(NOW + timedelta(seconds=10)))
        )
        (revived,) = too_late.hears(ended_by(f"f{n}"))
        assert isinstance(drawn, AttemptOrdered)
        assert isinstance(revived, AttemptOrdered)
        assert revived.revives
        assert 0.0 < drawn.propensity < 1.0
        for name in ("strategy", "scores", "propensity", "helps"):
            assert getattr(revived, name) == getattr(drawn, name)
        strategies.add(drawn.strategy)
    assert strategies == {"fallback_model", "backoff"}
