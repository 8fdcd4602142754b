"""A node that may have done something is undone before it is given up, where that can be."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from perdure_common.decider import Facts
from perdure_contracts.asking import RequestInteraction
from perdure_contracts.deciding import AttemptParked, NoteAnswer, NoteCompensated, NoteResult
from perdure_contracts.engine import ErrorFacts, NodeErrored, RecoveryVerdict
from perdure_contracts.recovery import AttemptOrdered, AttemptRefused, VerdictRepeated
from perdure_contracts.undoing import NodeCompensated
from recovery_story import DOWN, Story, at, failed, kinds

MEANS = {"skip_compensate": "request"}
WRONG = ErrorFacts(
    type="http_status", message="it was refused", status_code=422, effect_state="unknown"
)
HALF = replace(DOWN, stage="compensate", message="the compensation failed: the answer was 503")


def mode(name: str) -> Facts:
    row = {"workspace_id": "ws", "mode": name, "sampler": "rules", "people": "ask"}
    return {"modes": [row]}


def begun(error: ErrorFacts = WRONG, facts: Facts | None = None, **more: Any) -> tuple[Story, Any]:
    story = Story(facts)
    events = story.hears(failed(error=error, means=MEANS, **more))
    return story, events[1]


def undone(story: Story, failure_id: str = "f1") -> list[Any]:
    return list(
        story.hears(
            NodeCompensated(
                execution_id="e", node_id="fetch", scope=(), run=1, attempt=2, token="t",
                failure_id=failure_id, indexes=(0,), compensated_at=at(story.now),
            )
        )
    )  # fmt: skip


def verdict(story: Story) -> RecoveryVerdict:
    return [each for each in story.sent if isinstance(each, RecoveryVerdict)][-1]


def test_what_does_not_pass_is_undone_and_that_is_told_as_handled() -> None:
    story, ordered = begun()
    assert isinstance(ordered, AttemptOrdered)
    assert (ordered.strategy, ordered.cost) == ("skip_compensate", 14)
    told = verdict(story)
    assert (told.verdict, told.overrides) == ("retry", {"compensate": True})
    assert kinds(undone(story.after(seconds=2))) == ["AttemptSucceeded", "EpisodeClosed"]
    (attempt,) = story.table("recovery_attempts")
    assert (attempt["status"], attempt["recovery_outcome"]) == ("succeeded", "handled")
    (episode,) = story.table("recovery_episodes")
    assert episode["outcome"] == "handled"
    assert "eligible" not in episode
    (explained,) = story.table("recovery_explanations")
    assert explained["complete"]
    assert explained["faithfulness"] == 1.0
    assert explained["severity_level"] == "low"
    assert "2.0 s" in str(explained["retry_decision"])
    errored = NodeErrored(
        execution_id="e", node_id="fetch", scope=(), run=1, attempt=2, error=WRONG, step=1,
        failure_id="f1",
    )  # fmt: skip
    assert story.hears(errored) == []
    assert undone(story) == [], "it is heard once"


def test_what_may_pass_is_tried_first_and_undone_when_it_may_not_be_tried_any_more() -> None:
    story, ordered = begun(DOWN)
    assert ordered.strategy == "backoff"
    for number in (2, 3):
        story.hears(failed(f"f{number}", attempt=number, means=MEANS))
    *_, last = story.hears(failed("f4", attempt=4, means=MEANS))
    assert isinstance(last, AttemptOrdered)
    assert last.strategy == "skip_compensate"
    assert "the limit" in last.reason
    assert "is undone" in last.reason
    assert story.state.tried == {"fetch": 3}, "it counts against no limit but its own"


def test_an_effect_in_doubt_that_may_not_be_repeated_is_undone() -> None:
    _, ordered = begun(DOWN, effect="unsafe")
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.strategy == "skip_compensate"
    assert "could double it" in ordered.reason


@pytest.mark.parametrize("name", ["off", "observe"])
def test_nothing_is_undone_where_recovery_may_not_act(name: str) -> None:
    story, refused = begun(facts=mode(name))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "mode"
    assert story.verdicts() == ["give_up"]


def test_where_people_are_asked_first_they_are_asked_before_something_is_undone() -> None:
    story, parked = begun(facts=mode("approve"))
    assert isinstance(parked, AttemptParked)
    (request,) = [each for each in story.sent if isinstance(each, RequestInteraction)]
    assert "undone" in request.payload["explanation"]["retry_decision"]
    (ordered,) = story.does(
        NoteAnswer(
            execution_id="e", interaction_id=request.interaction_id, outcome="answered",
            port="approved", by="ann",
        )
    )  # fmt: skip
    assert isinstance(ordered, AttemptOrdered)
    assert verdict(story).overrides == {"compensate": True}


def test_a_compensation_that_fails_is_tried_three_times_and_then_left_to_people() -> None:
    story, _ = begun()
    waits: list[float] = []
    for number in (2, 3):
        *_, again = story.hears(failed(f"f{number}", error=HALF, attempt=number, means=MEANS))
        assert isinstance(again, AttemptOrdered)
        assert again.strategy == "skip_compensate"
        assert "the compensation failed" in again.reason
        waits.append(again.delay_s)
    assert min(waits) > 1.0, "not at once"
    *_, refused, closed = story.hears(failed("f4", error=HALF, attempt=4, means=MEANS))
    assert isinstance(refused, AttemptRefused)
    assert (refused.strategy, refused.ask) == ("escalate_human", True)
    assert refused.explanation.severity_level == "critical"
    assert "may stand" in refused.explanation.retry_decision
    assert kinds([closed]) == ["EpisodeClosed"]


def test_a_compensation_is_not_tried_as_if_it_were_the_node() -> None:
    story, _ = begun()
    passing = replace(HALF, type="rate_limit", status_code=429)
    *_, again = story.hears(failed("f2", error=passing, attempt=2, means=MEANS))
    assert isinstance(again, AttemptOrdered)
    assert again.overrides == {"compensate": True}


def test_what_the_engine_gave_up_meanwhile_was_not_undone() -> None:
    story, _ = begun()
    errored = NodeErrored(
        execution_id="e", node_id="fetch", scope=(), run=1, attempt=2, error=WRONG, step=1,
        failure_id="f1",
    )  # fmt: skip
    assert kinds(story.hears(errored)) == ["AttemptFailed", "EpisodeClosed"]
    (attempt,) = story.table("recovery_attempts")
    assert attempt["recovery_outcome"] == "superseded"
    note = NoteCompensated(execution_id="e", failure_id="f1", compensated_at=at(story.now))
    assert story.does(note) == []


def test_an_effect_that_is_looked_for_first_may_be_tried_again_and_that_is_said() -> None:
    story = Story()
    _, ordered = story.hears(failed(effect="verify_first"))
    assert isinstance(ordered, AttemptOrdered)
    assert "looks first whether its effect has happened" in ordered.explanation.retry_decision
    assert ordered.explanation.faithfulness == 1.0
    refused = replace(DOWN, effect_state="refused")
    _, plain = Story().hears(failed(error=refused, effect="verify_first"))
    assert isinstance(plain, AttemptOrdered)
    assert "looks first" not in plain.reason
    assert timedelta(seconds=ordered.delay_s) > timedelta(0)


def test_what_was_undone_is_given_up_where_the_engine_tells_the_failure_again() -> None:
    story, _ = begun()
    undone(story)
    (again,) = story.hears(failed(error=WRONG, means=MEANS))  # it was restored from a backup
    assert isinstance(again, VerdictRepeated)
    assert (again.verdict, again.overrides) == ("give_up", None)
    assert story.verdicts() == ["retry", "give_up"]


def test_what_is_being_undone_is_undone_where_the_engine_tells_the_failure_again() -> None:
    story, _ = begun(effect="unsafe")
    (again,) = story.hears(failed(error=WRONG, means=MEANS, effect="unsafe"))
    assert isinstance(again, VerdictRepeated)
    assert (again.verdict, again.overrides) == ("retry", {"compensate": True})


def test_a_workspace_gets_back_what_a_compensation_took() -> None:
    story, ordered = begun()
    undone(story)
    (result,) = [each for each in story.sent if isinstance(each, NoteResult)]
    assert (result.attempt_id, result.recovered, result.cost) == (ordered.attempt_id, True, 14)
