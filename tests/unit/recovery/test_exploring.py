"""A few of what would be given up are tried by chance: which, how many, and how they count."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from perdure_common.decider import Facts
from perdure_contracts.deciding import AttemptReleased, AttemptStopped, ExecutionEvent
from perdure_contracts.engine import EffectClass
from perdure_contracts.failures import RecoveryMode
from perdure_contracts.recovery import AttemptOrdered, AttemptRefused
from perdure_recovery.exploring import EXPLORED_SHARE
from perdure_recovery.measures import Counted, kpis
from perdure_recovery.waits import uniform
from recovery_story import DOWN, NOW, Story, at, completed, failed
from recovery_waits import due_of, facts, open_breaker

BUG = replace(DOWN, type="code_failed", message="no such name", status_code=None, dependency="")
DENIED = replace(DOWN, message="the answer was 403", status_code=403)


def chance(mode: RecoveryMode = "auto", sampler: str = "bandit", **more: Any) -> Facts:
    known = facts(mode, **more)
    return {**known, "modes": [{**row, "sampler": sampler} for row in known["modes"]]}


def drawn(*, inside: bool) -> str:
    """Return the id of a failure that chance takes, or does not."""
    names = (f"f{n}" for n in range(10_000))
    return next(f for f in names if (uniform(f, 1, "explore") < EXPLORED_SHARE) == inside)


def last(story: Story, **more: Any) -> ExecutionEvent:
    fields: dict[str, Any] = {
        "failure_id": drawn(inside=True),
        "error": BUG,
        "effect": "pure",
        **more,
    }
    return [e for e in story.hears(failed(**fields)) if not hasattr(e, "outcome")][-1]


def test_two_of_a_hundred_that_are_given_up_are_tried_all_the_same() -> None:
    tried = 0
    for n in range(2_000):
        event = last(Story(chance()), failure_id=f"n{n}")
        tried += isinstance(event, AttemptOrdered)
    assert 20 <= tried <= 60


def test_an_exploration_says_with_what_chance_it_was_made_and_so_does_what_was_not() -> None:
    story = Story(chance())
    ordered = last(story)
    assert isinstance(ordered, AttemptOrdered)
    assert (ordered.strategy, ordered.explores, ordered.probe) == ("backoff", True, True)
    assert (ordered.propensity, ordered.scores) == (EXPLORED_SHARE, {})
    (row,) = story.table("recovery_attempts")
    assert row["triggered_by"] == "probe"
    context: Any = row["recovery_context"]
    assert (context["explores"], context["propensity"]) == (True, EXPLORED_SHARE)
    other = Story(chance())
    refused = last(other, failure_id=drawn(inside=False))
    assert isinstance(refused, AttemptRefused)
    assert (refused.rail, refused.propensity) == ("rules", 1.0 - EXPLORED_SHARE)
    (row,) = other.table("recovery_attempts")
    context = row["recovery_context"]
    assert context["propensity"] == 1.0 - EXPLORED_SHARE


@pytest.mark.parametrize("effect", ["keyed", "verify_first", "unsafe"])
def test_only_nodes_without_effects_are_explored(effect: EffectClass) -> None:
    refused = last(Story(chance()), effect=effect)
    assert isinstance(refused, AttemptRefused)
    assert refused.propensity == 1.0


@pytest.mark.parametrize(
    "known",
    [
        chance(sampler="rules"),
        chance("approve"),
        chance("observe"),
        chance("off"),
        facts(),
    ],
)
def test_nothing_is_left_to_chance_where_nobody_allowed_it(known: Facts) -> None:
    refused = last(Story(known))
    assert isinstance(refused, AttemptRefused)
    assert refused.propensity == 1.0


@pytest.mark.parametrize(
    "more",
    [
        {"error": replace(BUG, type="canceled")},
        {"error": replace(BUG, type="cost_limit")},
        {"error": replace(BUG, type="effect_unknown")},
        {"asked": False},
        {"deadline": at(NOW)},
    ],
)
def test_what_nothing_may_be_tried_about_is_not_explored(more: dict[str, Any]) -> None:
    refused = last(Story(chance()), **more)
    assert isinstance(refused, AttemptRefused)
    assert refused.propensity == 1.0


def test_an_exploration_that_would_have_to_wait_is_none() -> None:
    held = chance(breakers=[open_breaker()])
    refused = last(Story(held), error=DENIED)
    assert isinstance(refused, AttemptRefused)
    assert (refused.rail, refused.propensity) == ("rules", 1.0)


def test_explored_episodes_are_counted_apart() -> None:
    story = Story(chance())
    ordered = last(story)
    assert isinstance(ordered, AttemptOrdered)
    story.after(seconds=9).hears(completed(2))
    (episode,) = story.table("recovery_episodes")
    assert (episode["explored"], episode.get("eligible", False)) == (True, False)
    assert not episode.get("judged_transient", False)


def test_an_exploration_that_a_line_holds_up_later_stays_one() -> None:
    story = Story(chance())
    ordered = last(story)
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.ask_again
    story.facts = chance("off")
    (stopped, *_) = story.after(seconds=ordered.delay_s).hears(due_of(ordered, story))
    assert isinstance(stopped, AttemptStopped)
    again = Story(chance())
    ordered = last(again)
    assert isinstance(ordered, AttemptOrdered)
    (released,) = again.after(seconds=ordered.delay_s).hears(due_of(ordered, again))
    assert isinstance(released, AttemptReleased)
    assert [e.attempt.explores for e in again.state.episodes.values() if e.attempt] == [True]


def episodes(outcomes: Sequence[str]) -> list[Counted]:
    return [
        Counted(
            failure_type="code_bug",
            dependency_class="none",
            fallback=False,
            outcome=outcome,
            eligible=False,
            false_positive=False,
            missed=False,
            explored=True,
            duration_s=1.0,
        )
        for outcome in outcomes
    ]


def test_what_was_explored_says_what_giving_up_misses_and_changes_no_other_figure() -> None:
    found = kpis(episodes(["recovered", "escalated", "escalated", "escalated", "open"]))["all"]
    assert (found["explored"]["value"], found["explored"]["of"]) == (0.25, 4)
    assert (found["eligible"], found["recovered"]) == (0, 0)
    assert found["success"]["value"] is None
    assert found["time_to_recovery"]["p50_s"] is None
