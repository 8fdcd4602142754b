"""What the inline subtypes make of items."""

from typing import Any

import pytest
from perdure_contracts.engine import ErrorFacts
from perdure_engine.definition import load
from perdure_engine.definition.model import Node
from perdure_engine.expressions import Scope
from perdure_engine.nodes.base import Inputs, Item, Outcome, passed_through


def made(subtype: str, parameters: dict[str, Any], node_type: str = "FLOW") -> Node:
    loaded = load(
        {
            "name": "w",
            "nodes": [
                {
                    "node_id": "n",
                    "node_type": node_type,
                    "node_subtype": subtype,
                    "parameters": parameters,
                }
            ],
        }
    )
    return loaded.by_id["n"]


def run(node: Node, *jsons: Any) -> Outcome:
    return run_on(node, Inputs({"main": [{"json": json} for json in jsons]}))


def run_on(node: Node, inputs: Inputs) -> Outcome:
    assert node.specification.run is not None
    return node.specification.run(
        node.prepared, inputs, lambda index: Scope(json=inputs.items[index]["json"])
    )


def jsons(items: list[Item]) -> list[Any]:
    return [item["json"] for item in items]


def sources(items: list[Item]) -> list[Any]:
    return [item.get("source", place) for place, item in enumerate(items)]


def failures(outcome: Outcome) -> list[tuple[int, str]]:
    return [(index, error.type) for index, error in outcome.failed]


def test_if_sends_each_item_where_its_condition_says() -> None:
    outcome = run(made("IF", {"condition": "{{ $json.n > 1 }}"}), {"n": 1}, {"n": 2}, {"n": 3})
    assert jsons(outcome.ports["true"]) == [{"n": 2}, {"n": 3}]
    assert sources(outcome.ports["true"]) == [1, 2]
    assert outcome.ports["false"] == [{"json": {"n": 1}}]


@pytest.mark.parametrize("value", [None, 0, 1, "true", [], {}])
def test_a_condition_that_is_no_boolean_fails_that_item_alone(value: Any) -> None:
    outcome = run(made("IF", {"condition": "{{ $json.ok }}"}), {"ok": value}, {"ok": True})
    assert failures(outcome) == [(0, "condition_not_boolean")]
    assert not outcome.failed[0][1].retryable
    assert sources(outcome.ports["true"]) == [1]


def test_an_expression_that_fails_names_its_code() -> None:
    outcome = run(made("IF", {"condition": "{{ $json.a.map(1) }}"}), {"a": [1]})
    assert failures(outcome) == [(0, "expression_type")]


def switch(mode: str) -> Node:
    rules = [
        {"name": "small", "condition": "{{ $json.n < 10 }}"},
        {"name": "even", "condition": "{{ $json.n % 2 === 0 }}"},
        {"name": "bad", "condition": "{{ $json.bad }}"},
    ]
    return made("SWITCH", {"rules": rules, "mode": mode})


def test_switch_takes_the_first_rule_and_does_not_look_at_later_ones() -> None:
    outcome = run(switch("first"), {"n": 2}, {"n": 12}, {"n": 13, "bad": False}, {"n": 13})
    assert sources(outcome.ports["small"]) == [0]
    assert sources(outcome.ports["even"]) == [1]
    assert sources(outcome.ports["fallback"]) == [2]
    assert failures(outcome) == [(3, "condition_not_boolean")]


def test_switch_can_take_all_rules_that_hold() -> None:
    outcome = run(switch("all"), {"n": 2, "bad": True}, {"n": 2})
    assert sources(outcome.ports["small"]) == [0]
    assert sources(outcome.ports["even"]) == [0]
    assert sources(outcome.ports["bad"]) == [0]
    assert outcome.ports["fallback"] == []
    assert failures(outcome) == [(1, "condition_not_boolean")]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("all", {"a": 2, "b": 1, "c": 5}),
        ("none", {"a": 2, "b": 1}),
        (["c"], {"a": 2, "b": 1, "c": 5}),
        (["x"], {"a": 2, "b": 1}),
    ],
)
def test_set_computes_from_the_item_as_it_came(keep: Any, expected: dict[str, Any]) -> None:
    values = {"a": "{{ $json.a + 1 }}", "b": "{{ $json.a }}"}
    outcome = run(made("SET", {"values": values, "keep": keep}, "ACTION"), {"a": 1, "c": 5})
    assert jsons(outcome.ports["main"]) == [expected]


def test_set_fails_only_the_items_that_cannot_be_computed() -> None:
    node = made("SET", {"values": {"a": "{{ 1 / $json.n }}"}}, "ACTION")
    outcome = run(node, {"n": 0}, {"n": 2})
    assert failures(outcome) == [(0, "not_a_number")]
    assert outcome.ports["main"] == [{"json": {"n": 2, "a": 0.5}, "source": 1}]


def test_noop_and_disabled_nodes_pass_the_first_live_input() -> None:
    assert run(made("NOOP", {}), 1, 2).ports == {"main": [{"json": 1}, {"json": 2}]}
    inputs = Inputs({"input2": [{"json": 7}], "input3": [{"json": 8}]}, ("input1", "input2"))
    assert passed_through(("true", "false"), inputs).ports == {"true": [{"json": 7}]}


def test_stop_and_error_stops_with_the_authors_words() -> None:
    node = made("STOP_AND_ERROR", {"message": "no {{ $json.a }}", "data": {"b": "{{ $json.a }}"}})
    outcome = run(node, {"a": 3}, {"a": 4})
    assert outcome.stop == ErrorFacts(
        type="stop_and_error", message="no 3", stage="node", detail={"b": 3}
    )
    broken = run(made("STOP_AND_ERROR", {"message": "{{ $json.a.map(1) }}"}), {"a": [1]})
    assert broken.stop is not None
    assert broken.stop.type == "expression_type"
