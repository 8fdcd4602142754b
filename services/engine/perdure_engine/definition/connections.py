"""The connections of a definition as edges in edge order; what is wrong with one is noted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from perdure_common.ids import canonical_json

from perdure_engine.expressions import Compiled
from perdure_engine.nodes.base import ERROR, MAIN, input_number
from perdure_engine.nodes.conditions import is_condition

from .model import ConnectionType, Edge, Node
from .parameters import compiled_at
from .problems import listed, shown
from .reading import Reader

CONNECTION_KEYS = (
    "source_node_id", "target_node_id", "connection_type", "source_port", "target_port",
    "connection_index", "label", "conditions",
)  # fmt: skip
CONTROL = ("MAIN", "SUCCESS", "ERROR", "CONDITIONAL")
ATTACHMENTS = (
    "AI_AGENT", "AI_CHAIN", "AI_DOCUMENT", "AI_EMBEDDING", "AI_LANGUAGE_MODEL", "AI_MEMORY",
    "AI_OUTPUT_PARSER", "AI_RETRIEVER", "AI_RERANKER", "AI_TEXT_SPLITTER", "AI_TOOL",
    "AI_VECTOR_STORE", "MEMORY_ATTACHMENT", "CONTEXT_PROVIDER",
)  # fmt: skip
"""Connections that carry no items; attachments.py reads those that this version acts on."""


ATTACHED = ("AI_TOOL", "AI_MEMORY", "MEMORY_ATTACHMENT")
"""The connections among them by which an agent has a tool or a memory."""


INSTEAD: Mapping[str, str] = {
    "AI_AGENT": "an agent that another one may call is a workflow: make a TOOL WORKFLOW of it",
    "AI_CHAIN": "what comes one after the other is connected by MAIN",
    "AI_LANGUAGE_MODEL": "the model is a parameter of the agent: `provider`, `model`, `credential`",
    "AI_OUTPUT_PARSER": "the form of the answer is a parameter of the agent: `output_schema`",
    "AI_DOCUMENT": "documents are kept by a MEMORY node with `operation: write`",
    "AI_TEXT_SPLITTER": "the service of memory cuts what a MEMORY node writes",
    "AI_EMBEDDING": "the service of memory embeds what a MEMORY node writes",
    "AI_VECTOR_STORE": "attach a MEMORY node that searches, by AI_MEMORY",
    "AI_RETRIEVER": "attach a MEMORY node with `operation: search`, by AI_MEMORY",
    "AI_RERANKER": "the service of memory orders what a MEMORY node finds",
    "CONTEXT_PROVIDER": "put the node before this one, and read it by $('its name')",
}
"""What to do in place of an attachment that is not one here."""


def read_edges(top: Reader, entries: Sequence[Any], nodes: Sequence[Node]) -> tuple[Edge, ...]:
    """Return the edges by index; those that could not be read are left out."""
    by_id = {node.node_id: node for node in nodes}
    edges: list[Edge] = []
    seen: dict[tuple[object, ...], int] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            top.error("invalid_type", f"connections[{place}]", f"{shown(entry)} must be an object")
            continue
        reader = Reader(cast("dict[str, Any]", entry), f"connections[{place}]", top.found)
        edge = _edge(reader, place, by_id)
        if edge is None:
            continue
        conditions: Any = reader.values.get("conditions")
        identity = (
            edge.source, edge.source_port, edge.target, edge.target_port, edge.connection_type,
            canonical_json(conditions) if edge.connection_type == "CONDITIONAL" else b"",
        )  # fmt: skip
        if identity in seen:
            reader.found.error(
                "duplicate_connection",
                reader.path,
                f"is the same as connections[{seen[identity]}]; take one of them away",
            )
            continue
        seen[identity] = place
        edges.append(edge)
    edges.sort(key=lambda edge: _order(edge, nodes[edge.target]))
    return tuple(replace(edge, index=index) for index, edge in enumerate(edges))


def _order(edge: Edge, target: Node) -> tuple[int, int, int, int]:
    """Return the edge order (rule 3), target by target."""
    number = input_number(edge.target_port) if target.specification.numbered else None
    return (edge.target, number or 0, edge.connection_index, edge.place)


def _edge(reader: Reader, place: int, by_id: Mapping[str, Node]) -> Edge | None:
    reader.known(CONNECTION_KEYS)
    connection_type = reader.choice("connection_type", (*CONTROL, *ATTACHMENTS), MAIN.upper())
    source, target = (_end(reader, key, by_id) for key in ("source_node_id", "target_node_id"))
    source_port, target_port = (_port(reader, key) for key in ("source_port", "target_port"))
    index = reader.integer("connection_index", 0, least=0)
    label = reader.text("label", "") or ""
    if connection_type in ATTACHMENTS:
        if connection_type not in ATTACHED:
            reader.error(
                "connection_type_not_supported",
                "connection_type",
                f"{connection_type} connects nothing here: {INSTEAD[connection_type]}; connections "
                f"are {listed((*CONTROL, *ATTACHED))}",
            )
        return None
    condition, otherwise = _conditions(reader, connection_type)
    if source is None or target is None or not _fits(reader, source, target):
        return None
    if connection_type == "ERROR":
        source_port = ERROR
    _check_ports(reader, source, source_port, target, target_port)
    return Edge(
        index=0,
        source=source.position,
        target=target.position,
        source_port=source_port,
        target_port=target_port,
        connection_type=cast(ConnectionType, connection_type),
        connection_index=index,
        condition=condition,
        otherwise=otherwise,
        label=label,
        place=place,
    )


def _end(reader: Reader, key: str, by_id: Mapping[str, Node]) -> Node | None:
    node_id = reader.text(key, required=True)
    if node_id is None:
        return None
    if node_id not in by_id:
        hint = reader.found.did_you_mean(node_id, by_id)
        reader.error("unknown_node", key, f"there is no node {node_id!r}; {hint}")
    return by_id.get(node_id)


def _port(reader: Reader, key: str) -> str:
    """Return a port's name; YAML reads `true` and `false` as booleans."""
    value = reader.values.get(key)
    if isinstance(value, bool):
        return "true" if value else "false"
    return reader.text(key, MAIN) or MAIN


def _conditions(reader: Reader, connection_type: str) -> tuple[Compiled | None, bool]:
    """Return the compiled condition and whether the connection takes the rest (rule 14)."""
    conditions = reader.mapping("conditions") or {}
    if connection_type != "CONDITIONAL":
        if conditions:
            reader.error(
                "conditions_not_allowed",
                "conditions",
                f"a {connection_type} connection has no conditions; make it CONDITIONAL",
            )
        return None, False
    if conditions == {"else": True}:
        return None, True
    if set(conditions) != {"condition"} or not is_condition(conditions["condition"]):
        reader.error(
            "invalid_conditions",
            "conditions",
            "must be {condition: one expression, such as '{{ $json.ok }}'} or {else: true}",
        )
        return None, False
    return compiled_at(reader, "conditions.condition", conditions["condition"]), False


def _fits(reader: Reader, source: Node, target: Node) -> bool:
    if source is target:
        reader.error(
            "self_connection",
            "target_node_id",
            f"{source.node_id!r} is connected to itself; connect it to another node",
        )
        return False
    for node in (source, target):
        if node.specification.place == "attached":
            reader.error(
                "attached_only",
                "connection_type",
                f"{node.node_id!r} is a {node.node_type}, no items pass through it; connect it to "
                "an agent by AI_TOOL",
            )
            return False
    if target.is_trigger:
        reader.error(
            "connection_into_trigger",
            "target_node_id",
            f"{target.node_id!r} is a trigger, it has no input; connect to the node behind it",
        )
        return False
    return True


def _check_ports(
    reader: Reader, source: Node, source_port: str, target: Node, target_port: str
) -> None:
    outputs = source.outputs if source.is_trigger else (*source.outputs, ERROR)
    if source.node_subtype and source_port not in outputs:
        key = "connection_type" if source_port == ERROR else "source_port"
        reader.error(
            "unknown_port",
            key,
            f"{source.node_id!r} ({source.node_subtype}) has no output {source_port!r}; "
            f"it has {listed(outputs)}",
        )
    specification = target.specification
    if not target.node_subtype:
        return
    numbered = specification.numbered and input_number(target_port) is not None
    if not numbered and (specification.numbered or target_port not in specification.inputs):
        inputs = "input1, input2, …" if specification.numbered else listed(specification.inputs)
        reader.error(
            "unknown_port",
            "target_port",
            f"{target.node_id!r} ({target.node_subtype}) has no input {target_port!r}; "
            f"it has {inputs}",
        )
