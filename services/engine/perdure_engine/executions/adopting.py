"""Which finished runs of an execution another one may take over, and how they travel. Pure.

What is looked at are units: a node, or a region with all that is in it, which is adopted whole or
not at all. A unit is adopted if it was finished, if it is defined the same in the version that
runs, and if all units before it are adopted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from perdure_common.ids import sha256_of_json
from perdure_contracts.control import AdoptRuns
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.files import FilesByItem
from perdure_contracts.message import Json

from perdure_engine.definition import Node, Workflow
from perdure_engine.definition.region import BODY_PORTS, TOP

from .ending import in_failed_iteration
from .files_of_items import files_by_item
from .finishing import encoded_bytes
from .state import Execution, place_of, raced
from .views import gather

PART_BYTES_MAX = 500_000
"""What one message with several adopted runs may have, as JSON."""

RUN_BYTES_MAX = 800_000
"""What one adopted run may have, as JSON: it travels in a message of its own."""

FOREACH_BODY = BODY_PORTS["foreach"]

PARTS_MAX = 900
"""How many messages one event may send is bounded; so is what can be adopted."""

COSMETIC = ("position_x", "position_y", "notes", "description", "max_retries", "retry_wait_time",
            "timeout_s", "run_in", "failure_type")  # fmt: skip
"""Keys of a node that change nothing about what it emits."""


Prints: TypeAlias = Mapping[str, str]
"""The fingerprint of each node of a definition, by its id."""


DROPPED = {
    "error": {"type": "failed_before", "message": "it failed in the execution before this one"}
}
"""What stands for the error of an item that was dropped: nobody asks why."""


def unit_of(workflow: Workflow, node: Node) -> str:
    """Return the unit of a node: itself, or the entry of the outermost region that it is in."""
    regions = workflow.regions
    number = regions.runs_in[node.position]
    own = regions.opens[node.position]
    if number == TOP and own != TOP:
        number = own
    found = node
    while number != TOP:
        region = regions.regions[number]
        found, number = workflow.nodes[region.entry], region.parent
    return found.node_id


def units(workflow: Workflow) -> Mapping[str, list[Node]]:
    """Return the nodes of each unit."""
    found: dict[str, list[Node]] = {}
    for node in workflow.nodes:
        found.setdefault(unit_of(workflow, node), []).append(node)
    return found


def adoptable(
    state: Execution,
    old: Workflow,
    new: Workflow,
    prints: tuple[Prints, Prints] | None,
    without: str,
) -> tuple[str, ...]:
    """Return the units that a new execution may adopt, in the order of the file.

    `without` is a unit from which on nothing is adopted; empty for none. `prints` are the
    fingerprints of the nodes in both definitions, None where they are the same version.
    """
    before, after = units(old), units(new)
    kept: dict[str, None] = {}
    for unit, nodes in before.items():
        same = prints is None or _same(nodes, after.get(unit, ()), prints)
        if unit != without and same and _finished(state, old, unit, nodes):
            kept[unit] = None
    changed = True
    while changed:
        changed = False
        for unit in list(kept):
            before_it = _units_before(new, unit, after[unit])
            lost = raced(state, unit) and not _race_of(state, new, unit) & kept.keys()
            if lost or any(each not in kept for each in before_it):
                del kept[unit]
                changed = True
    return tuple(kept)


def fingerprints(definition: Json) -> Prints:
    """Return what tells the nodes of a definition apart: their parameters, and what leads there."""
    into: dict[str, list[Json]] = {}
    for connection in cast("list[Any]", definition.get("connections") or []):
        told = {key: value for key, value in connection.items() if key != "label"}
        into.setdefault(connection["target_node_id"], []).append(told)
    found: dict[str, str] = {}
    for node in cast("list[Any]", definition["nodes"]):
        told = {key: value for key, value in node.items() if key not in COSMETIC}
        found[node["node_id"]] = sha256_of_json([told, into.get(node["node_id"], [])])
    return found


def _same(old: Iterable[Node], new: Iterable[Node], prints: tuple[Prints, Prints]) -> bool:
    before = {node.node_id: prints[0][node.node_id] for node in old}
    return before == {node.node_id: prints[1][node.node_id] for node in new}


def _race_of(state: Execution, workflow: Workflow, unit: str) -> set[str]:
    """Return the races that were won without a unit: if none is adopted, it is run once more."""
    found = set[str]()
    guard = workflow.races.guards.get(workflow.by_id[unit].position)
    while guard is not None:
        race = workflow.nodes[guard].node_id
        run = state.runs.get(race)
        if run is not None and run.status == "SUCCESS":
            found.add(race)
        guard = workflow.races.guards.get(guard)
    return found


def _units_before(workflow: Workflow, unit: str, nodes: Iterable[Node]) -> Iterable[str]:
    for node in nodes:
        for edge in workflow.in_edges(node):
            source = unit_of(workflow, workflow.nodes[edge.source])
            if source != unit:
                yield source


def _finished(state: Execution, workflow: Workflow, unit: str, nodes: list[Node]) -> bool:
    """Return whether all that a unit had to do is done; a trigger that did not fire has nothing."""
    entry = workflow.by_id[unit]
    run = state.runs.get(unit)
    if raced(state, unit):
        return True  # a race was won without it: there is nothing of it to do
    if len(nodes) == 1 and workflow.region_of(entry) is None:
        if run is None:
            return entry.is_trigger
        return run.status in ("SUCCESS", "SKIPPED")
    if unit not in state.over or unit in state.rounds:
        return False
    if run is not None and run.status not in ("SUCCESS", "SKIPPED"):
        return False
    inside = {node.node_id for node in nodes}
    return all(
        each.status in ("SUCCESS", "SKIPPED") or in_failed_iteration(state, each)
        for each in state.runs.values()
        if each.node_id in inside
    )


# How they travel --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Places:
    """Which runs travel: all ports of `runs`, of `ends` those on which a LOOP or FOREACH ends.

    `failed` are FOREACHs of which single iterations had failed. Of `skipped` runs and of the
    `regions` before races is told only that they were.
    """

    runs: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


def places_of(state: Execution, workflow: Workflow, adopted: Iterable[str]) -> Places:
    """Return the places of the runs of adopted units."""
    wanted = set(adopted)
    runs, ends, failed = list[str](), list[str](), list[str]()
    skipped, regions = list[str](), list[str]()
    for place, run in state.runs.items():
        node = workflow.by_id[run.node_id]
        if node.is_trigger or unit_of(workflow, node) not in wanted:
            continue
        if in_failed_iteration(state, run):
            continue
        if run.status == "SKIPPED" and gather(state, workflow, node, run.scope)[1]:
            skipped.append(place)  # by a person: something had arrived
        elif run.status != "SUCCESS":
            continue
        elif not node.body_ports:
            runs.append(place)
        elif _ends_only(state, place):
            ends.append(place)
    ending = frozenset(ends)
    for place, over in state.over.items():
        inside = unit_of(workflow, workflow.by_id[over.node_id]) in wanted
        stopped = raced(state, place)
        if not inside or stopped or place in ending:
            continue
        if over.failed:
            failed.append(place)
        if workflow.by_id[over.node_id].position in workflow.races.guards:
            regions.append(place)
    return Places(tuple(runs), tuple(ends), tuple(failed), tuple(skipped), tuple(regions))


def parts_of(state: Execution, places: Places, to: str) -> list[AdoptRuns]:
    """Return the messages with runs for an execution, each small enough to be sent."""
    parts: list[dict[str, Any]] = [{"runs": {}, "failed": {}}]
    size = 0
    for kind, place, value in _entries(state, places):
        more = (encoded_bytes(value) or 0) + len(place)
        if size and size + more > PART_BYTES_MAX:
            parts.append({"runs": {}, "failed": {}})
            size = 0
        parts[-1][kind][place] = value
        size += more
    parts[0] |= {"skipped": places.skipped, "regions": places.regions}
    if not any(parts[0].values()):
        return []
    return [
        AdoptRuns(execution_id=to, of=state.execution_id, part=n, **part)
        for n, part in enumerate(parts)
    ]


def oversized(state: Execution, places: Places) -> str | None:
    """Return the place of a run that is too large for a message, None if all of them fit."""
    for _, place, value in _entries(state, places):
        if (encoded_bytes(value) or 0) > RUN_BYTES_MAX:
            return place
    return None


def _entries(state: Execution, places: Places) -> Iterable[tuple[str, str, Any]]:
    for place in places.runs:
        yield "runs", place, state.runs[place].ports
    for place in places.ends:
        ports = state.runs[place].ports
        yield "runs", place, {port: ports[port] for port in ports if port != FOREACH_BODY}
    for place in places.failed:
        yield "failed", place, _failures(state, place)


def _failures(state: Execution, place: str) -> dict[str, tuple[str, ErrorFacts]]:
    """Return why iterations of a FOREACH had failed: what it collected of them tells it."""
    over, run = state.over[place], state.runs[place]
    done: Any = run.ports.get("done", ())
    collected: dict[Any, Any] = {item.get("source"): item["json"] for item in done}
    found: dict[str, tuple[str, ErrorFacts]] = {}
    for k in over.failed:
        error = cast("dict[str, Any]", (collected.get(k) or DROPPED)["error"])
        facts = ErrorFacts(type=error["type"], message=error["message"], stage="node")
        found[str(k)] = (error.get("node", over.node_id), facts)
    return found


def _ends_only(state: Execution, place: str) -> bool:
    """Return whether of a LOOP or FOREACH its run is adopted, not its iterations.

    It had none, because it was pinned, disabled or settled by hand; or all of them failed.
    """
    over = state.over.get(place)
    return over is not None and len(over.failed) == over.iterations


def trigger_data(state: Execution) -> Json:
    """Return the data with which an execution was started, as its trigger emitted it."""
    run = state.runs.get(place_of(state.trigger_node_id, ()))
    if run is None:
        return []
    return [item["json"] for items in run.ports.values() for item in items]


def trigger_files(state: Execution) -> FilesByItem | None:
    """Return the files of the items with which an execution was started."""
    run = state.runs.get(place_of(state.trigger_node_id, ()))
    if run is None or not state.files:
        return None
    return files_by_item(item for items in run.ports.values() for item in items)
