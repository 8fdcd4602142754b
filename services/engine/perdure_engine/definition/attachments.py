"""Attachments: the tools and memories of agents, told to the agent with its own parameters.

They carry no items, and what is attached is not run by itself. An agent's `tools` and `memories`
are made here of the attached nodes' parameters and resolved with the agent's own, for each item;
so whatever sends an agent to a runner need not know of attachments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, Constant, Scope

from .connections import ATTACHED
from .model import Node
from .parameters import compiled_at
from .problems import Found
from .reading import Reader

NEEDS = {"AI_TOOL": "TOOL", "AI_MEMORY": "MEMORY", "MEMORY_ATTACHMENT": "MEMORY"}
"""The type of node that each connection attaches."""

KEYS = {"TOOL": "tools", "MEMORY": "memories"}
"""The parameter of an agent that has what is attached, by the type of that."""

AGENT = "AI_AGENT"


@dataclass(frozen=True)
class Attached:
    """The positions of nodes that are not run by themselves, and what each agent has, by id."""

    positions: frozenset[int]
    by_agent: Mapping[int, tuple[str, ...]]


def attach(
    top: Reader, entries: Sequence[Any], nodes: tuple[Node, ...]
) -> tuple[tuple[Node, ...], Attached]:
    """Return the nodes, agents with what they have, and what is attached.

    Nodes that are for agents only are among the latter whether one has them or not.
    """
    attached = {node.position for node in nodes if node.specification.place == "attached"}
    given: dict[int, dict[str, list[Node]]] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            continue
        values = cast("dict[str, Any]", entry)
        connection_type = values.get("connection_type")
        if connection_type not in ATTACHED:
            continue
        reader = Reader(values, f"connections[{place}]", top.found)
        pair = _ends(reader, str(connection_type), nodes)
        if pair is None:
            continue
        source, target = pair
        attached.add(source.position)
        having = given.setdefault(target.position, {})
        key = KEYS[source.node_type]
        if source in having.setdefault(key, []):
            reader.error("duplicate_connection", "source_node_id", "is attached to it already")
            continue
        having[key].append(source)
    made = tuple(
        node if node.position not in given else _with(node, given[node.position], top.found)
        for node in nodes
    )
    by_agent = {
        position: tuple(node.node_id for nodes in having.values() for node in nodes)
        for position, having in given.items()
    }
    return made, Attached(frozenset(attached), by_agent)


def _ends(
    reader: Reader, connection_type: str, nodes: tuple[Node, ...]
) -> tuple[Node, Node] | None:
    by_id = {node.node_id: node for node in nodes}
    source = by_id.get(str(reader.values.get("source_node_id")))
    target = by_id.get(str(reader.values.get("target_node_id")))
    if source is None or target is None:  # said where edges are read
        return None
    wanted = NEEDS[connection_type]
    if source.node_type != wanted:
        reader.error(
            "not_attachable",
            "source_node_id",
            f"{connection_type} attaches a {wanted}; {source.node_id!r} is a {source.node_type}",
        )
        return None
    if target.node_type != AGENT:
        reader.error(
            "not_attachable",
            "target_node_id",
            f"{connection_type} leads to an {AGENT}; {target.node_id!r} is a {target.node_type}",
        )
        return None
    if source.parameters.get("operation") == "forget":
        reader.error(
            "not_attachable",
            "source_node_id",
            f"{source.node_id!r} forgets; an agent may have a memory that reads or writes",
        )
        return None
    if source.disabled:
        return None
    return source, target


def _with(agent: Node, having: dict[str, list[Node]], found: Found) -> Node:
    """Return an agent with the parameters of what it has beside its own."""
    compiled: dict[str, Compiled] = dict(agent.compiled)
    for key, nodes in having.items():
        names: dict[str, str] = {}
        told: list[Json] = []
        for node in nodes:
            name = str(node.parameters.get("name", node.node_id))
            if key == "tools" and name in names:
                found.error(
                    "duplicate_tool",
                    "connections",
                    f"{agent.node_id!r} has two tools called {name!r}: {names[name]!r} and "
                    f"{node.node_id!r}; rename one",
                    agent.node_id,
                )
            names[name] = node.node_id
            told.append(_told(node))
        reader = Reader({}, "", found, agent.node_id)
        compiled[key] = compiled_at(reader, key, told)
    return replace(agent, compiled=compiled, fixed=_fixed(compiled))


def _told(node: Node) -> Json:
    """Return what an agent's runner is told of an attached node; expressions are still in it."""
    specification = node.specification
    return {
        "node_id": node.node_id,
        "subtype": node.node_subtype,
        "effect": specification.effect(node.parameters),
        "parameters": dict(node.parameters),
    }


def _fixed(compiled: dict[str, Compiled]) -> dict[str, Json] | None:
    if not all(isinstance(each, Constant) or each.is_constant for each in compiled.values()):
        return None
    return {name: each.evaluate(Scope()) for name, each in compiled.items()}
