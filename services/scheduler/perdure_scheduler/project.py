"""Rows from events: who serves, what was deployed when, and what became of a trigger event."""

from collections.abc import Collection, Iterable
from typing import assert_never

from perdure_common.decider import Recorded, Upsert
from perdure_common.ids import derived
from perdure_contracts.deployments import EventTriggerPaused, EventTriggerResumed, HookSettled
from perdure_contracts.message import Json
from perdure_contracts.scheduler import (
    CopyReceived,
    DeployedTrigger,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    FilterFailed,
    LogEntry,
    Status,
    TriggerEvent,
    UndeploymentStarted,
    WorkflowDeployed,
    WorkflowUndeployed,
)

from .hook_settings import path_of
from .state import Deployment, Trigger


def project_deployment(
    state: Deployment, recorded: Recorded[DeploymentEvent]
) -> tuple[Upsert, ...]:
    """Return the rows that the event writes, given the state right after it.

    A swap is one event: the new rows become active and the old ones inactive in the same
    transaction, so there are never both versions, and never none.
    """
    event = recorded.event
    match event:
        case DeploymentStarted(action=action, from_status=was, deployed_by=by, config=config):
            return (
                *_rows(recorded, event, event.triggers, "pending", attempt=event.attempt),
                _history(recorded, action, was, "DEPLOYING", by, config=config),
                _history(recorded, "DEPLOY_STARTED", was, "DEPLOYING", by, config=config),
            )
        case WorkflowDeployed(deployed_by=by, config=config, logs=logs):
            done = _history(
                recorded, "DEPLOY_COMPLETED", "DEPLOYING", "ACTIVE", by,
                config=config, logs=logs, ended=True,
            )  # fmt: skip
            retired = _retired(recorded, event.replaced or 0, event.retired)
            attempt = state.serving.attempt if state.serving is not None else 0
            rows = _rows(recorded, event, event.triggers, "active", state.paused, attempt)
            return (*retired, *rows, done)
        case DeploymentFailed(deployed_by=by, config=config, logs=logs, reason=reason):
            return (
                *_unserved(recorded, event),
                _history(
                    recorded, "DEPLOY_FAILED", "DEPLOYING", state.status, by,
                    config=config, logs=logs, ended=True, error=f"{event.code}: {reason}",
                ),
            )  # fmt: skip
        case UndeploymentStarted(undeployed_by=by):
            said = _said(event)
            return (
                _history(recorded, "UNDEPLOY", "ACTIVE", "UNDEPLOYING", by, config=said),
                _history(recorded, "UNDEPLOY_STARTED", "ACTIVE", "UNDEPLOYING", by, config=said),
            )
        case WorkflowUndeployed(undeployed_by=by, logs=logs):
            done = _history(
                recorded, "UNDEPLOY_COMPLETED", "UNDEPLOYING", "IDLE", by,
                config=_said(event), logs=logs, ended=True,
            )  # fmt: skip
            return (*_retired(recorded, event.version, event.retired), done)
        case CopyReceived():
            if not event.hooks:
                return ()
            attempt = state.pending.attempt if state.pending is not None else 0
            return tuple(_rows(recorded, event, event.triggers, "pending", attempt=attempt))
        case HookSettled():
            return ()
        case EventTriggerPaused(version=version, node_id=node_id):
            return (_pause(recorded, version, node_id, is_active=False),)
        case EventTriggerResumed(version=version, node_id=node_id):
            return (_pause(recorded, version, node_id, is_active=True),)
        case _:
            assert_never(event)


def _said(event: UndeploymentStarted | WorkflowUndeployed) -> Json:
    """Return the configuration of an undeployment."""
    return {"cancel_running": True} if event.cancel_running else {}


def _rows(
    recorded: Recorded[DeploymentEvent],
    event: DeploymentStarted | CopyReceived | WorkflowDeployed,
    triggers: Iterable[DeployedTrigger],
    status: str,
    paused: Collection[str] = (),
    attempt: int = 0,
) -> Iterable[Upsert]:
    for trigger in triggers:
        row = {
            "id": derived("trigger_index", event.workflow_id, event.version, trigger.node_id),
            "tenant_id": recorded.tenant_id,
            "workflow_name": event.workflow_name,
            "position": trigger.position,
            "trigger_type": "TRIGGER",
            "trigger_subtype": trigger.subtype,
            "trigger_config": trigger.config,
            "index_key": trigger.index_key,
            "path": path_of(trigger.config),
            "attempt": attempt,
            "deployment_status": status,
            "is_active": trigger.node_id not in paused,
            "error_message": None,
            "created_at": recorded.recorded_at,
            "updated_at": recorded.recorded_at,
        }
        key = _trigger_key(event.workflow_id, event.version, trigger.node_id)
        yield Upsert("trigger_index", key, set=row)


def _retired(
    recorded: Recorded[DeploymentEvent], version: int, node_ids: Iterable[str]
) -> Iterable[Upsert]:
    for node_id in node_ids:
        key = _trigger_key(recorded.event.workflow_id, version, node_id)
        row = {"deployment_status": "inactive", "updated_at": recorded.recorded_at}
        yield Upsert("trigger_index", key, set=row)


def _unserved(recorded: Recorded[DeploymentEvent], event: DeploymentFailed) -> Iterable[Upsert]:
    """Return the rows that waited for what their triggers need outside."""
    for node_id in event.pending:
        row = {
            "deployment_status": "failed",
            "error_message": f"{event.code}: {event.reason}",
            "updated_at": recorded.recorded_at,
        }
        yield Upsert("trigger_index", _trigger_key(event.workflow_id, event.version, node_id), row)


def _pause(
    recorded: Recorded[DeploymentEvent], version: int, node_id: str, *, is_active: bool
) -> Upsert:
    key = _trigger_key(recorded.event.workflow_id, version, node_id)
    row = {"is_active": is_active, "updated_at": recorded.recorded_at}
    return Upsert("trigger_index", key, set=row)


def _trigger_key(workflow_id: str, version: int, node_id: str) -> dict[str, object]:
    return {"workflow_id": workflow_id, "deployment_version": version, "node_id": node_id}


def _history(
    recorded: Recorded[DeploymentEvent],
    action: str,
    from_status: Status,
    to_status: Status,
    by: str,
    *,
    config: Json = None,
    logs: tuple[LogEntry, ...] = (),
    ended: bool = False,
    error: str | None = None,
) -> Upsert:
    """Return a row of workflow_deployment_history, which never changes again."""
    event = recorded.event
    row: dict[str, object] = {
        "tenant_id": recorded.tenant_id,
        "workflow_id": event.workflow_id,
        "deployment_action": action,
        "from_status": from_status,
        "to_status": to_status,
        "deployment_version": event.version,
        "deployment_config": config if config is not None else {},
        "triggered_by": by,
        "started_at": recorded.recorded_at,
        "completed_at": recorded.recorded_at if ended else None,
        "error_message": error,
        "deployment_logs": [
            {"at": log.at, "step": log.step, "ok": log.ok, "message": log.message} for log in logs
        ],
        "stream_version": recorded.version,
    }
    row_id = derived("deployment", event.workflow_id, recorded.version, action)
    return Upsert("workflow_deployment_history", {"id": row_id}, set=row, new=True)


def project_trigger(state: Trigger, recorded: Recorded[TriggerEvent]) -> tuple[Upsert, ...]:
    """Return the row of the trigger event, with all the executions that it started.

    Filters that failed are shown on their triggers, a moment later: many events share these rows.
    """
    event = recorded.event
    if isinstance(event, FilterFailed):
        return tuple(
            Upsert(
                "trigger_index",
                _trigger_key(fault.workflow_id, fault.version, fault.node_id),
                set={"filter_error": f"{fault.message} (event {event.event_id})"},
                add={"filter_errors": 1},
                lazy=True,
            )
            for fault in event.faults
        )
    key = {"tenant_id": recorded.tenant_id, "source": event.source, "id": event.event_id}
    row = {
        "subtype": event.subtype,
        "subject": event.subject,
        "received_at": recorded.recorded_at,
        "body_sha256": event.body_sha256,
        "executions": list(state.executions),
        "status": "accepted",
    }
    return (Upsert("trigger_deliveries", key, set=row),)
