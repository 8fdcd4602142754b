"""From a definition, as JSON or YAML gives it, to a model; every problem is noted on the way.

What belongs to one node or one connection alone is checked here and in `connections`; what
lies between them, in `rules`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from perdure_common.ids import canonical_json
from perdure_contracts.message import Json
from perdure_contracts.patterns import FailureType

from perdure_engine.expressions import Compiled, Scope
from perdure_engine.nodes.base import ErrorMode, NodeSpecification
from perdure_engine.nodes.registry import NODE_TYPES, SPECIFICATIONS, find, subtypes_of

from .attachments import attach
from .concurrency import read_concurrency, read_priority
from .connections import read_edges
from .model import (
    MAX_ITERATIONS,
    RETRIES_WITHOUT_RECOVERY,
    RETRY_WAIT_TIME_S,
    Edge,
    Node,
    Settings,
    Workflow,
    build,
)
from .parameters import read_parameters, take_max_iterations
from .problems import Found, listed, shown
from .races import find_races
from .reading import Reader
from .regions import CycleFault, find_regions

NODES_MAX = 10_000
CONNECTIONS_MAX = 50_000
DEFINITION_BYTES_MAX = 880_000
"""The most of each that a definition may have; bytes are those of its canonical JSON. The event
that freezes it must fit into a message of 900,000, with the warnings that are kept beside it."""

DEPTH_MAX = 110
"""Levels of objects and lists: what parameters may have, and what is around them."""

TEXT_LENGTH_MAX = 20_000
"""Characters of descriptions and notes."""

TIMEOUT_S_MAX = 366 * 86_400.0
"""The longest time-out of a node or an execution: a year, in seconds."""

RETRIES_MAX = 100
"""The most retries that a node may ask for."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The one text of an id."""

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""U+0000 in JSON text: its escape, not that of a backslash. PostgreSQL cannot keep it."""

WORKFLOW_KEYS = (
    "name", "description", "workspace_id", "settings", "nodes", "connections", "tags",
    "static_data", "pin_data", "active", "is_template", "template_category", "icon_url",
)  # fmt: skip
SETTINGS_KEYS = (
    "execution_timeout", "recovery", "log_level", "max_iterations", "error_workflow",
    "concurrency", "priority",
)  # fmt: skip
NODE_KEYS = (
    "node_id", "node_type", "node_subtype", "type_version", "name", "description", "disabled",
    "position_x", "position_y", "parameters", "credentials", "error_handling", "max_retries",
    "retry_wait_time", "always_output_data", "join", "timeout_s", "run_timeout_s", "run_in",
    "failure_type", "notes",
)  # fmt: skip
FAILURE_TYPES: tuple[str, ...] = tuple(kind for kind in get_args(FailureType) if kind != "unknown")
"""What an author may say that a node's failures are."""
ERROR_MODES = (
    "STOP_WORKFLOW_ON_ERROR",
    "CONTINUE_REGULAR_OUTPUT_ON_ERROR",
    "CONTINUE_ERROR_OUTPUT_ON_ERROR",
)


@dataclass(frozen=True)
class Parsed:
    """What could be read of a definition.

    `places` has the place in the file of each node, by its position: they differ only where
    a node could not be read. `cycles` are those that cannot be run. With errors the workflow
    serves further checks only.
    """

    workflow: Workflow
    places: tuple[int, ...]
    cycles: tuple[CycleFault, ...] = ()


def size_problems(definition: Json, found: Found) -> bool:
    """Note what is too large or no JSON at all; True means: look no further."""
    fault = _shape_fault(definition)
    if fault is not None:
        found.error(*fault)
        return True
    try:
        text = canonical_json(definition)
        text.decode()
    except UnicodeDecodeError:
        found.error("not_storable", "", "a text has half a surrogate pair; write whole characters")
        return True
    except (ValueError, TypeError) as error:
        found.error("not_json", "", f"the definition is no JSON: {error}; write plain values")
        return True
    if NUL.search(text):
        found.error("not_storable", "", "a text has the character U+0000; take it away")
        return True
    size = len(text)
    if size > DEFINITION_BYTES_MAX:
        found.error(
            "definition_too_large",
            "",
            f"the definition has {size:,} bytes, at most {DEFINITION_BYTES_MAX:,} are allowed; "
            "split the workflow, or keep large data elsewhere",
        )
        return True
    return False


def parse(definition: Json, sha256: str, found: Found) -> Parsed:
    """Return the workflow as far as it could be read; what could not is noted in `found`."""
    if not isinstance(definition, dict):
        found.error("invalid_type", "", f"{shown(definition)} must be an object with `nodes`")
        definition = {}
    top = Reader(cast("dict[str, Any]", definition), "", found)
    top.known(WORKFLOW_KEYS)
    name = top.text("name", required=True) or ""
    _check_about(top)
    settings = _settings(top)
    nodes, places = _nodes(top, settings)
    edges = _edges(top, nodes)
    nodes, attached = attach(top, top.entries("connections"), nodes)
    regions, faults = find_regions(nodes, edges)
    workflow = build(
        name=name,
        sha256=sha256,
        nodes=nodes,
        edges=edges,
        settings=settings,
        regions=regions,
        races=find_races(nodes, edges, regions),
        description=top.text("description", "", most=TEXT_LENGTH_MAX) or "",
        tags=top.texts("tags"),
        static_data=top.mapping("static_data"),
        pin_data=top.mapping("pin_data"),
        attached=attached.positions,
        attachments=attached.by_agent,
    )
    return Parsed(workflow, places, faults)


def _check_about(top: Reader) -> None:
    top.boolean("active", True)
    top.boolean("is_template", False)
    top.text("template_category", most=100)
    top.text("icon_url", most=500)
    workspace = top.values.get("workspace_id")
    if workspace is not None and not (isinstance(workspace, str) and UUID.fullmatch(workspace)):
        top.error(
            "invalid_value", "workspace_id", f"{shown(workspace)} must be a UUID in small letters"
        )


def _settings(top: Reader) -> Settings:
    reader = Reader(top.mapping("settings") or {}, "settings", top.found)
    reader.known(SETTINGS_KEYS)
    recovery = reader.values.get("recovery")
    if isinstance(recovery, bool):  # YAML reads `off` as false
        recovery_on = recovery
    else:
        recovery_on = reader.choice("recovery", ("on", "off"), "on") == "on"
    return Settings(
        execution_timeout_s=reader.number(
            "execution_timeout", None, least=0.001, most=TIMEOUT_S_MAX
        ),
        recovery=recovery_on,
        log_level=cast(
            'Literal["INFO", "DEBUG"]', reader.choice("log_level", ("INFO", "DEBUG"), "INFO")
        ),
        max_iterations=reader.integer("max_iterations", MAX_ITERATIONS, least=1),
        error_workflow=reader.text("error_workflow"),
        concurrency=read_concurrency(reader),
        priority=read_priority(reader),
    )


def _nodes(top: Reader, settings: Settings) -> tuple[tuple[Node, ...], tuple[int, ...]]:
    """Return the nodes that could be read, and their places in the file."""
    entries = top.entries("nodes")
    if not entries and not isinstance(top.values.get("nodes"), str | int | float | dict):
        top.error("no_nodes", "nodes", "there are no nodes; add a TRIGGER and what it starts")
    if len(entries) > NODES_MAX:
        top.error(
            "too_many_nodes",
            "nodes",
            f"there are {len(entries):,} nodes, at most {NODES_MAX:,} are allowed; "
            "split the workflow",
        )
        return (), ()
    nodes: list[Node] = []
    places: list[int] = []
    ids: dict[str, int] = {}
    names: dict[str, int] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            top.error("invalid_type", f"nodes[{place}]", f"{shown(entry)} must be an object")
            continue
        values = cast("dict[str, Any]", entry)
        node_id = values.get("node_id")
        reader = Reader(
            values, f"nodes[{place}]", top.found, node_id if isinstance(node_id, str) else None
        )
        read = _node(reader, len(nodes), settings)
        if read is not None and _is_first(reader, read, place, ids, names):
            nodes.append(read)
            places.append(place)
    return tuple(nodes), tuple(places)


def _is_first(
    reader: Reader, node: Node, place: int, ids: dict[str, int], names: dict[str, int]
) -> bool:
    """Tell whether the node's id is new; an id or name that is not new is noted."""
    if node.node_id in ids:
        reader.error(
            "duplicate_node_id",
            "node_id",
            f"{node.node_id!r} is already the id of nodes[{ids[node.node_id]}]; rename one",
        )
        return False
    ids[node.node_id] = place
    if node.name in names:
        reader.error(
            "duplicate_node_name",
            "name",
            f"{node.name!r} is already the name of nodes[{names[node.name]}]; rename one",
        )
    names.setdefault(node.name, place)
    return True


def _node(reader: Reader, position: int, settings: Settings) -> Node | None:
    reader.known(NODE_KEYS)
    node_id = reader.text("node_id", required=True)
    specification = _specification(reader)
    known = specification in SPECIFICATIONS
    raw = reader.mapping("parameters") or {}
    below = Reader(raw, reader.below("parameters"), reader.found, reader.node_id)
    errors_before = len(reader.found.problems)
    below, most = take_max_iterations(below, specification)
    parameters, compiled = read_parameters(below, specification) if known else ({}, {})
    sound = known and len(reader.found.problems) == errors_before
    retries = 0 if settings.recovery else RETRIES_WITHOUT_RECOVERY
    _check_rest(reader, specification)
    if node_id is None:
        return None
    return Node(
        position=position,
        node_id=node_id,
        name=reader.text("name", node_id) or node_id,
        specification=specification,
        type_version=reader.integer("type_version", specification.version, least=1),
        description=reader.text("description", "", most=TEXT_LENGTH_MAX) or "",
        disabled=reader.boolean("disabled", False),
        parameters=parameters,
        compiled=compiled,
        prepared=specification.prepare(parameters, compiled) if sound else None,
        outputs=specification.outputs(parameters),
        credentials=reader.mapping("credentials"),
        error_handling=cast(
            ErrorMode, reader.choice("error_handling", ERROR_MODES, "STOP_WORKFLOW_ON_ERROR")
        ),
        max_retries=reader.integer("max_retries", retries, least=0, most=RETRIES_MAX),
        retry_wait_time_s=reader.number(
            "retry_wait_time", float(RETRY_WAIT_TIME_S), least=0.0, most=86_400.0
        )
        or 0.0,
        always_output_data=reader.boolean("always_output_data", False),
        join=_join(reader, specification),
        timeout_s=reader.number("timeout_s", None, least=0.001, most=TIMEOUT_S_MAX),
        run_timeout_s=_run_timeout(reader, specification),
        run_in=_run_in(reader, specification),
        failure_type=_failure_type(reader),
        max_iterations=most,
        fixed=fixed_of(compiled),
    )


def _failure_type(reader: Reader) -> str | None:
    """Return what the author says that the node's failures are, None where that is left open."""
    return reader.choice("failure_type", FAILURE_TYPES, "") or None


def fixed_of(compiled: Mapping[str, Compiled]) -> Mapping[str, Json] | None:
    """Return what parameters are for every item, None where an expression is among them."""
    if not all(each.is_constant for each in compiled.values()):
        return None
    return {name: each.evaluate(Scope()) for name, each in compiled.items()}


def _run_in(reader: Reader, specification: NodeSpecification) -> Literal["auto", "runner"]:
    """Return where the node runs; a runner can do only what its subtype says it can."""
    chosen = reader.choice("run_in", ("auto", "runner"), "auto")
    able = specification.place == "runner" or specification.each is not None
    if chosen == "runner" and specification in SPECIFICATIONS and not able:
        can = [each.subtype for each in SPECIFICATIONS if each.run and each.each]
        reader.error(
            "run_in_not_supported",
            "run_in",
            f"{specification.node_type} {specification.subtype} cannot be run by a runner; leave "
            f"`run_in` out (besides side effects, runners run {listed(can)})",
        )
    return "runner" if chosen == "runner" else "auto"


def _run_timeout(reader: Reader, specification: NodeSpecification) -> float | None:
    """Return what all attempts of a run may take together; only a runner makes attempts."""
    seconds = reader.number("run_timeout_s", None, least=0.001, most=TIMEOUT_S_MAX)
    if seconds is not None and specification.place != "runner":
        reader.error(
            "run_timeout_not_supported",
            "run_timeout_s",
            f"{specification.node_type} {specification.subtype} makes no attempts; leave "
            "`run_timeout_s` out",
        )
    return seconds


def _check_rest(reader: Reader, specification: NodeSpecification) -> None:
    """Look at the keys that the model does not keep, and at those with one value only."""
    reader.text("notes", most=TEXT_LENGTH_MAX)
    reader.number("position_x", 0.0)
    reader.number("position_y", 0.0)
    version = reader.values.get("type_version")
    if isinstance(version, int) and version > specification.version:
        reader.error(
            "unknown_type_version",
            "type_version",
            f"{specification.subtype} has no version {version}; the newest is "
            f"{specification.version}",
        )


def _join(reader: Reader, specification: NodeSpecification) -> Literal["all", "each"]:
    """Return how a node joins its inputs; where they are told apart it waits for all."""
    if reader.choice("join", ("all", "each"), "all") == "all":
        return "all"
    alone = ("MERGE", "RACE", "LOOP", "FOREACH")
    if specification.subtype not in alone and specification.place != "trigger":
        return "each"
    reader.error(
        "join_not_possible",
        "join",
        f"{specification.subtype} cannot have `join: each`; use `all`, or put a NOOP with "
        "`join: each` before it",
    )
    return "all"


def _specification(reader: Reader) -> NodeSpecification:
    """Return the subtype's specification, or a stand-in for one that cannot be run."""
    node_type = reader.text("node_type", required=True)
    subtype = reader.text("node_subtype", required=bool(subtypes_of(node_type or "")))
    found = find(node_type or "", subtype or "")
    if found is not None:
        return found
    runs = subtypes_of(node_type or "")
    if node_type is not None and node_type not in NODE_TYPES:
        reader.error(
            "unknown_node_type",
            "node_type",
            f"there is no node type {shown(node_type)}; "
            f"{reader.found.did_you_mean(node_type, NODE_TYPES)}",
        )
    elif node_type is not None and not runs:
        reader.error(
            "node_type_not_supported",
            "node_type",
            f"{node_type} is not run by this version; take the node away",
        )
    elif node_type is not None and subtype is not None:
        reader.error(
            "unknown_node_subtype",
            "node_subtype",
            f"{node_type} has no subtype {shown(subtype)}; "
            f"{reader.found.did_you_mean(subtype, runs)}",
        )
    return _stand_in(node_type)


def _stand_in(node_type: str | None) -> NodeSpecification:
    """Return a specification for a node that is refused, so that its neighbours are checked."""
    trigger = node_type == "TRIGGER"
    return NodeSpecification(
        node_type="TRIGGER" if trigger else "FLOW",
        subtype="",
        summary="A node that cannot be run.",
        place="trigger" if trigger else "inline",
        version=2**31 - 1,
    )


def _edges(top: Reader, nodes: tuple[Node, ...]) -> tuple[Edge, ...]:
    entries = top.entries("connections")
    if len(entries) > CONNECTIONS_MAX:
        top.error(
            "too_many_connections",
            "connections",
            f"there are {len(entries):,} connections, at most {CONNECTIONS_MAX:,} are allowed; "
            "split the workflow",
        )
        return ()
    return read_edges(top, entries, nodes)


def _shape_fault(value: Any) -> tuple[str, str, str] | None:
    """Return what is wrong with the nesting or the keys; looks without recursion."""
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        if isinstance(each, dict):
            entries = cast("dict[Any, Any]", each)
            if not all(isinstance(key, str) for key in entries):
                return "not_json", "", "a key is no text; put keys that are numbers in quotes"
            below: Iterable[Any] = entries.values()
        elif isinstance(each, list):
            below = cast("list[Any]", each)
        else:
            continue
        if depth > DEPTH_MAX:
            text = f"objects and lists are nested deeper than {DEPTH_MAX} levels; make it flatter"
            return "definition_too_deep", "", text
        waiting.extend((part, depth + 1) for part in below)
    return None
