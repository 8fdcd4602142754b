"""What becomes of failed items: error modes and kinds of connections, inline and in the runner."""

from typing import Any

import pytest
from perdure_contracts.control import MarkNode
from perdure_contracts.engine import (
    ExecutionCompleted,
    ExecutionFailed,
    NodeErrored,
    NodeFailed,
)
from playing import EXECUTION_ID, failed, http, link, node, play, workflow

STOP = "STOP_WORKFLOW_ON_ERROR"
REGULAR = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
ERROR = "CONTINUE_ERROR_OUTPUT_ON_ERROR"

ITEMS = [{"n": 1}, {"n": 2}, {"n": 3}]


def spread(mode: str, **settings: Any) -> dict[str, Any]:
    """A node in the runner with every kind of connection behind it."""
    behind = ["main", "success", "error", "port"]
    return workflow(
        [http("h", error_handling=mode), *(node(name) for name in behind)],
        [
            "t>h",
            link("h>main"),
            link("h>success", "SUCCESS"),
            link("h>error", "ERROR"),
            link("h.error>port"),
        ],
        **{"recovery": "off", **settings},
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (REGULAR, {"main": [1, 2, 3], "success": None, "error": [2], "port": None}),
        (ERROR, {"main": [1, 3], "success": None, "error": [2], "port": [2]}),
    ],
)
def test_where_failed_items_leave(mode: str, expected: dict[str, list[int] | None]) -> None:
    played = play(spread(mode), ITEMS)
    played.answer("h", errors={1: failed()})
    found = {
        name: [each["n"] for each in played.emitted(name)]
        if played.run(name).status == "SUCCESS"
        else None
        for name in expected
    }
    assert found == expected
    assert played.state.status == "SUCCESS"
    assert played.told(NodeFailed) == []
    (row,) = [row for row in played.table("node_executions") if row["node_id"] == "h"]
    assert row["status"] == "SUCCESS"
    assert row["error_data"]["count"] == 1


def test_an_error_item_is_the_input_with_what_went_wrong() -> None:
    played = play(spread(ERROR), ITEMS)
    played.answer("h", errors={1: failed("too_warm")})
    assert played.emitted("error") == [
        {"n": 2, "error": {"type": "too_warm", "message": "it was too_warm", "node": "h"}}
    ]


def test_without_failed_items_success_edges_are_live() -> None:
    played = play(spread(ERROR), ITEMS)
    played.answer("h")
    assert played.emitted("success") == ITEMS
    assert played.run("error").status == played.run("port").status == "SKIPPED"


def test_stop_ends_the_execution_and_resolves_no_edge() -> None:
    played = play(spread(STOP), ITEMS)
    played.answer("h", errors={1: failed("first"), 2: failed("second")})
    assert played.statuses() == {"t": "SUCCESS", "h": "ERROR"}
    assert played.state.status == "ERROR"
    (told,), (ended,) = played.told(NodeFailed), played.told(ExecutionFailed)
    assert not told.asked
    assert (ended.node_id, ended.error.type, ended.failure_id) == ("h", "first", told.failure_id)


def test_an_error_mode_without_an_error_edge_stops() -> None:
    definition = workflow(
        [http("h", error_handling=ERROR), node("a")], ["t>h", "h>a"], recovery="off"
    )
    played = play(definition, {"n": 1})
    played.answer("h", error=failed())
    assert played.state.status == "ERROR"


def test_a_stop_cancels_the_siblings_and_begins_nothing() -> None:
    definition = workflow(
        [http("a"), http("b"), node("c"), node("d")],
        ["t>a", "t>b", "a>c", "b>d"],
        recovery="off",
    )
    played = play(definition, {"n": 1})
    token = played.task("b").token
    late = played.result("b")
    played.answer("a", error=failed())
    assert played.statuses() == {"t": "SUCCESS", "a": "ERROR", "b": "CANCELED"}
    assert token not in played.state.tokens
    assert played.refused(late) == "stale_result"


@pytest.mark.parametrize(("mode", "port"), [(REGULAR, "false"), (ERROR, "error")])
def test_a_data_error_inline_follows_the_error_mode(mode: str, port: str) -> None:
    definition = workflow(
        [
            node("if", "FLOW.IF", parameters={"condition": "{{ $json.ok }}"}, error_handling=mode),
            node("yes"),
            node("no"),
        ],
        ["t>if", "if.true>yes", link(f"if.{port}>no")],
    )
    played = play(definition, [{"ok": True}, {"ok": 3}])
    assert played.emitted("yes") == [{"ok": True}]
    (item,) = played.emitted("no")
    assert item["error"]["type"] == "condition_not_boolean"
    assert item["error"]["node"] == "if"


def test_a_data_error_that_stops_is_told_not_asked() -> None:
    definition = workflow(
        [node("if", "FLOW.IF", parameters={"condition": "{{ $json.ok }}"})], ["t>if"]
    )
    played = play(definition, {"ok": 3})
    (told,) = played.told(NodeFailed)
    assert not told.asked and told.verdict_until is None
    (errored,) = played.told(NodeErrored)
    assert errored.failure_id == told.failure_id
    assert played.state.status == "ERROR"


def test_stop_and_error_stops_whatever_the_error_mode() -> None:
    definition = workflow(
        [
            node(
                "s",
                "FLOW.STOP_AND_ERROR",
                parameters={"message": "no {{ $json.what }}, token=sk-abcdefghijklmnopqrstuvwx"},
                error_handling=REGULAR,
            ),
            node("a"),
        ],
        ["t>s", "s>a"],
    )
    played = play(definition, {"what": "milk"})
    (ended,) = played.told(ExecutionFailed)
    assert ended.error.type == "stop_and_error"
    assert ended.error.message.startswith("no milk")
    assert "sk-abc" not in ended.error.message
    assert "a" not in played.statuses()


def test_a_parameter_that_cannot_be_resolved_fails_its_item_before_anything_is_sent() -> None:
    url = "https://example.org/{{ $json.path.trim().split(5) }}"
    parameters = {"url": url}
    definition = workflow([http("h", parameters=parameters), node("a")], ["t>h", "h>a"])
    played = play(definition, {"path": {}})
    assert played.tasks == {}
    assert played.state.status == "ERROR"
    (told,) = played.told(NodeFailed)
    assert not told.asked and told.error.stage == "expression"


def test_with_a_handled_error_the_other_items_are_sent() -> None:
    parameters = {"url": "https://example.org/{{ $json.path.trim() }}"}
    definition = workflow(
        [http("h", parameters=parameters, error_handling=ERROR), node("e"), node("a")],
        ["t>h", "h.error>e", "h>a"],
    )
    played = play(definition, [{"path": "x"}, {"path": {}}, {"path": "z"}])
    task = played.task("h")
    assert task.indexes == (0, 2)
    assert [each["url"] for each in task.parameters] == [
        "https://example.org/x", "https://example.org/z",
    ]  # fmt: skip
    played.answer("h", {"r": 1}, {"r": 3})
    assert played.emitted("a") == [{"r": 1}, {"r": 3}]
    assert [each["path"] for each in played.emitted("e")] == [{}]


def test_an_answer_that_leaves_an_item_out_fails_that_item() -> None:
    played = play(spread(ERROR), ITEMS)
    played.answer("h", {"n": 1}, {"n": 2})
    assert [each["n"] for each in played.emitted("main")] == [1, 2]
    (error,) = played.emitted("error")
    assert (error["n"], error["error"]["type"]) == (3, "bad_result")


def test_a_result_comes_in_the_order_of_the_ports_whichever_was_filled_first() -> None:
    condition = "{{ $json.n == 2 ? 'yes' : false }}"
    nodes = [node("f", "FLOW.FILTER", parameters={"condition": condition}, error_handling=REGULAR)]
    played = play(workflow(nodes, ["t>f"]), ITEMS)
    (end,) = played.told(ExecutionCompleted)
    assert [each["n"] for each in end.result] == [2, 1, 3]


def test_all_items_fail_of_which_one_was_made_that_a_connection_cannot_take() -> None:
    nodes = [
        node("all", "FLOW.AGGREGATE", parameters={"as": "all"}, error_handling=ERROR),
        node("taken"),
        node("failed"),
    ]
    asked = link("all>taken", "CONDITIONAL", conditions={"condition": "{{ $json.all }}"})
    played = play(workflow(nodes, ["t>all", asked, "all.error>failed"]), ITEMS)
    assert played.run("taken").status == "SKIPPED"
    assert [each["n"] for each in played.emitted("failed")] == [1, 2, 3]


def test_what_comes_from_no_item_in_particular_fails_all_of_them() -> None:
    nodes = [http("h", error_handling=REGULAR), node("taken")]
    condition = "{{ $json.n == 5 ? 'yes' : true }}"
    asked = link("h>taken", "CONDITIONAL", conditions={"condition": condition})
    played = play(workflow(nodes, ["t>h", asked]), ITEMS[:1])
    data = [{"n": 4}, {"n": 5}]
    played.give(
        MarkNode(execution_id=EXECUTION_ID, node_id="h", scope=(), outcome="done", data=data)
    )
    assert [each["error"]["type"] for each in played.emitted("h")] == ["condition_not_boolean"]
    assert [each["n"] for each in played.emitted("taken")] == [1]
