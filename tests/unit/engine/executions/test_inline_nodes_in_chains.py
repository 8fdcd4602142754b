"""Inline nodes one after the other: what each emits, and whose items they are."""

from typing import Any

import pytest
from perdure_contracts.engine import NodeErrored
from playing import http, link, node, play, workflow

WHOLE = {"json": "{{ $json }}"}
RULES = [{"name": f"r{n}", "condition": True} for n in range(2_000)]

ORDERS = "id;customer;total\n1;ada;30\n2;bob;5\n3;ada;12\n3;ada;12\n4;;7\n"


def action(node_id: str, subtype: str, **parameters: Any) -> dict[str, Any]:
    return node(node_id, f"ACTION.{subtype}", parameters=parameters)


def flow(node_id: str, subtype: str, **parameters: Any) -> dict[str, Any]:
    return node(node_id, f"FLOW.{subtype}", parameters=parameters)


TOTAL = {"total": "{{ Number($json.total) }}", "by": "{{ $json.customer || 'nobody' }}"}
CHAIN = workflow(
    [
        action("rows", "CSV", value="{{ $json.text }}", delimiter=";"),
        action("typed", "SET", values=TOTAL, keep=["id"]),
        flow("once", "DEDUPE", keys=["id"]),
        flow("known", "FILTER", condition="{{ $json.by !== 'nobody' }}"),
        flow("sorted", "SORT", by=[{"field": "total", "order": "desc"}]),
        action("origin", "SET", values={"row": "{{ $('rows').item.json.id }}"}),
        flow(
            "sums",
            "SUMMARIZE",
            group_by=["by"],
            measures=[{"function": "sum", "field": "total", "as": "sum"}],
        ),
        action("named", "RENAME", fields={"by": "customer"}),
        flow("best", "LIMIT", count=1),
        flow("together", "AGGREGATE", field="customer"),
    ],
    [
        *("t>rows", "rows>typed", "typed>once", "once>known", "known>sorted", "sorted>origin"),
        *("origin>sums", "sums>named", "named>best", "best>together"),
    ],
)


def test_a_chain_of_nodes_comes_out_as_by_hand() -> None:
    played = play(CHAIN, {"text": ORDERS})
    assert played.state.status == "SUCCESS"
    assert played.emitted("known") == [
        {"id": "1", "total": 30, "by": "ada"},
        {"id": "2", "total": 5, "by": "bob"},
        {"id": "3", "total": 12, "by": "ada"},
    ]
    assert played.emitted("known", "discarded") == [{"id": "4", "total": 7, "by": "nobody"}]
    assert [item["total"] for item in played.emitted("sorted")] == [30, 12, 5]
    sums = {item["customer"]: item["sum"] for item in played.emitted("named")}
    assert sums == {"ada": 42, "bob": 5}
    assert played.emitted("together") == [{"customer": ["ada"]}]


def test_items_know_where_they_come_from_through_all_of_it() -> None:
    played = play(CHAIN, {"text": ORDERS})
    found = [(item["id"], item["row"]) for item in played.emitted("origin")]
    assert found == [("1", "1"), ("3", "3"), ("2", "2")]


def ids() -> dict[str, Any]:
    nodes = [action("a", "CRYPTO", operation="id"), action("b", "CRYPTO", operation="id")]
    return workflow([flow("many", "SPLIT_OUT", field="n"), *nodes], ["t>many", "many>a", "many>b"])


def test_ids_differ_for_every_node_and_item_and_are_the_same_when_it_is_decided_again() -> None:
    first, again = play(ids(), {"n": [1, 2]}), play(ids(), {"n": [1, 2]})
    made = [item["id"] for name in ("a", "b") for item in first.emitted(name)]
    assert len(set(made)) == 4
    assert made == [item["id"] for name in ("a", "b") for item in again.emitted(name)]


def test_items_that_cannot_be_read_leave_by_the_error_mode_and_the_others_go_on() -> None:
    reader = action("read", "JSON", value="{{ $json.text }}")
    reader["error_handling"] = "CONTINUE_ERROR_OUTPUT_ON_ERROR"
    split = flow("many", "SPLIT_OUT", field="text")
    links = ["t>many", "many>read", "read>good", "read.error>bad"]
    nodes = [split, reader, node("good"), node("bad")]
    played = play(workflow(nodes, links), {"text": ["{", "[1]", "{}"]})
    assert played.state.status == "SUCCESS"
    assert [item["data"] for item in played.emitted("good")] == [[1], {}]
    (bad,) = played.emitted("bad")
    assert (bad["text"], bad["error"]["type"]) == ("{", "invalid_json")


def test_a_comparison_sends_each_item_where_it_belongs() -> None:
    nodes = [
        flow("old", "SPLIT_OUT", field="old"),
        flow("new", "SPLIT_OUT", field="new"),
        action(
            "a", "SET", values={"id": "{{ $json.old.id }}", "v": "{{ $json.old.v }}"}, keep="none"
        ),
        action(
            "b", "SET", values={"id": "{{ $json.new.id }}", "v": "{{ $json.new.v }}"}, keep="none"
        ),
        flow("compare", "COMPARE", keys=["id"]),
        node("gone"),
        node("added"),
        node("changed"),
    ]
    links: list[Any] = [
        *("t>old", "t>new", "old>a", "new>b", "a>compare.input1", "b>compare.input2"),
        *("compare.only_a>gone", "compare.only_b>added", link("compare.different>changed")),
    ]
    old = [{"id": 1, "v": "x"}, {"id": 2, "v": "x"}, {"id": 3, "v": "x"}]
    new = [{"id": 3, "v": "x"}, {"id": 2, "v": "y"}, {"id": 4, "v": "x"}]
    played = play(workflow(nodes, links), {"old": old, "new": new})
    assert played.emitted("gone") == [{"id": 1, "v": "x"}]
    assert played.emitted("added") == [{"id": 4, "v": "x"}]
    assert [item["fields"] for item in played.emitted("changed")] == [["v"]]


@pytest.mark.parametrize(
    ("nodes", "links"),
    [
        ([flow("n", "SPLIT_OUT", field="many")], ["t>n"]),
        (
            [
                action("small", "SET", values={}, keep=["many"]),
                flow("split", "SPLIT_OUT", field="many"),
                flow("n", "MERGE", mode="cross"),
            ],
            ["t>n.input1", "t>small", "small>split", "split>n.input2"],
        ),
        (
            [flow("split", "SPLIT_OUT", field="few"), flow("n", "SWITCH", mode="all", rules=RULES)],
            ["t>split", "split>n"],
        ),
        (
            [flow("split", "SPLIT_OUT", field="few"), http("n", parameters=WHOLE)],
            ["t>split", "split>n"],
        ),
    ],
    ids=("split_out", "cross", "switch", "dispatch"),
)
def test_a_large_part_in_many_items_is_an_error_before_it_is_gigabytes(
    nodes: list[Any], links: list[Any]
) -> None:
    # As JSON: 100 KB in each of 5,000 items, which share it in memory.
    large = {"text": "x" * 100_000, "many": list(range(5_000)), "few": list(range(50))}
    played = play(workflow(nodes, links), large)
    assert played.state.status == "ERROR"
    (errored,) = played.told(NodeErrored)
    assert errored.node_id == "n"
    assert errored.error.type in ("output_too_large", "input_too_large")
