"""Tools of agents: attached, told with the agent's parameters, and no part of the way of items."""

from typing import Any

from definitions_for_tests import edge, node
from perdure_engine.definition import validate
from perdure_engine.expressions import Scope

ARGUMENTS = {"type": "object", "properties": {"id": {"type": "string"}}}


def look(node_id: str = "look", **more: Any) -> dict[str, Any]:
    given = {"name": node_id, "description": "Looks.", "url": "https://x.test/{id}",
             "arguments": ARGUMENTS, **more}  # fmt: skip
    return node(node_id, "TOOL.HTTP", **given)


def attached(source: str, target: str = "agent", kind: str = "AI_TOOL") -> dict[str, Any]:
    return {**edge(source, target), "connection_type": kind}


def definition(*nodes: dict[str, Any], connections: list[dict[str, Any]]) -> dict[str, Any]:
    agent = node("agent", "AI_AGENT.AGENT", model="m", prompt="{{ $json.text }}")
    return {
        "name": "w",
        "nodes": [node("start", "TRIGGER.MANUAL"), agent, *nodes],
        "connections": [edge("start", "agent"), *connections],
    }


def problems(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each.code, each.path) for each in validate(found).problems]


def test_an_agent_is_told_of_its_tools_for_each_item() -> None:
    found = definition(look(headers={"x-user": "{{ $json.user }}"}), connections=[attached("look")])
    checked = validate(found)
    assert checked.problems == ()
    assert checked.workflow is not None
    agent = checked.workflow.by_id["agent"]
    made: Any = agent.resolve(Scope(json={"text": "hi", "user": "u1"}))
    assert made["prompt"] == "hi"
    (tool,) = made["tools"]
    assert (tool["node_id"], tool["subtype"], tool["effect"]) == ("look", "HTTP", "pure")
    assert tool["parameters"]["headers"] == {"x-user": "u1"}
    assert tool["parameters"]["method"] == "GET"
    assert checked.workflow.attachments[agent.position] == ("look",)
    assert checked.workflow.unreachable == (), "what is attached is not skipped: it never runs"


def test_an_agent_whose_tools_are_fixed_stays_fixed() -> None:
    found = definition(look(), connections=[attached("look")])
    found["nodes"][1]["parameters"]["prompt"] = "Do it."
    checked = validate(found)
    assert checked.workflow is not None
    fixed: Any = checked.workflow.by_id["agent"].fixed
    assert [each["node_id"] for each in fixed["tools"]] == ["look"]


def test_a_tool_that_is_switched_off_is_not_given_to_the_agent() -> None:
    tool = {**look(), "disabled": True}
    checked = validate(definition(tool, connections=[attached("look")]))
    assert checked.workflow is not None
    assert "tools" not in checked.workflow.by_id["agent"].compiled
    assert checked.workflow.unreachable == ()


def test_a_tool_that_no_agent_has_is_warned_of() -> None:
    assert problems(definition(look(), connections=[])) == [("not_attached", "nodes[2]")]


def test_no_items_pass_through_a_tool() -> None:
    found = definition(look(), connections=[edge("agent", "look"), attached("look")])
    assert problems(found) == [("attached_only", "connections[1].connection_type")]


def test_only_tools_are_attached_and_only_to_agents() -> None:
    noop = node("noop", "FLOW.NOOP")
    found = definition(
        look(),
        noop,
        connections=[edge("agent", "noop"), attached("noop"), attached("look", "noop")],
    )
    assert problems(found) == [
        ("not_attachable", "connections[2].source_node_id"),
        ("not_attachable", "connections[3].target_node_id"),
        ("not_attached", "nodes[2]"),
    ]


def test_two_tools_of_an_agent_have_two_names() -> None:
    found = definition(
        look(), look("other", name="look"), connections=[attached("look"), attached("other")]
    )
    assert problems(found) == [("duplicate_tool", "connections")]


def test_the_same_attachment_twice_is_refused() -> None:
    found = definition(look(), connections=[attached("look"), attached("look")])
    assert problems(found) == [("duplicate_connection", "connections[2].source_node_id")]


def test_attachments_that_this_version_does_not_act_on_are_refused_by_name() -> None:
    found = definition(look(), connections=[attached("look"), attached("look", kind="AI_RERANKER")])
    assert problems(found) == [("connection_type_not_supported", "connections[2].connection_type")]
