"""What differs between two definitions, node by node and edge by edge. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

Change = dict[str, Any]
"""`{path, change, before, after}`; change is `added`, `removed` or `changed`."""

EDGE_DEFAULTS = {"source_port": "main", "target_port": "main", "connection_type": "MAIN"}
"""What a connection has that does not say otherwise."""


def differences(before: Any, after: Any) -> list[Change]:
    """Return what differs, in the order of settings, nodes, connections.

    Nodes are matched by `node_id` and connections by their ends, so that moving a node to
    another place in the file is no difference.
    """
    old, new = _mapping(before), _mapping(after)
    found: list[Change] = []
    for key in _keys(old, new, ("nodes", "connections")):
        found += _compared(key, old.get(key), new.get(key))
    found += _matched("nodes", _nodes(old), _nodes(new))
    found += _matched("connections", _edges(old), _edges(new))
    return found


def line(change: Change) -> str:
    """Return a change as a line: sign, place, what it was and what it is."""
    path = change["path"]
    match change["change"]:
        case "added":
            return f"+ {path}: {_short(change['after'])}"
        case "removed":
            return f"- {path}: {_short(change['before'])}"
        case _:
            return f"~ {path}: {_short(change['before'])} → {_short(change['after'])}"


def _matched(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    found: list[Change] = []
    for key in _keys(old, new):
        found += _compared(f"{name}[{key}]", old.get(key), new.get(key))
    return found


def _compared(path: str, old: Any, new: Any) -> list[Change]:
    """Return the differences of two values, as deep as both are objects."""
    if old == new:
        return []
    if old is None or new is None:
        kind = "added" if old is None else "removed"
        return [{"path": path, "change": kind, "before": old, "after": new}]
    if isinstance(old, dict) and isinstance(new, dict):
        first, second = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        parts = [
            _compared(f"{path}.{key}", first.get(key), second.get(key))
            for key in _keys(first, second)
        ]
        return [change for part in parts for change in part]
    return [{"path": path, "change": "changed", "before": old, "after": new}]


def _nodes(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {str(node.get("node_id")): node for node in _list(definition.get("nodes"))}


def _edges(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the connections by their ends: `a.true>b`, as one would say them."""
    found: dict[str, Any] = {}
    for each in _list(definition.get("connections")):
        edge = {**EDGE_DEFAULTS, **each}
        ports = {name: _port(edge[name]) for name in ("source_port", "target_port")}
        source = f"{edge.get('source_node_id')}{_named(ports['source_port'])}"
        target = f"{edge.get('target_node_id')}{_named(ports['target_port'])}"
        kind = "" if edge["connection_type"] == "MAIN" else f" {edge['connection_type']}"
        found[f"{source}>{target}{kind}"] = {**edge, **ports}
    return found


def _port(value: Any) -> str:
    """Return a port's name: YAML makes booleans of `true` and `false`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _named(port: str) -> str:
    return "" if port == "main" else f".{port}"


def _keys(old: Mapping[str, Any], new: Mapping[str, Any], without: Iterable[str] = ()) -> list[str]:
    return [key for key in dict.fromkeys((*old, *new)) if key not in without]


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    each = cast("list[Any]", value if isinstance(value, list) else [])
    return [cast("dict[str, Any]", item) for item in each if isinstance(item, dict)]


def _short(value: Any, length: int = 120) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= length else f"{text[: length - 1]}…"
