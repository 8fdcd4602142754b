"""When a node runs: joins, skipped branches, triggers that did not fire, disabled nodes."""

from typing import Any

import pytest
from perdure_contracts.engine import (
    ExecutionCompleted,
    NodeCompleted,
    NodeSkipped,
)
from perdure_engine.executions.beginning import items_of_trigger
from perdure_engine.executions.progress import FUEL
from perdure_engine.executions.state import wake_at
from playing import BEGAN, Play, decider, http, link, node, play, workflow

IF = "FLOW.IF"
MERGE = "FLOW.MERGE"
SET = "ACTION.SET"


def big(value: bool) -> dict[str, Any]:
    return {"condition": "{{ $json.n > 1 }}" if value else "{{ $json.n <= 1 }}"}


DIAMOND = workflow(
    [node("if", IF, parameters=big(True)), node("a"), node("b"), node("m", MERGE), node("end")],
    ["t>if", "if.true>a", "if.false>b", "a>m.input1", "b>m.input2", "m>end"],
)


def test_a_join_behind_a_skipped_branch_runs_once_with_what_arrived() -> None:
    played = play(DIAMOND, {"n": 2})
    assert played.state.status == "SUCCESS"
    assert played.statuses() == {
        "t": "SUCCESS", "if": "SUCCESS", "a": "SUCCESS",
        "b": "SKIPPED", "m": "SUCCESS", "end": "SUCCESS",
    }  # fmt: skip
    assert played.emitted("end") == [{"n": 2}]
    assert len(played.told(NodeCompleted)) == 5


def test_a_join_waits_for_both_branches_and_keeps_edge_order() -> None:
    definition = workflow(
        [http("a"), http("b"), node("m", MERGE)], ["t>a", "t>b", "a>m.input2", "b>m.input1"]
    )
    played = play(definition, {"n": 1})
    played.answer("a", {"from": "a"})
    assert "m" not in played.statuses()
    played.answer("b", {"from": "b"})
    assert played.emitted("m") == [{"from": "b"}, {"from": "a"}]


def test_skipping_goes_on_along_dead_edges_and_names_the_cause() -> None:
    definition = workflow(
        [node("if", IF, parameters=big(True)), node("b"), node("c"), node("m", MERGE)],
        ["t>if", "if.false>b", "b>c", "c>m.input1", "if.true>m.input2"],
    )
    played = play(definition, {"n": 2})
    skipped = {event.node_id: event.cause for event in played.told(NodeSkipped)}
    first = {
        name: played.workflow.in_edges(played.workflow.by_id[name])[0].index for name in ("b", "c")
    }
    assert skipped == first
    assert played.state.status == "SUCCESS"


def test_triggers_that_did_not_fire_have_dead_edges_and_no_run() -> None:
    definition = workflow(
        [node("other", "TRIGGER.MANUAL"), node("a"), node("b"), node("m", MERGE)],
        ["t>a", "other>b", "a>m.input1", "b>m.input2"],
    )
    played = play(definition, {"n": 1})
    assert played.statuses() == {
        "t": "SUCCESS", "a": "SUCCESS", "b": "SKIPPED", "m": "SUCCESS",
    }  # fmt: skip
    other = Play(definition).start({"n": 1}, node_id="other")
    assert other.run("a").status == "SKIPPED"
    assert other.emitted("m") == [{"n": 1}]


def test_a_node_to_which_nothing_leads_is_skipped() -> None:
    played = play(workflow([node("a"), node("lonely"), node("after")], ["t>a", "lonely>after"]))
    assert played.run("lonely").status == played.run("after").status == "SKIPPED"
    assert played.state.status == "SUCCESS"


@pytest.mark.parametrize(
    ("data", "items"),
    [
        ({"a": 1}, [{"a": 1}]),
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}]),
        ([], []),
        ([1, 2], [{"value": [1, 2]}]),
        ("text", [{"value": "text"}]),
        (None, [{"value": None}]),
    ],
)
def test_the_items_of_a_trigger(data: Any, items: list[Any]) -> None:
    assert [item["json"] for item in items_of_trigger(data)] == items


def test_a_trigger_without_items_skips_everything_and_succeeds() -> None:
    played = play(workflow([node("a"), http("b")], ["t>a", "a>b"]), [])
    assert played.statuses() == {"t": "SUCCESS", "a": "SKIPPED", "b": "SKIPPED"}
    assert played.told(ExecutionCompleted)[0].result == []


def test_a_disabled_node_passes_its_first_live_input_on() -> None:
    definition = workflow(
        [node("if", IF, parameters=big(False)), node("m", MERGE, disabled=True), node("end")],
        ["t>if", "if.true>m.input1", "t>m.input2", "m>end"],
    )
    played = play(definition, {"n": 2})
    assert played.emitted("end") == [{"n": 2}]
    (event,) = [each for each in played.told(NodeCompleted) if each.node_id == "m"]
    assert event.disabled


def test_always_output_data_keeps_an_empty_port_alive_with_one_empty_item() -> None:
    definition = workflow(
        [node("if", IF, parameters=big(True), always_output_data=True), node("a"), node("b")],
        ["t>if", "if.true>a", "if.false>b"],
    )
    played = play(definition, {"n": 2})
    assert played.emitted("b") == [{}]
    assert played.emitted("a") == [{"n": 2}]


def test_conditional_edges_carry_what_their_condition_takes_and_else_the_rest() -> None:
    definition = workflow(
        [node("s"), node("a"), node("b"), node("c")],
        [
            "t>s",
            link("s>a", "CONDITIONAL", conditions={"condition": "{{ $json.n > 1 }}"}),
            link("s>b", "CONDITIONAL", conditions={"condition": "{{ $json.n > 2 }}"}),
            link("s>c", "CONDITIONAL", conditions={"else": True}),
        ],
    )
    played = play(definition, [{"n": 1}, {"n": 2}, {"n": 3}])
    assert played.emitted("a") == [{"n": 2}, {"n": 3}]
    assert played.emitted("b") == [{"n": 3}]
    assert played.emitted("c") == [{"n": 1}]


def test_a_condition_that_is_no_boolean_fails_that_item_of_the_source() -> None:
    definition = workflow(
        [node("s", error_handling="CONTINUE_ERROR_OUTPUT_ON_ERROR"), node("a"), node("e")],
        [
            "t>s",
            link("s>a", "CONDITIONAL", conditions={"condition": "{{ $json.ok }}"}),
            link("s.error>e"),
        ],
    )
    played = play(definition, [{"ok": True, "n": 1}, {"ok": "yes"}, {"ok": True, "n": 2}])
    assert [each["n"] for each in played.emitted("a")] == [1, 2]
    (error,) = played.emitted("e")
    assert error["ok"] == "yes" and error["error"]["type"] == "condition_not_boolean"


def test_expressions_find_the_item_that_belongs_to_theirs() -> None:
    definition = workflow(
        [
            node("if", IF, parameters={"condition": "{{ $json.n % 2 == 0 }}"}),
            node("x", SET, parameters={"values": {"m": "{{ $json.n * 10 }}"}, "keep": "none"}),
            node(
                "y",
                SET,
                parameters={
                    "values": {
                        "n": "{{ $('t').item.json.n }}",
                        "all": "{{ $('t').all().length }}",
                        "at": "{{ $itemIndex }}",
                        "who": "{{ $execution.mode }}",
                        "none": "{{ $('later').item }}",
                    }
                },
            ),
            node("later"),
        ],
        ["t>if", "if.true>x", "x>y", "y>later"],
    )
    played = play(definition, [{"n": n} for n in range(6)])
    assert [each["n"] for each in played.emitted("y")] == [0, 2, 4]
    assert [each["m"] for each in played.emitted("y")] == [0, 20, 40]
    assert [each["at"] for each in played.emitted("y")] == [0, 1, 2]
    assert {(each["all"], each["who"], each["none"]) for each in played.emitted("y")} == {
        (6, "MANUAL", None)
    }


def test_items_pair_across_a_join() -> None:
    definition = workflow(
        [
            node("x", SET, parameters={"values": {"x": 1}, "keep": "none"}),
            node("y", SET, parameters={"values": {"y": 1}, "keep": "none"}),
            node("m", MERGE),
            node("z", SET, parameters={"values": {"n": "{{ $('t').item.json.n }}"}}),
        ],
        ["t>x", "t>y", "x>m.input1", "y>m.input2", "m>z"],
    )
    played = play(definition, [{"n": 1}, {"n": 2}])
    assert [each["n"] for each in played.emitted("z")] == [1, 2, 1, 2]


def test_the_result_is_what_the_last_nodes_emitted_in_node_order() -> None:
    definition = workflow([http("b"), node("a"), node("c")], ["t>a", "t>b", "t>c"])
    played = play(definition, {"n": 1})
    played.answer("b", {"slow": True})
    (done,) = played.told(ExecutionCompleted)
    assert done.result == [{"slow": True}, {"n": 1}, {"n": 1}]


def test_a_result_too_long_for_a_message_stands_in_rows_alone() -> None:
    names = [f"n{at}" for at in range(5)]
    definition = workflow([node(name) for name in names], [f"t>{name}" for name in names])
    played = Play(definition, snapshots=False).start({"text": "x" * 100_000})
    (done,) = played.told(ExecutionCompleted)
    assert done.result is None and done.result_cut


def test_an_output_too_large_for_an_event_is_a_typed_error() -> None:
    more = node("more", SET, parameters={"values": {"b": "{{ $json.a }}"}})
    definition = workflow([more], ["t>more"])
    played = Play(definition, snapshots=False).start([{"a": "x" * 150_000}] * 40)
    assert played.state.status == "ERROR"
    (row,) = played.table("workflow_executions")
    assert row["error_details"]["type"] == "output_too_large"


def test_work_beyond_the_fuel_goes_on_with_a_wake_that_is_due_at_once() -> None:
    count = FUEL + 500
    names = [f"n{at}" for at in range(count)]
    links = ["t>n0", *(f"n{at}>n{at + 1}" for at in range(count - 1))]
    definition = workflow([node(name) for name in names], links)
    played = Play(definition, snapshots=False).start({"n": 1})
    assert played.state.status == "RUNNING"
    assert wake_at(played.state) == BEGAN
    played.wake()
    assert played.state.status == "SUCCESS"
    assert decider.wake_at(played.state) is None
    assert len(played.told(NodeCompleted)) == count + 1


def test_a_cancel_between_two_turns_ends_the_execution() -> None:
    names = [f"n{at}" for at in range(FUEL + 10)]
    definition = workflow([node(name) for name in names], [f"t>{name}" for name in names])
    played = Play(definition, snapshots=False).start({"n": 1})
    played.give(played.cancel())
    assert played.state.status == "CANCELED"
    assert decider.wake_at(played.state) is None
