"""Rows from events: the workflow, its frozen versions, and the draft's nodes and connections.

An upsert cannot delete, so rows of nodes and connections carry the version that had them
last: the draft is the rows whose `workflow_version` is the workflow's `newest_version`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_never, cast

from perdure_common.decider import Recorded, Upsert
from perdure_common.ids import derived
from perdure_contracts.message import Json
from perdure_contracts.workflows import DeploymentNoted, Event, WorkflowSaved

from perdure_engine.definition.loading import load
from perdure_engine.definition.model import Edge, Node, Workflow
from perdure_engine.nodes.credential import CREDENTIAL

from .state import Definition


def project(state: Definition, recorded: Recorded[Event]) -> tuple[Upsert, ...]:
    """Return the rows that the event writes, given the state right after it."""
    event = recorded.event
    match event:
        case WorkflowSaved():
            return tuple(_saved(state, recorded, event))
        case DeploymentNoted():
            return (_noted(recorded, event),)
        case _:
            assert_never(event)


def _saved(state: Definition, recorded: Recorded[Event], event: WorkflowSaved) -> Iterable[Upsert]:
    workflow = load(event.definition, event.sha256)
    yield _workflow(recorded, event, workflow)
    yield Upsert(
        "workflow_versions",
        {"workflow_id": event.workflow_id, "version": event.version},
        set={
            **_owner(recorded, event),
            "name": event.name,
            "definition": event.definition,
            "sha256": event.sha256,
            "saved_by": event.saved_by,
            "warnings": [
                {
                    "code": warning.code,
                    "path": warning.path,
                    "message": warning.message,
                    "node_id": warning.node_id,
                }
                for warning in event.warnings
            ],
            "created_at": recorded.recorded_at,
        },
        new=True,
    )
    entries: list[Any] = event.definition["nodes"]
    for node in workflow.nodes:
        new = state.nodes_since.get(node.node_id) == event.version
        having = workflow.attachments.get(node.position, ())
        yield _node(recorded, event, node, entries[node.position], new, having)
    connections: list[Any] = event.definition.get("connections") or []
    for edge in workflow.edges:
        yield _connection(recorded, event, workflow, edge, connections[edge.place])


def _workflow(recorded: Recorded[Event], event: WorkflowSaved, workflow: Workflow) -> Upsert:
    definition = cast("dict[str, Any]", event.definition)
    milliseconds = int(recorded.recorded_at.timestamp() * 1000)
    row: dict[str, object] = {
        **_owner(recorded, event),
        "name": event.name,
        "description": workflow.description,
        "version": str(event.version),
        "newest_version": event.version,
        "sha256": event.sha256,
        "active": definition.get("active", True) is not False,
        "workflow_data": definition,
        "settings": definition.get("settings") or {},
        "static_data": workflow.static_data or {},
        "pin_data": workflow.pin_data or {},
        "tags": list(workflow.tags),
        "is_template": definition.get("is_template") is True,
        "template_category": definition.get("template_category"),
        "icon_url": definition.get("icon_url"),
        "updated_at": milliseconds,
    }
    if event.version == 1:
        row |= {"user_id": event.saved_by, "created_at": milliseconds}
    return Upsert("workflows", {"id": event.workflow_id}, set=row)


def _node(
    recorded: Recorded[Event],
    event: WorkflowSaved,
    node: Node,
    entry: Any,
    new: bool,
    having: Sequence[str],
) -> Upsert:
    values = cast("dict[str, Any]", entry)
    path = node.parameters.get("path") if node.node_subtype == "WEBHOOK" else None
    row: dict[str, object] = {
        **_owner(recorded, event),
        "id": derived("node", event.workflow_id, node.node_id),
        "workflow_version": event.version,
        "position": node.position,
        "node_type": node.node_type,
        "node_subtype": node.node_subtype,
        "type_version": node.type_version,
        "name": node.name,
        "description": node.description,
        "disabled": node.disabled,
        "position_x": values.get("position_x") or 0.0,
        "position_y": values.get("position_y") or 0.0,
        "parameters": _object(values.get("parameters")),
        "credentials": _credentials(node),
        "attached_nodes": list(having),
        "error_handling": node.error_handling,
        "max_retries": node.max_retries,
        "retry_wait_time": node.retry_wait_time_s,
        "always_output_data": node.always_output_data,
        "join_mode": node.join,
        "timeout_s": node.timeout_s,
        "run_in": node.run_in,
        "notes": values.get("notes"),
        "webhooks": [path] if isinstance(path, str) else [],
        "updated_at": recorded.recorded_at,
    }
    if new:
        row["created_at"] = recorded.recorded_at
    return Upsert("nodes", {"workflow_id": event.workflow_id, "node_id": node.node_id}, set=row)


def _connection(
    recorded: Recorded[Event], event: WorkflowSaved, workflow: Workflow, edge: Edge, entry: Any
) -> Upsert:
    conditions = _object(cast("dict[str, Any]", entry).get("conditions"))
    source = workflow.nodes[edge.source].node_id
    target = workflow.nodes[edge.target].node_id
    row: dict[str, object] = {
        **_owner(recorded, event),
        "workflow_id": event.workflow_id,
        "workflow_version": event.version,
        "edge_index": edge.index,
        "source_node_id": source,
        "target_node_id": target,
        "source_port": edge.source_port,
        "target_port": edge.target_port,
        "connection_type": edge.connection_type,
        "connection_index": edge.connection_index,
        "label": edge.label,
        "conditions": conditions,
        "created_at": recorded.recorded_at,
    }
    row_id = derived(
        "connection", event.workflow_id, edge.connection_type,
        source, edge.source_port, target, edge.target_port, _told(conditions),
    )  # fmt: skip
    return Upsert("node_connections", {"id": row_id}, set=row)


def _told(conditions: Mapping[str, Json]) -> str:
    """Return what tells connections apart that differ in their conditions only."""
    return str(conditions.get("condition", "else" if conditions else ""))


def _credentials(node: Node) -> dict[str, Json]:
    """Return what a node says of credentials, with the one that its parameters name."""
    kept = _object(node.credentials)
    handle = node.parameters.get(CREDENTIAL)
    return {**kept, CREDENTIAL: handle} if isinstance(handle, str) else kept


def _object(value: Any) -> dict[str, Json]:
    return cast("dict[str, Json]", value) if isinstance(value, dict) else {}


def _owner(recorded: Recorded[Event], event: WorkflowSaved) -> dict[str, object]:
    return {"tenant_id": recorded.tenant_id, "workspace_id": event.workspace_id}


def _noted(recorded: Recorded[Event], event: DeploymentNoted) -> Upsert:
    row: dict[str, object] = {"deployment_status": event.status}
    if event.version is not None:
        row["deployment_version"] = event.version
    if event.config is not None:
        row["deployment_config"] = event.config
    if event.by is not None:
        row["deployed_by"] = event.by
    if event.status == "ACTIVE" and event.by is not None:
        row["deployed_at"] = recorded.recorded_at
        row["undeployed_at"] = None
    if event.status == "IDLE":
        row["undeployed_at"] = recorded.recorded_at
    return Upsert("workflows", {"id": event.workflow_id}, set=row)
