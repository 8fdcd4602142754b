"""State from events. Pure; a released arm is never edited, only joined by a new one."""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace
from perdure_contracts.deployments import EventTriggerPaused, EventTriggerResumed, HookSettled
from perdure_contracts.scheduler import (
    CopyReceived,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    FilterFailed,
    LogEntry,
    TriggerEvent,
    UndeploymentStarted,
    WorkflowDeployed,
    WorkflowUndeployed,
)

from .hook_rules import claims_of
from .state import Deployment, Pending, Served, Serving, Trigger

SERVED_MAX = 100
"""How many versions that served are remembered, for rollbacks."""


def evolve_deployment(state: Deployment, event: DeploymentEvent) -> Deployment:
    """Return the deployment as it stands after `event`."""
    match event:
        case DeploymentStarted():
            attempts = max(state.attempts, event.attempt)
            return replace(state, status="DEPLOYING", pending=_pending(event), attempts=attempts)
        case CopyReceived():
            return replace(state, pending=_copied(state, event))
        case HookSettled():
            return replace(state, pending=_settled(state, event))
        case WorkflowDeployed():
            return _deployed(state, event)
        case DeploymentFailed():
            status = "FAILED" if state.serving is None else "ACTIVE"
            return replace(state, status=status, pending=None)
        case UndeploymentStarted():
            return replace(state, status="UNDEPLOYING")
        case WorkflowUndeployed():
            return Deployment("IDLE", served=state.served, attempts=state.attempts)
        case EventTriggerPaused(node_id=node_id):
            return replace(state, paused=(*_without(state.paused, node_id), node_id))
        case EventTriggerResumed(node_id=node_id):
            return replace(state, paused=_without(state.paused, node_id))
        case _:
            assert_never(event)


def _pending(event: DeploymentStarted) -> Pending | None:
    """Return what waits; nothing where the end of the deployment follows at once."""
    if not event.deadline:
        return None
    return Pending(
        version=event.version,
        action=event.action,
        deployed_by=event.deployed_by,
        deadline=datetime.fromisoformat(event.deadline),
        config=event.config,
        rollback_of=event.version if event.action == "ROLLBACK" else 0,
        workflow_name=event.workflow_name,
        sha256=event.sha256,
        triggers=event.triggers,
        hooks=event.hooks,
        logs=event.logs,
        credentials=event.credentials,
        attempt=event.attempt,
    )


def _copied(state: Deployment, event: CopyReceived) -> Pending | None:
    return state.pending and replace(
        state.pending,
        version=event.version,
        workflow_name=event.workflow_name,
        sha256=event.sha256,
        triggers=event.triggers,
        hooks=event.hooks,
        logs=event.logs,
    )


def _settled(state: Deployment, event: HookSettled) -> Pending | None:
    if state.pending is None:
        return None
    done = LogEntry(at=event.at, step="hooks", ok=True, message=event.message)
    left = tuple(hook for hook in state.pending.hooks if hook.node_id != event.node_id)
    return replace(state.pending, hooks=left, logs=(*state.pending.logs, done))


def _deployed(state: Deployment, event: WorkflowDeployed) -> Deployment:
    node_ids = tuple(trigger.node_id for trigger in event.triggers)
    crons = tuple(each.node_id for each in event.triggers if each.subtype == "CRON")
    before = tuple(each for each in state.served if each.version != event.version)
    attempt = 0 if state.pending is None else state.pending.attempt
    paths = tuple(claims_of(event.triggers)) if attempt else ()
    return Deployment(
        "ACTIVE",
        Serving(event.version, event.sha256, node_ids, crons, paths, attempt if paths else 0),
        (*before, Served(event.version, event.sha256))[-SERVED_MAX:],
        paused=tuple(each for each in state.paused if each in node_ids),
        attempts=state.attempts,
    )


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(each for each in names if each != name)


def evolve_trigger(state: Trigger, event: TriggerEvent) -> Trigger:
    """Return what a trigger event has started after `event`."""
    if isinstance(event, FilterFailed):
        return state
    return Trigger((*state.executions, *(start.execution_id for start in event.starts)))
