"""What lies between nodes and connections: cycles, references, inputs, and warnings."""

from collections.abc import Iterable

from perdure_engine.expressions import Compiled
from perdure_engine.nodes.base import ERROR

from .graph import cycles, successors
from .model import Node, Workflow
from .parsing import Parsed
from .problems import Found, listed


def check(parsed: Parsed, found: Found) -> None:
    """Note what is wrong, or worth a warning, between the parts of a workflow."""
    workflow = parsed.workflow
    _check_cycles(parsed, found)
    _check_references(parsed, found)
    _check_inputs(parsed, found)
    if workflow.nodes and not workflow.triggers:
        found.warning(
            "no_trigger",
            "nodes",
            "no enabled node is a TRIGGER; add one before the workflow is deployed or run",
        )
    _warn_of_nodes(parsed, found)
    _warn_of_edges(parsed, found)
    _warn_of_unused(workflow, found)


def _path(parsed: Parsed, node: Node) -> str:
    return f"nodes[{parsed.places[node.position]}]"


def _check_cycles(parsed: Parsed, found: Found) -> None:
    workflow = parsed.workflow
    regions = cycles(successors(len(workflow.nodes), workflow.edges))
    region_of = {node: region for region, nodes in enumerate(regions) for node in nodes}
    places: dict[int, int] = {}  # of each region's first connection in the file
    for edge in workflow.edges:
        region = region_of.get(edge.source)
        if region is not None and region == region_of.get(edge.target):
            places[region] = min(edge.place, places.get(region, edge.place))
    for region, nodes in enumerate(regions):
        names = listed([workflow.nodes[position].node_id for position in nodes])
        found.error(
            "cycle_not_supported",
            f"connections[{places[region]}]",
            f"the nodes {names} form a cycle, which this version does not run; "
            "take away the connection that leads back",
            workflow.nodes[nodes[0]].node_id,
        )


def _check_references(parsed: Parsed, found: Found) -> None:
    workflow = parsed.workflow
    for node in workflow.nodes:
        for name, compiled in node.compiled.items():
            path = f"{_path(parsed, node)}.parameters.{name}"
            _check_names(workflow, compiled, path, node.node_id, found)
    for edge in workflow.edges:
        if edge.condition is not None:
            path = f"connections[{edge.place}].conditions.condition"
            _check_names(workflow, edge.condition, path, None, found)


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


def _warn_of_nodes(parsed: Parsed, found: Found) -> None:
    workflow = parsed.workflow
    for node in workflow.nodes:
        path = _path(parsed, node)
        if not node.is_trigger and not workflow.in_edges(node):
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
        if node.credentials:
            found.warning(
                "not_acted_on",
                f"{path}.credentials",
                "credentials are kept, but not used by this version",
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


def _warn_of_unused(workflow: Workflow, found: Found) -> None:
    unused: Iterable[tuple[str, object]] = (
        ("settings.error_workflow", workflow.settings.error_workflow),
        ("static_data", workflow.static_data),
        ("pin_data", workflow.pin_data),
    )
    for path, value in unused:
        if value:
            found.warning("not_acted_on", path, f"`{path}` is kept, but not used by this version")
