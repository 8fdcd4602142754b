"""The rules: what each type allows, how long to wait, and when to stop."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perdure_contracts.engine import RETRY_AFTER_S_MAX, ErrorFacts
from perdure_contracts.failures import Strategy
from perdure_contracts.patterns import FailureType
from perdure_recovery.classify import classify
from perdure_recovery.means import Means
from perdure_recovery.strategy import (
    ALLOWED,
    AUTOMATIC,
    BASE_S,
    BASE_THROTTLED_S,
    CAP_S,
    NOW_MAX_S,
    PROBE_EVERY,
    UNCHANGED,
    Case,
    choose,
    uniform,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TYPES: tuple[FailureType, ...] = get_args(FailureType)


def case(
    failure_type: FailureType = "dependency_down",
    *,
    failure_id: str = "f1",
    retried: int = 0,
    drawn_s: float = 0.0,
    retry_after_s: float | None = None,
    code: str = "http_status",
) -> Case:
    error = ErrorFacts(type=code, message="")
    kind = classify(error) if code != "http_status" else classify(error, override=failure_type)
    return Case(
        failure_id=failure_id,
        classification=kind,
        retried=retried,
        drawn_s=drawn_s,
        transient=True,
        retry_after_s=retry_after_s,
        deadline=None,
        tried_at=None,
        now=NOW,
    )


def test_a_model_is_told_its_mistake_only_if_its_answer_could_be_read() -> None:
    unreadable = replace(
        case("output_invalid"), dependency="llm:openai:gpt-x", means=Means(reprompt=True)
    )
    assert choose(unreadable).strategy == "retry_now"
    assert choose(replace(unreadable, judged=True)).strategy == "reprompt"


@pytest.mark.parametrize("failure_type", TYPES)
def test_the_rules_choose_something_allowed_and_available(failure_type: FailureType) -> None:
    for retried in range(4):
        plan = choose(case(failure_type, retried=retried, drawn_s=1.0))
        assert plan.strategy in ALLOWED[failure_type]
        assert plan.automatic == (plan.strategy in AUTOMATIC)
        assert plan.reason


def test_every_type_ends_with_somebody_or_nobody() -> None:
    assert set(ALLOWED) == set(TYPES)
    assert {strategies[-1] for strategies in ALLOWED.values()} == {"escalate_human", "dead_letter"}
    known = set(get_args(Strategy))
    assert {s for strategies in ALLOWED.values() for s in strategies} <= known
    assert UNCHANGED < AUTOMATIC < known


@pytest.mark.parametrize("failure_type", ["permission", "validation", "code_bug", "auth"])
def test_what_does_not_pass_goes_to_a_person(failure_type: FailureType) -> None:
    assert choose(case(failure_type)).strategy == "escalate_human"


def test_a_stopped_execution_is_left_alone() -> None:
    assert choose(case("cancelled")).strategy == "dead_letter"


def test_a_lost_connection_is_tried_at_once_and_then_later() -> None:
    first = choose(case("network"))
    assert first.strategy == "retry_now"
    assert 0 <= first.delay_s <= NOW_MAX_S
    assert choose(case("network", retried=1, drawn_s=first.drawn_s)).strategy == "backoff"


def test_limits_that_people_set_are_never_worked_around() -> None:
    plan = choose(case(code="max_iterations"))
    assert plan.strategy == "escalate_human"
    assert "limit" in plan.reason


@given(st.text(min_size=1, max_size=20), st.floats(0.0, CAP_S), st.integers(0, 5))
def test_each_wait_lies_between_the_base_and_three_times_the_last(
    failure_id: str, last_s: float, retried: int
) -> None:
    plan = choose(case(failure_id=failure_id, retried=retried, drawn_s=last_s))
    upper = min(CAP_S, max(BASE_S, 3 * (last_s or BASE_S)))
    assert min(BASE_S, 3 * (last_s or BASE_S)) - 1e-3 <= plan.delay_s <= upper + 1e-3


def test_throttling_waits_longer() -> None:
    for n in range(50):
        plan = choose(case("rate_limit", failure_id=f"f{n}"))
        assert BASE_THROTTLED_S <= plan.delay_s <= 3 * BASE_THROTTLED_S


def test_the_same_failure_waits_as_long_when_decided_again() -> None:
    assert choose(case(failure_id="a")) == choose(case(failure_id="a"))
    delays = {choose(case(failure_id=f"f{n}")).delay_s for n in range(100)}
    assert len(delays) > 90


@pytest.mark.parametrize("asked_s", [1e12, 1e300])
def test_a_retry_after_of_centuries_is_bounded(asked_s: float) -> None:
    plan = choose(case("rate_limit", retry_after_s=asked_s))
    assert plan.strategy == "wait_until"
    assert 1 <= plan.delay_s / RETRY_AFTER_S_MAX <= 1.1
    assert datetime.now(UTC) + timedelta(seconds=plan.delay_s)


def test_retry_after_is_a_minimum_and_no_cap_binds_it() -> None:
    plan = choose(case("rate_limit", retry_after_s=600.0))
    assert 600.0 <= plan.delay_s <= 660.0
    assert plan.drawn_s <= CAP_S
    assert choose(case("network", retry_after_s=2.0)).strategy == "backoff"


def test_beyond_the_deadline_there_is_no_try() -> None:
    tight = replace(case(), deadline=NOW + timedelta(milliseconds=500))
    plan = choose(tight)
    assert plan.strategy == "escalate_human"
    assert "deadline" in plan.reason


def test_a_lasting_failure_is_probed_now_and_then() -> None:
    lasting = replace(case("tool_error"), transient=False)
    assert choose(lasting).probe
    lately = replace(lasting, tried_at=NOW - PROBE_EVERY / 2)
    assert choose(lately).strategy == "escalate_human"
    long_ago = replace(lasting, tried_at=NOW - PROBE_EVERY)
    assert choose(long_ago).probe


def test_chance_is_even() -> None:
    draws = [uniform(f"f{n}", 1, "delay") for n in range(2000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert abs(sum(draws) / len(draws) - 0.5) < 0.03
