"""What runs of an undeployed version is stopped, what was on its way too."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from perdure_common.decider import Due, Lookup, Page, Recorded
from perdure_common.ids import time_ordered
from perdure_contracts.engine import CancelExecution
from perdure_contracts.stopping import ExecutionsStopped, StopExecutions
from perdure_engine import stopping
from perdure_engine.executions.state import OPEN
from perdure_engine.stopping import Stopping, decider

WORKFLOW = "0198c0de-0000-7000-8000-000000000001"
STREAM = f"{WORKFLOW}/stop/3"
STOP = StopExecutions(stream=STREAM, workflow_id=WORKFLOW, version=3, asked_by="ann")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Stage:
    """The stream, and the rows that it finds: those of executions are looked up by pages."""

    def __init__(self) -> None:
        self.state, self.now, self.events = Stopping(), NOW, list[ExecutionsStopped]()
        self.canceled: list[str] = []
        self.workflow: dict[str, Any] = {"deployment_status": "IDLE", "deployment_version": 3}
        self.rows: dict[str, dict[str, Any]] = {}
        self.seen = 0

    def has(self, *keys: str, ago_s: float = 60, status: str = "RUNNING", version: int = 3) -> None:
        """Let executions have begun so many seconds ago."""
        at = int((self.now - timedelta(seconds=ago_s)).timestamp() * 1000)
        for key in keys:
            self.rows[key] = {
                "id": time_ordered(at, "execution", key), "execution_id": key, "status": status,
                "workflow_version": version,
            }  # fmt: skip

    def found(self, lookup: Lookup) -> list[dict[str, Any]]:
        if lookup.table == "workflows":
            return [self.workflow]
        page = lookup.page
        assert page is not None and (page.column, page.most) == ("id", stopping.PAGE)
        rows = sorted(self.rows.values(), key=lambda row: row["id"], reverse=True)
        below = [row for row in rows if not page.before or row["id"] < page.before]
        self.seen += len(below[: page.most])
        return below[: page.most]

    def does(self, command: StopExecutions | Due) -> None:
        facts = {n: self.found(each) for n, each in decider.facts(self.state, command).items()}
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
                self.rows[each.message.execution_id]["status"] = "CANCELED"

    def wakes(self) -> None:
        at = decider.wake_at(self.state)
        assert at is not None
        self.now = at
        self.does(Due(STREAM))

    def wakes_until_done(self) -> None:
        while decider.wake_at(self.state) is not None:
            self.wakes()


def test_all_that_is_open_is_stopped_and_it_is_looked_again_twice() -> None:
    stage = Stage()
    [asked] = decider.facts(stage.state, STOP).values()
    assert (asked.where, asked.page) == ({"workflow_id": WORKFLOW}, Page("id", stopping.PAGE))
    for number, status in enumerate(OPEN):
        stage.has(f"open{number}", status=status)
    stage.has("done", status="SUCCESS")
    stage.has("another", version=2)
    stage.does(STOP)
    stage.has("late", ago_s=2)
    stage.wakes()
    stage.wakes()
    assert sorted(stage.canceled) == ["late", *(f"open{n}" for n in range(len(OPEN)))]
    assert decider.wake_at(stage.state) is None
    assert stage.now == NOW + timedelta(seconds=60)


def test_very_many_are_stopped_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "AT_ONCE", 3)
    stage = Stage()
    stage.has(*(f"{n:05}" for n in range(7)))
    stage.does(STOP)
    assert len(stage.canceled) == 3
    stage.wakes_until_done()
    assert sorted(stage.canceled) == [f"{n:05}" for n in range(7)]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 23])
def test_a_long_history_is_looked_at_page_by_page_and_once(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "PAGE", 5)
    stage = Stage()
    for n in range(count):
        stage.has(f"{n:05}", ago_s=3_600 + n, status="RUNNING" if n % 4 == 3 else "SUCCESS")
    stage.does(STOP)
    while not stage.state.looks:
        stage.wakes()
    assert sorted(stage.canceled) == [f"{n:05}" for n in range(3, count, 4)]
    assert stage.seen == count
    stage.wakes_until_done()
    assert stage.seen <= count + 10, "later looks see the newest only"
    assert len(stage.canceled) == len(set(stage.canceled))


def serving(version: int, status: str = "ACTIVE") -> dict[str, Any]:
    return {"deployment_status": status, "deployment_version": version}


def after_the_first_look(workflows: Iterable[dict[str, Any]]) -> Stage:
    """Return what became of one more execution before each of the later looks."""
    stage = Stage()
    stage.has("a")
    stage.does(STOP)
    for number, workflow in enumerate(workflows):
        stage.workflow = workflow
        stage.has(f"late{number}", ago_s=1)
        stage.wakes()
    return stage


def test_a_version_that_serves_again_keeps_what_it_began() -> None:
    stage = after_the_first_look([serving(3)])
    assert stage.canceled == ["a"]
    assert decider.wake_at(stage.state) is None


def test_that_another_version_serves_or_none_stops_nothing_of_the_looks() -> None:
    stage = after_the_first_look([serving(4), serving(3, "UNDEPLOYING")])
    assert stage.canceled == ["a", "late0", "late1"]


def test_the_first_look_does_not_ask_what_serves_as_the_news_may_be_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "PAGE", 1)
    stage = Stage()
    stage.workflow = serving(3)
    stage.has("a", ago_s=60)
    stage.has("b", ago_s=90)
    stage.does(STOP)
    stage.wakes()
    assert stage.canceled == ["a", "b"]


def test_a_wake_too_early_looks_at_nothing() -> None:
    stage = Stage()
    stage.does(Due(STREAM))
    assert not stage.events
    stage.does(STOP)
    stage.has("a", ago_s=1)
    stage.does(Due(STREAM))
    assert not stage.canceled


def test_the_same_workflow_is_stopped_anew_after_its_next_undeployment() -> None:
    stage = Stage()
    for key in ("a", "b"):
        stage.has(key)
        stage.does(STOP)
        stage.wakes_until_done()
    assert stage.canceled == ["a", "b"]
