"""People are asked about what nothing automatic helps, and what they say is done."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from perdure_common.decider import Due, Facts, Rejected
from perdure_contracts.asking import CancelInteraction, RequestInteraction
from perdure_contracts.deciding import AttemptParked, NoteAnswer, ReleaseAttempt
from perdure_contracts.engine import ErrorFacts, ExecutionFailed, RetryNode
from perdure_contracts.executions import AttemptDue
from perdure_contracts.patterns import NoteOccurrence
from perdure_contracts.questions import QuestionAsked, QuestionSettled
from perdure_contracts.recovery import AttemptOrdered, AttemptRefused
from perdure_recovery import explain_waiting
from perdure_recovery.app import executions
from perdure_recovery.evolve_questions import UNASKED_MAX
from perdure_recovery.state import Execution
from recovery_story import DOWN, NOW, Story, at, completed, failed, kinds

SECRET = "ghp_9fK2LmQ7xW4ZrT8vB3nYc6JhD5gFpS1aEuWo"
LASTING = ErrorFacts(type="code_failed", message="no such name", effect_state="unknown")


def policy(people: str, mode: str = "auto", workspace: str = "ws") -> Facts:
    row = {"workspace_id": workspace, "mode": mode, "sampler": "rules", "people": people}
    return {"modes": [row]}


def ended(failure_id: str = "f1", status: Any = "ERROR") -> ExecutionFailed:
    error = ErrorFacts(type="x", message="")
    return ExecutionFailed(
        execution_id="e", workflow_id="w", workspace_id="ws", status=status, error=error,
        node_id="fetch", failure_id=failure_id, error_workflow="told",
    )  # fmt: skip


def asked_of(story: Story) -> list[RequestInteraction]:
    return [each for each in story.sent if isinstance(each, RequestInteraction)]


def answer(story: Story, port: str = "retry", **more: Any) -> list[Any]:
    fields: dict[str, Any] = {
        "execution_id": "e", "interaction_id": asked_of(story)[-1].interaction_id,
        "outcome": "answered", "port": port, "by": "ann", **more,
    }  # fmt: skip
    return list(story.does(NoteAnswer(**fields)))


def given_up(facts: Facts | None = None, error: ErrorFacts = LASTING, **more: Any) -> Story:
    story = Story(facts)
    story.hears(failed(error=error, **more))
    story.hears(ended())
    return story


def test_by_default_a_node_is_given_up_at_once_and_people_are_asked_when_it_ended_by_that() -> None:
    story = Story()
    _, refused, _ = story.hears(failed(error=LASTING))
    assert isinstance(refused, AttemptRefused)
    assert (story.verdicts(), asked_of(story)) == (["give_up"], [])
    (asked,) = story.after(seconds=1).hears(ended())
    assert isinstance(asked, QuestionAsked)
    (request,) = asked_of(story)
    assert (request.kind, request.asked_by) == ("selection", "recovery")
    assert request.timeout_at == asked.until == "2026-01-02T12:00:01.000000Z"
    told = request.payload["explanation"]
    assert told["root_cause"] == refused.explanation.root_cause
    assert "People are asked" in told["retry_decision"]
    assert told["faithfulness"] == 1.0
    (row,) = story.table("recovery_explanations")
    assert row["retry_decision"] == told["retry_decision"]
    assert row["complete"]
    assert story.hears(ended()) == []  # once


def test_who_wants_another_try_gets_one_and_it_counts_against_nothing() -> None:
    story = given_up()
    settled, ordered = answer(story.after(minutes=3))
    assert isinstance(settled, QuestionSettled)
    assert isinstance(ordered, AttemptOrdered)
    assert (settled.said, ordered.by, ordered.revives, ordered.cost) == ("retry", "ann", True, 0)
    (again,) = [each for each in story.sent if isinstance(each, RetryNode)]
    assert (again.execution_id, again.node_id, again.asked_by) == ("e", "fetch", "recovery")
    assert story.state.tried == {}
    assert story.state.lost == {}
    assert len([each for each in story.sent if isinstance(each, NoteOccurrence)]) == 1
    rows = story.table("recovery_attempts")
    assert [row["triggered_by"] for row in rows] == ["engine", "person"]
    assert "because a person wants it: ann" in ordered.explanation.retry_decision
    (episode,) = story.table("recovery_episodes")
    assert episode["outcome"] == "open"
    story.hears(completed(1, run=2))
    assert story.table("recovery_episodes")[0]["missed"] is True
    (closed,) = story.hears(ended(status="TIMEOUT"))
    assert kinds([closed]) == ["EpisodeClosed"]
    assert story.table("recovery_episodes")[0]["outcome"] == "recovered"
    assert answer(story) == []  # once


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ("give_up", {"port": "give_up"}),
        ("nothing", {"outcome": "failed", "reason": "nobody was there", "by": ""}),
        ("nothing", {"port": "timeout", "outcome": "failed", "by": ""}),
    ],
)
def test_who_does_not_want_another_try_gets_none(said: str, more: dict[str, Any]) -> None:
    story = given_up()
    (settled,) = answer(story, **more)
    assert isinstance(settled, QuestionSettled)
    assert settled.said == said
    assert settled.by == more.get("by", "ann"), "nobody is named who said nothing"
    assert not [each for each in story.sent if isinstance(each, RetryNode)]
    (row,) = story.table("recovery_attempts")
    assert row["recovery_outcome"] == "escalated"


def test_a_secret_in_a_persons_reason_is_kept_nowhere() -> None:
    story = given_up()
    said = NoteAnswer(
        execution_id="e", interaction_id=asked_of(story)[-1].interaction_id, outcome="answered",
        port="give_up", by="ann", reason=f"the key {SECRET} does not work",
    )  # fmt: skip
    (settled,) = story.hears(said)
    assert isinstance(settled, QuestionSettled)
    assert "the key" in settled.reason
    assert SECRET not in f"{settled}{story.rows}{story.sent}{story.state}"


def test_an_answer_that_comes_too_late_does_nothing_and_one_of_another_question_neither() -> None:
    story = given_up()
    assert answer(story, interaction_id="another") == []
    assert answer(story, outcome="taken") == []
    (settled,) = answer(story.after(hours=24))
    assert isinstance(settled, QuestionSettled)
    assert settled.said == "nothing"


def test_a_question_that_nobody_answers_closes_by_itself_when_its_time_is_over() -> None:
    story = given_up()
    assert executions.wake_at(story.state) == NOW + timedelta(hours=24)
    assert story.hears(Due(stream="e")) == [], "not before"
    (settled,) = story.after(hours=24).hears(Due(stream="e"))
    assert isinstance(settled, QuestionSettled)
    assert (settled.said, settled.reason) == ("nothing", "nobody answered in time")
    assert executions.wake_at(story.state) is None


def test_an_answer_to_what_nobody_asked_is_refused_with_a_reason() -> None:
    late = NoteAnswer(execution_id="e", interaction_id="i", outcome="answered", port="retry")
    refused = executions.decide(Execution(), late, {}, NOW)
    assert isinstance(refused, Rejected)
    assert refused.code == "not_asked"


def test_a_question_that_somebody_else_settled_is_taken_back() -> None:
    story = given_up()
    events = story.after(hours=1).hears(failed("f2", error=LASTING, run=2))
    assert kinds(events)[:2] == ["QuestionSettled", "FailureNoted"]
    (cancel,) = [each for each in story.sent if isinstance(each, CancelInteraction)]
    assert cancel.interaction_id == asked_of(story)[0].interaction_id
    story.hears(ended("f2"))
    assert len(asked_of(story)) == 2
    events = story.hears(completed(1, run=3))
    assert kinds(events) == ["QuestionSettled", "EpisodeFixed"]
    assert answer(story) == []


def test_what_did_not_end_the_execution_is_nobodys_question() -> None:
    story = Story()
    story.hears(failed(error=LASTING))
    story.hears(ended("another"))
    story.hears(ended(status="TIMEOUT"))
    assert asked_of(story) == []


@pytest.mark.parametrize(
    ("facts", "more"),
    [
        (policy("tell"), {}),
        (policy("tell", workspace="*"), {}),
        (policy("ask", mode="off"), {}),
        (policy("ask", mode="observe"), {}),
        (policy("ask"), {"asked": False}),
        (policy("ask"), {"means": {"skip_compensate": "error_port"}}),
    ],
    ids=["tell", "tell everywhere", "off", "observe", "not asked", "a way of its own"],
)
def test_nobody_is_asked_where_that_is_not_wanted(facts: Facts, more: dict[str, Any]) -> None:
    assert asked_of(given_up(facts, **more)) == []


def test_an_effect_in_doubt_is_for_people_to_judge() -> None:
    story = given_up(error=DOWN, effect="unsafe")
    (request,) = asked_of(story)
    told = request.payload["explanation"]
    assert "Look first" in told["user_action_required"]
    assert told["severity_level"] == "critical"
    held = Story(policy("hold"))
    _, parked = held.hears(failed(effect="unsafe"))
    assert isinstance(parked, AttemptParked)
    assert (parked.cause, parked.cost) == ("person", 0)
    assert "Look first" in parked.explanation.user_action_required
    assert "may have happened" in parked.explanation.retry_decision
    (row,) = held.table("recovery_episodes")
    assert "eligible" not in row
    (ordered,) = answer(held)
    assert (ordered.by, ordered.cost) == ("ann", 0)


def test_what_was_tried_as_often_as_it_may_be_is_for_people_to_judge() -> None:
    story = Story()
    for number in range(1, 5):
        story.hears(failed(f"f{number}", attempt=number))
    assert story.verdicts() == ["retry", "retry", "retry", "give_up"]
    story.hears(ended("f4"))
    (request,) = asked_of(story)
    assert "the limit" in request.payload["explanation"]["retry_decision"]


def test_an_approver_sees_what_is_to_be_done_why_and_that_it_is_his_turn() -> None:
    story = Story(policy("ask", mode="approve"))
    _, parked = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    (request,) = asked_of(story)
    told = request.payload["explanation"]
    assert "recovery asks here first" in told["retry_decision"]
    assert "backoff" in told["retry_decision"]
    assert told["user_action_required"].startswith("Answer recovery's question")
    assert told["severity_level"] == "high"
    assert told["faithfulness"] == 1.0
    (ordered,) = answer(story.after(seconds=90), "approved")
    assert "it waited 90.0 s (recovery asks here first); ann agreed" in ordered.reason
    (row,) = story.table("recovery_explanations")
    assert "it waited 90.0 s" in str(row["retry_decision"])
    assert row["faithfulness"] == 1.0
    story.hears(completed())
    (row,) = story.table("recovery_explanations")
    assert "it waited 90.0 s" in str(row["retry_decision"])
    assert row["faithfulness"] == 1.0
    (attempt,) = story.table("recovery_attempts")
    assert "it waited 90.0 s" in str(attempt["recovery_reason"])


def test_each_thing_that_an_attempt_waited_for_is_told_in_the_end() -> None:
    breaker = {
        "breaker_id": "b", "dependency": "http:tickets.example", "credential": "",
        "state": "open", "until": at(NOW + timedelta(seconds=30)),
    }  # fmt: skip
    story = Story(policy("ask"))
    _, ordered = story.hears(failed())
    assert isinstance(ordered, AttemptOrdered)
    story.facts = {**policy("ask"), "breakers": [breaker]}
    due = AttemptDue(
        execution_id="e", node_id="fetch", scope=(), run=1, failure_id="f1",
        attempt_id=ordered.attempt_id, due_at=at(story.now),
        verdict_until=at(story.now + timedelta(seconds=10)),
    )  # fmt: skip
    (parked,) = story.hears(due)
    assert isinstance(parked, AttemptParked)
    assert "the breaker of http:tickets.example is open" in parked.explanation.retry_decision
    release = ReleaseAttempt(
        execution_id="e", attempt_id=parked.attempt_id, line="b/line", reason="it is back"
    )
    story.facts = {**policy("ask"), "breakers": [{**breaker, "breaker_id": "c"}]}
    assert kinds(story.after(seconds=40).does(release)) == ["AttemptParked"]
    assert "So far it waited 40.0 s" in str(story.table("recovery_explanations")[0])
    story.facts = policy("ask")
    (begun,) = story.after(seconds=5).does(replace(release, line="c/line"))
    assert kinds([begun]) == ["AttemptReleased"]
    (row,) = story.table("recovery_explanations")
    told = str(row["retry_decision"])
    assert ordered.reason in told
    assert "it waited 40.0 s (the breaker" in told
    assert "then it waited 5.0 s (the breaker" in told
    assert "it is back" in told
    assert row["complete"]
    assert row["faithfulness"] == 1.0
    assert str(story.table("recovery_attempts")[0]["recovery_reason"]) in told


def test_what_people_are_told_is_measured_against_what_it_was_made_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(explain_waiting, "ASKED", "Bob is asked, and 17 others.")
    (asked,) = [each for each in asked_of(given_up())]
    assert asked.payload["explanation"]["faithfulness"] < 1.0


def test_of_many_nodes_that_were_given_up_the_latest_are_remembered() -> None:
    story = Story()
    for n in range(UNASKED_MAX + 5):
        story.hears(failed(f"f{n}", error=LASTING, node_id=f"n{n}"))
    assert list(story.state.questions) == [f"n{n}" for n in range(5, UNASKED_MAX + 5)]
    story.hears(ended(f"f{UNASKED_MAX + 4}"))
    assert len(asked_of(story)) == 1
    for n in range(UNASKED_MAX + 5, 3 * UNASKED_MAX):
        story.hears(failed(f"f{n}", error=LASTING, node_id=f"n{n}"))
    assert len(story.state.questions) == UNASKED_MAX + 1, "who is asked is not forgotten"
    assert isinstance(answer(story)[0], QuestionSettled)
