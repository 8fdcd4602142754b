"""Wiring and main(), nothing else: the deciders, what the service hears, its tables."""

from functools import partial

from fastapi import FastAPI
from perdure_common import http
from perdure_common.api.reading import Reading
from perdure_common.decider import Decider
from perdure_common.run import run, serve
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_contracts.answers import AnswerKept, NoteAnswer
from perdure_contracts.cron import (
    BackfillCron,
    CronCommand,
    CronEvent,
    CronExecutionEnded,
    CronExecutionsForgotten,
    CronFired,
    CronQueued,
    CronRetired,
    CronServed,
    CronSettled,
    CronSkipped,
    NoteExecutionEnd,
    PauseTrigger,
    ResumeTrigger,
    RetireCron,
    ServeCron,
    TriggerPaused,
    TriggerResumed,
)
from perdure_contracts.deployments import (
    DeployCopy,
    EventTriggerPaused,
    EventTriggerResumed,
    HookSettled,
    PauseEventTrigger,
    ResumeEventTrigger,
    RollbackWorkflow,
    SettleHook,
)
from perdure_contracts.paths import (
    ClaimPath,
    PathCommand,
    PathEvent,
    PathGranted,
    PathRefused,
    PathReleased,
    ReleasePath,
)
from perdure_contracts.scheduler import (
    CopyReceived,
    DeploymentCommand,
    DeploymentEvent,
    DeploymentFailed,
    DeploymentStarted,
    DeployWorkflow,
    EventDelivered,
    EventKept,
    EventsExpired,
    EventTaken,
    FilterFailed,
    ForgetWait,
    OfferEvent,
    ReceiveEvent,
    ReceiveTrigger,
    RegisterCommand,
    RegisterEvent,
    RegisterWait,
    TriggerAccepted,
    TriggerEvent,
    UndeploymentStarted,
    UndeployWorkflow,
    WaitForgotten,
    WaitRegistered,
    WorkflowDeployed,
    WorkflowUndeployed,
)
from prometheus_client import CollectorRegistry

from .answering import (
    Answered,
    decide_answer,
    evolve_answer,
    project_answer,
    route_answer,
    stream_of_answer,
)
from .api import TABLES
from .caps import caps_of
from .cron_decide import cron_facts, decide_cron, stream_of_cron
from .cron_project import project_cron
from .cron_route import route_cron
from .cron_state import CronTrigger, evolve_cron
from .cron_state import wake_at as cron_wake_at
from .decide import decide_trigger
from .deploying import decide_deployment
from .deploying import wake_at as deployment_wake_at
from .evolve import evolve_deployment, evolve_trigger
from .facts import trigger_facts
from .forgetting import keep_forgetting
from .hear import TRIGGERS, hear, stream_of_deployment, stream_of_trigger
from .hook_settings import UNCAPPED, HookCaps
from .hooks.serve import HookSide
from .mail.attachments import add_attachments
from .mail.mailboxes import MailboxMetrics, keep_reading
from .mail.smtp import keep_listening
from .measuring import TriggerMetrics
from .paths import (
    Path,
    decide_path,
    evolve_path,
    path_facts,
    project_path,
    route_path,
    stream_of_path,
)
from .project import project_deployment, project_trigger
from .promises import Judge
from .route import route_deployment, route_trigger
from .state import Deployment, Trigger
from .steering import add_all, ground_of
from .topics.ingress import keep_ingress
from .unmatched import DecideTrigger, Unmatched
from .waits import (
    Register,
    Taken,
    decide_event,
    decide_register,
    evolve_event,
    evolve_register,
    no_rows,
    route_event,
    route_register,
    stream_of_event,
    stream_of_register,
    wake_at,
)

KEPT = (
    *("trigger_receipts", "trigger_bodies", "trigger_tests"),
    *("mailboxes", "attachments", "expired", "topic_troubles"),
)
"""Tables that are written beside the journal."""


def deployments_with(
    caps: HookCaps,
) -> Decider[Deployment, DeploymentCommand, DeploymentEvent]:
    """Return the decider of deployments whose triggers may ask for so much and no more."""
    return Decider(
        name="deployment",
        initial=Deployment(),
        commands=(
            DeployWorkflow,
            UndeployWorkflow,
            RollbackWorkflow,
            DeployCopy,
            SettleHook,
            PauseEventTrigger,
            ResumeEventTrigger,
        ),
        events=(
            DeploymentStarted,
            CopyReceived,
            HookSettled,
            EventTriggerPaused,
            EventTriggerResumed,
            WorkflowDeployed,
            DeploymentFailed,
            UndeploymentStarted,
            WorkflowUndeployed,
        ),
        stream_of=stream_of_deployment,
        decide=partial(decide_deployment, caps=caps),
        evolve=evolve_deployment,
        project=project_deployment,
        route=route_deployment,
        wake_at=deployment_wake_at,
        state_version=3,
    )


deployments = deployments_with(UNCAPPED)


def triggers_with(decide: DecideTrigger) -> Decider[Trigger, ReceiveTrigger, TriggerEvent]:
    """Return the decider of trigger events; `decide` decides as `decide_trigger` does."""
    return Decider(
        name="trigger",
        initial=Trigger(),
        commands=(ReceiveTrigger,),
        events=(TriggerAccepted, FilterFailed),
        stream_of=stream_of_trigger,
        decide=decide,
        evolve=evolve_trigger,
        project=project_trigger,
        route=route_trigger,
        facts=trigger_facts,
        creates=(ReceiveTrigger,),
        private=(FilterFailed,),
    )


triggers = triggers_with(decide_trigger)

crons: Decider[CronTrigger, CronCommand, CronEvent] = Decider(
    name="cron",
    initial=CronTrigger(),
    commands=(
        ServeCron,
        RetireCron,
        PauseTrigger,
        ResumeTrigger,
        BackfillCron,
        NoteExecutionEnd,
    ),
    events=(
        CronServed,
        CronRetired,
        CronFired,
        CronSkipped,
        CronQueued,
        CronSettled,
        TriggerPaused,
        TriggerResumed,
        CronExecutionEnded,
        CronExecutionsForgotten,
    ),
    stream_of=stream_of_cron,
    decide=decide_cron,
    evolve=evolve_cron,
    project=project_cron,
    route=route_cron,
    facts=cron_facts,
    wake_at=cron_wake_at,
    private=(CronSettled,),
)

events: Decider[Taken, ReceiveEvent, EventTaken] = Decider(
    name="event",
    initial=Taken(),
    commands=(ReceiveEvent,),
    events=(EventTaken,),
    stream_of=stream_of_event,
    decide=decide_event,
    evolve=evolve_event,
    project=no_rows,
    route=route_event,
    creates=(ReceiveEvent,),
    private=(EventTaken,),
)

registers: Decider[Register, RegisterCommand, RegisterEvent] = Decider(
    name="register",
    initial=Register(),
    commands=(RegisterWait, ForgetWait, OfferEvent),
    events=(WaitRegistered, WaitForgotten, EventKept, EventDelivered, EventsExpired),
    stream_of=stream_of_register,
    decide=decide_register,
    evolve=evolve_register,
    project=no_rows,
    route=route_register,
    wake_at=wake_at,
    private=(WaitRegistered, WaitForgotten, EventKept, EventDelivered, EventsExpired),
)

answers: Decider[Answered, NoteAnswer, AnswerKept] = Decider(
    name="answer",
    initial=Answered(),
    commands=(NoteAnswer,),
    events=(AnswerKept,),
    stream_of=stream_of_answer,
    decide=decide_answer,
    evolve=evolve_answer,
    project=project_answer,
    route=route_answer,
    private=(AnswerKept,),
)

paths: Decider[Path, PathCommand, PathEvent] = Decider(
    name="path",
    initial=Path(),
    commands=(ClaimPath, ReleasePath),
    events=(PathGranted, PathRefused, PathReleased),
    stream_of=stream_of_path,
    decide=decide_path,
    evolve=evolve_path,
    project=project_path,
    route=route_path,
    facts=path_facts,
    private=(PathGranted, PathRefused, PathReleased),
)


def service_with(caps: HookCaps, decide: DecideTrigger = decide_trigger) -> Service:
    """Return the scheduler of an installation with these caps; `decide` is for trigger events."""
    deployed, fired = deployments_with(caps), triggers_with(decide)
    return Service(
        name="scheduler",
        deciders=(deployed, fired, events, registers, crons, answers, paths),
        hear=hear,
        foreign=(TRIGGERS,),
        kept=KEPT,
        expires={"trigger_deliveries": "received_at", "trigger_answers": "answered_at"},
        judge=Judge,
    )


service = service_with(UNCAPPED)


def main() -> None:
    """Run the scheduler as a process."""
    side = HookSide()
    registry = CollectorRegistry()
    measuring, mailboxes = TriggerMetrics(registry), MailboxMetrics(registry)
    unmatched = Unmatched(registry)

    def more(app: FastAPI, settings: Settings, owner: Owner, reading: Reading) -> None:
        side.add(app, settings, owner, reading)
        add_all(ground_of(app, settings, owner, reading, side.open_trial))
        app.state.registries.append(registry)
        add_attachments(app, settings, owner, reading)

    edges = (side.listen, partial(keep_reading, mailboxes), keep_listening, keep_ingress)
    api = http.beside(TABLES, more=more)
    ours = service_with(caps_of(Settings.read("scheduler")), unmatched.decide)
    run(serve(ours, api, *edges, keep_forgetting, measuring.keep))


if __name__ == "__main__":
    main()
