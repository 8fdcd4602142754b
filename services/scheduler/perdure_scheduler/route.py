"""Messages from events: executions that are started, and what deployments ask of others."""

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.answers import answer_stream
from perdure_contracts.engine import StartExecution
from perdure_contracts.message import Json
from perdure_contracts.paths import ClaimPath, ReleasePath
from perdure_contracts.scheduler import (
    CopyReceived,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    FilterFailed,
    TriggerEvent,
    WorkflowDeployed,
    WorkflowUndeployed,
)
from perdure_contracts.stopping import StopExecutions
from perdure_contracts.workflows import CopyVersion

from .cron_route import ENGINE, OWN, STARTS, crons_of
from .deploying import target_sha256
from .hook_rules import claims_of
from .paths import path_id
from .state import Deployment, Trigger

__all__ = ["STARTS", "route_deployment", "route_trigger"]


def route_deployment(
    state: Deployment, recorded: Recorded[DeploymentEvent]
) -> tuple[Outgoing, ...]:
    """Return what the engine, paths and the workflow's cron triggers are asked.

    Others hear the events themselves.
    """
    event = recorded.event
    if isinstance(event, DeploymentStarted | CopyReceived) and event.hooks:
        return _claims(state, recorded)
    if isinstance(event, DeploymentFailed):
        return _releases(recorded, event)
    if isinstance(event, DeploymentStarted) and event.action == "ROLLBACK":
        copy = CopyVersion(
            workflow_id=event.workflow_id,
            version=event.version,
            sha256=target_sha256(state, event.version),
            asked_by=event.deployed_by,
        )
        return (Outgoing(ENGINE, event.workflow_id, copy),)
    if isinstance(event, WorkflowUndeployed) and event.cancel_running:
        stop = StopExecutions(
            stream=f"{event.workflow_id}/stop/{event.version}",
            workflow_id=event.workflow_id,
            version=event.version,
            asked_by=event.undeployed_by,
        )
        asked = Outgoing(ENGINE, stop.stream, stop)
        return (*crons_of(recorded), *_releases(recorded, event), asked)
    if isinstance(event, WorkflowDeployed | WorkflowUndeployed):
        return (*crons_of(recorded), *_releases(recorded, event))
    return ()


def _claims(state: Deployment, recorded: Recorded[DeploymentEvent]) -> tuple[Outgoing, ...]:
    """Return what the paths are asked under which a version is to listen."""
    waits = state.pending
    if waits is None or not waits.attempt:
        return ()
    return tuple(
        Outgoing(OWN, identity, ClaimPath(
            path_id=identity,
            path=path,
            workflow_id=recorded.event.workflow_id,
            workflow_name=waits.workflow_name,
            version=waits.version,
            attempt=waits.attempt,
            nodes=nodes,
        ))
        for path, nodes in claims_of(waits.triggers).items()
        for identity in (path_id(recorded.tenant_id, path),)
    )  # fmt: skip


def _releases(
    recorded: Recorded[DeploymentEvent],
    event: WorkflowDeployed | DeploymentFailed | WorkflowUndeployed,
) -> tuple[Outgoing, ...]:
    """Return what is given back to paths."""
    return tuple(
        Outgoing(OWN, identity, ReleasePath(
            path_id=identity,
            path=path,
            workflow_id=event.workflow_id,
            attempt=event.released_attempt,
        ))
        for path in event.released
        for identity in (path_id(recorded.tenant_id, path),)
    )  # fmt: skip


def route_trigger(state: Trigger, recorded: Recorded[TriggerEvent]) -> tuple[Outgoing, ...]:
    """Return one `StartExecution` for each trigger node that the event matched."""
    del state  # the event says enough
    event = recorded.event
    if isinstance(event, FilterFailed):
        return ()
    envelope: dict[str, Json] = {
        "id": event.event_id,
        "source": event.source,
        "type": event.event_type,
        "subject": event.subject,
        "time": event.time,
    }
    if event.http is not None:
        envelope["http"] = event.http
    return tuple(
        Outgoing(
            STARTS,
            start.execution_id,
            StartExecution(
                execution_id=start.execution_id,
                workflow_id=start.workflow_id,
                version=start.version,
                node_id=start.node_id,
                mode=start.mode,
                triggered_by=start.triggered_by,
                trigger=envelope,
                data=event.data,
                watched_by=answer_stream(start.execution_id, event.watch) if event.watch else "",
            ),
        )
        for start in event.starts
    )
