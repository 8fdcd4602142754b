"""Pinned data: what nodes emit instead of running, in MANUAL and test runs (rule 34).

`{node_id: {ports: {port: [data, …]}, fail: {attempts, type, retryable, items}}}`; a list alone is
what leaves on the node's first port. A test run may add `files: {port: {"0": {name: file}}}`, those
of the items of a port by their places. `fail` lets attempts fail before that: the first `attempts`
(all, if it is left out), for the items named by their places (all, if they are left out).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from perdure_contracts.message import Json

from .model import Node, Workflow
from .problems import Found

KEYS = ("ports", "fail", "files")
FAIL_KEYS = ("attempts", "type", "retryable", "items")
ATTEMPTS_MAX = 1_000_000


@dataclass(frozen=True)
class PinFault:
    """What is wrong with pinned data, and where below it."""

    path: str
    message: str
    node_id: str


def pins_of(workflow: Workflow, more: Json = None) -> dict[str, Json]:
    """Return what is pinned in a workflow, and what a test run adds, by node, all in one form."""
    pins: dict[str, Json] = {}
    for given in (workflow.pin_data, more):
        for node_id, pin in cast("dict[str, Any]", given or {}).items():
            node = workflow.by_id.get(node_id)
            if node is not None:
                pins[node_id] = {"ports": {node.end_outputs[0]: pin}} if _is_list(pin) else pin
    return pins


def check_pins(workflow: Workflow, found: Found) -> None:
    """Note what is wrong with a definition's pinned data."""
    for fault in pin_faults(workflow, workflow.pin_data, files=False):
        found.error("invalid_pin_data", f"pin_data{fault.path}", fault.message, fault.node_id)


def pin_faults(workflow: Workflow, pins: Json, *, files: bool = True) -> Iterable[PinFault]:
    """Yield what is wrong with pinned data, in which there may be `files` or not."""
    if pins is None:
        return
    if not isinstance(pins, dict):
        yield PinFault("", "pinned data must be an object by node id", "")
        return
    for node_id, pin in cast("dict[str, Any]", pins).items():
        path, node = f".{node_id}", workflow.by_id.get(node_id)
        if node is None:
            yield PinFault(path, f"there is no node {node_id!r}; name one of the file", node_id)
        elif not _is_list(pin):
            yield from _faults_of(node, path, pin)
            if isinstance(pin, dict) and "files" in pin and not files:
                text = "a definition keeps no files; give them to a test run, with its pin_data"
                yield PinFault(f"{path}.files", text, node_id)


def _faults_of(node: Node, path: str, pin: Any) -> Iterable[PinFault]:
    fields = _object(pin)
    if fields is None or not fields or not set(fields) <= set(KEYS):
        yield PinFault(
            path, "a pin is a list of data, or an object with ports, files or fail", node.node_id
        )
        return
    ports = _object(fields.get("ports", {}))
    if ports is None or not all(_is_list(items) for items in ports.values()):
        yield PinFault(f"{path}.ports", "ports must be {port: [data, …]}", node.node_id)
        return
    known = (*node.end_outputs, "error")
    for port in ports:
        if port not in known:
            text = f"{node.node_id!r} has no port {port!r}; it has {', '.join(known)}"
            yield PinFault(f"{path}.ports.{port}", text, node.node_id)
    if "fail" in fields and not _sound_failure(fields["fail"]):
        text = (
            "fail must be an object with some of attempts (1 or more), type (a text), retryable "
            "(true or false) and items (a list of places)"
        )
        yield PinFault(f"{path}.fail", text, node.node_id)


def _sound_failure(fail: Any) -> bool:
    fields = _object(fail)
    if fields is None or not set(fields) <= set(FAIL_KEYS):
        return False
    attempts, items = fields.get("attempts", 1), fields.get("items", [])
    return (
        isinstance(attempts, int)
        and not isinstance(attempts, bool)
        and 1 <= attempts <= ATTEMPTS_MAX
        and isinstance(fields.get("type", ""), str)
        and isinstance(fields.get("retryable", False), bool)
        and _is_list(items)
        and all(isinstance(each, int) and not isinstance(each, bool) for each in items)
    )


def _object(value: Any) -> Mapping[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
