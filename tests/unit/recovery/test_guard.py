"""The guard rails: each refuses for its own reason, and the first one counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from perdure_contracts.engine import EffectClass, EffectState
from perdure_contracts.failures import RecoveryMode
from perdure_recovery.guard import (
    EXECUTION_ATTEMPTS_MAX,
    NODE_ATTEMPTS_MAX,
    RAILS,
    Allowance,
    Breaker,
    Hold,
    Situation,
    duplicate,
    first_refusal,
    stricter,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FREE = Situation(
    mode="auto",
    switch="auto",
    asked=True,
    verdict_until=NOW + timedelta(seconds=10),
    deadline=NOW + timedelta(hours=1),
    effect="pure",
    effect_state="unknown",
    node_attempts=0,
    execution_attempts=0,
    now=NOW,
)


OPEN = Breaker("http:shop", "open", NOW + timedelta(seconds=30), "b/line")


def refused_by(**changes: object) -> str | None:
    refusal = first_refusal(replace(FREE, **changes))  # pyright: ignore[reportArgumentType]
    if refusal is not None:
        assert refusal.reason
    return refusal.rail if refusal else None


def test_nothing_stands_in_the_way_of_a_harmless_retry() -> None:
    assert first_refusal(FREE) is None


@pytest.mark.parametrize("mode", ["off", "observe", "approve"])
def test_the_workspace_and_the_switch_above_it_can_forbid(mode: RecoveryMode) -> None:
    assert refused_by(mode=mode) == "mode"
    assert refused_by(switch=mode) == "mode"


def test_the_stricter_mode_counts() -> None:
    assert stricter("auto", "off") == stricter("off", "auto") == "off"
    assert stricter("approve", "observe") == "observe"


def test_what_nobody_waits_for_is_not_retried() -> None:
    assert refused_by(asked=False) == "wanted"
    assert refused_by(verdict_until=NOW) == "wanted"
    assert refused_by(deadline=NOW - timedelta(seconds=1)) == "wanted"


def test_a_failure_is_decided_once_and_a_node_has_one_open_attempt() -> None:
    assert duplicate("f", frozenset({"f"}), 1, None)
    assert duplicate("g", frozenset({"f"}), 1, 1)
    assert duplicate("g", frozenset({"f"}), 2, 1) is None
    assert duplicate("f", frozenset(), 1, None) is None


@pytest.mark.parametrize(
    ("effect", "state", "refused"),
    [
        ("pure", "done", False),
        ("keyed", "unknown", False),
        ("unsafe", "not_sent", False),
        ("unsafe", "refused", False),
        ("unsafe", "unknown", True),
        ("unsafe", "done", True),
        ("verify_first", "unknown", False),
        ("verify_first", "not_sent", False),
    ],
)
def test_an_effect_that_may_have_happened_is_not_repeated(
    effect: EffectClass, state: EffectState, refused: bool
) -> None:
    assert (refused_by(effect=effect, effect_state=state) == "effect") == refused


def test_the_caps_hold() -> None:
    assert refused_by(node_attempts=NODE_ATTEMPTS_MAX - 1) is None
    assert refused_by(node_attempts=NODE_ATTEMPTS_MAX) == "caps"
    assert refused_by(execution_attempts=EXECUTION_ATTEMPTS_MAX - 1) is None
    assert refused_by(execution_attempts=EXECUTION_ATTEMPTS_MAX) == "caps"


def test_the_first_rail_in_the_documented_order_refuses() -> None:
    names = [rail.__name__ for rail in RAILS]
    assert names == ["mode", "wanted", "effect", "caps", "storm", "breaker", "bucket"]
    everything: dict[str, object] = {
        "mode": "off",
        "asked": False,
        "effect": "unsafe",
        "node_attempts": 99,
        "incident": "shut",
        "breakers": (OPEN,),
        "cost": 1_000,
    }
    for rail, cause in zip(RAILS, list(everything), strict=True):
        assert refused_by(**everything) == rail.__name__
        del everything[cause]


def held_by(**changes: object) -> Hold | None:
    refusal = first_refusal(replace(FREE, **changes))  # pyright: ignore[reportArgumentType]
    return refusal.hold if refusal else None


def test_whoever_refuses_wins_over_whoever_lets_wait() -> None:
    assert held_by(mode="approve", node_attempts=99) is None
    assert refused_by(mode="approve", node_attempts=99) == "caps"


def test_people_are_waited_for_a_day_but_not_beyond_the_deadline() -> None:
    hold = held_by(mode="approve")
    assert hold is not None
    assert (hold.cause, hold.until) == ("approval", FREE.deadline)
    free = held_by(mode="approve", deadline=None)
    assert free is not None
    assert free.until == NOW + timedelta(hours=24)
    assert held_by(mode="approve", approved=True) is None


def test_storms_and_open_breakers_let_wait_whose_turn_has_not_come() -> None:
    storm = held_by(incident="probe", incident_line="p/line")
    assert storm is not None
    assert (storm.cause, storm.line) == ("storm", "p/line")
    assert held_by(incident="probe", incident_line="p/line", turn="p/line") is None
    assert held_by(incident="open", incident_line="p/line") is None
    breaker = held_by(breakers=(OPEN,))
    assert breaker is not None
    assert (breaker.cause, breaker.line) == ("breaker", "b/line")
    assert held_by(breakers=(OPEN,), turn="b/line") is None
    assert held_by(breakers=(replace(OPEN, state="closed"),)) is None


def test_whom_a_breaker_lets_through_is_not_sent_to_the_incidents_line() -> None:
    both: dict[str, object] = {
        "incident": "probe",
        "incident_line": "p/line",
        "breakers": (OPEN,),
    }
    waiting = held_by(**both)
    assert waiting is not None and waiting.line == "p/line"
    of_incident = held_by(**both, turn="p/line")
    assert of_incident is not None and of_incident.line == "b/line", "the breaker is still open"
    assert held_by(**both, turn="b/line") is None


def test_an_empty_bucket_lets_wait_until_it_has_enough_again() -> None:
    hold = held_by(cost=14, allowance=Allowance(tokens=4.0))
    assert hold is not None
    assert hold.wake_at == NOW + timedelta(seconds=72)  # 10 of 500 an hour
    assert hold.until > NOW + timedelta(seconds=72)
    assert held_by(cost=14, allowance=Allowance(tokens=14.0)) is None


def test_money_that_is_spent_refuses() -> None:
    spent = Allowance(month_usd=9.99, recovery_usd=10.0)
    assert refused_by(usd=0.02, allowance=spent) == "bucket"
    assert held_by(usd=0.02, allowance=spent) is None
    assert refused_by(usd=0.01, allowance=spent) is None
    assert refused_by(usd=5.0, allowance=replace(spent, recovery_usd=None)) is None
