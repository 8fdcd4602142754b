"""Messages from what a cron trigger does, and from the deployments that it belongs to. Pure."""

from datetime import datetime

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.cron import CronEvent, CronFired, CronQueued, RetireCron, ServeCron
from perdure_contracts.engine import CancelExecution, StartExecution
from perdure_contracts.scheduler import DeploymentEvent, WorkflowDeployed, WorkflowUndeployed

from .cron_decide import stream_of
from .cron_event import attributes, payload
from .cron_settings import from_config
from .cron_state import CronTrigger

STARTS = "perdure.engine.starts.v1"
ENGINE = "perdure.engine.commands.v1"
OWN = "perdure.scheduler.commands.v1"


def route_cron(state: CronTrigger, recorded: Recorded[CronEvent]) -> tuple[Outgoing, ...]:
    """Return the execution that a firing starts, or the ones that it stops."""
    del state  # the event says enough
    event = recorded.event
    match event:
        case CronFired():
            return (Outgoing(STARTS, event.execution_id, _start(event)),)
        case CronQueued() if event.cancel:
            reason = f"the firing of {event.scheduled_at} takes its place (cancel_previous)"
            return tuple(
                Outgoing(
                    ENGINE,
                    each,
                    CancelExecution(execution_id=each, reason=reason, asked_by="scheduler"),
                )
                for each in event.open_execution_ids
            )
        case _:
            return ()


def _start(event: CronFired) -> StartExecution:
    return StartExecution(
        execution_id=event.execution_id,
        workflow_id=event.workflow_id,
        version=event.version,
        node_id=event.node_id,
        mode="TRIGGER",
        triggered_by=f"CRON:{event.node_id}",
        trigger={**attributes(event), **({"due": event.due} if event.due else {})},
        data=payload(event),
        watched_by=stream_of(event.workflow_id, event.node_id) if event.watched else "",
    )


def crons_of(recorded: Recorded[DeploymentEvent]) -> tuple[Outgoing, ...]:
    """Return what a swap of versions asks of the cron triggers that come, stay and go."""
    event, at = recorded.event, recorded.recorded_at
    if not isinstance(event, WorkflowDeployed | WorkflowUndeployed):
        return ()
    serves = [
        ServeCron(
            tenant_id=recorded.tenant_id,
            workflow_id=event.workflow_id,
            node_id=trigger.node_id,
            version=event.version,
            settings=from_config(trigger.config),
            at=at.isoformat(),
        )
        for trigger in (event.triggers if isinstance(event, WorkflowDeployed) else ())
        if trigger.subtype == "CRON"
    ]
    stay = {each.node_id for each in serves}
    return (
        *(_to_self(_retire(event.workflow_id, each, at)) for each in event.retired_crons
          if each not in stay),
        *(_to_self(each) for each in serves),
    )  # fmt: skip


def _retire(workflow_id: str, node_id: str, at: datetime) -> RetireCron:
    return RetireCron(workflow_id=workflow_id, node_id=node_id, at=at.isoformat())


def _to_self(command: ServeCron | RetireCron) -> Outgoing:
    return Outgoing(OWN, stream_of(command.workflow_id, command.node_id), command)
