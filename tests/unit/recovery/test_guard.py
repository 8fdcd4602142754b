"""The guard rails: each refuses for its own reason, and the first one counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from perdure_contracts.engine import EffectClass, EffectState
from perdure_contracts.recovery import RecoveryMode
from perdure_recovery.guard import (
    EXECUTION_ATTEMPTS_MAX,
    NODE_ATTEMPTS_MAX,
    RAILS,
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
        ("verify_first", "unknown", True),
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
    assert [rail.__name__ for rail in RAILS] == ["mode", "wanted", "effect", "caps"]
    everything: dict[str, object] = {
        "mode": "off",
        "asked": False,
        "effect": "unsafe",
        "node_attempts": 99,
    }
    for rail, cause in zip(RAILS, list(everything), strict=True):
        assert refused_by(**everything) == rail.__name__
        del everything[cause]
