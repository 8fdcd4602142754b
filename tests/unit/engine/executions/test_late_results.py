"""Answers that come too late: journalled as stale by the shell, never applied."""

from datetime import timedelta

from perdure_common.decider import Due
from perdure_contracts.engine import ExecutionFailed, NodeErrored
from perdure_contracts.executions import AttemptFailed
from playing import EXECUTION_ID, failed, http, node, play, workflow

OFF = workflow([http("a", timeout_s=10, max_retries=0)], ["t>a"], recovery="off")
RETRIES = workflow([http("a", timeout_s=10, max_retries=1)], ["t>a"], recovery="off")


def test_an_answer_after_its_time_out_is_stale() -> None:
    played = play(OFF)
    late = played.result("a", {"x": 1})
    played.wake()
    (error,) = played.told(NodeErrored)
    assert error.error.type == "timeout"
    assert (played.state.status, played.refused(late)) == ("ERROR", "stale_result")
    assert played.run("a").status == "ERROR"


def test_an_answer_to_the_attempt_before_does_not_settle_the_next_one() -> None:
    played = play(RETRIES)
    late = played.result("a", {"x": 1})
    played.wake()
    assert played.statuses()["a"] == "RETRYING"
    assert played.refused(late) == "stale_result"
    played.wake()
    assert played.run("a").attempt == 2
    assert played.refused(late) == "stale_result"
    played.answer("a", {"x": 2})
    assert played.emitted("a") == [{"x": 2}]


def test_the_second_of_two_answers_to_one_attempt_is_stale() -> None:
    played = play(workflow([http("a"), http("b")], ["t>a", "a>b"]))
    first, second = played.result("a", {"x": 1}), played.result("a", {"x": 2})
    played.give(first)
    assert played.refused(second) == "stale_result"
    assert played.emitted("a") == [{"x": 1}]


def test_an_answer_to_a_cancelled_attempt_is_stale() -> None:
    played = play(OFF)
    late = played.result("a", {"x": 1})
    played.give(played.cancel())
    assert played.refused(late) == "stale_result"
    assert played.statuses()["a"] == "CANCELED"


def test_an_answer_to_an_attempt_that_a_stop_cancelled_is_stale() -> None:
    played = play(workflow([http("a"), http("b")], ["t>a", "t>b"], recovery="off"))
    late = played.result("b", {"x": 1})
    played.answer("a", error=failed())
    assert (played.state.status, played.refused(late)) == ("ERROR", "stale_result")


def test_an_execution_has_a_time_out_of_its_own() -> None:
    definition = workflow(
        [http("a", timeout_s=500), node("b")], ["t>a", "a>b"], execution_timeout=60
    )
    played = play(definition)
    late = played.result("a")
    played.now += timedelta(seconds=59)
    assert played.give(Due(EXECUTION_ID)) == ()
    played.wake()
    (end,) = played.told(ExecutionFailed)
    assert (end.status, end.error.type) == ("TIMEOUT", "execution_timeout")
    assert played.refused(late) == "stale_result"
    (row,) = played.table("workflow_executions")
    assert (row["status"], row["error_details"]["type"]) == ("TIMEOUT", "execution_timeout")
    assert "b" not in played.statuses()


def test_a_time_out_of_an_attempt_is_a_failure_like_others() -> None:
    played = play(RETRIES)
    played.wake()
    (attempt,) = played.told(AttemptFailed)
    assert (attempt.error.type, attempt.retry_at is not None) == ("timeout", True)
    assert attempt.error.effect_state == "unknown"
