"""A choice of the sampler is recorded as it was drawn, whatever the attempt has to wait for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from perdure_common.decider import Due, Facts
from perdure_contracts.asking import RequestInteraction
from perdure_contracts.deciding import (
    AttemptParked,
    AttemptReleased,
    ExecutionEvent,
    NoteAnswer,
    ReleaseAttempt,
)
from perdure_contracts.recovery import AttemptOrdered, FailureNoted
from recovery_story import DOWN, NOW, Story, at, failed
from recovery_waits import due_of, facts, open_breaker

AWAY = replace(DOWN, type="connect_error", message="connection refused", status_code=None)
RECORDS = [
    {"failure_type": "network", "strategy": "retry_now", "tried": 20, "recovered": 8},
    {"failure_type": "network", "strategy": "backoff", "tried": 20, "recovered": 10},
]
EMPTY = {
    "tokens": 0.0, "tokens_at": at(NOW), "month": "2026-01", "month_usd": 0.0,
    "recovery_usd": None,
}  # fmt: skip


def sampling(mode: str = "auto", **more: Any) -> Facts:
    """Return what recovery finds in a workspace whose sampler has seen enough to choose."""
    known = facts(mode, records=RECORDS, **more)
    return {**known, "modes": [{**row, "sampler": "bandit"} for row in known["modes"]]}


def drawn() -> tuple[Mapping[str, float], float]:
    """Return what the sampler draws for the failure, as recorded where nothing waits."""
    _, ordered = Story(sampling()).hears(failed(error=AWAY))
    assert isinstance(ordered, AttemptOrdered)
    assert set(ordered.scores) == {"retry_now", "backoff"}
    assert 0.0 < ordered.propensity < 1.0
    return ordered.scores, ordered.propensity


def storm() -> Mapping[str, Any]:
    noted, _ = Story().hears(failed(error=AWAY))
    assert isinstance(noted, FailureNoted)
    return {"storm_id": noted.pattern_id, "gate": "shut", "closed_at": None}


HELD: dict[str, Facts] = {
    "approval": sampling("approve"),
    "storm": sampling(incidents=[storm()]),
    "breaker": sampling(breakers=[open_breaker()]),
    "bucket": sampling(allowance=[EMPTY]),
}


def let_go(story: Story, parked: AttemptParked) -> list[ExecutionEvent]:
    """Let an attempt go by whatever it waits for."""
    if parked.cause == "bucket":
        return story.after(minutes=30).hears(Due("e"))
    if parked.cause == "approval":
        (asked,) = (each for each in story.sent if isinstance(each, RequestInteraction))
        return story.does(
            NoteAnswer(
                execution_id="e", interaction_id=asked.interaction_id, outcome="answered",
                port="approved", by="ann",
            )
        )  # fmt: skip
    release = ReleaseAttempt(
        execution_id="e", attempt_id=parked.attempt_id, line=parked.line, reason="it is back"
    )
    return story.does(release)


def told(story: Story) -> tuple[object, object]:
    """Return what the attempt's row says of the choice."""
    (row,) = story.table("recovery_attempts")
    context: Any = row["recovery_context"]
    return context.get("scores"), context.get("propensity")


@pytest.mark.parametrize("cause", HELD)
def test_a_choice_whose_attempt_waits_is_recorded_when_it_is_made_and_when_it_is_tried(
    cause: str,
) -> None:
    story = Story(HELD[cause])
    _, parked = story.hears(failed(error=AWAY))
    assert isinstance(parked, AttemptParked)
    assert parked.cause == cause
    assert (parked.scores, parked.propensity) == drawn()
    assert told(story) == drawn()
    story.facts = sampling()
    (ordered,) = let_go(story, parked)
    assert isinstance(ordered, AttemptOrdered)
    assert (ordered.scores, ordered.propensity) == drawn()
    assert told(story) == drawn()


@pytest.mark.parametrize("cause", ["approval", "storm", "bucket"])
def test_a_choice_stays_recorded_though_its_attempt_waits_for_one_thing_after_the_other(
    cause: str,
) -> None:
    story = Story(HELD["breaker"])
    _, parked = story.hears(failed(error=AWAY))
    assert isinstance(parked, AttemptParked)
    if cause == "bucket":  # whom a line lets go takes no tokens: people's leave does not pay
        story = Story(HELD["approval"])
        _, parked = story.hears(failed(error=AWAY))
        assert isinstance(parked, AttemptParked)
    story.facts = HELD[cause]
    (again,) = let_go(story, parked)
    assert isinstance(again, AttemptParked)
    assert again.cause == cause
    assert (again.scores, again.propensity) == drawn()
    assert told(story) == drawn()


def test_what_was_ordered_and_held_up_when_its_wait_was_over_keeps_the_record_in_its_row() -> None:
    story = Story(sampling())
    _, ordered = story.hears(failed(error=AWAY))
    assert isinstance(ordered, AttemptOrdered)
    story.after(seconds=ordered.delay_s).facts = HELD["breaker"]
    (parked,) = story.hears(due_of(ordered, story))
    assert isinstance(parked, AttemptParked)
    assert (parked.scores, parked.propensity) == drawn()
    story.facts = sampling()
    (begins,) = let_go(story, parked)
    assert isinstance(begins, AttemptReleased)
    assert told(story) == drawn()
    story.facts = HELD["storm"]  # it is asked about once more: its choice is remembered still
    (again,) = story.hears(due_of(ordered, story))
    assert isinstance(again, AttemptParked)
    assert (again.scores, again.propensity) == drawn()


def test_what_the_rules_chose_has_no_scores_when_it_waits() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    _, parked = story.hears(failed(error=AWAY))
    assert isinstance(parked, AttemptParked)
    assert (parked.scores, parked.propensity) == ({}, 1.0)
    assert told(story) == (None, None)
