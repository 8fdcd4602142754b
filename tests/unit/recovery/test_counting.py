"""Counters of others follow from recovery's events, and agree with its own rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import pytest
from perdure_common.decider import Due
from perdure_contracts.asking import RequestInteraction
from perdure_contracts.counting import Added, added_by
from perdure_contracts.deciding import ExecutionEvent, NoteAnswer
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.failures import Strategy
from perdure_contracts.recovery import AttemptFailed, AttemptOrdered
from perdure_recovery.cases import counts as counts_as_automatic
from recovery_story import Story, completed, failed
from recovery_waits import facts

HELD = ErrorFacts(
    type="breaker_open", message="not sent", dependency="http:tickets.example", retry_after_s=20.0
)
LASTING = ErrorFacts(type="code_failed", message="no such name", effect_state="unknown")


def attempts_of(events: Sequence[ExecutionEvent]) -> int:
    """Return what events add to the attempts of their workspace."""
    added = [each for each in map(added_by, events) if each is not None]
    assert {each.workspace_id for each in added} == {"ws"}
    return sum(each.attempts for each in added)


def attempts_in(story: Story) -> int:
    """Return how many automatic attempts the episodes of a story had."""
    rows = story.table("recovery_episodes")
    return sum(int(str(row.get("attempts", 0))) for row in rows)


def test_workspaces_count_attempts_that_were_started_and_episodes_that_recovered() -> None:
    story = Story()
    events: list[ExecutionEvent] = []
    for at, message in (
        (0, failed()),
        (5, failed("f2", attempt=2)),
        (5, completed(3)),
        (600, Due("e")),
        (5, failed("f3", node_id="other", effect="unsafe")),
    ):
        events += story.after(seconds=at).hears(message)
    counts: Counter[str] = Counter()
    last = ""
    for event in events:
        added = added_by(event)
        if added is not None:
            assert added.workspace_id == "ws"
            counts.update(attempts=added.attempts, recovered=added.recovered)
            last = max(last, added.decided_at)
    assert counts == {"attempts": 2, "recovered": 1}
    rows = story.table("recovery_episodes")
    assert sum(int(str(row.get("attempts", 0))) for row in rows) == counts["attempts"]
    assert sum(row["outcome"] == "recovered" for row in rows) == counts["recovered"]
    assert last.startswith("2026-01-01T12:10:15")


def test_what_is_only_noted_adds_nothing() -> None:
    noted, *_ = Story().hears(failed())
    assert added_by(noted) is None
    assert added_by("anything") is None
    assert Added("ws").attempts == 0


def test_an_attempt_that_a_breaker_held_back_is_taken_back() -> None:
    story = Story(facts())
    events = story.hears(failed())
    assert attempts_of(events) == attempts_in(story) == 1
    for number in (2, 3):
        held = story.after(seconds=5).hears(failed(f"f{number}", error=HELD, attempt=number))
        assert isinstance(held[0], AttemptFailed)
        events += held
        assert attempts_of(events) == attempts_in(story) == 1
    events += story.after(seconds=5).hears(failed("f4", attempt=4))
    assert attempts_of(events) == attempts_in(story) == 2


def test_a_try_that_a_person_asked_for_is_no_automatic_one() -> None:
    story = Story(facts(people="hold"))
    events = story.hears(failed(error=LASTING))
    (asked,) = (each for each in story.sent if isinstance(each, RequestInteraction))
    ordered = story.does(
        NoteAnswer(
            execution_id="e", interaction_id=asked.interaction_id, outcome="answered",
            port="retry", by="ann",
        )
    )  # fmt: skip
    assert isinstance(ordered[0], AttemptOrdered)
    assert attempts_of([*events, *ordered]) == attempts_in(story) == 0
    added = added_by(ordered[0])
    assert added is not None
    assert added.decided_at == ordered[0].ordered_at, "recovery has looked all the same"


def test_a_compensation_is_no_attempt() -> None:
    story = Story(facts())
    events = story.hears(failed(error=LASTING, means={"skip_compensate": "request"}))
    assert isinstance(events[1], AttemptOrdered)
    assert events[1].strategy == "skip_compensate"
    assert attempts_of(events) == attempts_in(story) == 0


@pytest.mark.parametrize("strategy", get_args(Strategy))
@pytest.mark.parametrize("by", ["", "ann"])
def test_others_count_what_recovery_counts_itself(strategy: Strategy, by: str) -> None:
    _, ordered = Story(facts()).hears(failed())
    assert isinstance(ordered, AttemptOrdered)
    added = added_by(replace(ordered, strategy=strategy, by=by))
    assert added is not None
    assert added.attempts == int(counts_as_automatic(strategy, by))
