"""Settling a node by hand: done with data, or skipped. Pure.

It is for what no attempt can settle: an effect that a person has looked after, a step that is
not wanted this time. Whatever the node's attempt answers afterwards is stale.
"""

from typing import Any, cast

from perdure_common.decider import Rejected
from perdure_contracts.control import MarkNode, NodeMarked
from perdure_contracts.message import Json

from perdure_engine.definition import Node, Workflow
from perdure_engine.nodes.base import Inputs, Item, Outcome, passed_through

from .asks import drop_asks
from .beginning import items_of_trigger
from .ending import end_wait
from .files import refer_files, with_files
from .finishing import Ended, encoded_bytes, finish
from .given_files import files_fault
from .progress import Progress
from .revival import again_at, open_again, revive
from .rounds import pass_by
from .running import skip
from .state import Execution, is_open, place_of
from .views import RunView, gather, gathered_by

DATA_BYTES_MAX = 600_000
"""What a person may give a node, as JSON: it comes in one message."""


def bad_mark(state: Execution, workflow: Workflow, command: MarkNode) -> Rejected | None:
    """Return why a node cannot be settled by hand, None if it can."""
    place = place_of(command.node_id, command.scope)
    run = state.runs.get(place)
    waits = place in state.open if is_open(state) else again_at(state, place)
    here = open_again(state, command.node_id, command.scope) == (command.node_id, command.scope)
    if run is None or not waits or (not is_open(state) and not here):
        status = "has no run" if run is None else f"is {run.status}"
        return Rejected(
            f"node {command.node_id!r} {status} there; only a run that is under way, waits, or has "
            "ended with ERROR or CANCELED can be marked",
            "not_markable",
        )
    if place in state.rounds:
        return Rejected(
            f"{command.node_id!r} is a loop that goes round; mark the node inside it that is stuck",
            "not_markable",
        )
    node = workflow.by_id[command.node_id]
    if command.files:
        none = command.outcome == "skipped" or command.data is None
        made = {} if none else _made(node, command.data)
        fault = files_fault(command.files, sum(map(len, made.values())))
        if fault is not None:
            return Rejected(fault, "invalid_files")
    if command.outcome == "skipped":
        return None
    return _bad_data(node, command.data)


def mark(progress: Progress, command: MarkNode) -> None:
    """End the run of a node as a person says."""
    node, scope = progress.workflow.by_id[command.node_id], command.scope
    place = place_of(command.node_id, scope)
    began = progress.state.runs[place]
    number, known = began.run, began.dispatch
    if progress.state.flow is not None and place in progress.state.flow.waits:
        end_wait(progress, place, "canceled")
    if known is not None and known.asks:
        drop_asks(progress, began, "a person settled the node")
    if not is_open(progress.state):
        revive(progress, command.node_id, scope, command.asked_by, without=place)
        number, known = number + 1, None
    progress.record(
        NodeMarked(
            execution_id=progress.state.execution_id,
            node_id=node.node_id,
            scope=scope,
            run=number,
            outcome=command.outcome,
            reason=command.reason,
            asked_by=command.asked_by,
            token="" if known is None else known.token,
            claimed=known is not None and bool(known.token) and known.claimed,
            failure_id="" if known is None else known.failure_id,
            held_since="" if known is None else known.held_since,
        )
    )
    if command.outcome == "skipped":
        skip(progress, node, scope, number)
    else:
        state, workflow = progress.state, progress.workflow
        inputs, edges = gather(state, workflow, node, scope)
        _, where = gathered_by(workflow, node, scope)
        view = RunView(state, workflow, scope, inputs, edges, progress.now, where)
        ended = Ended(node, scope, number, inputs, edges, began if number == began.run else None)
        refer_files(progress, node.node_id, command.files)
        finish(progress, ended, _outcome(node, command, inputs), view)
    region = progress.workflow.region_of(node)
    if region is not None and region.body:
        pass_by(progress, node, region, scope)


def _outcome(node: Node, command: MarkNode, inputs: Inputs) -> Outcome:
    """Return what the node emits: what the person gave, or what arrived where that is nothing."""
    if command.data is None:
        return passed_through(node.end_outputs, inputs)
    made = _made(node, command.data)
    if command.files:
        files, first = command.files, 0
        for port, items in made.items():
            here = {
                str(place): files[str(place + first)]
                for place in range(len(items))
                if str(place + first) in files
            }
            first += len(items)
            made[port] = with_files(items, here)
    return Outcome(ports={port: items for port, items in made.items() if items})


def _made(node: Node, data: Json) -> dict[str, list[Item]]:
    """Return the items that a person gave, by port."""
    ports = _ports(data)
    if ports is None:
        return {node.end_outputs[0]: items_of_trigger(data)}
    return {port: [_item(each) for each in items] for port, items in ports.items()}


def _item(data: Json) -> Item:
    return {"json": data if isinstance(data, dict) else {"value": data}}


def _ports(data: Json) -> dict[str, list[Json]] | None:
    """Return the ports that the data names, None where it names none."""
    fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    ports = fields.get("ports")
    if set(fields) != {"ports"} or not isinstance(ports, dict):
        return None
    named = cast("dict[str, Any]", ports)
    return named if all(isinstance(each, list) for each in named.values()) else None


def _bad_data(node: Node, data: Json) -> Rejected | None:
    unknown = sorted(set(_ports(data) or {}) - set(node.end_outputs))
    if unknown:
        return Rejected(
            f"node {node.node_id!r} has no port {unknown[0]!r}; it has "
            f"{', '.join(map(repr, node.end_outputs))}",
            "unknown_port",
        )
    size = encoded_bytes(data)
    if size is None or size > DATA_BYTES_MAX:
        return Rejected(
            f"the data has {size or 0:,} bytes, at most {DATA_BYTES_MAX:,} are allowed; give "
            "fewer items, or a reference",
            "data_too_large",
        )
    return None
