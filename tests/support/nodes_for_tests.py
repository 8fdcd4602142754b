"""One node by itself: made as a definition is read, and run on items."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from perdure_engine.definition import load, validate
from perdure_engine.definition.model import Node
from perdure_engine.expressions import NodeView, Scope
from perdure_engine.nodes.base import Inputs, Item, Outcome

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
"""What `$now` is."""


def definition(kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return a workflow of one node; `kind` is `TYPE.SUBTYPE`."""
    node_type, _, subtype = kind.partition(".")
    node = {"node_id": "n", "node_type": node_type, "node_subtype": subtype}
    return {"name": "w", "nodes": [{**node, "parameters": parameters}]}


def made(kind: str, **parameters: Any) -> Node:
    """Return a node as the engine has it."""
    return load(definition(kind, parameters)).by_id["n"]


def refused(kind: str, **parameters: Any) -> list[tuple[str, str]]:
    """Return what is wrong with parameters: (code, path below them)."""
    problems = validate(definition(kind, parameters)).problems
    below = "nodes[0].parameters"
    return [
        (each.code, each.path.removeprefix(below).removeprefix("."))
        for each in problems
        if each.severity == "error"
    ]


def run_ports(node: Node, ports: dict[str, Sequence[Any] | None], seed: str = "") -> Outcome:
    """Run a node on items by input port; None and no items are a port that is DEAD."""
    live: dict[str, Sequence[Item]] = {
        port: [{"json": json} for json in jsons] for port, jsons in ports.items() if jsons
    }
    inputs = Inputs(live, tuple(ports), seed)
    assert node.specification.run is not None
    all_jsons = [item["json"] for item in inputs.items]

    def scope_of(index: int) -> Scope:
        return Scope(json=all_jsons[index], input=NodeView(all_jsons, index), now=NOW)

    return node.specification.run(node.prepared, inputs, scope_of)


def run(node: Node, *jsons: Any, seed: str = "") -> Outcome:
    """Run a node on items of its one input."""
    return run_ports(node, {"main": jsons}, seed)


def told(outcome: Outcome, port: str = "main") -> list[tuple[Any, Any]]:
    """Return what left on a port: (data, place or places of the input items)."""
    items = outcome.ports.get(port, [])
    return [(item["json"], item.get("source", place)) for place, item in enumerate(items)]


def jsons(outcome: Outcome, port: str = "main") -> list[Any]:
    """Return the data that left on a port."""
    return [item["json"] for item in outcome.ports.get(port, [])]


def failures(outcome: Outcome) -> list[tuple[int, str]]:
    """Return which input items failed, and of what type."""
    return [(index, error.type) for index, error in outcome.failed]
