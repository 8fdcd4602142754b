"""Nodes that need not run: what they emit was pinned, or is adopted from another execution. Pure.

An adopted run ends with exactly what it emitted there. A pinned one emits what was pinned; where
the pin lets attempts fail, these are made as any others, but nobody is sent a task: they are
answered on the spot.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from perdure_contracts.engine import ErrorFacts, NodeResult, Scope
from perdure_contracts.message import Json

from perdure_engine.definition import Node
from perdure_engine.nodes.base import ERROR, Inputs, Item, Outcome
from perdure_engine.nodes.errors import Arranged

from .conditions import pick
from .files_of_items import with_files
from .finishing import Ended, complete, finish
from .progress import Progress
from .state import Execution, place_of
from .views import RunView, gathered_by

Edges = tuple[tuple[int, str], ...]


def is_given(state: Execution, node: Node, scope: Scope) -> bool:
    """Return whether a node's outcome is known without running it."""
    given = state.given
    if given is None:
        return False
    place = place_of(node.node_id, scope)
    if place in given.runs or place in given.skipped:
        return True
    pin = given.pins.get(node.node_id)
    return pin is not None and ("fail" not in pin or not _by_attempts(node))


def was_skipped(state: Execution, place: str) -> bool:
    """Return whether a person had skipped the run in the execution that it is adopted from."""
    return state.given is not None and place in state.given.skipped


def mocked(state: Execution, node: Node) -> Json:
    """Return the pin by which a node's attempts are answered, None if a runner does it."""
    pin = None if state.given is None else state.given.pins.get(node.node_id)
    return pin if pin is not None and "fail" in pin and _by_attempts(node) else None


def adopted_failure(state: Execution, place: str, k: int) -> tuple[str, ErrorFacts] | None:
    """Return the node and the error by which an adopted iteration of a FOREACH had failed."""
    if state.given is None:
        return None
    return state.given.failed.get(place, {}).get(str(k))


def take(
    progress: Progress, node: Node, scope: Scope, run: int, inputs: Inputs, edges: Edges
) -> None:
    """End the run of a node with the outcome that is given."""
    state, workflow = progress.state, progress.workflow
    assert state.given is not None
    _, where = gathered_by(workflow, node, scope)
    view = RunView(state, workflow, scope, inputs, edges, progress.now, where)
    ended = Ended(node, scope, run, inputs, edges)
    ports = state.given.runs.get(place_of(node.node_id, scope))
    if ports is None:
        finish(progress, ended, _pinned(state.given.pins[node.node_id], inputs), view)
        return
    errors, handled = _handled(node, ports)
    conditional = workflow.conditional_edges(node)
    arranged = Arranged(
        {port: items for port, items in ports.items() if port != ERROR or _on_port(node)},
        errors,
        handled=handled,
    )
    picks = pick(conditional, arranged.ports, view, node.node_id) if conditional else None
    complete(progress, ended, arranged, picks)


def _by_attempts(node: Node) -> bool:
    """Return whether a node's run has attempts: those of a runner."""
    return node.specification.place == "runner" and not node.disabled


# Adopted ----------------------------------------------------------------------------------


def _on_port(node: Node) -> bool:
    return node.error_handling == "CONTINUE_ERROR_OUTPUT_ON_ERROR"


def _handled(
    node: Node, ports: Mapping[str, Sequence[Item]]
) -> tuple[list[Item], tuple[tuple[int, ErrorFacts], ...]]:
    """Return the error items of an adopted run, and the failures that it had handled."""
    if node.error_handling == "STOP_WORKFLOW_ON_ERROR":
        return [], ()
    errors = list(ports.get(ERROR, ()))
    found = errors or [
        item
        for items in ports.values()
        for item in items
        if _error_of(item).get("node") == node.node_id
    ]
    handled: list[tuple[int, ErrorFacts]] = []
    for place, item in enumerate(found):
        error, source = _error_of(item), item.get("source", place)
        index = source if isinstance(source, int) else (source or [place])[0]
        facts = ErrorFacts(type=str(error.get("type")), message=str(error.get("message")))
        handled.append((index, facts))
    return errors, tuple(handled)


def _error_of(item: Item) -> Mapping[str, Any]:
    json = item["json"]
    error = cast("dict[str, Any]", json).get("error") if isinstance(json, dict) else None
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {}


# Pinned -----------------------------------------------------------------------------------


def _pinned(pin: Json, inputs: Inputs) -> Outcome:
    """Return what a pin lets a node emit; an item pairs with the input item at its place."""
    count = len(inputs.items)
    if "fail" in pin:
        failed = _failures(pin["fail"], range(count))
        return Outcome(ports={}, failed=tuple(sorted(failed.items(), key=lambda each: each[0])))
    ports = {
        port: with_files(
            [_item(data, at, count) for at, data in enumerate(items)],
            pin.get("files", {}).get(port),
        )
        for port, items in pin.get("ports", {}).items()
    }
    return Outcome(ports={port: items for port, items in ports.items() if items})


def _item(data: Json, at: int, count: int) -> Item:
    json = cast("dict[str, Any]", data) if isinstance(data, dict) else {"value": data}
    return {"json": json} if at < count else {"json": json, "source": []}


def _failures(fail: Json, indexes: Sequence[int]) -> dict[int, ErrorFacts]:
    places = frozenset(fail.get("items") or indexes)
    error = ErrorFacts(
        type=fail.get("type", "mocked"),
        message="the pinned data of the node lets it fail",
        retryable=fail.get("retryable", False),
        stage="mock",
    )
    return {index: error for index in indexes if index in places}


def mock_answer(pin: Json, execution_id: str, token: str, attempt: int, indexes: Sequence[int],
                items: Sequence[Json]) -> NodeResult:  # fmt: skip
    """Return the answer of nobody to an attempt of a node that is mocked."""
    fail = pin["fail"]
    failed: dict[int, ErrorFacts] = {}
    if attempt <= fail.get("attempts", attempt):
        failed = _failures(fail, indexes)
    ports: dict[str, list[Any]] = {}
    for port, data in (pin.get("ports") or {"main": items}).items():
        made: list[Item] = [{"json": each} for each in data]
        made = with_files(made, pin.get("files", {}).get(port))
        ports[port] = [
            made[index] if index < len(made) and index not in failed else None for index in indexes
        ]
    told = tuple((at, failed[index]) for at, index in enumerate(indexes) if index in failed)
    return NodeResult(
        execution_id=execution_id,
        token=token,
        outcome="failed" if told else "completed",
        ports=ports,
        failed=told,
        error=told[0][1] if told else None,
        runner="mock",
    )
