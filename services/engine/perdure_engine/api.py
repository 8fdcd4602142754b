"""What the engine's HTTP API shows: definitions, executions and their logs, why one waits."""

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from perdure_common.api.problem import Problem
from perdure_common.api.table import TableView
from perdure_common.decider import Lookup, Service
from perdure_common.ids import partition_of
from perdure_common.observe import RowCount
from perdure_common.settings import Settings
from perdure_common.shell import remake
from perdure_common.shell.intake import Registry
from perdure_common.shell.owner import Owner

from .definition import kept, load
from .executions.state import Execution
from .executions.why import why

TABLES = {
    "workflows": TableView(
        columns=(
            "id",
            "workspace_id",
            "user_id",
            "session_id",
            "name",
            "description",
            "version",
            "newest_version",
            "sha256",
            "active",
            "workflow_data",
            "settings",
            "static_data",
            "pin_data",
            "tags",
            "is_template",
            "template_category",
            "deployment_status",
            "deployed_at",
            "deployed_by",
            "undeployed_at",
            "deployment_version",
            "deployment_config",
            "latest_execution_status",
            "latest_execution_id",
            "latest_execution_time",
            "icon_url",
            "created_at",
            "updated_at",
        ),
        order=("updated_at", "id"),
        filters=("id", "workspace_id", "name", "deployment_status", "active"),
        search=("name", "description"),
        about="Workflows: their draft, how they are deployed, what ran last.",
    ),
    "workflow_versions": TableView(
        columns=(
            "workflow_id",
            "version",
            "workspace_id",
            "name",
            "definition",
            "sha256",
            "saved_by",
            "warnings",
            "created_at",
        ),
        key=None,
        order=("created_at", "workflow_id", "version"),
        filters=("workflow_id", "version", "name", "sha256"),
        search=("name",),
        about="Frozen versions; an execution runs one of them to its end.",
    ),
    "node_specifications": TableView(
        columns=(
            "id",
            "node_type",
            "node_subtype",
            "specification_version",
            "specification_data",
            "is_active",
            "is_system_spec",
            "created_at",
            "updated_at",
        ),
        order=("node_type", "node_subtype", "id"),
        filters=("node_type", "node_subtype", "specification_version", "is_active"),
        search=("node_subtype",),
        descending=False,
        about="Node subtypes: what each takes, emits and does.",
    ),
    "workflow_executions": TableView(
        columns=(
            "execution_id",
            "id",
            "workspace_id",
            "workflow_id",
            "workflow_version",
            "status",
            "mode",
            "triggered_by",
            "parent_execution_id",
            "start_time",
            "end_time",
            "run_data",
            "metadata",
            "error_message",
            "error_details",
            "created_at",
        ),
        key="execution_id",
        order=("id",),
        filters=("execution_id", "workflow_id", "workflow_version", "status", "mode"),
        search=("error_message",),
        about="Executions, the newest first.",
    ),
    "node_executions": TableView(
        columns=(
            "id",
            "execution_id",
            "node_id",
            "scope",
            "run",
            "node_type",
            "node_subtype",
            "node_name",
            "status",
            "start_time",
            "end_time",
            "input_data",
            "output_data",
            "error_data",
            "retry_count",
            "max_retries",
            "created_at",
        ),
        order=("id",),
        filters=("execution_id", "node_id", "status", "node_type", "node_subtype"),
        descending=False,
        about="Runs of nodes, in the order in which they began.",
    ),
    "workflow_execution_logs": TableView(
        columns=(
            "id",
            "execution_id",
            "position",
            "log_category",
            "event_type",
            "level",
            "message",
            "data",
            "node_id",
            "node_name",
            "node_type",
            "step_number",
            "total_steps",
            "progress_percentage",
            "duration_seconds",
            "user_friendly_message",
            "display_priority",
            "is_milestone",
            "technical_details",
            "stack_trace",
            "performance_metrics",
            "created_at",
        ),
        order=("execution_id", "position", "id"),
        filters=("execution_id", "log_category", "event_type", "level", "node_id"),
        search=("message",),
        descending=False,
        about="What happened, for people (BUSINESS) and engineers (TECHNICAL), in order.",
    ),
}

STATUSES = (
    "NEW",
    "RUNNING",
    "PAUSED",
    "WAITING_FOR_HUMAN",
)

ROWS = (
    RowCount(
        "perdure_executions_open",
        "Executions that have not ended, by status.",
        "workflow_executions",
        "status",
        STATUSES,
    ),
)


def add_why(service: Service, app: FastAPI, settings: Settings, owner: Owner) -> None:
    """Add `GET /v1/workflow_executions/{key}/why`: what an open execution waits for.

    The answer is folded from the journal, so it is the truth of this moment and any process
    of the service can give it.
    """
    registry = Registry(service)

    async def waiting(key: str) -> dict[str, Any]:
        held = (await remake.load(registry, owner.store, {key: -1}))[key]
        state = held.state
        if not isinstance(state, Execution):
            raise Problem(404, "not_found", f"there is no execution {key[:100]!r}")
        workflow = kept(state.sha256)
        if workflow is None:
            row = await _version(owner, held.tenant_id, state)
            workflow = load(row["definition"], row["sha256"])
        return {
            "execution_id": key,
            "status": state.status,
            "shard": partition_of(key, settings.partitions),
            "waits_for": [asdict(each) for each in why(state, workflow)],
        }

    app.add_api_route(
        "/v1/workflow_executions/{key}/why",
        waiting,
        name="why",
        summary="Say what an execution waits for",
        tags=["workflow_executions"],
    )


async def _version(owner: Owner, tenant_id: str, state: Execution) -> Any:
    where = {"workflow_id": state.workflow_id, "version": state.workflow_version}
    lookup = Lookup("workflow_versions", where, ("definition", "sha256"), immutable=True)
    (rows,) = await owner.store.look_up(tenant_id, [lookup])
    if not rows:
        raise Problem(
            404,
            "version_not_found",
            f"version {state.workflow_version} of workflow {state.workflow_id} is not there; "
            "`perdure replay --check` says what else is missing",
        )
    return rows[0]
