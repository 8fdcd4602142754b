"""The time that a node run may take, all its attempts and the waiting between them together."""

from typing import Any

from perdure_contracts.control import PauseExecution, ResumeExecution
from perdure_contracts.engine import NodeErrored
from perdure_contracts.executions import AttemptFailed
from perdure_engine.definition import validate
from playing import EXECUTION_ID, Play, failed, http, node, play, workflow


def limited(**more: Any) -> Play:
    recovery = more.pop("recovery", "off")
    given = {"run_timeout_s": 60, "max_retries": 9, "retry_wait_time": 25, **more}
    return play(workflow([http("n", **given)], ["t>n"], recovery=recovery), [{"n": 1}])


def ended(execution: Play) -> NodeErrored:
    (event,) = execution.told(NodeErrored)
    return event


def test_an_attempt_under_way_may_not_outlive_its_run() -> None:
    execution = limited(timeout_s=300)
    assert execution.task("n").deadline == "2026-01-01T00:01:00+00:00"
    execution.pass_time(59)
    assert execution.state.status == "RUNNING"
    execution.pass_time(2)
    assert execution.state.status == "ERROR"
    assert ended(execution).error.type == "timeout"
    assert "60 s, 1 attempts" in ended(execution).error.message


def test_attempts_and_the_waiting_between_them_count_together() -> None:
    execution = limited()
    execution.answer("n", error=failed("busy", retryable=True))
    execution.wake()
    assert execution.run("n").attempt == 2
    execution.answer("n", error=failed("busy", retryable=True))
    execution.pass_time(120)
    assert len(execution.told(AttemptFailed)) == 2
    error = ended(execution).error
    assert (error.type, error.retryable) == ("timeout", False)
    assert "the last one failed with busy" in error.message


def test_an_answer_in_time_ends_the_run_as_ever() -> None:
    execution = limited()
    execution.pass_time(30)
    execution.answer("n")
    execution.pass_time(300)
    assert execution.state.status == "SUCCESS"


def test_a_verdict_is_waited_for_no_longer_than_the_run_may_take() -> None:
    execution = limited(recovery="on", max_retries=0)
    execution.answer("n", error=failed("busy", retryable=True))
    execution.verdict("n", "hold", until="2026-01-02T00:00:00Z")
    execution.pass_time(61)
    assert ended(execution).error.type == "timeout"
    assert execution.state.status == "ERROR"


def test_the_time_stands_still_while_the_execution_is_paused() -> None:
    execution = limited(timeout_s=300)
    execution.pass_time(50)
    execution.give(PauseExecution(execution_id=EXECUTION_ID))
    execution.pass_time(600)
    execution.give(ResumeExecution(execution_id=EXECUTION_ID))
    execution.pass_time(5)
    assert execution.state.status == "RUNNING"
    execution.pass_time(6)
    assert execution.state.status == "ERROR"


def test_a_run_that_is_revived_has_its_whole_time_again() -> None:
    execution = limited(timeout_s=300)
    execution.pass_time(61)
    execution.give(execution.retry("n"))
    execution.pass_time(59)
    assert execution.state.status == "RUNNING"
    execution.answer("n")
    assert execution.state.status == "SUCCESS"


def test_failed_items_leave_by_the_error_mode_of_the_node() -> None:
    made = workflow(
        [
            http("n", run_timeout_s=10, error_handling="CONTINUE_REGULAR_OUTPUT_ON_ERROR"),
            node("after"),
        ],
        ["t>n", "n>after"],
        recovery="off",
    )
    execution = play(made, [{"n": 1}])
    execution.pass_time(11)
    (item,) = execution.emitted("after")
    assert item["error"]["type"] == "timeout"


def test_a_node_that_makes_no_attempts_has_no_time_for_them() -> None:
    (problem,) = validate(workflow([node("n", run_timeout_s=1)], ["t>n"])).errors
    assert (problem.code, problem.path) == ("run_timeout_not_supported", "nodes[1].run_timeout_s")
