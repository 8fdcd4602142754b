"""Pause and resume: nothing new begins, what arrives is applied, deadlines stand still."""

from datetime import timedelta

from perdure_contracts.control import (
    ExecutionPaused,
    ExecutionResumed,
    PauseExecution,
    ResumeExecution,
)
from perdure_contracts.executions import NodeScheduled
from perdure_engine.executions.state import wake_at
from perdure_engine.executions.why import stalled, why
from playing import BEGAN, EXECUTION_ID, Play, failed, http, node, play, workflow

PAUSE = PauseExecution(execution_id=EXECUTION_ID, reason="a look", asked_by="me")
RESUME = ResumeExecution(execution_id=EXECUTION_ID, asked_by="me")
CHAIN = workflow([http("a"), node("between"), http("b")], ["t>a", "a>between", "between>b"])


def paused(definition: dict[str, object] = CHAIN) -> Play:
    played = play(definition)
    played.give(PAUSE)
    return played


def test_a_result_that_arrives_while_paused_is_applied_and_nothing_new_begins() -> None:
    played = paused()
    played.answer("a", {"x": 1})
    assert played.statuses() == {"t": "SUCCESS", "a": "SUCCESS"}
    assert played.state.status == "PAUSED"
    played.give(RESUME)
    assert played.statuses() == {
        "t": "SUCCESS", "a": "SUCCESS", "between": "SUCCESS", "b": "RUNNING",
    }  # fmt: skip
    played.answer("b")
    assert played.state.status == "SUCCESS"
    assert played.emitted("b") == [{"x": 1}]


def test_a_paused_execution_ends_when_it_is_resumed_not_before() -> None:
    played = paused(workflow([http("a")], ["t>a"]))
    played.answer("a")
    assert (played.state.status, wake_at(played.state)) == ("PAUSED", None)
    played.give(RESUME)
    assert played.state.status == "SUCCESS"


def test_deadlines_stand_still_while_paused() -> None:
    definition = workflow([http("a", timeout_s=60)], ["t>a"], execution_timeout=100)
    played = play(definition)
    played.now += timedelta(seconds=40)
    played.give(PAUSE)
    played.pass_time(3_600)
    assert played.statuses()["a"] == "RUNNING"
    played.give(RESUME)
    left = {each.waits_for: each.until for each in why(played.state, played.workflow)}
    assert left["attempt"] == played.now + timedelta(seconds=20)
    assert left["deadline"] == played.now + timedelta(seconds=60)
    assert wake_at(played.state) == left["attempt"]


def test_a_question_asked_while_paused_waits_its_whole_time_after_the_pause() -> None:
    played = paused(workflow([http("a")], ["t>a"], recovery="on"))
    played.pass_time(1_000)
    played.answer("a", error=failed())
    played.pass_time(1_000)
    assert played.statuses()["a"] == "RETRYING"
    played.give(RESUME)
    assert wake_at(played.state) == played.now + timedelta(seconds=10)


def test_a_verdict_to_retry_waits_for_the_end_of_the_pause() -> None:
    played = play(workflow([http("a")], ["t>a"], recovery="on"))
    played.answer("a", error=failed())
    played.give(PAUSE)
    played.verdict("a", "retry")
    assert len(played.told(NodeScheduled)) == 1
    played.give(RESUME)
    played.wake()
    assert played.run("a").attempt == 2


def test_a_failure_that_stops_ends_a_paused_execution_and_its_pause() -> None:
    played = paused(workflow([http("a")], ["t>a"], recovery="off"))
    played.answer("a", error=failed())
    assert played.state.status == "ERROR"
    (row,) = played.table("workflow_execution_pauses")
    assert (row["status"], row["resume_trigger"]) == ("resumed", "execution_ended")
    played.give(played.retry("a"))
    assert played.state.status == "RUNNING"


def test_a_paused_execution_can_be_cancelled() -> None:
    played = paused()
    played.give(played.cancel())
    assert played.state.status == "CANCELED"


def test_a_loop_goes_round_no_more_until_it_is_resumed() -> None:
    definition = workflow(
        [node("each", "FLOW.FOREACH", parameters={"max_concurrency": 1}), http("body")],
        ["t>each", "each.item>body", "body>each"],
    )
    played = play(definition, [{"n": 1}, {"n": 2}])
    played.give(PAUSE)
    task = next(iter(played.tasks.values()))
    played.answer("each.0@body")
    assert len(played.tasks) == 1 and task.items == [{"n": 1}]
    played.give(RESUME)
    played.answer("each.1@body")
    assert played.state.status == "SUCCESS"
    assert played.emitted("each", "done") == [{"n": 1}, {"n": 2}]


def test_pausing_twice_and_resuming_what_is_not_paused_are_refused() -> None:
    played = play(CHAIN)
    assert played.refused(RESUME) == "execution_not_paused"
    played.give(PAUSE)
    assert played.refused(PAUSE) == "execution_paused"
    played.give(played.cancel())
    assert played.refused(PAUSE) == "execution_ended"
    assert played.refused(RESUME) == "execution_ended"


def test_a_pause_has_a_row_and_says_what_it_waits_for() -> None:
    played = paused()
    (row,) = played.table("workflow_execution_pauses")
    assert (row["pause_reason"], row["status"], row["paused_at"]) == ("operator", "active", BEGAN)
    assert row["resume_conditions"]["reason"] == "a look"
    (execution,) = played.table("workflow_executions")
    assert execution["status"] == "PAUSED"
    waits = [each.waits_for for each in why(played.state, played.workflow)]
    assert sorted(waits) == ["attempt", "resume"]
    assert not stalled(played.state, played.workflow)
    played.now += timedelta(seconds=5)
    played.give(RESUME)
    (row,) = played.table("workflow_execution_pauses")
    assert (row["status"], row["resume_trigger"]) == ("resumed", "operator")
    assert row["resumed_at"] == played.now
    (execution,) = played.table("workflow_executions")
    assert execution["status"] == "RUNNING"
    logs = [row["message"] for row in played.table("workflow_execution_logs")]
    assert any("paused by me: a look" in each for each in logs)
    assert any("resumed by me" in each for each in logs)
    assert len(played.told(ExecutionPaused)) == len(played.told(ExecutionResumed)) == 1
