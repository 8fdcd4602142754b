"""Concurrency keys: how many executions run side by side, who waits, who goes, who is refused."""

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from perdure_contracts.admission import ExecutionRefused, RequestSlot, SlotEvicted, SlotTaken
from perdure_contracts.control import RerunExecution
from perdure_contracts.engine import (
    CancelExecution,
    ExecutionCanceled,
    ExecutionStarted,
    RetryNode,
    SaveWorkflow,
    StartExecution,
)
from perdure_contracts.executions import ExamineExecution
from perdure_contracts.flow import ChildRequested
from perdure_engine.definition import validate
from perdure_engine.executions.queueing import Limits
from perdure_engine.executions.stalls import stall
from perdure_engine.executions.why import why
from perdure_engine.gates.state import place_in_queue
from playing import WORKFLOW_ID, http, node, workflow, workflow_id
from streams import Streams

KEY = "{{ $json.customer }}"


def played(streams: Streams | None = None, **settings: Any) -> Streams:
    """Return an installation with the workflow `t > n`, where `n` goes to a runner."""
    streams = streams or Streams()
    made = workflow([http("n")], ["t>n"], **settings)
    assert streams.send(SaveWorkflow(workflow_id=WORKFLOW_ID, definition=made)) is None
    return streams


def start(streams: Streams, name: str, data: Any = None, **more: Any) -> Any:
    given = {"customer": "acme"} if data is None else data
    return streams.send(
        StartExecution(
            execution_id=name,
            workflow_id=WORKFLOW_ID,
            version=1,
            node_id="t",
            mode="MANUAL",
            triggered_by="MANUAL:t",
            trigger={"id": name},
            data=given,
            **more,
        )
    )


def statuses(streams: Streams, *executions: str) -> list[str]:
    return [streams.execution(each).status for each in executions]


def test_an_execution_without_a_key_begins_at_once_and_asks_no_gate() -> None:
    streams = played()
    start(streams, "a")
    assert statuses(streams, "a") == ["RUNNING"]
    assert streams.gates() == []
    assert streams.execution("a").flow is None


def test_one_more_than_the_limit_waits_until_a_slot_is_given_back() -> None:
    streams = played(concurrency={"key": KEY, "limit": 2})
    for each in "abc":
        start(streams, each)
    start(streams, "d", {"customer": "other"})
    assert statuses(streams, *"abcd") == ["RUNNING", "RUNNING", "NEW", "RUNNING"]
    streams.answer("a")
    assert statuses(streams, *"abc") == ["SUCCESS", "RUNNING", "RUNNING"]
    streams.answer("b")
    streams.answer("c")
    streams.answer("d")
    assert statuses(streams, *"abcd") == ["SUCCESS"] * 4
    assert all(not gate.holders and not gate.waiting for gate in streams.gates())
    streams.check()


def test_who_waits_says_for_what_and_at_which_place() -> None:
    streams = played(concurrency={"key": "all"})
    for each in "abc":
        start(streams, each)
    waiting = why(streams.execution("c"), _workflow(streams))
    assert [(each.waits_for, each.what) for each in waiting] == [
        ("turn", "concurrency key 'all' of 'played'")
    ]
    (gate,) = streams.gates()
    assert [place_in_queue(gate, each) for each in "abc"] == [None, 1, 2]


def test_the_oldest_one_is_cancelled_and_the_newest_one_runs() -> None:
    streams = played(concurrency={"key": "all", "on_limit": "cancel_oldest"})
    for each in "abc":
        start(streams, each)
    assert statuses(streams, *"abc") == ["CANCELED", "CANCELED", "RUNNING"]
    (ended,) = streams.told("a", ExecutionCanceled)
    assert "takes its place" in ended.reason
    (gate,) = streams.gates()
    assert len(streams.told(gate.gate_id, SlotEvicted)) == 2
    streams.answer("c")
    assert statuses(streams, "c") == ["SUCCESS"]
    streams.check()


def test_one_more_than_the_limit_is_refused_with_a_typed_error() -> None:
    streams = played(concurrency={"key": "all", "on_limit": "reject"})
    start(streams, "a")
    start(streams, "b")
    assert statuses(streams, *"ab") == ["RUNNING", "ERROR"]
    (refused,) = streams.told("b", ExecutionRefused)
    assert refused.error.type == "concurrency_limit"
    row = streams.rows["workflow_executions"][("b",)]
    assert (row["status"], row["error_details"]["type"]) == ("ERROR", "concurrency_limit")
    streams.answer("a")
    start(streams, "c")
    assert statuses(streams, "c") == ["RUNNING"]
    streams.check()


def test_more_than_may_wait_are_refused() -> None:
    streams = played(concurrency={"key": "all", "waiting_max": 1})
    for each in "abc":
        start(streams, each)
    assert statuses(streams, *"abc") == ["RUNNING", "NEW", "ERROR"]
    streams.check()


def test_who_waits_for_too_long_is_refused() -> None:
    streams = played(concurrency={"key": "all", "queue_timeout": 60})
    start(streams, "a")
    start(streams, "b")
    streams.pass_time(59)
    assert statuses(streams, *"ab") == ["RUNNING", "NEW"]
    streams.pass_time(2)
    (refused,) = streams.told("b", ExecutionRefused)
    assert refused.error.type == "queue_timeout"
    (gate,) = streams.gates()
    assert list(gate.holders) == ["a"] and not gate.waiting
    streams.check()


def test_who_waits_for_too_long_is_refused_though_its_wake_was_lost() -> None:
    streams = played(concurrency={"key": "all", "queue_timeout": 60})
    start(streams, "a")
    start(streams, "b")
    streams.now += timedelta(seconds=59)
    assert streams.send(ExamineExecution(execution_id="b")) is None
    assert statuses(streams, "b") == ["NEW"]
    streams.now += timedelta(seconds=32)
    found = stall(streams.execution("b"), _workflow(streams), streams.now, 30.0)
    assert found.startswith("its wait for turn was over at ")
    assert streams.send(ExamineExecution(execution_id="b", found=found)) is None
    (refused,) = streams.told("b", ExecutionRefused)
    assert refused.error.type == "queue_timeout"
    streams.check()


def test_who_is_cancelled_while_it_waits_leaves_the_queue() -> None:
    streams = played(concurrency={"key": "all"})
    for each in "abc":
        start(streams, each)
    streams.send(CancelExecution(execution_id="b"))
    streams.answer("a")
    assert statuses(streams, *"abc") == ["SUCCESS", "CANCELED", "RUNNING"]
    streams.check()


def test_the_urgent_ones_are_let_in_first() -> None:
    streams = played(concurrency={"key": "all", "scope": "tenant"}, priority="low")
    start(streams, "a")
    start(streams, "b")
    urgent = workflow([http("n")], ["t>n"], concurrency={"key": "all", "scope": "tenant"})
    urgent["settings"]["priority"] = "high"
    other = "0190f3c0-0000-7000-8000-000000000002"
    streams.send(SaveWorkflow(workflow_id=other, definition={**urgent, "name": "urgent"}))
    streams.send(
        StartExecution(
            execution_id="c", workflow_id=other, version=1, node_id="t", mode="MANUAL",
            triggered_by="", trigger={}, data={},
        )
    )  # fmt: skip
    (gate,) = streams.gates()
    assert [place_in_queue(gate, each) for each in "bc"] == [2, 1]
    streams.answer("a")
    assert statuses(streams, *"bc") == ["NEW", "RUNNING"]
    streams.check()


def test_a_second_start_with_the_key_of_one_that_waits_starts_nothing() -> None:
    streams = played(concurrency={"key": "all"})
    start(streams, "a")
    start(streams, "b")
    before = list(streams.events["b"])
    assert start(streams, "b") is None
    assert streams.events["b"] == before


def test_an_execution_that_is_revived_takes_a_slot_whether_it_is_free_or_not() -> None:
    streams = played(concurrency={"key": "all"})
    start(streams, "a")
    start(streams, "b")
    streams.send(CancelExecution(execution_id="a"))
    assert statuses(streams, *"ab") == ["CANCELED", "RUNNING"]
    streams.send(RetryNode(execution_id="a", node_id="n"))
    (gate,) = streams.gates()
    assert set(gate.holders) == {"a", "b"}
    start(streams, "c")
    streams.answer("a")
    assert statuses(streams, *"abc") == ["SUCCESS", "RUNNING", "NEW"]
    streams.answer("b")
    assert statuses(streams, "c") == ["RUNNING"]
    streams.check()


def test_a_rerun_waits_with_what_it_adopts() -> None:
    streams = Streams()
    made = workflow(
        [node("s", "ACTION.SET", parameters={"values": {"m": 1}}), http("n")],
        ["t>s", "s>n"],
        concurrency={"key": "all"},
    )
    streams.send(SaveWorkflow(workflow_id=WORKFLOW_ID, definition=made))
    start(streams, "a")
    streams.send(CancelExecution(execution_id="a"))
    start(streams, "b")
    streams.send(RerunExecution(execution_id="a", new_execution_id="c", origin="failed"))
    assert statuses(streams, *"abc") == ["CANCELED", "RUNNING", "NEW"]
    streams.answer("b")
    assert statuses(streams, *"bc") == ["SUCCESS", "RUNNING"]
    streams.answer("c")
    assert statuses(streams, "c") == ["SUCCESS"]
    assert streams.execution("c").runs["s"].status == "SUCCESS"
    streams.check()


@pytest.mark.parametrize(
    "data", [{}, {"customer": None}, {"customer": True}, {"customer": "x" * 501}]
)
def test_an_execution_without_a_key_that_can_be_used_is_refused(data: dict[str, Any]) -> None:
    streams = played(concurrency={"key": KEY})
    refused = start(streams, "a", data)
    assert refused is not None and refused.code == "invalid_concurrency_key"
    assert refused.dead_letter


@pytest.mark.parametrize(
    ("concurrency", "code", "path"),
    [
        ({}, "missing_key", "settings.concurrency.key"),
        ({"key": "a", "limit": 0}, "out_of_range", "settings.concurrency.limit"),
        ({"key": "a", "on_limit": "drop"}, "invalid_value", "settings.concurrency.on_limit"),
        ({"key": "{{ $json.a + }}"}, "expression_syntax", "settings.concurrency.key"),
        ({"key": "a", "limits": 1}, "unknown_key", "settings.concurrency.limits"),
        ({"key": [1]}, "invalid_type", "settings.concurrency.key"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_their_place(
    concurrency: dict[str, Any], code: str, path: str
) -> None:
    (problem,) = validate(workflow([], [], concurrency=concurrency)).errors
    assert (problem.code, problem.path) == (code, path)


def test_a_tenant_with_all_its_executions_open_waits_and_then_is_refused() -> None:
    streams = played(Streams(limits=Limits(tenant_open_max=2, waiting_max=1)))
    for each in "abcd":
        start(streams, each)
    assert statuses(streams, *"abcd") == ["RUNNING", "RUNNING", "NEW", "ERROR"]
    (refused,) = streams.told("d", ExecutionRefused)
    assert refused.error.type == "too_many_executions"
    streams.answer("a")
    assert statuses(streams, "c") == ["RUNNING"]
    streams.check()


def test_an_execution_asks_the_wide_gate_only_when_the_narrow_one_has_let_it_in() -> None:
    streams = played(Streams(limits=Limits(tenant_open_max=2)), concurrency={"key": KEY})
    start(streams, "a")
    start(streams, "b")
    start(streams, "c", {"customer": "other"})
    assert statuses(streams, *"abc") == ["RUNNING", "NEW", "RUNNING"]
    streams.check()


def test_who_asks_again_for_a_slot_that_it_has_is_told_so() -> None:
    streams = played(concurrency={"key": KEY})
    start(streams, "a")
    (gate,) = streams.gates()
    (taken,) = streams.told(gate.gate_id, SlotTaken)
    assert taken.gate is not None
    again = RequestSlot(gate_id=gate.gate_id, execution_id="a", gate=taken.gate)
    assert streams.send(again) is None
    (_, told) = streams.told(gate.gate_id, SlotTaken)
    assert told.again
    (gate,) = streams.gates()
    assert list(gate.holders) == ["a"]
    streams.answer("a")
    assert [list(each.holders) for each in streams.gates()] == [[]]
    streams.check()


def test_a_child_for_which_its_parent_waits_runs_in_the_slot_of_its_parent() -> None:
    limits = Limits(tenant_open_max=1, shard_open_max=1)
    streams = Streams(limits=limits)
    child = {**workflow([http("n")], ["t>n"]), "name": "child"}
    streams.send(SaveWorkflow(workflow_id=workflow_id("child"), definition=child))
    call = node("call", "FLOW.SUB_WORKFLOW", parameters={"workflow": "child"})
    parent = workflow([call], ["t>call"])
    streams.send(SaveWorkflow(workflow_id=WORKFLOW_ID, definition=parent))
    start(streams, "a")
    start(streams, "b")
    streams.pass_time(1)
    (asked,) = streams.told("a", ChildRequested)
    assert statuses(streams, "a", "b", asked.child_execution_id) == ["RUNNING", "NEW", "RUNNING"]
    streams.answer(asked.child_execution_id)
    assert statuses(streams, "a", "b") == ["SUCCESS", "RUNNING"]
    streams.check()


def _workflow(streams: Streams) -> Any:
    (row,) = streams.rows["workflow_versions"].values()
    found = validate(row["definition"]).workflow
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_no_more_run_than_have_slots_and_all_come_to_their_turn(seed: int) -> None:
    random = Random(seed)
    policy = random.choice(("queue", "queue", "cancel_oldest", "reject"))
    limit = random.randint(1, 3)
    limits = Limits(tenant_open_max=random.choice((None, 4)), waiting_max=50)
    streams = played(
        Streams(limits=limits, random=random),
        concurrency={"key": KEY, "limit": limit, "on_limit": policy, "queue_timeout": 500},
    )
    revived = 0
    for step in range(60):
        chance = random.random()
        there = [each for each in streams.events if each.startswith("x")]
        if chance < 0.5 or not there:
            start(streams, f"x{step}", {"customer": random.choice("ab")})
        elif chance < 0.8:
            streams.answer(random.choice(there))
        elif chance < 0.9:
            streams.send(CancelExecution(execution_id=random.choice(there)))
        elif chance < 0.95:
            streams.pass_time(random.choice((1, 400)))
        else:
            revived += streams.send(RetryNode(execution_id=random.choice(there))) is None
        running: dict[str, int] = {}
        for each in there:
            state = streams.execution(each)
            if state.status == "RUNNING":
                start_of = streams.told(each, ExecutionStarted)
                key = state.runs["t"].ports["main"][0]["json"]["customer"]
                running[key] = running.get(key, 0) + bool(start_of)
        assert all(count <= limit + revived for count in running.values())
    opened: list[str] = []
    for _ in range(200):
        there = [each for each in streams.events if each.startswith("x")]
        opened = [each for each in there if streams.execution(each).status in ("RUNNING", "NEW")]
        if not opened:
            break
        for each in opened:
            streams.answer(each)
        streams.pass_time(15)  # so that no verdict is waited for any more
    stuck = {e: why(streams.execution(e), _workflow(streams)) for e in opened}
    assert not stuck, (stuck, streams.gates())
    assert all(not gate.holders and not gate.waiting for gate in streams.gates())
    streams.check()
