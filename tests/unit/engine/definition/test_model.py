"""From a definition to a model: numbers, order, defaults, look-ups."""

from typing import Any

import pytest
from perdure_engine.definition import InvalidDefinition, kept, load
from perdure_engine.definition.model import Workflow
from perdure_engine.expressions import Scope


def node(node_id: str, node_type: str, subtype: str, **rest: Any) -> dict[str, Any]:
    return {"node_id": node_id, "node_type": node_type, "node_subtype": subtype, **rest}


def noop(node_id: str, **rest: Any) -> dict[str, Any]:
    return node(node_id, "FLOW", "NOOP", **rest)


def edge(source: str, target: str, **rest: Any) -> dict[str, Any]:
    return {"source_node_id": source, "target_node_id": target, **rest}


def workflow(
    nodes: list[dict[str, Any]], connections: list[dict[str, Any]], **rest: Any
) -> Workflow:
    return load({"name": "w", "nodes": nodes, "connections": connections, **rest})


START = node("start", "TRIGGER", "MANUAL")


def test_nodes_have_their_place_in_the_file_as_position() -> None:
    loaded = workflow([noop("b"), START, noop("a")], [])
    assert [(each.node_id, each.position) for each in loaded.nodes] == [
        ("b", 0),
        ("start", 1),
        ("a", 2),
    ]
    assert loaded.by_id["a"] is loaded.nodes[2]
    assert loaded.triggers == (loaded.nodes[1],)


def test_in_edges_come_by_connection_index_then_by_place_and_have_neighbouring_indexes() -> None:
    loaded = workflow(
        [START, noop("a"), noop("b"), noop("c"), noop("z")],
        [
            edge("start", "z", connection_index=2),
            edge("start", "a"),
            edge("start", "b"),
            edge("start", "c"),
            edge("b", "z", connection_index=1),
            edge("a", "z", connection_index=1),
            edge("c", "z"),
        ],
    )
    into = loaded.in_edges(loaded.by_id["z"])
    assert [loaded.nodes[each.source].node_id for each in into] == ["c", "b", "a", "start"]
    assert [each.index for each in into] == [3, 4, 5, 6]
    assert [each.index for each in loaded.edges] == list(range(7))


def test_in_a_merge_the_number_of_the_input_comes_first() -> None:
    loaded = workflow(
        [START, noop("a"), noop("b"), node("m", "FLOW", "MERGE")],
        [
            edge("a", "m", target_port="input10"),
            edge("b", "m", target_port="input2", connection_index=5),
            edge("start", "a"),
            edge("start", "b"),
        ],
    )
    merge = loaded.by_id["m"]
    assert [each.target_port for each in loaded.in_edges(merge)] == ["input2", "input10"]
    assert loaded.inputs_of(merge) == ("input2", "input10")


def test_an_error_connection_leaves_on_the_error_port() -> None:
    loaded = workflow(
        [START, noop("a"), noop("b")],
        [edge("start", "a"), edge("a", "b", connection_type="ERROR")],
    )
    (leaving,) = loaded.out_edges(loaded.by_id["a"])
    assert leaving.source_port == "error"
    assert loaded.out_edges_of_port(loaded.by_id["a"], "error") == (leaving,)
    assert loaded.has_error_edge(loaded.by_id["a"])


def test_yaml_booleans_are_names_of_ports() -> None:
    condition = {"condition": "{{ $json.ok }}"}
    loaded = workflow(
        [START, node("if", "FLOW", "IF", parameters=condition), noop("a")],
        [edge("start", "if"), edge("if", "a", source_port=False)],
    )
    assert loaded.out_edges(loaded.by_id["if"])[0].source_port == "false"


@pytest.mark.parametrize(
    ("settings", "retries"), [({}, 0), ({"recovery": "off"}, 3), ({"recovery": False}, 3)]
)
def test_retries_are_left_to_recovery_unless_it_is_off(
    settings: dict[str, Any], retries: int
) -> None:
    loaded = workflow([START, noop("a"), noop("b", max_retries=7)], [], settings=settings)
    assert loaded.by_id["a"].max_retries == retries
    assert loaded.by_id["b"].max_retries == 7
    assert loaded.by_id["a"].retry_wait_time_s == 5


def test_parameters_have_their_defaults_and_are_resolved_for_an_item() -> None:
    parameters = {"url": "https://example.com/{{ $json.id }}", "json": {"a": "{{ $json.id }}"}}
    loaded = workflow(
        [START, node("call", "EXTERNAL_ACTION", "HTTP_REQUEST", parameters=parameters)],
        [edge("start", "call")],
    )
    assert loaded.by_id["call"].resolve(Scope(json={"id": 7})) == {
        "method": "GET",
        "url": "https://example.com/7",
        "json": {"a": 7},
        "timeout_s": 30.0,
    }


def test_a_start_by_hand_fires_the_only_manual_trigger_else_the_first() -> None:
    hook = node("hook", "TRIGGER", "WEBHOOK", parameters={"path": "/x"})
    off = node("off", "TRIGGER", "MANUAL", disabled=True)
    loaded = workflow([hook, START], [])
    assert loaded.trigger_to_run() is loaded.by_id["start"]
    assert loaded.trigger_to_run("hook") is loaded.by_id["hook"]
    two = workflow([hook, START, node("start2", "TRIGGER", "MANUAL")], [])
    assert two.trigger_to_run() is two.by_id["hook"]
    disabled = workflow([off], [])
    assert disabled.trigger_to_run() is None
    assert disabled.trigger_to_run("off") is None


def test_a_model_is_made_once_for_a_definition() -> None:
    first = workflow([START, noop("once")], [])
    assert workflow([START, noop("once")], []) is first
    assert kept(first.sha256) is first
    assert kept("0" * 64) is None


def test_a_broken_definition_is_not_loaded() -> None:
    with pytest.raises(InvalidDefinition) as raised:
        workflow([node("x", "FLOW", "NOPE")], [])
    assert raised.value.problems[0].code == "unknown_node_subtype"


def test_an_expression_finds_a_node_by_its_name_before_its_id() -> None:
    loaded = workflow([START, noop("a", name="b"), noop("b", name="c")], [])
    assert loaded.find("b") is loaded.by_id["a"]
    assert loaded.find("a") is loaded.by_id["a"]
    assert loaded.find("d") is None
