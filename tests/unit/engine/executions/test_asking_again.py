"""Recovery is asked once more when the wait before an attempt is over; what it is told then."""

from datetime import timedelta
from typing import Any

from perdure_contracts.engine import ExecutionFailed, NodeFailed
from perdure_contracts.executions import AttemptDue, VerdictApplied
from perdure_engine.executions.state import wake_at
from perdure_engine.executions.why import why
from playing import BEGAN, Play, failed, http, node, play, workflow

OVERRIDES = {"parameters": {"url": "https://example.net/"}, "avoid": "runner-1"}


def waiting() -> Play:
    """An execution whose node waits 30 s for an attempt about which recovery is asked again."""
    played = play(workflow([http("h"), node("end")], ["t>h", "h>end"]), {"n": 1})
    played.answer("h", error=failed("rate_limit", retryable=True))
    played.verdict("h", "retry", delay_s=30, ask_again=True, attempt_id="a1", overrides=OVERRIDES)
    assert wake_at(played.state) == BEGAN + timedelta(seconds=30)
    played.wake()
    return played


def test_the_attempt_is_not_made_before_recovery_has_said_so() -> None:
    played = waiting()
    (due,) = played.told(AttemptDue)
    assert (due.attempt_id, due.due_at) == ("a1", (BEGAN + timedelta(seconds=30)).isoformat())
    assert wake_at(played.state) == BEGAN + timedelta(seconds=40)
    assert played.run("h").attempt == 1
    assert [each.waits_for for each in why(played.state, played.workflow)] == ["verdict"]
    played.verdict("h", "retry", overrides=OVERRIDES)
    task = played.task("h")
    assert (task.attempt, task.avoid) == (2, "runner-1")
    assert task.parameters[0]["url"] == "https://example.net/"
    played.answer("h", {"ok": True})
    assert played.state.status == "SUCCESS"


def test_recovery_may_let_it_wait_on_or_give_up() -> None:
    played = waiting()
    until = BEGAN + timedelta(hours=1)
    played.verdict("h", "hold", until=until.isoformat())
    assert wake_at(played.state) == until
    played.verdict("h", "give_up")
    assert played.told(ExecutionFailed)


def test_without_an_answer_the_node_is_given_up() -> None:
    played = waiting()
    played.wake()
    assert played.told(VerdictApplied)[-1].by == "clock"
    assert played.told(ExecutionFailed)


def told_of(**more: Any) -> NodeFailed:
    played = play(workflow([http("h", **more), node("end")], ["t>h", "h>end"]), {"n": 1})
    played.answer("h", error=failed("rate_limit"))
    (told,) = [each for each in played.told(NodeFailed) if each.asked]
    return told


def test_recovery_is_told_what_the_node_can_do_differently() -> None:
    assert told_of().means is None
    way = told_of(error_handling="CONTINUE_REGULAR_OUTPUT_ON_ERROR")
    assert way.means == {"skip_compensate": "error_port"}
    assert told_of(failure_type="timeout").means == {"failure_type": "timeout"}
