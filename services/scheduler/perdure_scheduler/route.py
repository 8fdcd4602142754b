"""Messages from events: the executions that a trigger event starts."""

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.answers import answer_stream
from perdure_contracts.engine import StartExecution
from perdure_contracts.message import Json
from perdure_contracts.scheduler import DeploymentEvent, TriggerAccepted

from .cron_route import STARTS, crons_of
from .state import Deployment, Trigger

__all__ = ["STARTS", "route_deployment", "route_trigger"]


def route_deployment(
    state: Deployment, recorded: Recorded[DeploymentEvent]
) -> tuple[Outgoing, ...]:
    """Return what the workflow's cron triggers are asked; others hear the events themselves."""
    del state  # the event says enough
    return crons_of(recorded)


def route_trigger(state: Trigger, recorded: Recorded[TriggerAccepted]) -> tuple[Outgoing, ...]:
    """Return one `StartExecution` for each trigger node that the event matched."""
    del state  # the event says enough
    event = recorded.event
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
