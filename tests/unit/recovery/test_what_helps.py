"""`confidence_score` of an attempt: how likely its own strategy is believed to help."""

from collections.abc import Mapping
from typing import Any

import pytest
from perdure_common.decider import Facts
from perdure_contracts.deciding import AttemptParked, ReleaseAttempt
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.recovery import AttemptOrdered, AttemptRefused, FailureNoted
from perdure_recovery.cases import Record
from perdure_recovery.sampler import expected
from recovery_story import DOWN, Story, failed
from recovery_waits import due_of, facts, open_breaker

LONG = ErrorFacts(
    type="context_length", message="too long", dependency="llm:openai:m", stage="model",
    effect_state="not_sent",
)  # fmt: skip
REDUCES: Mapping[str, Any] = {"reduce_input": True}


def helped(tried: int, recovered: int, strategy: str = "reduce_input") -> Mapping[str, Any]:
    return {
        "failure_type": "context_length", "strategy": strategy, "tried": tried,
        "recovered": recovered,
    }  # fmt: skip


def score(story: Story) -> object:
    (row,) = story.table("recovery_attempts")
    return row["confidence_score"]


def test_a_cure_that_changes_something_is_not_scored_as_a_retry_of_the_same() -> None:
    story = Story(facts())
    noted, ordered = story.hears(failed(error=LONG, means=REDUCES))
    assert isinstance(noted, FailureNoted)
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.strategy == "reduce_input"
    assert noted.success_mean == 0.02  # of a retry of the same
    assert (ordered.helps, score(story)) == (0.7, 0.7)


@pytest.mark.parametrize(
    ("tried", "recovered", "mean"), [(0, 0, 0.7), (16, 16, 0.94), (16, 0, 0.14)]
)
def test_the_score_follows_from_what_the_strategy_did_before_in_the_workspace(
    tried: int, recovered: int, mean: float
) -> None:
    others = [helped(90, 90, "fallback_model"), {**helped(90, 0), "failure_type": "timeout"}]
    story = Story(facts(records=[helped(tried, recovered), *others]))
    story.hears(failed(error=LONG, means=REDUCES))
    assert score(story) == mean == expected(Record(tried, recovered), 0)


def test_a_retry_of_the_same_is_scored_by_what_its_pattern_taught() -> None:
    records = [{**helped(90, 0, "backoff"), "failure_type": "dependency_down"}]
    story = Story(facts(records=records))
    noted, ordered = story.hears(failed(error=DOWN))
    assert isinstance(noted, FailureNoted)
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.strategy == "backoff"
    assert ordered.helps is None
    assert score(story) == noted.success_mean == 0.6


def test_where_nothing_is_tried_the_score_is_that_of_the_retry_that_is_not_made() -> None:
    story = Story(facts())
    noted, refused, _ = story.hears(failed(error=LONG))
    assert isinstance(noted, FailureNoted)
    assert isinstance(refused, AttemptRefused)
    assert refused.strategy == "escalate_human"
    assert score(story) == noted.success_mean == 0.02


def test_what_undoes_is_scored_by_how_often_undoing_worked() -> None:
    records = [helped(16, 16, "skip_compensate")]
    story = Story(facts(records=records))
    story.hears(failed(error=LONG, effect="unsafe", means={"skip_compensate": "request"}))
    (row,) = story.table("recovery_attempts")
    assert (row["recovery_strategy"], row["confidence_score"]) == ("skip_compensate", 0.94)


def test_a_cure_that_a_rail_refuses_keeps_its_score() -> None:
    story = Story(facts("observe"))
    _, refused, _ = story.hears(failed(error=LONG, means=REDUCES))
    assert isinstance(refused, AttemptRefused)
    assert (refused.rail, refused.strategy, score(story)) == ("mode", "reduce_input", 0.7)


def test_a_cure_that_waits_keeps_its_score_however_often_it_waits() -> None:
    mine = {**open_breaker(), "dependency": LONG.dependency}
    held: Facts = facts(breakers=[mine])
    story = Story(held)
    _, parked = story.hears(failed(error=LONG, means=REDUCES))
    assert isinstance(parked, AttemptParked)
    assert (parked.helps, score(story)) == (0.7, 0.7)
    release = ReleaseAttempt(
        execution_id="e", attempt_id=parked.attempt_id, line="b/line", reason="it is back"
    )
    story.facts = facts()
    (ordered,) = story.does(release)
    assert isinstance(ordered, AttemptOrdered)
    assert (ordered.helps, score(story)) == (0.7, 0.7)
    story.facts = held
    (again,) = story.hears(due_of(ordered, story))
    assert isinstance(again, AttemptParked)
    assert (again.counted, again.helps, score(story)) == (True, 0.7, 0.7)
    story.facts = facts()
    story.does(release)
    story.facts = facts(breakers=[{**mine, "breaker_id": "c"}])
    (thrice,) = story.hears(due_of(ordered, story))
    assert isinstance(thrice, AttemptParked)
    assert thrice.helps == 0.7


def test_what_a_rail_refuses_after_its_wait_keeps_its_score() -> None:
    mine = {**open_breaker(), "dependency": LONG.dependency}
    story = Story(facts(breakers=[mine]))
    _, parked = story.hears(failed(error=LONG, means=REDUCES))
    assert isinstance(parked, AttemptParked)
    story.facts = facts("off")
    refused, _ = story.does(
        ReleaseAttempt(
            execution_id="e", attempt_id=parked.attempt_id, line="b/line", reason="it is back"
        )
    )
    assert isinstance(refused, AttemptRefused)
    assert (refused.helps, score(story)) == (0.7, 0.7)
