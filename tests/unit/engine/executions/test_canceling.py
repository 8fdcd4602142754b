"""A cancel leaves what a runner has claimed a while to end, and lets nothing else begin."""

from datetime import timedelta
from typing import Any

from perdure_common.decider import Recorded
from perdure_contracts.control import CancelBegun, PauseExecution, ResumeExecution
from perdure_contracts.engine import ExecutionCanceled, NodeCanceled
from perdure_contracts.executions import ExecutionEvent, NodeScheduled
from perdure_engine.executions.state import wake_at
from perdure_engine.executions.why import why
from perdure_engine.promises import Judge
from playing import BEGAN, EXECUTION_ID, Play, failed, http, node, play, workflow

GRACE_S = 10.0
UNTIL = BEGAN + timedelta(seconds=GRACE_S)


def post(node_id: str, **more: Any) -> dict[str, Any]:
    """Return a node whose attempts are claimed: what it does must not happen twice."""
    return http(node_id, parameters={"method": "POST"}, **more)


CHAIN = workflow([post("a"), http("b")], ["t>a", "a>b"], recovery="on")


def canceling(definition: dict[str, Any] = CHAIN, data: Any = None) -> Play:
    played = play(definition, data, grace_s=GRACE_S)
    played.give(played.cancel())
    return played


def claims(played: Play) -> list[tuple[Any, Any]]:
    return [(row["canceled"], row["stop_at"]) for row in played.table("node_claims")]


def test_what_is_claimed_may_end_and_counts_and_nothing_begins_behind_it() -> None:
    played = canceling()
    assert (played.state.status, played.statuses()["a"]) == ("RUNNING", "RUNNING")
    assert claims(played) == [(True, UNTIL)]
    first = why(played.state, played.workflow)[0]
    assert (first.waits_for, first.until) == ("cancel", UNTIL)
    assert wake_at(played.state) == UNTIL
    played.now += timedelta(seconds=3)
    played.answer("a", {"x": 1})
    assert played.state.status == "CANCELED"
    assert played.statuses() == {"t": "SUCCESS", "a": "SUCCESS"}
    (told,) = played.told(ExecutionCanceled)
    assert (told.reason, told.asked_by) == ("no more", "me")
    assert wake_at(played.state) is None


def test_what_did_not_end_well_in_the_grace_is_cancelled_and_nobody_is_asked() -> None:
    answers: list[dict[str, Any]] = [
        {"error": failed(retryable=True)}, {"errors": {0: failed()}},
    ]  # fmt: skip
    for answer in answers:
        played = canceling()
        played.answer("a", **answer)
        assert (played.state.status, played.statuses()["a"]) == ("CANCELED", "CANCELED")
        assert played.failures == []


def test_what_does_not_end_is_cut_off_and_its_answer_is_stale() -> None:
    played = canceling()
    late = played.result("a")
    played.pass_time(GRACE_S - 1)
    assert played.state.status == "RUNNING"
    played.pass_time(1)
    assert (played.state.status, played.statuses()["a"]) == ("CANCELED", "CANCELED")
    assert claims(played) == [(True, None)]
    assert played.refused(late) == "stale_result"


def test_who_cancels_once_more_does_not_wait() -> None:
    played = canceling()
    played.give(played.cancel())
    assert played.state.status == "CANCELED"
    assert claims(played) == [(True, None)]
    assert len(played.told(CancelBegun)) == 1
    assert played.refused(played.cancel()) == "execution_ended"


def test_without_anything_claimed_it_ends_at_once() -> None:
    waits = node("w", "FLOW.WAIT", parameters={"seconds": 60})
    for each in (http("a"), waits):
        played = canceling(workflow([each], [f"t>{each['node_id']}"]))
        assert played.state.status == "CANCELED"
        assert played.told(CancelBegun) == []


def test_everything_else_is_cancelled_at_once_and_a_retry_takes_all_of_it_up() -> None:
    waits = node("w", "FLOW.WAIT", parameters={"seconds": 60})
    played = canceling(workflow([post("a"), http("b"), waits], ["t>a", "a>b", "t>w"]))
    assert [event.node_id for event in played.told(NodeCanceled)] == ["w"]
    played.answer("a", {"x": 1})
    assert played.state.status == "CANCELED"
    played.give(played.retry("w"))
    assert played.statuses()["w"] == played.statuses()["b"] == "RUNNING"
    assert played.task("b").items == [{"x": 1}]
    played.answer("b")
    played.pass_time(60)
    assert played.state.status == "SUCCESS"


def test_it_waits_for_the_last_of_what_is_claimed() -> None:
    played = canceling(workflow([post("a"), post("b")], ["t>a", "t>b"]))
    played.answer("a")
    assert played.state.status == "RUNNING"
    played.answer("b")
    assert played.state.status == "CANCELED"


def test_no_other_round_of_a_loop_begins() -> None:
    definition = workflow(
        [node("each", "FLOW.FOREACH", parameters={"max_concurrency": 1}), post("body")],
        ["t>each", "each.item>body", "body>each"],
    )
    played = canceling(definition, [{"n": 1}, {"n": 2}])
    played.answer("each.0@body")
    assert played.state.status == "CANCELED"
    assert len(played.told(NodeScheduled)) == 1
    played.give(played.retry("each"))
    played.answer("each.1@body")
    assert played.state.status == "SUCCESS"
    assert played.emitted("each", "done") == [{"n": 1}, {"n": 2}]


def test_a_paused_execution_is_cancelled_with_the_same_grace() -> None:
    played = play(CHAIN, grace_s=GRACE_S)
    played.give(PauseExecution(execution_id=EXECUTION_ID))
    played.give(played.cancel())
    assert (played.state.status, wake_at(played.state)) == ("PAUSED", UNTIL)
    assert played.refused(ResumeExecution(execution_id=EXECUTION_ID)) == "execution_canceling"
    played.pass_time(GRACE_S)
    assert played.state.status == "CANCELED"
    (pause,) = played.table("workflow_execution_pauses")
    assert pause["resume_trigger"] == "execution_ended"


def test_an_execution_that_is_being_cancelled_is_not_paused() -> None:
    assert canceling().refused(PauseExecution(execution_id=EXECUTION_ID)) == "execution_canceling"


def test_the_judge_finds_what_begins_while_it_is_being_cancelled() -> None:
    played = canceling()
    (scheduled,) = played.told(NodeScheduled)
    judge = Judge()

    def found(event: ExecutionEvent) -> list[str]:
        recorded = Recorded(event, "tenant", EXECUTION_ID, 1, played.now)
        return [what for _, what, _ in judge.see(recorded)]

    assert [what for event in played.events for what in found(event)] == []
    assert "a cancel" in found(scheduled)
