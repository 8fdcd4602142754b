"""State from events. Pure; a released arm is never edited, only joined by a new one."""

from dataclasses import replace
from typing import assert_never

from perdure_contracts.scheduler import (
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    TriggerAccepted,
    UndeploymentStarted,
    WorkflowDeployed,
    WorkflowUndeployed,
)

from .state import Deployment, Serving, Trigger


def evolve_deployment(state: Deployment, event: DeploymentEvent) -> Deployment:
    """Return the deployment as it stands after `event`."""
    match event:
        case DeploymentStarted():
            return replace(state, status="DEPLOYING")
        case WorkflowDeployed(version=version, sha256=sha256, triggers=triggers):
            node_ids = tuple(trigger.node_id for trigger in triggers)
            crons = tuple(each.node_id for each in triggers if each.subtype == "CRON")
            return Deployment("ACTIVE", Serving(version, sha256, node_ids, crons))
        case DeploymentFailed():
            return replace(state, status="FAILED" if state.serving is None else "ACTIVE")
        case UndeploymentStarted():
            return replace(state, status="UNDEPLOYING")
        case WorkflowUndeployed():
            return Deployment("IDLE")
        case _:
            assert_never(event)


def evolve_trigger(state: Trigger, event: TriggerAccepted) -> Trigger:
    """Return what a trigger event has started after `event`."""
    return Trigger((*state.executions, *(start.execution_id for start in event.starts)))
