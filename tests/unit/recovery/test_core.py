"""The core of recovery: attempts, episodes and caps, without a server."""

from dataclasses import replace
from datetime import timedelta

import pytest
from perdure_common.decider import Due
from perdure_contracts.deciding import NoteSpending
from perdure_contracts.engine import (
    ErrorFacts,
    ExecutionCompleted,
    NodeErrored,
    RecoveryVerdict,
)
from perdure_contracts.patterns import NoteOccurrence
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    AttemptSucceeded,
    EpisodeClosed,
    FailureNoted,
    VerdictRepeated,
)
from perdure_recovery.app import executions
from perdure_recovery.guard import EXECUTION_ATTEMPTS_MAX, NODE_ATTEMPTS_MAX
from perdure_recovery.outcomes import CONFIRMED_AFTER
from recovery_story import DOWN, NOW, Story, at, cancelled, completed, failed, kinds


def test_a_passing_failure_is_retried_after_a_wait() -> None:
    story = Story()
    noted, ordered = story.hears(failed())
    assert isinstance(noted, FailureNoted)
    assert (noted.pattern.failure_type, noted.pattern.rule_id) == ("dependency_down", "status:503")
    assert isinstance(ordered, AttemptOrdered)
    assert ordered.strategy == "backoff"
    (verdict, occurrence, spending) = story.sent
    assert isinstance(verdict, RecoveryVerdict)
    assert (verdict.verdict, verdict.delay_s) == ("retry", ordered.delay_s)
    assert isinstance(occurrence, NoteOccurrence)
    assert occurrence.tried
    assert isinstance(spending, NoteSpending)
    assert spending.cost == ordered.cost > 0


def test_a_lasting_failure_goes_to_a_person_at_once() -> None:
    story = Story()
    error = ErrorFacts(type="http_status", message="no such ticket", status_code=422)
    _, refused, closed = story.hears(failed(error=error))
    assert isinstance(refused, AttemptRefused)
    assert (refused.strategy, refused.rail) == ("escalate_human", "rules")
    assert isinstance(closed, EpisodeClosed)
    assert story.verdicts() == ["give_up"]
    assert not story.state.episodes


def test_a_failure_heard_twice_is_decided_once() -> None:
    story = Story()
    story.hears(failed())
    assert story.hears(replace(failed(), verdict_until=at(NOW - timedelta(days=1)))) == []
    assert story.verdicts() == ["retry"]


def test_an_engine_that_waits_again_after_a_restore_gets_the_verdict_of_before_again() -> None:
    story = Story()
    for n in range(1, NODE_ATTEMPTS_MAX + 3):
        story.hears(failed(f"f{n}", attempt=n))
    told = story.verdicts()
    assert {"retry", "give_up"} == set(told)
    tried = story.state.tried
    for n in range(1, len(told) + 1):
        assert kinds(story.hears(failed(f"f{n}", attempt=n))) == ["VerdictRepeated"]
    assert story.verdicts() == [*told, *told]
    assert story.state.tried == tried, "no attempt is counted twice"


def test_a_failure_that_was_heard_too_late_is_decided_again_for_an_engine_that_asks_again() -> None:
    story = Story()
    late = replace(failed(), verdict_until=at(NOW - timedelta(seconds=1)))
    first = story.hears(late)
    assert story.verdicts() == []
    second = story.hears(failed())
    assert story.verdicts() == ["retry"]
    (refused,) = [each for each in first if isinstance(each, AttemptRefused)]
    (ordered,) = [each for each in second if isinstance(each, AttemptOrdered)]
    assert refused.attempt_id != ordered.attempt_id, "each decision has a row of its own"


def test_an_older_failure_of_a_node_that_is_being_retried_changes_nothing() -> None:
    story = Story()
    story.hears(failed(attempt=2))
    assert story.hears(failed("f0", attempt=1)) == []


def test_a_node_that_completes_and_lets_the_execution_end_is_recovered() -> None:
    story = Story()
    story.hears(failed())
    (succeeded,) = story.after(seconds=3).hears(completed())
    assert isinstance(succeeded, AttemptSucceeded)
    assert succeeded.resolution_s == pytest.approx(3.0)
    assert story.lessons() == [True]
    (attempt,) = story.table("recovery_attempts")
    assert (attempt["status"], attempt.get("success")) == ("succeeded", None)
    end = ExecutionCompleted(execution_id="e", workflow_id="w", result=None)
    (closed,) = story.after(seconds=1).hears(end)
    assert isinstance(closed, EpisodeClosed)
    assert (closed.outcome, closed.attempts) == ("recovered", 1)
    assert closed.duration_s == pytest.approx(3.0)
    assert (attempt["success"], attempt["recovery_outcome"]) == (True, "recovered")
    (explanation,) = story.table("recovery_explanations")
    assert explanation["severity_level"] == "low"
    assert explanation["user_action_required"] == "none"
    assert not story.state.episodes


def test_ten_quiet_minutes_confirm_a_recovery_too() -> None:
    story = Story()
    story.hears(failed())
    story.after(seconds=3).hears(completed())
    due = executions.wake_at(story.state)
    assert due == story.now + CONFIRMED_AFTER
    assert story.after(minutes=9).hears(Due("e")) == []
    (closed,) = story.after(minutes=1).hears(Due("e"))
    assert isinstance(closed, EpisodeClosed)
    assert closed.outcome == "recovered"
    assert executions.wake_at(story.state) is None


def test_each_further_failure_waits_longer_at_most_until_the_cap_of_attempts() -> None:
    story = Story()
    for n in range(1, NODE_ATTEMPTS_MAX + 1):
        events = story.hears(failed(f"f{n}", attempt=n))
        ordered = events[-1]
        assert isinstance(ordered, AttemptOrdered)
        assert ordered.attempt_number == n
        story.after(seconds=ordered.delay_s)
    *_, refused, closed = story.hears(failed("last", attempt=NODE_ATTEMPTS_MAX + 1))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "caps"
    assert isinstance(closed, EpisodeClosed)
    assert (closed.outcome, closed.attempts) == ("escalated", NODE_ATTEMPTS_MAX)
    assert story.verdicts() == ["retry"] * NODE_ATTEMPTS_MAX + ["give_up"]
    assert story.lessons() == [False] * NODE_ATTEMPTS_MAX
    outcomes = [row["recovery_outcome"] for row in story.table("recovery_attempts")]
    assert outcomes == ["same_failure"] * NODE_ATTEMPTS_MAX + ["refused:caps"]


def test_the_cap_of_a_node_holds_over_all_its_runs() -> None:
    story = Story()
    for n in range(1, NODE_ATTEMPTS_MAX + 1):
        story.hears(failed(f"f{n}", run=n))
    *_, refused, _ = story.hears(failed("next", run=NODE_ATTEMPTS_MAX + 1))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "caps"


def test_the_cap_of_an_execution_holds_over_all_its_nodes_for_a_day() -> None:
    story = Story()
    for n in range(EXECUTION_ATTEMPTS_MAX):
        story.hears(failed(f"f{n}", scope=(("each", n),)))
    _, refused, _ = story.hears(failed("more", scope=(("each", 99),)))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "caps"
    until = at(NOW + timedelta(days=3))
    tomorrow = failed("new", scope=(("each", 100),), verdict_until=until)
    assert kinds(story.after(days=1).hears(tomorrow))[-1] == "AttemptOrdered"


def test_another_failure_ends_the_attempt_and_teaches_nothing() -> None:
    story = Story()
    story.hears(failed())
    other = replace(DOWN, status_code=502, message="bad gateway")
    events = story.hears(failed("f2", other, attempt=2))
    assert kinds(events) == ["AttemptFailed", "FailureNoted", "AttemptOrdered"]
    assert isinstance(events[0], AttemptFailed)
    assert events[0].outcome == "other_failure"
    assert story.lessons() == []


def test_a_failure_after_completion_is_a_relapse() -> None:
    story = Story()
    story.hears(failed())
    story.after(seconds=5).hears(completed())
    first, *_ = story.after(seconds=5).hears(failed("f2", attempt=3))
    assert isinstance(first, AttemptFailed)
    assert first.outcome == "relapsed"
    row = story.table("recovery_attempts")[0]
    assert (row["success"], row["recovery_outcome"]) == (False, "relapsed")


def test_a_new_run_of_a_node_is_a_new_episode() -> None:
    story = Story()
    story.hears(failed())
    events = story.hears(failed("f2", run=2))
    assert kinds(events) == ["AttemptFailed", "EpisodeClosed", "FailureNoted", "AttemptOrdered"]
    last = events[-1]
    assert isinstance(last, AttemptOrdered)
    assert last.attempt_number == 1


def test_a_cancelled_execution_supersedes_what_was_planned() -> None:
    story = Story()
    story.hears(failed())
    attempt_failed, closed = story.hears(cancelled())
    assert isinstance(attempt_failed, AttemptFailed)
    assert isinstance(closed, EpisodeClosed)
    assert attempt_failed.outcome == closed.outcome == "superseded"
    (row,) = story.table("recovery_attempts")
    assert (row["status"], row["success"]) == ("superseded", None)
    assert story.lessons() == []


def test_a_verdict_that_the_engine_did_not_wait_for_supersedes_the_attempt() -> None:
    story = Story()
    story.hears(failed())
    given_up = NodeErrored(
        execution_id="e",
        node_id="fetch",
        scope=(),
        run=1,
        attempt=1,
        error=DOWN,
        step=1,
        failure_id="f1",
    )
    assert story.hears(replace(given_up, failure_id="other")) == []
    assert kinds(story.hears(given_up)) == ["AttemptFailed", "EpisodeClosed"]
    (row,) = story.table("recovery_attempts")
    assert row["status"] == "superseded"


def test_a_failure_that_the_engine_handled_meanwhile_is_no_success_of_the_attempt() -> None:
    story = Story()
    story.hears(failed())
    handled = completed(attempt=1)
    assert kinds(story.hears(handled)) == ["AttemptFailed", "EpisodeClosed"]
    assert story.lessons() == []


def test_what_is_only_told_is_recorded_and_explained_but_not_tried() -> None:
    story = Story()
    _, refused, _ = story.hears(failed(asked=False))
    assert isinstance(refused, AttemptRefused)
    assert refused.rail == "wanted"
    assert story.verdicts() == []
    assert len(story.table("recovery_explanations")) == 1


def test_a_retry_is_not_told_again_where_the_effect_has_got_further_this_time() -> None:
    story = Story()
    unsent = replace(DOWN, effect_state="not_sent")
    story.hears(failed(error=unsent, effect="unsafe"))
    assert story.verdicts() == ["retry"]
    (again,) = story.hears(failed(error=DOWN, effect="unsafe"))
    assert isinstance(again, VerdictRepeated)
    assert story.verdicts() == ["retry", "give_up"]
    story.hears(failed(error=unsent, effect="unsafe"))
    assert story.verdicts()[2:] == ["give_up"], "what was given up stays so"


@pytest.mark.parametrize(("mode", "verdict"), [("off", "give_up"), ("approve", "retry")])
def test_a_retry_is_not_told_again_where_recovery_is_switched_off(mode: str, verdict: str) -> None:
    story = Story()
    story.hears(failed())
    row = {"workspace_id": "ws", "mode": mode, "sampler": "rules", "people": "ask"}
    story.facts = {"modes": [row]}
    story.hears(failed())
    assert story.verdicts() == ["retry", verdict]


@pytest.mark.parametrize(
    ("code", "source"),
    [("worker_lost", "lease"), ("http_status", "engine"), ("execution_timeout", "engine"),
     ("stalled", "stall")],
)  # fmt: skip
def test_a_decision_says_what_made_it_necessary(code: str, source: str) -> None:
    story = Story()
    story.hears(failed(error=replace(DOWN, type=code)))
    (row,) = story.table("recovery_attempts")
    assert row["triggered_by"] == source
