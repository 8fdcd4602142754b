"""What lies between nodes and connections: cycles, references, inputs, and warnings."""

from collections.abc import Iterator

from perdure_engine.expressions import Compiled
from perdure_engine.nodes.base import ERROR

from .model import Node, Workflow
from .parsing import Parsed
from .pins import check_pins
from .problems import Found, listed
from .races import RACES_MAX, races_of
from .region import TOP
from .regions import DEPTH_MAX

PATH_BYTES_MAX = 150
"""How long a path below a parameter may be to be told: keys may be as long as the definition is,
and warnings are kept beside it in one message."""


def check(parsed: Parsed, found: Found) -> None:
    """Note what is wrong, or worth a warning, between the parts of a workflow."""
    workflow = parsed.workflow
    _check_cycles(parsed, found)
    _check_references(parsed, found)
    _check_inputs(parsed, found)
    _check_races(parsed, found)
    if workflow.nodes and not workflow.triggers:
        found.warning(
            "no_trigger",
            "nodes",
            "no enabled node is a TRIGGER; add one before the workflow is deployed or run",
        )
    _warn_of_nodes(parsed, found)
    _warn_of_edges(parsed, found)
    _warn_of_expressions(parsed, found)
    if not parsed.cycles:
        _check_max_iterations(parsed, found)
        _warn_of_regions(parsed, found)
    check_pins(workflow, found)


def _path(parsed: Parsed, node: Node) -> str:
    return f"nodes[{parsed.places[node.position]}]"


CYCLES = {
    "cycle_without_entry": "the nodes {nodes} form a cycle that nothing leads into; connect what "
    "comes before to one of them",
    "cycle_with_entries": "the cycle of {nodes} is entered at more than one node; let every "
    "connection from outside lead to the same one",
    "loop_not_entry": "the body of {nodes} leads back to an earlier node of a cycle; let it lead "
    "back to the loop itself, and go on from `done`",
    "done_leads_back": "`done` and `error` of {nodes} lead back to it; only its body may",
    "entry_not_possible": "{nodes} cannot be where a cycle is entered, because it does not wait "
    "for all its inputs; put a NOOP before it, and lead back to that",
    "nested_too_deep": f"loops lie in loops more than {DEPTH_MAX} deep, at {{nodes}}; call a "
    "workflow of its own instead",
}
"""What is said of a cycle that cannot be run, by its code."""


def _check_cycles(parsed: Parsed, found: Found) -> None:
    workflow = parsed.workflow
    for fault in parsed.cycles:
        first = workflow.nodes[fault.nodes[0]]
        places = sorted(workflow.edges[index].place for index in fault.edges)
        path = f"connections[{places[0]}]" if places else _path(parsed, first)
        names = listed([workflow.nodes[position].node_id for position in fault.nodes])
        text = CYCLES[fault.code].format(nodes=names)
        if len(places) > 1:
            text += f" (connections {listed([str(place) for place in places])})"
        found.error(fault.code, path, text, first.node_id)


def _check_max_iterations(parsed: Parsed, found: Found) -> None:
    """Refuse `max_iterations` where no cycle is entered: there it would bind nothing."""
    workflow = parsed.workflow
    for node in workflow.nodes:
        region = workflow.region_of(node)
        if node.max_iterations is not None and (region is None or region.kind != "cycle"):
            found.error(
                "no_cycle_entered",
                f"{_path(parsed, node)}.parameters.max_iterations",
                "`max_iterations` stands in the node at which a cycle is entered, and this is "
                "none; move it there, or take it away",
                node.node_id,
            )


def _warn_of_regions(parsed: Parsed, found: Found) -> None:
    workflow = parsed.workflow
    back = {index for region in workflow.regions.regions for index in region.back}
    for region in workflow.regions.regions:
        entry = workflow.nodes[region.entry]
        if region.body and not region.back:
            found.warning(
                "no_way_back",
                _path(parsed, entry),
                f"nothing leads back to this {entry.node_subtype}, so nothing leaves on `done`; "
                "connect the end of its body to it",
                entry.node_id,
            )
    for edge in sorted(workflow.edges, key=lambda each: each.place):
        if workflow.regions.leaves[edge.index] != TOP and edge.index not in back:
            found.warning(
                "leaves_region",
                f"connections[{edge.place}]",
                "this connection leads out of a loop: it waits for the loop's end and carries the "
                "items of all iterations",
                workflow.nodes[edge.source].node_id,
            )


def _check_references(parsed: Parsed, found: Found) -> None:
    for compiled, place, name, node_id in _expressions(parsed):
        path = f"{place}.{name}"
        _check_names(parsed.workflow, compiled, path, node_id, found)
        if compiled.references.uses_context:
            found.error(
                "context_not_supported",
                path,
                "`$context` is what context providers give, which this version does not run; take "
                "it out of the expression",
                node_id,
            )


def _expressions(parsed: Parsed) -> Iterator[tuple[Compiled, str, str, str | None]]:
    """Yield all that was compiled: its place, its path there, and the node that it belongs to."""
    workflow = parsed.workflow
    for node in workflow.nodes:
        for name, compiled in node.compiled.items():
            if name in node.parameters:  # an agent's tools are parameters of their own nodes
                yield compiled, f"{_path(parsed, node)}.parameters", name, node.node_id
    for edge in workflow.edges:
        if edge.condition is not None:
            yield edge.condition, f"connections[{edge.place}]", "conditions.condition", None
    if workflow.settings.concurrency is not None:
        yield workflow.settings.concurrency.key, "settings.concurrency", "key", None


def _check_names(
    workflow: Workflow, compiled: Compiled, path: str, node_id: str | None, found: Found
) -> None:
    for name in sorted(compiled.references.nodes):
        if workflow.find(name) is None:
            hint = found.did_you_mean(name, workflow.by_name)
            found.error(
                "unknown_node",
                path,
                f"an expression asks for $({name!r}), but there is no such node; {hint}",
                node_id,
            )


def _check_inputs(parsed: Parsed, found: Found) -> None:
    workflow = parsed.workflow
    for node in workflow.nodes:
        for fault in node.specification.check_inputs(node.parameters, workflow.inputs_of(node)):
            found.error(
                fault.code,
                f"{_path(parsed, node)}.parameters.{fault.path}",
                fault.message,
                node.node_id,
            )


def _check_races(parsed: Parsed, found: Found) -> None:
    races = races_of(parsed.workflow.nodes)
    if len(races) > RACES_MAX:
        node = parsed.workflow.nodes[races[RACES_MAX]]
        found.error(
            "too_many_races",
            _path(parsed, node),
            f"there are {len(races):,} RACE nodes, at most {RACES_MAX} are allowed; "
            "call workflows of their own",
            node.node_id,
        )


def _warn_of_nodes(parsed: Parsed, found: Found) -> None:
    workflow = parsed.workflow
    had = {node_id for having in workflow.attachments.values() for node_id in having}
    for node in workflow.nodes:
        path = _path(parsed, node)
        if node in workflow.unreachable:
            found.warning(
                "never_runs", path, "nothing leads to this node; connect it", node.node_id
            )
        if (
            node.error_handling == "CONTINUE_ERROR_OUTPUT_ON_ERROR"
            and not node.is_trigger
            and not workflow.has_error_edge(node)
        ):
            found.warning(
                "error_output_unconnected",
                f"{path}.error_handling",
                "no connection leaves on `error`, so an error stops the execution; connect it",
                node.node_id,
            )
        if node.specification.place == "attached" and node.node_id not in had:
            text = "no agent has this node; connect it to one by AI_TOOL"
            found.warning("not_attached", path, text, node.node_id)
        if node.credentials:
            found.warning(
                "not_acted_on",
                f"{path}.credentials",
                "`credentials` are kept, and not used; name one as the parameter `credential`",
                node.node_id,
            )


def _warn_of_edges(parsed: Parsed, found: Found) -> None:
    workflow = parsed.workflow
    for edge in sorted(workflow.edges, key=lambda each: each.place):
        source = workflow.nodes[edge.source]
        if edge.source_port != ERROR or source.is_trigger:
            continue
        needed = ["CONTINUE_ERROR_OUTPUT_ON_ERROR"]
        if edge.connection_type == "ERROR":
            needed.append("CONTINUE_REGULAR_OUTPUT_ON_ERROR")
        if edge.connection_type == "SUCCESS" or source.error_handling not in needed:
            found.warning(
                "never_live",
                f"connections[{edge.place}]",
                f"nothing can ever leave here: set `error_handling` of {source.node_id!r} to "
                f"{' or '.join(needed)}, or take the connection away",
                source.node_id,
            )


def _warn_of_expressions(parsed: Parsed, found: Found) -> None:
    """Tell what is allowed and probably not meant; the trees were made when they were compiled."""
    for compiled, place, name, node_id in _expressions(parsed):
        for expression in compiled.expressions():
            long = len(expression.path.encode("utf-8", "replace")) > PATH_BYTES_MAX
            for doubt in expression.doubts():
                found.warning(
                    doubt.code,
                    f"{place}.{name if long else expression.path}",
                    f"{doubt.message} (at character {doubt.position + 1})",
                    node_id,
                )
