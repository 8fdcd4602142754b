"""Differences between definitions are named by what differs, not by where it stands."""

from typing import Any

from perdure_cli.diff import differences, line

BEFORE: dict[str, Any] = {
    "name": "triage",
    "settings": {"execution_timeout": 60},
    "nodes": [
        {"node_id": "a", "node_type": "TRIGGER", "node_subtype": "MANUAL"},
        {"node_id": "b", "node_type": "FLOW", "node_subtype": "IF", "parameters": {"condition": 1}},
    ],
    "connections": [{"source_node_id": "a", "target_node_id": "b"}],
}


def changed(**values: Any) -> dict[str, Any]:
    return {**BEFORE, **values}


def paths(after: dict[str, Any]) -> list[str]:
    return [f"{each['change']} {each['path']}" for each in differences(BEFORE, after)]


def test_a_definition_does_not_differ_from_itself_in_another_order() -> None:
    after = changed(nodes=list(reversed(BEFORE["nodes"])))
    assert differences(BEFORE, after) == []


def test_what_is_said_and_what_is_taken_for_granted_are_the_same_connection() -> None:
    edge = {"source_node_id": "a", "source_port": "main", "target_node_id": "b"}
    assert differences(BEFORE, changed(connections=[edge])) == []


def test_a_changed_parameter_is_named_with_its_node_and_both_values() -> None:
    nodes = [BEFORE["nodes"][0], {**BEFORE["nodes"][1], "parameters": {"condition": 2}}]
    (change,) = differences(BEFORE, changed(nodes=nodes))
    assert change == {
        "path": "nodes[b].parameters.condition",
        "change": "changed",
        "before": 1,
        "after": 2,
    }
    assert line(change) == "~ nodes[b].parameters.condition: 1 → 2"


def test_nodes_connections_and_settings_that_come_and_go_are_named() -> None:
    new = {"node_id": "c", "node_type": "FLOW", "node_subtype": "NOOP"}
    edge = {"source_node_id": "b", "source_port": True, "target_node_id": "c"}
    after = changed(nodes=[*BEFORE["nodes"], new], connections=[edge], settings=None)
    assert paths(after) == [
        "removed settings",
        "added nodes[c]",
        "removed connections[a>b]",
        "added connections[b.true>c]",
    ]
    assert line(differences(BEFORE, after)[0]).startswith("- settings: ")


def test_what_is_no_definition_at_all_differs_as_a_whole() -> None:
    found = [each["change"] for each in differences(BEFORE, None)]
    assert found
    assert set(found) == {"removed"}
