"""A purge ends an execution's stream: only what has ended goes, and nothing comes after it."""

from datetime import timedelta

from perdure_common.decider import Due, Recorded, Rejected
from perdure_contracts.asking import NoteAnswer
from perdure_contracts.control import MarkNode, PauseExecution, RerunExecution
from perdure_contracts.engine import CancelExecution, NodeResult, RetryNode, StartExecution
from perdure_contracts.purging import ExecutionPurged, PurgeExecution
from perdure_engine.executions.state import Execution, over, wake_at
from perdure_engine.promises import Judge
from playing import (
    BEGAN,
    EXECUTION_ID,
    WORKFLOW_ID,
    Play,
    decider,
    failed,
    http,
    node,
    play,
    workflow,
)

PURGE = PurgeExecution(execution_id=EXECUTION_ID, asked_by="me")
DONE = workflow([node("a")], ["t>a"])
UNDER_WAY = workflow([http("a")], ["t>a"])


def purged(definition: dict[str, object] = DONE) -> Play:
    played = play(definition)
    played.give(PURGE)
    return played


def test_an_open_execution_is_never_purged() -> None:
    played = play(UNDER_WAY)
    assert played.refused(PURGE) == "execution_open"
    played.give(PauseExecution(execution_id=EXECUTION_ID))
    assert played.refused(PURGE) == "execution_open"


def test_what_ended_is_purged_however_it_ended() -> None:
    played = play(UNDER_WAY)
    played.give(CancelExecution(execution_id=EXECUTION_ID))
    (event,) = played.give(PURGE)
    assert isinstance(event, ExecutionPurged)
    assert (event.status, event.asked_by) == ("CANCELED", "me")


def test_a_tombstone_is_all_that_is_remembered_and_it_wakes_nobody() -> None:
    played = purged()
    assert played.state == Execution(execution_id=EXECUTION_ID, status="PURGED")
    assert decider.fold(played.events[-1:]) == played.state
    assert wake_at(played.state) is None
    assert over(played.state)


def test_nothing_comes_after_a_purge() -> None:
    played = purged()
    asked = (
        PURGE,
        RetryNode(execution_id=EXECUTION_ID, node_id="a"),
        CancelExecution(execution_id=EXECUTION_ID),
        MarkNode(execution_id=EXECUTION_ID, node_id="a", outcome="done"),
        RerunExecution(execution_id=EXECUTION_ID, new_execution_id="other"),
        NodeResult(execution_id=EXECUTION_ID, token="t", outcome="failed", error=failed()),
        NoteAnswer(execution_id=EXECUTION_ID, wait_id="w", service="hil", outcome="taken"),
    )
    assert {played.refused(each) for each in asked} == {"execution_purged"}
    later = decider.decide(played.state, Due(EXECUTION_ID), {}, played.now + timedelta(days=1))
    assert isinstance(later, Rejected)


def test_the_key_of_a_purged_execution_begins_no_other_one() -> None:
    played = purged()
    before = len(played.events)
    again = StartExecution(
        execution_id=EXECUTION_ID,
        workflow_id=WORKFLOW_ID,
        version=1,
        node_id="t",
        mode="MANUAL",
        triggered_by="MANUAL:t",
        trigger={"id": "e1"},
        data={},
    )
    assert played.refused(again) == "execution_purged"
    assert len(played.events) == before


def test_the_row_of_a_purge_says_how_far_the_stream_is_to_go() -> None:
    played = purged()
    (row,) = [u for u in played.upserts if u.table == "execution_purges"]
    assert row.set["version"] == len(played.events)


def broken(events: list[object]) -> list[str]:
    judge = Judge()
    return [
        text
        for version, event in enumerate(events, 1)
        for _, _, text in judge.see(Recorded(event, "t", EXECUTION_ID, version, BEGAN))
    ]


def test_verify_finds_a_purge_before_the_end_a_second_one_and_what_follows() -> None:
    played = purged()
    whole: list[object] = list(played.events)
    assert broken(whole) == []
    assert broken(whole[-1:]) == []
    begun, tombstone = whole[:1], whole[-1]
    assert broken([*begun, tombstone]) == ["it was purged before it had ended"]
    assert broken([*whole, tombstone]) == ["it was purged more than once"]
    assert broken([tombstone, *begun]) == ["ExecutionStarted came after it"]
