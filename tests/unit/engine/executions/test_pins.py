"""Pinned data and mocked nodes: in MANUAL and test runs only, and nobody is sent a task."""

import time
from typing import Any

import pytest
from perdure_contracts.engine import NodeErrored, StartExecution
from perdure_contracts.executions import AttemptFailed
from perdure_engine.definition import validate
from playing import BEGAN, EXECUTION_ID, WORKFLOW_ID, Play, http, node, workflow


def begun(definition: dict[str, Any], data: Any = None, **more: Any) -> Play:
    played = Play(definition)
    played.start(data, **more)
    return played


def pinned(pins: dict[str, Any], **settings: Any) -> dict[str, Any]:
    made = workflow([http("a", max_retries=2), node("b")], ["t>a", "a>b"], **settings)
    return {**made, "pin_data": pins}


def test_a_pinned_node_emits_its_data_and_no_task_is_sent() -> None:
    played = begun(pinned({"a": [{"n": 1}, {"n": 2}]}), {"x": 1})
    assert (played.state.status, played.tasks) == ("SUCCESS", {})
    assert played.emitted("b") == [{"n": 1}, {"n": 2}]


def test_pinned_data_counts_in_manual_runs_only() -> None:
    played = begun(pinned({"a": [{"n": 1}]}), mode="TRIGGER")
    assert played.statuses()["a"] == "RUNNING"
    assert len(played.tasks) == 1


def test_a_test_run_mocks_nodes_beside_what_is_pinned() -> None:
    mocks = {"a": {"ports": {"main": [{"mock": True}]}}}
    played = begun(pinned({"b": [{"pin": True}]}), pin_data=mocks)
    assert played.emitted("a") == [{"mock": True}]
    assert played.emitted("b") == [{"pin": True}]


def test_the_places_of_a_mock_are_looked_through_once() -> None:
    items = [{"n": n} for n in range(8_000)]
    pin = {"ports": {"main": items}, "fail": {"items": [9_999_999] * 300_000 + [7]}}
    begin = time.monotonic()
    played = begun(pinned({}, recovery="off"), items, pin_data={"a": pin})
    assert time.monotonic() - begin < 10.0, "minutes, where each is looked for in a list"
    assert played.statuses()["a"] == "ERROR"


def test_a_mocked_node_may_fail_and_is_tried_again_as_any_other() -> None:
    fail = {"attempts": 2, "type": "rate_limit", "retryable": True}
    played = begun(pinned({"a": {"ports": {"main": [{"n": 9}]}, "fail": fail}}, recovery="off"))
    assert (played.statuses()["a"], played.tasks) == ("RETRYING", {})
    played.pass_time(3_600)
    assert [each.error.type for each in played.told(AttemptFailed)] == ["rate_limit"] * 2
    assert (played.state.status, played.emitted("b")) == ("SUCCESS", [{"n": 9}])
    assert played.tasks == {}


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("HUMAN_IN_THE_LOOP.APPROVAL", {"title": "may it?"}),
        ("MEMORY.STORE", {"memory_type": "knowledge", "operation": "search", "query": "all"}),
        ("FLOW.SUB_WORKFLOW", {"workflow": "other"}),
        ("FLOW.WAIT", {"event": {"name": "paid"}}),
        ("FLOW.FOREACH", {}),
    ],
)
def test_a_node_that_has_no_attempts_fails_as_it_is_mocked_and_nobody_is_asked(
    kind: str, parameters: dict[str, Any]
) -> None:
    made = workflow([node("a", kind, parameters=parameters), http("b")], ["t>a"], recovery="off")
    asked = begun({**made, "pin_data": {"a": {"fail": {"type": "rate_limit"}}}}, {"n": 1})
    assert (asked.state.status, asked.run("a").status) == ("ERROR", "ERROR")
    assert [each.error.type for each in asked.told(NodeErrored)] == ["rate_limit"]
    assert [each for each in asked.outgoing if "hil" in each.topic or "memory" in each.topic] == []
    assert asked.sent == []


def test_a_mocked_node_may_fail_for_good_and_for_some_items() -> None:
    fail = {"type": "upstream", "items": [1]}
    definition = pinned({"a": {"fail": fail}}, recovery="off")
    definition["nodes"][1]["error_handling"] = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
    played = begun(definition, [{"n": 1}, {"n": 2}])
    assert played.state.status == "SUCCESS"
    first, second = played.emitted("b")
    assert first == {"n": 1}
    assert second["error"]["type"] == "upstream"


def test_a_node_of_the_engine_may_be_mocked_to_fail() -> None:
    played = begun(pinned({"b": {"fail": {"type": "broken"}}, "a": [{}]}))
    assert played.state.status == "ERROR"
    assert played.run("b").status == "ERROR"


def test_a_pinned_trigger_emits_its_data_where_the_run_brings_none() -> None:
    definition = pinned({"t": [{"order": 7}], "a": [{"n": 1}]})
    assert begun(definition).emitted("t") == [{"order": 7}]
    assert begun(definition, {"order": 8}).emitted("t") == [{"order": 8}]


def test_a_pinned_loop_does_not_go_round() -> None:
    definition = workflow(
        [node("each", "FLOW.FOREACH"), http("body"), node("end")],
        ["t>each", "each.item>body", "body>each", "each.done>end"],
    )
    played = begun({**definition, "pin_data": {"each": [{"n": 4}]}}, [{}, {}])
    assert (played.state.status, played.emitted("end")) == ("SUCCESS", [{"n": 4}])
    assert played.tasks == {}


@pytest.mark.parametrize(
    ("pins", "path"),
    [
        ({"nobody": []}, "pin_data.nobody"),
        ({"a": {"x": 1}}, "pin_data.a"),
        ({"a": {"ports": {"main": {}}}}, "pin_data.a.ports"),
        ({"a": {"ports": {"side": []}}}, "pin_data.a.ports.side"),
        ({"a": {"fail": {"attempts": 0}}}, "pin_data.a.fail"),
        ({"a": {"fail": {"items": ["x"]}}}, "pin_data.a.fail"),
    ],
)
def test_pins_that_cannot_be_are_problems_with_their_place(pins: Any, path: str) -> None:
    problems = validate(pinned(pins)).errors
    assert [(each.code, each.path) for each in problems] == [("invalid_pin_data", path)]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"mode": "TRIGGER", "pin_data": {}}, "mocks_not_allowed"),
        ({"pin_data": {"nobody": []}}, "invalid_pin_data"),
    ],
)
def test_mocks_that_cannot_be_are_refused(more: dict[str, Any], code: str) -> None:
    played = Play(pinned({}))
    fields: dict[str, Any] = {"mode": "MANUAL", **more}
    command = StartExecution(
        execution_id=EXECUTION_ID,
        workflow_id=WORKFLOW_ID,
        version=1,
        node_id="t",
        triggered_by="MANUAL:t",
        trigger=None,
        data={},
        **fields,
    )
    assert played.refused(command) == code
    assert played.now == BEGAN
