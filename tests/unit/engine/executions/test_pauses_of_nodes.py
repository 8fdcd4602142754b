"""Rows of what nodes stand still for: people, an instant, an event, an error that is held."""

from datetime import timedelta
from typing import Any

from perdure_contracts.asking import NoteAnswer, RequestInteraction
from perdure_contracts.control import MarkNode
from perdure_contracts.flow import SignalExecution
from playing import BEGAN, EXECUTION_ID, Play, failed, http, node, play, workflow


def one(kind: str, parameters: dict[str, Any], **settings: Any) -> Play:
    return play(workflow([node("n", kind, parameters=parameters)], ["t>n"], **settings))


def pause(played: Play) -> dict[str, Any]:
    (row,) = played.table("workflow_execution_pauses")
    assert (row["execution_id"], row["paused_node_id"]) == (EXECUTION_ID, "n")
    return row


def told(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["pause_reason"], row["status"], row["resume_trigger"]


def test_a_node_that_waits_for_people_has_a_row_until_they_answer() -> None:
    played = one("HUMAN_IN_THE_LOOP.APPROVAL", {"title": "May I?"})
    row = pause(played)
    (asked,) = [out.message for out in played.outgoing
                if isinstance(out.message, RequestInteraction)]  # fmt: skip
    assert told(row) == ("human_interaction", "active", None)
    assert (row["interaction_id"], row["paused_at"]) == (asked.interaction_id, BEGAN)
    played.now += timedelta(seconds=5)
    played.give(
        NoteAnswer(
            execution_id=EXECUTION_ID,
            wait_id=asked.interaction_id,
            service="hil",
            outcome="answered",
            port="approved",
            by="ann",
        )
    )
    row = pause(played)
    assert told(row) == ("human_interaction", "resumed", "answer")
    assert (row["paused_at"], row["resumed_at"]) == (BEGAN, played.now)


def test_a_node_that_waits_for_an_instant_has_a_row_until_then() -> None:
    played = one("FLOW.WAIT", {"seconds": 60})
    row = pause(played)
    assert told(row) == ("timeout", "active", None)
    assert row["resume_conditions"] == {"until": (BEGAN + timedelta(seconds=60)).isoformat()}
    played.pass_time(60)
    assert told(pause(played)) == ("timeout", "resumed", "time")


def test_a_node_that_waits_for_an_event_says_which_and_whether_it_came() -> None:
    parameters = {"event": {"name": "paid", "key": "7"}, "timeout_seconds": 60}
    played = one("FLOW.WAIT", parameters)
    conditions = pause(played)["resume_conditions"]
    assert (conditions["event"], conditions["key"]) == ("paid", "7")
    signal = SignalExecution(execution_id=EXECUTION_ID, signal_id="s", name="paid", key="7")
    played.give(signal)
    assert told(pause(played)) == ("event", "resumed", "event")
    late = one("FLOW.WAIT", parameters)
    late.pass_time(60)
    assert told(pause(late)) == ("event", "timeout", "timeout")


def test_a_cancel_ends_what_was_waited_for() -> None:
    played = one("FLOW.WAIT", {"webhook": True})
    assert told(pause(played)) == ("event", "active", None)
    played.give(played.cancel())
    assert told(pause(played)) == ("event", "resumed", "canceled")


def held() -> Play:
    played = play(workflow([http("n")], ["t>n"], recovery="on"))
    played.answer("n", error=failed())
    played.verdict("n", "hold", until=(BEGAN + timedelta(hours=1)).isoformat())
    assert told(pause(played)) == ("error", "active", None)
    return played


def test_a_node_that_recovery_holds_has_a_row_until_it_is_let_go() -> None:
    played = held()
    assert pause(played)["resume_conditions"]["failure_id"] == played.failures[0].failure_id
    played.verdict("n", "retry")
    assert told(pause(played)) == ("error", "resumed", "recovery")
    at = pause(played)["resumed_at"]
    played.now += timedelta(seconds=1)
    played.give(played.cancel())
    assert pause(played)["resumed_at"] == at, "what is over is not ended again"


def test_what_else_ends_a_hold_is_told() -> None:
    played = held()
    played.pass_time(3_600)
    assert told(pause(played)) == ("error", "timeout", "timeout")
    played = held()
    played.give(played.cancel())
    assert told(pause(played)) == ("error", "resumed", "canceled")
    played = held()
    played.give(MarkNode(execution_id=EXECUTION_ID, node_id="n", outcome="skipped"))
    assert told(pause(played)) == ("error", "resumed", "operator")


def test_what_machines_answer_is_no_pause() -> None:
    assert play(workflow([http("n")], ["t>n"])).table("workflow_execution_pauses") == []
