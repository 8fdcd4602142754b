"""Recovery's own limits as `perdure verify` sees them (I13)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common.decider import Recorded
from perdure_contracts.failures import Explanation
from perdure_contracts.patterns import PatternFacts as Facts
from perdure_contracts.recovery import AttemptOrdered, AttemptRefused, FailureNoted
from perdure_recovery.guard import EXECUTION_ATTEMPTS_MAX, NODE_ATTEMPTS_MAX
from perdure_recovery.promises import Judge

AT = datetime(2026, 1, 1, tzinfo=UTC)
WHY = Explanation(
    failure_summary="it failed", root_cause="network", retry_decision="try again",
    confidence_explanation="often passes", user_action_required="none",
    estimated_resolution_time="1 s", severity_level="low", display_category="network",
)  # fmt: skip
PATTERN = Facts(
    workspace_id="w", signature="s", dependency="d", failure_type="network", rule_id="r",
    root_cause_category="network", pattern_source="rule", error_type="t", error_message="m",
    error_message_hash="h", execution_stage="run",
)  # fmt: skip


def noted(failure_id: str, node_id: str = "n") -> FailureNoted:
    return FailureNoted(
        failure_id=failure_id, episode_id="e", pattern_id="p", pattern=PATTERN, execution_id="x",
        workflow_id="w", node_id=node_id, node_name=node_id, node_type="T", scope=(), run=1,
        attempt=1, message="m", triggered_by="engine", failed_at="", first_failed_at="",
        success_mean=0.5, transient=None, confidence=0.1, evidence={},
    )  # fmt: skip


def ordered(failure_id: str) -> AttemptOrdered:
    return AttemptOrdered(
        failure_id=failure_id, attempt_id=f"a/{failure_id}", attempt_number=1,
        strategy="retry_now", delay_s=0.0, drawn_s=0.0, probe=False, reason="it may pass",
        ordered_at="", explanation=WHY,
    )  # fmt: skip


def refused(failure_id: str) -> AttemptRefused:
    return AttemptRefused(
        failure_id=failure_id, attempt_id=f"a/{failure_id}", attempt_number=1,
        strategy="retry_now", rail="wanted", reason="too late", answered=False, shown=True,
        refused_at="", explanation=WHY, late=True,
    )  # fmt: skip


def broken(events: list[Any], every: timedelta = timedelta(seconds=1)) -> list[str]:
    judge, found = Judge(), list[str]()
    for n, event in enumerate(events):
        told = judge.see(Recorded(event, "tenant", "x", n + 1, AT + n * every))
        found.extend(f"{promise} {text}" for promise, _, text in told)
    return found


def tries(count: int, *, nodes: int) -> list[Any]:
    return [
        event for n in range(count) for event in (noted(f"f{n}", f"n{n % nodes}"), ordered(f"f{n}"))
    ]


def test_attempts_within_the_limits_break_nothing() -> None:
    assert broken(tries(NODE_ATTEMPTS_MAX, nodes=1)) == []
    assert broken(tries(EXECUTION_ATTEMPTS_MAX, nodes=4)) == []


def test_a_node_that_is_tried_too_often_is_told() -> None:
    (told,) = broken(tries(NODE_ATTEMPTS_MAX + 1, nodes=1))
    assert told == f"I13 {NODE_ATTEMPTS_MAX + 1} automatic attempts, 3 are the limit"


def test_an_execution_that_is_tried_too_often_in_a_day_is_told() -> None:
    (told,) = broken(tries(EXECUTION_ATTEMPTS_MAX + 1, nodes=6))
    assert told.startswith(f"I13 {EXECUTION_ATTEMPTS_MAX + 1} attempts on 2026-01-01")
    assert broken(tries(EXECUTION_ATTEMPTS_MAX + 1, nodes=6), timedelta(hours=2)) == []


def test_a_failure_is_decided_once_and_about_something_that_was_noted() -> None:
    assert broken([ordered("f")]) == ["I13 it was decided, but never noted"]
    assert broken([noted("f"), ordered("f"), ordered("f")]) == ["I13 it was decided more than once"]
    assert broken([noted("f"), noted("f")]) == ["I13 it was noted more than once"]


def test_a_refusal_that_only_came_too_late_may_be_followed_by_a_revival() -> None:
    revival = replace(ordered("f"), revives=True)
    assert broken([noted("f"), refused("f"), revival]) == []
    assert broken([noted("f"), refused("f"), ordered("f")]) == ["I13 it was decided more than once"]


def test_what_nobody_was_answered_in_time_may_be_asked_about_once_more_and_only_that() -> None:
    assert broken([noted("f"), refused("f"), noted("f"), ordered("f")]) == []
    answered = replace(refused("f"), answered=True)
    assert broken([noted("f"), answered, noted("f")]) == ["I13 it was noted more than once"]
    twice = [noted("f"), refused("f"), noted("f"), noted("f")]
    assert broken(twice) == ["I13 it was noted more than once"]
    again = [noted("f"), refused("f"), noted("f"), ordered("f"), ordered("f")]
    assert broken(again) == ["I13 it was decided more than once"]
    tried = [noted("f"), ordered("f"), noted("f")]
    assert broken(tried) == ["I13 it was noted more than once"]
