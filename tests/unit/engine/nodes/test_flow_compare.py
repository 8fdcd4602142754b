"""FLOW COMPARE: examples, and any two inputs against a model."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from nodes_for_tests import jsons, made, refused, run_ports, told
from perdure_engine.definition import validate

BY_ID = made("FLOW.COMPARE", keys=["id"])


def test_items_leave_by_what_the_two_sides_have() -> None:
    a: list[Any] = [{"id": 1}, {"id": 2, "x": 1}, {"id": 3, "x": 1}, {"id": None}]
    b: list[Any] = [{"id": 4}, {"id": 3, "x": 2, "y": 1}, {"id": 2.0, "x": 1}, {}]
    outcome = run_ports(BY_ID, {"input1": a, "input2": b})
    assert told(outcome, "only_a") == [(a[0], 0), (a[3], 3)]
    assert told(outcome, "both") == [(a[1], [1, 6])]
    assert told(outcome, "different") == [({"a": a[2], "b": b[1], "fields": ["x", "y"]}, [2, 5])]
    assert told(outcome, "only_b") == [(b[0], 4), (b[3], 7)]


def test_of_several_with_the_same_keys_the_first_goes_with_the_first() -> None:
    a = [{"id": 1, "n": 1}, {"id": 1, "n": 2}]
    outcome = run_ports(BY_ID, {"input1": a, "input2": [{"id": 1, "n": 1}]})
    assert told(outcome, "both") == [(a[0], [0, 2])]
    assert told(outcome, "only_a") == [(a[1], 1)]


def test_a_missing_input_has_no_items() -> None:
    outcome = run_ports(BY_ID, {"input1": None, "input2": [{"id": 1}]})
    assert told(outcome, "only_b") == [({"id": 1}, 0)]
    assert jsons(outcome, "only_a") == []


def test_it_needs_keys_and_two_inputs() -> None:
    assert refused("FLOW.COMPARE") == [("missing_parameter", "keys")]
    nodes = [
        {"node_id": "t", "node_type": "TRIGGER", "node_subtype": "MANUAL"},
        {
            "node_id": "c", "node_type": "FLOW", "node_subtype": "COMPARE",
            "parameters": {"keys": ["id"]},
        },
    ]  # fmt: skip
    edge = {"source_node_id": "t", "target_node_id": "c", "target_port": "input1"}
    found = validate({"name": "w", "nodes": nodes, "connections": [edge]}).problems
    assert [each.code for each in found] == ["compare_needs_two_inputs"]


side = st.lists(
    st.fixed_dictionaries({"id": st.none() | st.integers(0, 3), "n": st.integers(0, 1)})
)


@settings(deadline=None)
@given(side.filter(bool), side)
def test_any_two_sides_are_told_apart_as_by_hand(a: list[Any], b: list[Any]) -> None:
    left = list(b)
    expected: dict[str, list[Any]] = {"only_a": [], "both": [], "different": []}
    for item in a:
        other = next((y for y in left if y["id"] is not None and y["id"] == item["id"]), None)
        if other is None:
            expected["only_a"].append(item)
            continue
        left = [y for y in left if y is not other]
        if item == other:
            expected["both"].append(item)
        else:
            expected["different"].append({"a": item, "b": other, "fields": ["n"]})
    outcome = run_ports(BY_ID, {"input1": a, "input2": b})
    assert {port: jsons(outcome, port) for port in expected} == expected
    assert jsons(outcome, "only_b") == left
