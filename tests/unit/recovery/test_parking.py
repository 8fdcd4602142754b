"""Attempts that wait: for leave, for an answer, for their turn, for an instant."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from perdure_common.decider import Due
from perdure_contracts.asking import CancelInteraction, RequestInteraction
from perdure_contracts.deciding import (
    AttemptParked,
    AttemptReleased,
    AttemptStopped,
    JoinLine,
    LeaveLine,
    NoteAnswer,
    ReleaseAttempt,
)
from perdure_contracts.engine import ErrorFacts, RecoveryVerdict
from perdure_contracts.recovery import (
    AttemptOrdered,
    AttemptRefused,
    FailureNoted,
    VerdictRepeated,
)
from perdure_recovery import explain
from perdure_recovery.faithful import faithfulness
from recovery_story import DOWN, NOW, Story, at, cancelled, completed, failed, kinds
from recovery_waits import due_of, facts, open_breaker, storm_of, waiting

LASTING = ErrorFacts(type="code_failed", message="no such name", effect_state="unknown")


def asked_of(story: Story) -> RequestInteraction:
    return [each for each in story.sent if isinstance(each, RequestInteraction)][-1]


def answer(story: Story, port: str) -> list[Any]:
    return list(
        story.does(
            NoteAnswer(
                execution_id="e", interaction_id=asked_of(story).interaction_id,
                outcome="answered", port=port, by="ann",
            )
        )
    )  # fmt: skip


def test_in_mode_approve_people_see_the_explanation_before_anything_is_tried() -> None:
    story = Story(facts("approve"))
    _, parked = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    assert (parked.cause, parked.strategy) == ("approval", "backoff")
    request = asked_of(story)
    assert request.kind == "approval"
    assert request.asked_by == "recovery"
    assert request.payload["explanation"]["root_cause"] == parked.explanation.root_cause
    assert story.verdicts() == ["hold"]
    (row,) = story.table("recovery_attempts")
    assert row["status"] == "waiting_approval"
    (ordered,) = answer(story, "approved")
    assert isinstance(ordered, AttemptOrdered)
    assert story.verdicts() == ["hold", "retry"]
    (row,) = story.table("recovery_attempts")
    assert row["status"] == "planned"


def test_who_says_no_is_heeded() -> None:
    story = Story(facts("approve"))
    story.hears(failed())
    refused, closed = answer(story, "rejected")
    assert isinstance(refused, AttemptRefused)
    assert (refused.rail, kinds([closed])) == ("person", ["EpisodeClosed"])
    assert story.verdicts() == ["hold", "give_up"]


def test_leave_that_comes_after_the_switch_was_thrown_is_too_late() -> None:
    story = Story(facts("approve"))
    story.hears(failed())
    story.facts = facts("off")
    refused, _ = answer(story, "approved")
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "mode"


@pytest.mark.parametrize(
    ("mode", "people", "error"), [("approve", "tell", DOWN), ("auto", "hold", LASTING)]
)
def test_leave_that_comes_after_its_node_is_not_held_any_more_is_too_late(
    mode: str, people: str, error: ErrorFacts
) -> None:
    story = Story(facts(mode, people))
    story.hears(failed(error=error))
    story.after(hours=24)
    refused, _ = answer(story, "retry")
    assert isinstance(refused, AttemptRefused)
    assert (refused.rail, refused.reason) == ("person", "ann agreed too late")
    assert story.verdicts() == ["hold", "give_up"]


def test_what_the_first_of_two_people_says_counts() -> None:
    for first, second, verdict in (
        ("approved", "rejected", "retry"),
        ("no", "approved", "give_up"),
    ):
        story = Story(facts("approve"))
        story.hears(failed())
        assert answer(story, first)
        assert answer(story, second) == []
        assert answer(story, first) == []
        assert story.verdicts() == ["hold", verdict]


def test_an_unsafe_effect_in_doubt_is_not_even_asked_about() -> None:
    story = Story(facts("approve"))
    _, refused, _ = story.hears(failed(effect="unsafe"))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "effect"


def test_where_people_are_held_for_a_person_decides() -> None:
    story = Story(facts(people="hold"))
    _, parked = story.hears(failed(error=LASTING))
    assert isinstance(parked, AttemptParked)
    assert (parked.cause, parked.until) == ("person", "2026-01-02T12:00:00.000000Z")
    (ordered,) = answer(story, "retry")
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.by == "ann"
    assert story.state.tried == {}  # a person's try counts against no limit
    assert story.verdicts() == ["hold", "retry"]


def test_a_cancelled_execution_takes_its_question_back() -> None:
    story = Story(facts(people="hold"))
    story.hears(failed(error=LASTING))
    assert kinds(story.hears(cancelled())) == ["AttemptStopped", "EpisodeClosed"]
    (cancel,) = [each for each in story.sent if isinstance(each, CancelInteraction)]
    assert cancel.interaction_id == asked_of(story).interaction_id
    assert answer(story, "retry") == []


def test_an_open_breaker_lets_an_attempt_wait_in_line() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    _, parked = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    assert (parked.cause, parked.line) == ("breaker", "b/line")
    (join,) = [each for each in story.sent if isinstance(each, JoinLine)]
    assert join.waiter.attempt_id == parked.attempt_id
    release = ReleaseAttempt(
        execution_id="e", attempt_id=parked.attempt_id, line="b/line", reason="it is back",
        not_before=at(NOW + timedelta(seconds=5)),
    )  # fmt: skip
    story.facts = facts(breakers=[open_breaker("closed")])
    (ordered,) = story.does(release)
    assert isinstance(ordered, AttemptOrdered)
    assert (ordered.delay_s, ordered.ask_again) == (5.0, True)
    assert story.does(release) == []  # it has had its turn


def test_a_turn_by_a_clock_that_is_ahead_is_waited_for_no_longer_than_its_line_says() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    _, parked = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    story.facts = facts(breakers=[open_breaker("closed")])
    (ordered,) = story.does(
        ReleaseAttempt(
            execution_id="e", attempt_id=parked.attempt_id, line="b/line", reason="it is back",
            not_before=at(NOW + timedelta(minutes=50)), wait_s=5.0,
        )
    )  # fmt: skip
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.delay_s == 5.0


def test_whose_turn_it_is_may_go_though_the_breaker_is_half_open() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    (_, parked) = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    story.facts = facts(breakers=[open_breaker("half_open")])
    (ordered,) = story.does(
        ReleaseAttempt(execution_id="e", attempt_id=parked.attempt_id, line="b/line",
                       reason="to see", probe=True)
    )  # fmt: skip
    assert isinstance(ordered, AttemptOrdered)
    assert (ordered.probe, ordered.probe_of) == (True, "b/line")


def test_when_the_wait_is_over_the_attempt_begins_if_nothing_changed() -> None:
    story, ordered = waiting()
    (begins,) = story.hears(due_of(ordered, story))
    assert isinstance(begins, AttemptReleased)
    verdict = story.sent[-1]
    assert isinstance(verdict, RecoveryVerdict)
    assert (verdict.verdict, verdict.delay_s, verdict.ask_again) == ("retry", 0.0, False)


def test_an_engine_that_was_restored_and_waits_once_more_gets_its_answer_once_more() -> None:
    story, ordered = waiting()
    story.hears(due_of(ordered, story))
    story.hears(completed())
    (again,) = story.hears(due_of(ordered, story))  # its tables are those of before
    assert isinstance(again, VerdictRepeated)
    verdict = story.sent[-1]
    assert isinstance(verdict, RecoveryVerdict)
    assert (verdict.verdict, verdict.ask_again) == ("retry", False)
    other = replace(due_of(ordered, story), failure_id="another")
    assert not story.hears(other)


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_the_kill_switch_stops_what_waits(mode: str) -> None:
    story, ordered = waiting()
    story.facts = facts(mode)
    stopped, _ = story.hears(due_of(ordered, story))
    assert isinstance(stopped, AttemptStopped)
    assert (stopped.rail, stopped.answered) == ("mode", True)
    assert story.verdicts() == ["retry", "give_up"]


def test_a_breaker_that_opened_meanwhile_lets_it_wait_on_and_it_counts_once() -> None:
    story, ordered = waiting()
    breaker = {**open_breaker(), "dependency": ""}
    story.facts = facts(breakers=[breaker])
    (begins,) = story.hears(due_of(ordered, story))  # nothing is called: no breaker is its own
    assert isinstance(begins, AttemptReleased)
    story = Story(facts())
    _, ordered = story.hears(failed(error=DOWN))
    assert isinstance(ordered, AttemptOrdered)
    story.after(seconds=ordered.delay_s).facts = facts(breakers=[open_breaker()])
    (parked,) = story.hears(due_of(ordered, story))
    assert isinstance(parked, AttemptParked)
    assert (parked.again, parked.counted) == (True, True)
    assert story.state.tried == {"fetch": 1}
    story.facts = facts(breakers=[open_breaker("closed")])
    release = ReleaseAttempt(execution_id="e", attempt_id=parked.attempt_id, line="b/line",
                             reason="it is back")  # fmt: skip
    assert kinds(story.does(release)) == ["AttemptReleased"]
    assert story.state.tried == {"fetch": 1}
    assert len(story.table("recovery_attempts")) == 1


def test_who_waits_in_line_leaves_it_when_the_execution_ends() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    story.hears(failed())
    story.hears(cancelled())
    assert [each.line for each in story.sent if isinstance(each, LeaveLine)] == ["b/line"]


def test_an_empty_bucket_is_looked_at_again_when_it_has_enough() -> None:
    empty = {"tokens": 4.0, "tokens_at": at(NOW), "month": "2026-01", "month_usd": 0.0,
             "recovery_usd": None}  # fmt: skip
    story = Story(facts(allowance=[empty]))
    _, parked = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    assert parked.cause == "bucket"
    assert parked.wake_at is not None
    assert kinds(story.after(seconds=72).hears(Due("e"))) == ["AttemptOrdered"]


def test_a_failure_that_is_told_again_while_its_attempt_waits_is_held_again() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    story.hears(failed())
    first = story.sent[0]
    before, sent = story.state, len(story.sent)
    (again,) = story.after(seconds=20).hears(failed())
    assert isinstance(again, VerdictRepeated)
    (verdict,) = story.sent[sent:]  # nobody joins a line, or is asked, a second time
    assert isinstance(first, RecoveryVerdict)
    assert verdict == first
    assert story.state == before
    assert len(story.table("recovery_attempts")) == 1


def test_what_was_ordered_before_a_storm_was_known_to_be_one_waits_in_its_line() -> None:
    story, ordered = waiting()
    incident = storm_of(story)
    story.facts = facts(incidents=[incident])
    (parked,) = story.hears(due_of(ordered, story))
    assert isinstance(parked, AttemptParked)
    assert (parked.cause, parked.line) == ("storm", f"{incident['storm_id']}/line")
    (begins,) = story.does(
        ReleaseAttempt(execution_id="e", attempt_id=ordered.attempt_id, line=parked.line,
                       reason="to see", probe=True)
    )  # fmt: skip
    assert isinstance(begins, AttemptReleased)
    assert begins.probe_of == parked.line
    (row,) = story.table("recovery_attempts")
    assert row["triggered_by"] == "probe"


def test_the_kill_switch_stops_an_attempt_of_which_the_engine_was_told_twice() -> None:
    story, ordered = waiting()
    (again,) = story.hears(failed(error=ErrorFacts(type="rate_limit", message="slow down")))
    assert isinstance(again, VerdictRepeated)
    verdict = story.sent[-1]
    assert isinstance(verdict, RecoveryVerdict)
    assert verdict.attempt_id == ordered.attempt_id, "the engine asks about it when it is due"
    story.facts = facts("off")
    stopped, _ = story.hears(due_of(verdict, story))
    assert isinstance(stopped, AttemptStopped)


def test_whom_a_line_lets_go_needs_no_tokens() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    (_, parked) = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    empty = {"tokens": 0.0, "tokens_at": at(NOW), "month": "", "month_usd": 0.0,
             "recovery_usd": None}  # fmt: skip
    story.facts = facts(breakers=[open_breaker("half_open")], allowance=[empty])
    (ordered,) = story.does(
        ReleaseAttempt(execution_id="e", attempt_id=parked.attempt_id, line="b/line",
                       reason="to see", probe=True)
    )  # fmt: skip
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.cost == 0


def in_doubt() -> tuple[Story, AttemptParked]:
    """Return a node whose effect may have happened, and which waits at a breaker."""
    story = Story(facts(breakers=[open_breaker()]))
    (_, parked) = story.hears(failed(effect="verify_first"))
    assert isinstance(parked, AttemptParked)
    return story, parked


def test_an_effect_in_doubt_is_in_doubt_as_long_as_its_attempt_waits() -> None:
    story, parked = in_doubt()
    story.facts = facts("approve")  # its turn has come, and now people are to agree first
    (asked,) = story.does(
        ReleaseAttempt(execution_id="e", attempt_id=parked.attempt_id, line="b/line", reason="back")
    )
    assert isinstance(asked, AttemptParked)
    assert asked.explanation.severity_level == "critical"
    refused, _ = answer(story, "rejected")
    assert isinstance(refused, AttemptRefused)
    assert refused.explanation.severity_level == "critical"
    assert "a retry could double it" in refused.explanation.user_action_required


def test_an_effect_in_doubt_is_told_as_one_when_its_node_does_not_wait_any_more() -> None:
    story, _ = in_doubt()
    stopped, _ = story.hears(cancelled())
    assert isinstance(stopped, AttemptStopped)
    assert stopped.explanation.severity_level == "critical"


def test_an_effect_in_doubt_is_told_as_one_when_its_attempt_is_stopped_after_the_wait() -> None:
    story = Story(facts())
    (_, ordered) = story.hears(failed(effect="verify_first"))
    assert isinstance(ordered, AttemptOrdered)
    story.facts = facts("off")
    stopped, _ = story.after(seconds=ordered.delay_s).hears(due_of(ordered, story))
    assert isinstance(stopped, AttemptStopped)
    assert stopped.explanation.severity_level == "critical"


def test_an_attempt_that_waits_twice_stays_the_probe_that_it_was() -> None:
    tried = {
        "workspace_id": "ws", "dependency": "http:tickets.example", "lesson_successes": 0.0,
        "lesson_failures": 40.0, "weighed_at": at(NOW), "last_tried_at": None,
    }  # fmt: skip
    story = Story(facts(patterns=[tried]))
    (_, ordered) = story.hears(failed())
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.probe
    story.after(seconds=ordered.delay_s).facts = facts(breakers=[open_breaker()])
    (parked,) = story.hears(due_of(ordered, story))
    assert isinstance(parked, AttemptParked)
    assert (parked.probe, parked.drawn_s) == (True, ordered.drawn_s)
    (row,) = story.table("recovery_attempts")
    assert row["triggered_by"] == "probe"


def test_a_pause_grows_from_what_was_drawn_before_though_the_attempt_waited_in_two_lines() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    (_, parked) = story.hears(failed())
    assert isinstance(parked, AttemptParked)
    release = ReleaseAttempt(
        execution_id="e", attempt_id=parked.attempt_id, line="b/line", reason="back"
    )
    other = {**open_breaker(), "breaker_id": "c"}
    story.facts = facts(breakers=[other])
    (again,) = story.does(release)
    assert isinstance(again, AttemptParked)
    story.facts = facts()
    (ordered,) = story.does(replace(release, line="c/line"))
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.drawn_s == parked.drawn_s > 0


def test_whom_a_breakers_line_has_let_go_is_not_sent_to_a_storms_when_its_wait_is_over() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    (noted, parked) = story.hears(failed())
    assert isinstance(noted, FailureNoted)
    assert isinstance(parked, AttemptParked)
    incident = {"storm_id": noted.pattern_id, "gate": "probe", "closed_at": None}
    closed = open_breaker("closed")
    story.facts = facts(breakers=[closed], incidents=[incident])
    (ordered,) = story.does(
        ReleaseAttempt(
            execution_id="e", attempt_id=parked.attempt_id, line="b/line", reason="it is back",
            not_before=at(NOW + timedelta(seconds=5)),
        )
    )  # fmt: skip
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.ask_again
    (begins,) = story.after(seconds=5).hears(due_of(ordered, story))
    assert isinstance(begins, AttemptReleased), "it has waited for the same thing"
    story.facts = facts(breakers=[open_breaker()])
    (again,) = story.hears(due_of(ordered, story))
    assert isinstance(again, AttemptParked), "the breaker has opened again"


def test_whom_a_storms_line_has_let_go_waits_again_when_the_storm_goes_on() -> None:
    story = Story(facts())
    (noted, ordered) = story.hears(failed())
    assert isinstance(noted, FailureNoted)
    incident = {"storm_id": noted.pattern_id, "gate": "probe", "closed_at": None}
    story.facts = facts(incidents=[incident])
    (parked,) = story.after(seconds=2).hears(due_of(ordered, story))
    assert isinstance(parked, AttemptParked)
    story.facts = facts(incidents=[{**incident, "gate": "open"}])
    release = ReleaseAttempt(
        execution_id="e", attempt_id=parked.attempt_id, line=parked.line, reason="it is over",
        not_before=at(story.now + timedelta(seconds=5)),
    )  # fmt: skip
    assert kinds(story.does(release)) == ["AttemptReleased"]
    story.facts = facts(incidents=[incident])
    (again,) = story.after(seconds=5).hears(due_of(ordered, story))
    assert isinstance(again, AttemptParked)


def test_an_explanation_of_an_attempt_that_waits_is_measured_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[object] = []

    def counting(texts: Any, sources: Any) -> float:
        measured.append(texts)
        return faithfulness(texts, sources)

    monkeypatch.setattr(explain, "faithfulness", counting)
    (_, parked) = Story(facts(breakers=[open_breaker()])).hears(failed())
    assert isinstance(parked, AttemptParked)
    assert (len(measured), parked.explanation.faithfulness) == (1, 1.0)


def test_what_was_stopped_is_no_question_any_more() -> None:
    story = Story(facts(people="hold"))
    story.hears(failed(error=LASTING))
    (row,) = story.table("recovery_attempts")
    assert "interaction_id" in str(row["recovery_context"])
    story.hears(cancelled())
    assert row["recovery_context"] == {"changed": {}, "refused_by": "wanted", "answered": False}
