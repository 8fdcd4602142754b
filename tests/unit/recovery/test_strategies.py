"""Each strategy: when it can be carried out, and what it changes; and who chooses among them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.failures import Strategy
from perdure_contracts.patterns import FailureType
from perdure_recovery.cases import Case, Plan, Record, tried_as
from perdure_recovery.classify import classify
from perdure_recovery.means import means_from, problems_of
from perdure_recovery.strategies import STRATEGIES
from perdure_recovery.strategy import ALLOWED, choose

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OTHER = {"provider": "anthropic", "model": "c", "base_url": "", "credential": "k"}
THIRD = {"provider": "openai", "model": "x", "base_url": "http://x", "credential": None}
MEANS = means_from(
    {
        "fallback_model": [OTHER, THIRD],
        "reduce_input": True,
        "reprompt": True,
        "refresh_credentials": "key",
        "skip_compensate": "error_port",
    }
)


def case(failure_type: FailureType, **more: Any) -> Case:
    fields: dict[str, Any] = {
        "failure_id": "f1",
        "classification": classify(ErrorFacts(type="x", message=""), override=failure_type),
        "retried": 0,
        "drawn_s": 0.0,
        "transient": None,
        "retry_after_s": None,
        "deadline": None,
        "tried_at": None,
        "now": NOW,
        "dependency": "llm:openai:m",
        "means": MEANS,
        "judged": True,
        **more,
    }
    return Case(**fields)


def after(before: Case, plan: Plan) -> Case:
    """Return the case once a plan has failed the same way."""
    tried = (*before.tried, tried_as(plan.strategy, plan.changed))
    return replace(before, retried=before.retried + 1, drawn_s=plan.drawn_s, tried=tried)


def chosen(begin: Case, tries: int) -> list[str]:
    """Return what is chosen one after the other, as an episode remembers it."""
    found: list[str] = []
    for _ in range(tries):
        plan = choose(begin)
        found.append(tried_as(plan.strategy, plan.changed))
        begin = after(begin, plan)
    return found


def test_every_strategy_has_a_function_and_is_allowed_somewhere() -> None:
    assert set(STRATEGIES) == {each for row in ALLOWED.values() for each in row}


@pytest.mark.parametrize(
    ("failure_type", "expected"),
    [
        ("dependency_down", ["fallback_model:llm:anthropic:c", "fallback_model:llm:openai:x",
                             "backoff"]),
        ("quota_exhausted", ["fallback_model:llm:anthropic:c", "fallback_model:llm:openai:x",
                             "skip_compensate"]),
        ("rate_limit", ["backoff", "fallback_model:llm:anthropic:c"]),
        ("timeout", ["backoff", "fallback_model:llm:anthropic:c"]),
        ("network", ["retry_now", "fallback_model:llm:anthropic:c"]),
        ("context_length", ["reduce_input", "reduce_input", "fallback_model:llm:anthropic:c"]),
        ("output_invalid", ["reprompt", "backoff", "backoff"]),
        ("auth", ["refresh_credentials", "refresh_credentials", "skip_compensate"]),
        ("code_bug", ["skip_compensate"]),
    ],
)  # fmt: skip
def test_what_is_tried_one_after_the_other(failure_type: FailureType, expected: list[str]) -> None:
    assert chosen(case(failure_type), len(expected)) == expected


def test_a_fallback_that_is_down_is_passed_over_and_an_open_breaker_is_reason_enough() -> None:
    down = frozenset({"llm:openai:m", "llm:anthropic:c"})
    plan = choose(case("timeout", down=down))
    assert (plan.strategy, plan.changed) == ("fallback_model", {"to": "llm:openai:x"})
    assert plan.overrides == {"parameters": THIRD}


def test_less_and_less_of_the_input_is_kept() -> None:
    first = choose(case("context_length"))
    second = choose(after(case("context_length"), first))
    assert (first.overrides, second.overrides) == ({"reduce": 0.5}, {"reduce": 0.25})


def test_only_what_a_model_said_is_asked_for_again() -> None:
    error = ErrorFacts(type="output_invalid", message="no", detail={
        "problems": [{"message": "`n` is no number"}, {"message": "`m` is missing"}]
    })  # fmt: skip
    plan = choose(case("output_invalid", problems=problems_of(error)))
    assert plan.overrides == {"reprompt": ["`n` is no number", "`m` is missing"]}
    assert choose(case("output_invalid", dependency="http:shop")).strategy == "retry_now"
    assert choose(case("output_invalid", judged=False)).strategy == "retry_now"


def test_another_worker_gets_it_where_one_is_known_to_have_failed() -> None:
    plan = choose(case("worker_lost", runner="r1"))
    assert (plan.strategy, plan.overrides) == ("reassign", {"avoid": "r1"})
    assert choose(case("worker_lost")).strategy == "retry_now"


def test_a_long_wait_that_was_asked_for_is_kept_to_the_instant() -> None:
    plan = choose(case("rate_limit", retry_after_s=7_200.0))
    assert plan.strategy == "wait_until"
    assert 7_200.0 <= plan.delay_s <= 7_920.0


def test_what_comes_too_late_is_done_otherwise() -> None:
    soon = NOW + timedelta(seconds=30)
    plan = choose(case("rate_limit", retry_after_s=60.0, deadline=soon))
    assert plan.strategy == "fallback_model"
    alone = case("rate_limit", retry_after_s=60.0, deadline=soon, means=means_from(None))
    assert choose(alone).strategy == "escalate_human"


def test_a_limit_of_peoples_own_is_never_tried_around() -> None:
    limit = classify(ErrorFacts(type="cost_limit", message=""))
    assert choose(case("timeout", classification=limit)).strategy == "skip_compensate"


RECORDS: dict[Strategy, Record] = {
    "backoff": Record(40, 2),
    "fallback_model": Record(40, 38),
}


def test_the_sampler_learns_what_helps_and_can_be_asked_again() -> None:
    cases = [
        case("rate_limit", sampler="bandit", records=RECORDS, failure_id=f"f{n}") for n in range(50)
    ]
    plans = [choose(each) for each in cases]
    assert {plan.strategy for plan in plans} == {"fallback_model"}
    assert plans == [choose(each) for each in cases]
    assert set(plans[0].scores) == {"backoff", "fallback_model"}
    assert all(plan.propensity > 0.99 for plan in plans)


def test_the_sampler_goes_on_trying_what_it_does_not_know() -> None:
    even: dict[Strategy, Record] = {"backoff": Record(15, 7), "fallback_model": Record(15, 7)}
    plans = [
        choose(case("rate_limit", sampler="bandit", records=even, failure_id=f"f{n}"))
        for n in range(100)
    ]
    shares = sum(plan.strategy == "backoff" for plan in plans) / len(plans)
    told = sum(plan.propensity for plan in plans) / len(plans)
    assert 0.2 < shares < 0.9
    assert 0.3 < told < 0.9


def test_the_rules_stay_until_enough_was_seen_and_where_nobody_switched() -> None:
    few: dict[Strategy, Record] = {"backoff": Record(20, 0), "fallback_model": Record(9, 9)}
    assert choose(case("rate_limit", sampler="bandit", records=few)).strategy == "backoff"
    assert choose(case("rate_limit", records=RECORDS)).strategy == "backoff"


def test_what_is_believed_to_last_is_changed_before_it_is_repeated() -> None:
    assert choose(case("rate_limit", transient=False)).strategy == "fallback_model"


def test_what_the_rules_like_less_is_believed_in_less_until_it_was_tried() -> None:
    assert choose(case("quota_exhausted")).helps == 0.7
    second = case("rate_limit", transient=False)
    assert choose(second).helps == 0.5
    assert choose(replace(second, records=RECORDS)).helps == round((2 + 38) / 44, 6)
    by_sampler = choose(replace(second, records=RECORDS, transient=None, sampler="bandit"))
    assert by_sampler.strategy == "fallback_model"
    assert by_sampler.helps == round((2 + 38) / 44, 6)
    assert choose(case("rate_limit")).helps is None


def test_the_propensity_is_that_of_what_is_taken_where_only_some_may_be() -> None:
    means = {"sampler": "bandit", "records": RECORDS, "transient": False}
    alone = choose(case("rate_limit", **means))
    assert (alone.strategy, alone.scores, alone.propensity) == ("fallback_model", {}, 1.0)
    known: dict[Strategy, Record] = {"reduce_input": Record(20, 9), "fallback_model": Record(20, 9)}
    several = [
        choose(case("context_length", **{**means, "records": known}, failure_id=f"f{n}"))
        for n in range(400)
    ]
    assert all(set(plan.scores) == {"reduce_input", "fallback_model"} for plan in several)
    for strategy in ("reduce_input", "fallback_model"):
        taken = [plan for plan in several if plan.strategy == strategy]
        told = sum(plan.propensity for plan in taken) / len(taken)
        assert told == pytest.approx(len(taken) / len(several), abs=0.08)


def test_what_is_scored_is_what_may_be_taken() -> None:
    known: dict[Strategy, Record] = {"retry_now": Record(40, 39), "backoff": Record(40, 2)}
    plans = [
        choose(case("network", sampler="bandit", records=known, failure_id=f"f{n}", transient=False,
                    tried=("backoff",)))
        for n in range(50)
    ]  # fmt: skip
    assert {plan.strategy for plan in plans} == {"fallback_model"}
    assert all((plan.scores, plan.propensity) == ({}, 1.0) for plan in plans)
