"""Recovery in a thousand worlds: what must never happen does not, and all of it can be made again.

A world (tests/support/recovery_world.py) crashes after every event, and decides everything once
more in the end. That its judge sees what it looks for is shown by taking rails away.
"""

from collections import Counter

import pytest
from perdure_recovery import exploring, guard, parking
from recovery_world import Broken, World

WORLDS = 1_000
GROUPS = 8
EXPLORED_WORLDS = 100
SEEN_AT_LEAST = 10
"""How many of the worlds of a group must have seen each kind of event, or they prove nothing."""


@pytest.mark.parametrize("group", range(GROUPS))
def test_nothing_that_must_not_happen_does_and_decisions_can_be_made_again(group: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(group, WORLDS + group, GROUPS):
        world = World(seed).run()
        world.replay()
        seen.update(world.seen)
    rarest = {
        "recovery.attempt-ordered.v1",
        "recovery.attempt-parked.v1",
        "recovery.attempt-released.v1",
        "recovery.attempt-stopped.v1",
        "recovery.attempt-succeeded.v1",
        "recovery.breaker-turned.v1",
        "recovery.incident-opened.v1",
        "recovery.question-asked.v1",
        "recovery.question-settled.v1",
        "recovery.waiters-released.v1",
    }
    assert [name for name in sorted(rarest) if seen[name] < SEEN_AT_LEAST] == []


def test_what_is_explored_breaks_nothing_however_often_chance_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exploring, "EXPLORED_SHARE", 0.9)
    explored = 0
    for seed in range(EXPLORED_WORLDS):
        world = World(seed)
        world.sampler = "bandit"
        world.bad = {dependency: [(0.0, 200.0, "bug")] for dependency in world.bad}
        world.run().replay()
        explored += "explored" in world.seen
    assert explored >= SEEN_AT_LEAST


def broken(worlds: int) -> str:
    """Return what the first of some worlds breaks, empty if none of them does."""
    for seed in range(worlds):
        try:
            World(seed, crashes=False).run()
        except Broken as found:
            return str(found)
    return ""


@pytest.mark.parametrize(
    ("rail", "found"),
    [("effect", "in doubt"), ("caps", "is tried"), ("mode", "in mode")],
)
def test_a_rail_that_is_missing_is_noticed(
    rail: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tuple(each for each in guard.RAILS if each.__name__ != rail)
    monkeypatch.setattr(guard.first_refusal, "__defaults__", (left,))
    monkeypatch.setattr(parking, "RAILS", left)
    monkeypatch.setattr(parking, "WHEN_DUE", left)
    assert found in broken(200)
