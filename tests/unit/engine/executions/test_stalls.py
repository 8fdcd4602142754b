"""Wakes that were lost: every open execution that goes on by itself is looked at, and goes on."""

from datetime import timedelta

from perdure_contracts.control import PauseExecution
from perdure_contracts.executions import ExamineExecution
from perdure_engine.executions.project_asking import shown_status
from perdure_engine.executions.stalls import stall
from playing import EXECUTION_ID, http, node, play, workflow

GRACE_S = 30.0
EXAMINE = ExamineExecution(execution_id=EXECUTION_ID)
ASKING = workflow(
    [node("ask", "HUMAN_IN_THE_LOOP.APPROVAL", parameters={"title": "Refund?"})],
    ["t>ask"],
    execution_timeout=100,
)


def test_an_execution_that_waits_for_people_alone_is_timed_out_though_its_wake_was_lost() -> None:
    played = play(ASKING)
    assert shown_status(played.state) == "WAITING_FOR_HUMAN"
    played.now += timedelta(seconds=100 + GRACE_S)
    assert stall(played.state, played.workflow, played.now, GRACE_S) == ""
    played.now += timedelta(seconds=1)
    found = stall(played.state, played.workflow, played.now, GRACE_S)
    assert found.startswith("its wait for deadline was over at ")
    played.give(EXAMINE)
    assert played.state.status == "TIMEOUT"


def test_nothing_is_due_in_a_pause_whoever_was_waited_for() -> None:
    for definition in (ASKING, workflow([http("h", timeout_s=5)], ["t>h"], execution_timeout=10)):
        played = play(definition)
        played.give(PauseExecution(execution_id=EXECUTION_ID))
        played.now += timedelta(days=7)
        assert stall(played.state, played.workflow, played.now, GRACE_S) == ""
        assert played.give(EXAMINE) == ()
