"""Attempts in the runner: own retries, recovery's verdicts, time-outs, stale answers."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from perdure_common.decider import Due
from perdure_contracts.engine import (
    RETRY_AFTER_S_MAX,
    ErrorFacts,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    NodeFailed,
    NodeRecovered,
)
from perdure_contracts.executions import AttemptFailed, NodeScheduled, VerdictApplied
from perdure_engine.executions.retries import BACKOFF_S_MAX, JITTER, backoff_s
from perdure_engine.executions.state import wake_at
from perdure_engine.executions.why import stalled, why
from playing import BEGAN, EXECUTION_ID, Play, failed, http, node, play, workflow

REGULAR = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
PASSING = failed("rate_limit", retryable=True)
TOKEN = "80000000-0000-5000-8000-000000000000"


def one(
    *, recovery: str = "off", execution_timeout: float | None = None, **more: Any
) -> dict[str, Any]:
    settings: dict[str, Any] = {"recovery": recovery}
    if execution_timeout is not None:
        settings["execution_timeout"] = execution_timeout
    return workflow([http("h", **more), node("end")], ["t>h", "h>end"], **settings)


# Own retries ----------------------------------------------------------------------------


def test_a_passing_failure_is_tried_again_later_each_time_and_then_ends_well() -> None:
    played = play(one(max_retries=3, retry_wait_time=4), {"n": 1})
    waits: list[float] = []
    for _ in range(3):
        played.answer("h", error=PASSING)
        at = wake_at(played.state)
        assert at is not None and played.run("h").status == "RETRYING"
        waits.append((at - played.now).total_seconds())
        played.wake()
    assert [4 <= waits[0] <= 5, 8 <= waits[1] <= 10, 16 <= waits[2] <= 20] == [True] * 3
    played.answer("h", {"done": True})
    assert played.state.status == "SUCCESS"
    (row,) = [row for row in played.table("node_executions") if row["node_id"] == "h"]
    assert (row["status"], row["retry_count"], row["max_retries"]) == ("SUCCESS", 3, 3)


def test_retries_are_spent_after_as_many_as_the_author_set() -> None:
    played = play(one(max_retries=1), {"n": 1})
    played.answer("h", error=PASSING)
    played.wake()
    played.answer("h", error=PASSING)
    assert played.state.status == "ERROR"
    assert [event.attempt for event in played.told(NodeScheduled)] == [1, 2]
    (told,) = played.told(NodeFailed)
    assert told.first_failed_at == BEGAN.isoformat() and told.failed_at > told.first_failed_at


OPEN = replace(failed("breaker_open", retryable=True), retry_after_s=30.0)


def test_what_a_breaker_holds_back_uses_up_no_attempt() -> None:
    played = play(one(max_retries=1), {"n": 1})
    for _ in range(3):
        played.answer("h", error=OPEN)
        at = wake_at(played.state)
        assert at is not None and played.run("h").status == "RETRYING"
        assert 30 <= (at - played.now).total_seconds() <= 37.5
        played.wake()
    played.answer("h", error=PASSING)
    assert played.run("h").status == "RETRYING", "the author's one retry is still there"
    played.wake()
    played.answer("h", error=PASSING)
    assert played.state.status == "ERROR"


@pytest.mark.parametrize("asked_s", [1e12, 1e300])
def test_a_wait_of_centuries_that_the_other_side_asks_for_is_bounded(asked_s: float) -> None:
    played = play(one(max_retries=1), {"n": 1})
    played.answer("h", error=replace(PASSING, retry_after_s=asked_s))
    at = wake_at(played.state)
    assert at is not None and played.run("h").status == "RETRYING"
    assert 1 <= (at - played.now).total_seconds() / RETRY_AFTER_S_MAX <= 1 + JITTER


def test_recovery_is_asked_about_what_a_breaker_holds_back_before_any_retry() -> None:
    played = play(one(recovery="on", max_retries=3), {"n": 1})
    played.answer("h", error=OPEN)
    (told,) = played.told(NodeFailed)
    assert (told.asked, told.error.type, told.error.effect_state) == (
        True, "breaker_open", "not_sent",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "parameters", "tried"),
    [
        (PASSING, {}, True),
        (failed("not_found"), {}, False),
        (PASSING, {"method": "POST"}, False),
        (PASSING, {"method": "POST", "idempotency_header": "Idempotency-Key"}, True),
    ],
)
def test_only_harmless_repetitions_that_can_help_are_made(
    error: ErrorFacts, parameters: dict[str, Any], tried: bool
) -> None:
    played = play(one(max_retries=3, parameters=parameters), {"n": 1})
    played.answer("h", error=error)
    assert (played.run("h").status == "RETRYING") is tried


def test_only_the_items_that_failed_are_tried_again_under_the_same_keys() -> None:
    played = play(one(max_retries=3), [{"n": 1}, {"n": 2}, {"n": 3}])
    first = played.task("h")
    played.answer("h", {"r": 1}, {"r": 2}, {"r": 3}, errors={1: PASSING})
    played.wake()
    second = played.task("h")
    assert (second.indexes, second.items) == ((1,), [{"n": 2}])
    assert second.parameters == [first.parameters[1]]
    assert second.idempotency_key == first.idempotency_key
    assert second.token != first.token
    played.answer("h", {"r": 22})
    assert played.emitted("end") == [{"r": 1}, {"r": 22}, {"r": 3}]


def test_items_that_cannot_succeed_wait_for_those_that_can_where_errors_are_handled() -> None:
    played = play(one(max_retries=1, error_handling=REGULAR), [{"n": 1}, {"n": 2}])
    played.answer("h", errors={0: failed("gone"), 1: PASSING})
    played.wake()
    assert played.task("h").indexes == (1,)
    played.answer("h", {"r": 2})
    (gone, done) = played.emitted("end")
    assert (gone["error"]["type"], done) == ("gone", {"r": 2})


def test_the_other_side_says_how_long_to_wait_and_the_cap_does_not_bind_it() -> None:
    assert backoff_s(5, 1, "0" * 8, None) == 5
    assert backoff_s(5, 3, "0" * 8, None) == 20
    assert backoff_s(5, 80, "0" * 8, None) == BACKOFF_S_MAX
    assert backoff_s(5, 1, "0" * 8, 1_000.0) == 1_000
    assert backoff_s(5, 1, "0" * 8, 1e300) == RETRY_AFTER_S_MAX  # what is longer has no date
    assert backoff_s(4, 1, TOKEN, None) == 4 * (1 + JITTER / 2)


# Verdicts -------------------------------------------------------------------------------


def asked(**more: Any) -> Play:
    """An execution whose node failed, and which waits for recovery's verdict."""
    played = play(one(recovery="on", **more), {"n": 1})
    played.answer("h", error=PASSING)
    return played


def test_recovery_is_asked_and_the_node_held_until_its_verdict() -> None:
    played = asked()
    (told,) = played.told(NodeFailed)
    assert told.asked and told.verdict_until == (BEGAN + timedelta(seconds=10)).isoformat()
    assert played.run("h").status == "RETRYING"
    assert wake_at(played.state) == BEGAN + timedelta(seconds=10)
    assert [each.waits_for for each in why(played.state, played.workflow)] == ["verdict"]


def test_a_retry_verdict_is_one_attempt_after_its_delay() -> None:
    played = asked(max_retries=5)
    while played.told(NodeFailed) == []:
        played.wake()
        played.answer("h", error=PASSING)
    attempts = played.run("h").attempt
    played.verdict("h", "retry", delay_s=60, attempt_id="a1")
    assert wake_at(played.state) == played.now + timedelta(seconds=60)
    played.wake()
    assert played.run("h").attempt == attempts + 1
    played.answer("h", error=PASSING)
    first, second = played.told(NodeFailed)
    assert second.asked and second.failure_id != first.failure_id
    assert second.root_failure_id == first.failure_id
    assert second.first_failed_at == BEGAN.isoformat()


def test_a_retry_verdict_without_delay_is_followed_at_once() -> None:
    played = asked()
    played.verdict("h", "retry")
    assert played.run("h").status == "RUNNING"
    played.answer("h", {"ok": True})
    assert played.state.status == "SUCCESS"


def test_a_verdict_may_change_parameters() -> None:
    played = asked()
    played.verdict("h", "retry", overrides={"parameters": {"url": "https://example.net/"}})
    assert played.task("h").parameters[0]["url"] == "https://example.net/"
    assert played.task("h").parameters[0]["method"] == "GET"


def test_a_delayed_verdict_keeps_its_changes_until_the_attempt() -> None:
    played = asked()
    overrides = {"parameters": {"url": "https://example.net/"}}
    played.verdict("h", "retry", delay_s=5, overrides=overrides)
    played.wake()
    assert played.task("h").parameters[0]["url"] == "https://example.net/"


def test_a_hold_waits_until_its_instant_and_another_verdict_may_still_come() -> None:
    played = asked()
    until = BEGAN + timedelta(hours=1)
    played.verdict("h", "hold", until=until.isoformat())
    assert wake_at(played.state) == until
    assert [each.waits_for for each in why(played.state, played.workflow)] == ["hold"]
    played.verdict("h", "retry")
    played.answer("h", {"ok": True})
    assert played.state.status == "SUCCESS"


def test_a_hold_without_an_instant_lasts_a_day_and_then_gives_up() -> None:
    played = asked()
    played.verdict("h", "hold")
    assert wake_at(played.state) == BEGAN + timedelta(days=1)
    played.wake()
    assert played.state.status == "ERROR"


def test_giving_up_leads_to_the_error_mode() -> None:
    played = asked(error_handling=REGULAR)
    played.verdict("h", "give_up")
    assert played.state.status == "SUCCESS"
    assert played.emitted("end")[0]["error"]["type"] == "rate_limit"


def test_without_a_verdict_in_time_the_node_is_given_up() -> None:
    played = asked()
    late = played.verdict_about("h", "retry")
    played.pass_time(10)
    assert played.state.status == "ERROR"
    (verdict,) = played.told(VerdictApplied)
    assert (verdict.verdict, verdict.by) == ("give_up", "clock")
    (told,), (ended,) = played.told(NodeFailed), played.told(ExecutionFailed)
    assert ended.failure_id == told.failure_id
    assert played.refused(late) == "stale_verdict"


def test_a_second_verdict_about_one_failure_is_stale() -> None:
    played = asked()
    again = played.verdict_about("h", "retry")
    played.verdict("h", "retry")
    assert played.refused(again) == "stale_verdict"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"overrides": {"model": "x"}}, "invalid_overrides"),
        ({"overrides": ["x"]}, "invalid_overrides"),
        ({"delay_s": -1.0}, "invalid_delay"),
        ({"until": "tomorrow"}, "invalid_instant"),
        ({"until": "2026-01-01T00:00:00"}, "invalid_instant"),
    ],
)
def test_a_verdict_that_cannot_be_followed_is_refused(more: dict[str, Any], code: str) -> None:
    played = asked()
    assert played.refused(played.verdict_about("h", "retry", **more)) == code


def test_siblings_go_on_while_a_verdict_is_awaited() -> None:
    definition = workflow([http("h"), http("s"), node("end")], ["t>h", "t>s", "s>end"])
    played = play(definition, {"n": 1})
    played.answer("h", error=failed())
    played.answer("s", {"ok": True})
    assert played.run("end").status == "SUCCESS"
    assert played.state.status == "RUNNING"


# Time -----------------------------------------------------------------------------------


def test_a_lost_attempt_times_out_and_is_tried_again() -> None:
    played = play(one(max_retries=1, timeout_s=20), {"n": 1})
    lost = played.result("h")
    assert wake_at(played.state) == BEGAN + timedelta(seconds=20)
    played.wake()
    (failure,) = played.told(AttemptFailed)
    assert (failure.error.type, failure.error.effect_state) == ("timeout", "unknown")
    assert played.refused(lost) == "stale_result"
    played.wake()
    played.answer("h", {"ok": True})
    assert played.state.status == "SUCCESS"


def test_the_limit_of_a_request_allows_for_all_of_its_items() -> None:
    played = play(one(), [{"n": n} for n in range(25)])
    deadline = datetime.fromisoformat(played.task("h").deadline)
    assert deadline - BEGAN == timedelta(seconds=3 * 30 + 15)


def test_an_answer_that_waits_wins_over_a_time_out_of_another_node() -> None:
    definition = workflow([http("a", timeout_s=5), http("b", timeout_s=5)], ["t>a", "t>b"])
    played = play(definition, {"n": 1})
    played.now += timedelta(minutes=5)  # an outage: the wake comes after what was waiting
    played.answer("a", {"ok": 1})
    played.answer("b", {"ok": 2})
    assert played.state.status == "SUCCESS"


def test_an_execution_has_a_deadline_of_its_own() -> None:
    played = play(one(execution_timeout=60, timeout_s=500), {"n": 1})
    assert wake_at(played.state) == BEGAN + timedelta(seconds=60)
    assert [each.waits_for for each in why(played.state, played.workflow)] == [
        "deadline", "attempt",
    ]  # fmt: skip
    played.wake()
    assert played.state.status == "TIMEOUT"
    assert played.run("h").status == "CANCELED"
    (row,) = played.table("workflow_executions")
    assert row["error_details"]["type"] == "execution_timeout"
    assert wake_at(played.state) is None
    assert why(played.state, played.workflow) == []


def test_a_wake_that_comes_too_early_changes_nothing() -> None:
    played = play(one(), {"n": 1})
    assert played.give(Due(EXECUTION_ID)) == ()


def test_an_execution_that_waits_for_something_is_not_stalled() -> None:
    played = play(one(execution_timeout=60), {"n": 1})
    assert not stalled(played.state, played.workflow)
    played.state.open.clear()  # as a defect would leave it
    assert stalled(played.state, played.workflow)


# Answers --------------------------------------------------------------------------------


def test_a_second_answer_to_one_attempt_is_stale() -> None:
    played = play(one(), {"n": 1})
    again = played.result("h")
    played.answer("h", {"ok": True})
    assert played.refused(again) == "stale_result"
    assert len(played.told(ExecutionCompleted)) == 1


def test_a_task_carries_all_that_the_runner_needs() -> None:
    played = play(one(parameters={"method": "POST"}), {"n": 1})
    task = played.task("h")
    assert (task.node_type, task.node_subtype) == ("EXTERNAL_ACTION", "HTTP_REQUEST")
    assert (task.effect, task.length, task.attempt) == ("unsafe", "short", 1)
    assert task.items == [{"n": 1}]
    assert len(task.idempotency_key) == 64


def test_a_node_that_completes_after_a_failure_that_was_told_is_told_as_recovered() -> None:
    definition = workflow([http("a", max_retries=1), node("b")], ["t>a", "a>b"])
    bumpy = play(definition)
    bumpy.answer("a", error=failed("down", retryable=True))
    bumpy.wake()
    bumpy.answer("a")
    assert bumpy.told(NodeRecovered) == [], "its own retry was enough"
    assert bumpy.told(ExecutionCompleted)[0].untroubled
    troubled = play(workflow([http("a"), node("b")], ["t>a", "a>b"]))
    troubled.answer("a", error=failed("down"))
    troubled.verdict("a", "retry")
    troubled.answer("a")
    (told,) = troubled.told(NodeRecovered)
    assert (told.node_id, told.run, told.attempt) == ("a", 1, 2)
    assert not troubled.told(ExecutionCompleted)[0].untroubled


def test_an_end_says_whether_others_were_told_of_a_failure() -> None:
    played = play(workflow([http("a")], ["t>a"]))
    played.answer("a", error=failed("down"))
    assert played.told(NodeFailed)
    played.give(played.cancel())
    assert not played.told(ExecutionCanceled)[0].untroubled
    calm = play(workflow([http("a")], ["t>a"]))
    calm.give(calm.cancel())
    assert calm.told(ExecutionCanceled)[0].untroubled


@pytest.mark.parametrize(
    ("errors", "state"),
    [
        ({0: "not_sent", 1: "not_sent", 2: "not_sent"}, "not_sent"),
        ({0: "not_sent", 1: "unknown", 2: "not_sent"}, "unknown"),
        ({0: "not_sent", 1: "refused"}, "done"),
    ],
    ids=["nothing was sent", "one may have happened", "one is done"],
)
def test_recovery_hears_of_the_farthest_effect_of_an_unsafe_node_with_several_items(
    errors: dict[int, Any], state: str
) -> None:
    parameters = {"method": "POST", "url": "https://example.org/"}
    played = play(one(recovery="on", parameters=parameters), [{"n": 1}, {"n": 2}, {"n": 3}])
    told = {at: failed("connect_failed", effect_state=each) for at, each in errors.items()}
    played.answer("h", errors=told)
    (asked,) = played.told(NodeFailed)
    assert (asked.asked, asked.effect, asked.error.effect_state) == (True, "unsafe", state)
