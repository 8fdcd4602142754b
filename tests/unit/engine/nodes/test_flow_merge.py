"""MERGE: all modes, over inputs that may be missing."""

from typing import Any

import pytest
from perdure_engine.definition import load
from perdure_engine.expressions import Scope
from perdure_engine.nodes.base import Inputs, Item, Outcome


def merge(parameters: dict[str, Any], **inputs: list[Any] | None) -> Outcome:
    node = {"node_id": "m", "node_type": "FLOW", "node_subtype": "MERGE", "parameters": parameters}
    made = load({"name": "w", "nodes": [node]}).by_id["m"]
    live: dict[str, list[Item]] = {
        port: [{"json": json} for json in jsons] for port, jsons in inputs.items() if jsons
    }
    assert made.specification.run is not None
    return made.specification.run(
        made.prepared, Inputs(live, tuple(inputs)), lambda index: Scope()
    )  # fmt: skip


def told(outcome: Outcome) -> list[tuple[Any, Any]]:
    return [
        (item["json"], item.get("source", place))
        for place, item in enumerate(outcome.ports.get("main", []))
    ]


A, B, C = {"k": 1, "a": 1}, {"k": 2, "a": 2}, {"k": 2, "a": 3}
X, Y, Z = {"k": 2, "x": 1}, {"k": 3, "x": 2}, {"k": 2, "a": 9}


def test_append_gives_all_items_in_the_order_of_the_inputs() -> None:
    outcome = merge({}, input1=[A, B], input2=None, input3=[X])
    assert told(outcome) == [(A, 0), (B, 1), (X, 2)]
    assert all("source" not in item for item in outcome.ports["main"])


def test_choose_takes_the_lowest_numbered_live_input() -> None:
    assert told(merge({"mode": "choose"}, input1=None, input2=[X], input10=[A])) == [(X, 0)]


def test_position_goes_to_the_longest_and_later_inputs_win() -> None:
    outcome = merge({"mode": "position"}, input1=[A, B], input2=[X])
    assert told(outcome) == [({"k": 2, "a": 1, "x": 1}, [0, 2]), (B, 1)]


def test_cross_gives_every_combination_the_first_input_slowest() -> None:
    outcome = merge({"mode": "cross"}, input1=[{"a": 1}, {"a": 2}], input2=[{"b": 1}, {"b": 2}])
    assert told(outcome) == [
        ({"a": 1, "b": 1}, [0, 2]),
        ({"a": 1, "b": 2}, [0, 3]),
        ({"a": 2, "b": 1}, [1, 2]),
        ({"a": 2, "b": 2}, [1, 3]),
    ]


PAIRS = [({"k": 2, "a": 2, "x": 1}, [1, 3]), ({"k": 2, "a": 3, "x": 1}, [2, 3])]


@pytest.mark.parametrize(
    ("join", "expected"),
    [
        ("inner", PAIRS),
        ("left", [(A, 0), *PAIRS]),
        ("right", [*PAIRS, (Y, 4)]),
        ("outer", [(A, 0), *PAIRS, (Y, 4)]),
        ("anti", [(A, 0)]),
    ],
)
def test_fields_joins_by_keys_in_the_order_of_the_left_then_the_right(
    join: str, expected: list[Any]
) -> None:
    parameters = {"mode": "fields", "join": join, "keys": [{"left": "k", "right": "k"}]}
    assert told(merge(parameters, input1=[A, B, C], input2=[X, Y])) == expected


def test_in_a_join_the_right_side_wins_and_null_matches_nothing() -> None:
    parameters = {"mode": "fields", "keys": [{"left": "k", "right": "id.k"}]}
    left = [B, {"k": None}, {}]
    right: list[Any] = [
        {"id": {"k": 2.0}, "a": 9},
        {"id": {"k": None}},
        {"id": {}},
        {"id": {"k": "2"}},
    ]
    assert told(merge(parameters, input1=left, input2=right)) == [
        ({"k": 2, "a": 9, "id": {"k": 2.0}}, [0, 3])
    ]


def test_true_is_not_one_when_keys_are_compared() -> None:
    parameters = {"mode": "fields", "keys": [{"left": "k", "right": "k"}]}
    assert told(merge(parameters, input1=[{"k": 1}], input2=[{"k": True}])) == []


@pytest.mark.parametrize("mode", ["append", "position", "cross"])
def test_a_missing_input_is_left_out_by_default(mode: str) -> None:
    assert told(merge({"mode": mode}, input1=None, input2=[X])) == [(X, 0)]


def test_a_missing_input_of_a_join_has_no_items() -> None:
    parameters = {"mode": "fields", "keys": [{"left": "k", "right": "k"}]}
    assert told(merge(parameters, input1=[A], input2=None)) == []
    assert told(merge({**parameters, "join": "left"}, input1=[A], input2=None)) == [(A, 0)]


def test_a_missing_input_can_skip_or_fail_the_merge() -> None:
    assert merge({"on_missing": "skip"}, input1=None, input2=[X]).ports == {}
    failed = merge({"on_missing": "error"}, input1=None, input2=[X, Y]).failed
    assert [(index, error.type) for index, error in failed] == [
        (0, "missing_input"),
        (1, "missing_input"),
    ]
    assert "input1" in failed[0][1].message


@pytest.mark.parametrize(
    "parameters", [{"mode": "cross"}, {"mode": "fields", "keys": [{"left": "k", "right": "k"}]}]
)
def test_a_merge_that_would_explode_fails_instead(parameters: dict[str, Any]) -> None:
    many = [{"k": 1}] * 101
    failed = merge(parameters, input1=many, input2=many).failed
    assert len(failed) == 202
    assert failed[0][1].type == "too_many_items"
