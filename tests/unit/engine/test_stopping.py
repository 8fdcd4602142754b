"""What runs of an undeployed version is stopped, what was on its way too."""

from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common.decider import Due, Recorded
from perdure_contracts.engine import CancelExecution
from perdure_contracts.stopping import ExecutionsStopped, StopExecutions
from perdure_engine.executions.state import OPEN
from perdure_engine.stopping import AT_ONCE, Stopping, decider

WORKFLOW = "0198c0de-0000-7000-8000-000000000001"
STREAM = f"{WORKFLOW}/stop/3"
STOP = StopExecutions(stream=STREAM, workflow_id=WORKFLOW, version=3, asked_by="ann")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Stage:
    """The stream, with the rows that it finds."""

    def __init__(self) -> None:
        self.state, self.now, self.events = Stopping(), NOW, list[ExecutionsStopped]()
        self.canceled: list[str] = []
        self.workflow: dict[str, Any] = {"deployment_status": "IDLE", "deployment_version": 3}

    def does(self, command: StopExecutions | Due, *found: str) -> None:
        asked = decider.facts(self.state, command)
        rows = {"open": [{"execution_id": each} for each in found], "workflow": [self.workflow]}
        facts: Any = {name: rows[name] for name in asked}
        events: Any = decider.decide(self.state, command, facts, self.now)
        for event in events:
            self.state = decider.evolve(self.state, event)
            self.events.append(event)
            recorded = Recorded(
                event=event, tenant_id="t", stream=STREAM, version=1, recorded_at=self.now
            )
            for each in decider.route(self.state, recorded):
                assert isinstance(each.message, CancelExecution)
                assert each.message.reason == "version 3 of its workflow was undeployed"
                assert (each.stream, each.message.asked_by) == (each.message.execution_id, "ann")
                self.canceled.append(each.message.execution_id)

    def wakes(self, *found: str) -> None:
        at = decider.wake_at(self.state)
        assert at is not None
        self.now = at
        self.does(Due(STREAM), *found)


def test_all_that_is_open_is_stopped_and_it_is_looked_again_twice() -> None:
    stage = Stage()
    [asked] = decider.facts(stage.state, STOP).values()
    assert asked.where == {"workflow_id": WORKFLOW, "workflow_version": 3, "status": OPEN}
    stage.does(STOP, "b", "a")
    stage.wakes("late")
    stage.wakes()
    assert stage.canceled == ["a", "b", "late"]
    assert decider.wake_at(stage.state) is None
    assert stage.now == NOW + timedelta(seconds=60)


def test_very_many_are_stopped_in_turns() -> None:
    stage = Stage()
    many = [f"{n:05}" for n in range(AT_ONCE + 1)]
    stage.does(STOP, *many)
    assert len(stage.canceled) == AT_ONCE
    stage.wakes(many[-1])
    assert stage.canceled == many
    stage.wakes()
    stage.wakes()
    assert decider.wake_at(stage.state) is None


def serving(version: int, status: str = "ACTIVE") -> dict[str, Any]:
    return {"deployment_status": status, "deployment_version": version}


def test_a_version_that_serves_again_keeps_what_it_began() -> None:
    stage = Stage()
    stage.does(STOP, "a")
    stage.workflow = serving(3)
    stage.wakes("new")
    assert stage.canceled == ["a"]
    assert decider.wake_at(stage.state) is None


def test_that_another_version_serves_or_none_stops_nothing_of_the_looks() -> None:
    stage = Stage()
    stage.does(STOP, "a")
    stage.workflow = serving(4)
    stage.wakes("late")
    stage.workflow = serving(3, "UNDEPLOYING")
    stage.wakes("later")
    assert stage.canceled == ["a", "late", "later"]


def test_the_first_look_does_not_ask_what_serves_as_the_news_may_be_late() -> None:
    stage = Stage()
    stage.workflow = serving(3)
    stage.does(STOP, "a")
    assert stage.canceled == ["a"]


def test_a_wake_too_early_looks_at_nothing() -> None:
    stage = Stage()
    stage.does(Due(STREAM))
    assert not stage.events
    stage.does(STOP)
    stage.does(Due(STREAM), "a")
    assert not stage.canceled


def test_the_same_workflow_is_stopped_anew_after_its_next_undeployment() -> None:
    stage = Stage()
    for _ in range(2):
        stage.does(STOP, "a")
        stage.wakes()
        stage.wakes()
    assert stage.canceled == ["a", "a"]
