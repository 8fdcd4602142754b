"""Explanations: every slot filled, every number and name from the decision itself."""

import re
from datetime import UTC, datetime
from typing import get_args

import pytest
from perdure_contracts.failures import Explanation
from perdure_contracts.patterns import FailureType, PatternFacts
from perdure_contracts.recovery import FailureNoted
from perdure_recovery.classification_classes import ROOT_CAUSE
from perdure_recovery.classification_tables import ENGINE_CODES, PATTERNS
from perdure_recovery.explain import (
    ACTION,
    CATEGORY,
    MEANING,
    Outcome,
    explain_decision,
    explain_outcome,
    rule_in_words,
    texts_of,
)
from perdure_recovery.strategy import Plan

TYPES: tuple[FailureType, ...] = get_args(FailureType)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
AT = datetime(2026, 1, 1, tzinfo=UTC).isoformat()


def noted(failure_type: FailureType = "dependency_down", node_id: str = "fetch") -> FailureNoted:
    return FailureNoted(
        failure_id="f",
        episode_id="ep",
        pattern_id="p",
        pattern=PatternFacts(
            workspace_id="ws",
            signature="v1:0",
            dependency="http:tickets.example",
            failure_type=failure_type,
            rule_id="status:503",
            root_cause_category=ROOT_CAUSE[failure_type],
            pattern_source="rule",
            error_type="http_status",
            error_message="tickets.example answered <number>",
            error_message_hash="0",
            execution_stage="run",
        ),
        execution_id="e",
        workflow_id="w",
        node_id=node_id,
        node_name="Fetch it",
        node_type="HTTP_REQUEST",
        scope=(),
        run=1,
        attempt=1,
        message="tickets.example answered 503",
        triggered_by="engine",
        failed_at=AT,
        first_failed_at=AT,
        success_mean=0.62,
        transient=True,
        confidence=0.71,
        evidence={"own": 3.0, "shared": 8.0},
    )


def texts(explanation: Explanation) -> list[str]:
    return list(texts_of(explanation))


@pytest.mark.parametrize("failure_type", TYPES)
def test_every_type_has_words(failure_type: FailureType) -> None:
    assert MEANING[failure_type]
    assert ACTION[failure_type]
    assert CATEGORY[ROOT_CAUSE[failure_type]]


@pytest.mark.parametrize("failure_type", TYPES)
@pytest.mark.parametrize("refused", [None, "the node was tried 3 times, the limit"])
@pytest.mark.parametrize("strategy", ["backoff", "escalate_human"])
def test_no_slot_of_a_decision_is_empty(
    failure_type: FailureType, refused: str | None, strategy: str
) -> None:
    plan = Plan("backoff" if strategy == "backoff" else "escalate_human", "because", delay_s=2.5)
    made = explain_decision(noted(failure_type), plan, 1, refused, doubtful=False)
    assert all(texts(made))
    assert not any("{" in text or "None" in text for text in texts(made))


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_slot_of_an_outcome_is_empty(outcome: Outcome) -> None:
    made = explain_outcome(noted(), 2, "because", outcome, 4.2)
    assert all(texts(made))
    assert not any("{" in text for text in texts(made))


def test_every_number_is_one_of_the_decisions_own() -> None:
    plan = Plan("backoff", "wait 2.5 s, then run the node again", delay_s=2.5)
    made = explain_decision(noted(), plan, 1, None, doubtful=False)
    due = {"2026", "01", "00", "02"}  # when the wait is over
    known = {"2.5", "1", "503", "0.62", "3.0", "8.0", "0.71"} | due
    assert set(re.findall(r"\d+(?:\.\d+)?", " ".join(texts(made)))) <= known
    assert "Fetch it (HTTP_REQUEST)" in made.failure_summary
    assert "http:tickets.example" in made.root_cause
    assert "2026-01-01 00:00:02 UTC" in made.estimated_resolution_time


def test_severity_says_who_must_do_something() -> None:
    plan = Plan("backoff", "because", delay_s=1.0)
    person = Plan("escalate_human", "because")
    nobody = Plan("dead_letter", "because")
    assert explain_decision(noted(), plan, 1, None, doubtful=False).severity_level == "medium"
    assert explain_decision(noted(), person, 1, None, doubtful=False).severity_level == "high"
    assert explain_decision(noted(), plan, 1, "no", doubtful=True).severity_level == "critical"
    stopped = explain_decision(noted("cancelled"), nobody, 1, None, doubtful=False)
    assert (stopped.severity_level, stopped.user_action_required) == ("low", "none")
    assert explain_outcome(noted(), 1, "because", "recovered", 3.0).severity_level == "low"


def test_an_execution_without_a_node_is_named_as_such() -> None:
    made = explain_decision(noted(node_id=""), Plan("escalate_human", "x"), 1, None, doubtful=False)
    assert made.failure_summary.startswith("The execution failed")


@pytest.mark.parametrize(
    "rule_id",
    [
        *("code:overloaded_error", "sqlstate:40", "class:httpx.ReadError", "cause:group"),
        *("status:503", "override", "unknown"),
        *(f"engine:{code}" for code in ENGINE_CODES),
        *(rule_id for rule_id, _, _ in PATTERNS),
    ],
)
def test_every_rule_can_be_said_in_words(rule_id: str) -> None:
    assert rule_id.partition(":")[2] in rule_in_words(rule_id)
