"""Messages from events: the executions that a trigger event starts."""

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.answers import answer_stream
from perdure_contracts.engine import StartExecution
from perdure_contracts.message import Json
from perdure_contracts.scheduler import (
    DeploymentEvent,
    DeploymentStarted,
    FilterFailed,
    TriggerEvent,
    WorkflowUndeployed,
)
from perdure_contracts.stopping import StopExecutions
from perdure_contracts.workflows import CopyVersion

from .cron_route import ENGINE, STARTS, crons_of
from .deploying import target_sha256
from .state import Deployment, Trigger

__all__ = ["STARTS", "route_deployment", "route_trigger"]


def route_deployment(
    state: Deployment, recorded: Recorded[DeploymentEvent]
) -> tuple[Outgoing, ...]:
    """Return what the engine and the workflow's cron triggers are asked.

    Others hear the events themselves.
    """
    event = recorded.event
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
        return (*crons_of(recorded), Outgoing(ENGINE, stop.stream, stop))
    return crons_of(recorded)


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
