"""Files of n8n that are made to hurt: what they are is told, in seconds and in little memory."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from n8n_files import file, given, imported
from perdure_engine.importing import import_n8n

PATIENCE_S = 20.0
"""Far from the hours and the gigabytes that each of these took, also on a busy machine."""

LENGTH = 400_000


def values(text: str) -> dict[str, Any]:
    return {"assignments": {"assignments": [{"name": "a", "value": text}]}}


TEXTS = {
    "braces that never close": "=" + "{{" * (LENGTH // 2),
    "names that never close": "={{ " + '$node["' * (LENGTH // 7) + " }}",
    "items that never close": "={{ " + "$items('" * (LENGTH // 8) + " }}",
    "files that never close": "={{ " + "$binary[" * (LENGTH // 8) + " }}",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_text_is_looked_through_once(text: str) -> None:
    begun = time.monotonic()
    imported(given("It", "set", values(text), version=3.4))
    assert time.monotonic() - begun < PATIENCE_S


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("merge", {"numberInputs": 10**12}),
    ("merge", {"numberInputs": "many"}),
    ("switch", {"mode": "expression", "numberOutputs": 10**12}),
    ("switch", {"mode": "expression", "numberOutputs": 10**30}),
    ("switch", {"rules": {"values": [{"conditions": {}}] * 10_000}}),
    ("wait", {"amount": "1e999"}),
    ("wait", {"amount": "nan"}),
]


@pytest.mark.parametrize(("kind", "parameters"), REFUSED)
def test_what_no_node_has_is_refused_by_name(kind: str, parameters: dict[str, Any]) -> None:
    made = imported(given("It", kind, parameters, version=3))
    assert made.valid
    assert [(each.code, each.node) for each in made.reasons] in (
        [("node_not_mapped", "It")], [("node_refused", "It")],
    )  # fmt: skip


def test_a_schema_that_is_nested_without_end_is_refused_by_name() -> None:
    parser = given("Parser", "x", {"schemaType": "manual", "inputSchema": "[" * 100_000})
    parser["type"] = "@n8n/n8n-nodes-langchain.outputParserStructured"
    agent = given("Agent", "x") | {"type": "@n8n/n8n-nodes-langchain.agent"}
    nodes = [given("Start", "manualTrigger"), agent, parser]
    whole = file(nodes, "Start>Agent")
    whole["connections"]["Parser"] = {
        "ai_outputParser": [[{"node": "Agent", "type": "ai_outputParser", "index": 0}]]
    }
    made = import_n8n(whole)
    assert ("node_not_mapped", "Agent") in [(each.code, each.node) for each in made.reasons]


NODES = 8_000


def unlike() -> list[dict[str, Any]]:
    return [{"name": chr(0x4E00 + n), "type": "x"} for n in range(NODES)]


def meeting() -> dict[str, Any]:
    links = [{"node": chr(0x4E00 + n), "index": 0} for n in range(NODES)]
    return {chr(0x4E00): {"main": [links]}}


@pytest.mark.parametrize("connections", [dict, meeting], ids=["apart", "connected"])
def test_thousands_of_nodes_without_a_name_in_letters_are_imported(
    connections: Callable[[], dict[str, Any]],
) -> None:
    begun = time.monotonic()
    made = import_n8n({"nodes": unlike(), "connections": connections()})
    assert time.monotonic() - begun < 2 * PATIENCE_S
    assert made.definition is not None
    assert len({each["node_id"] for each in made.definition["nodes"]}) == NODES
