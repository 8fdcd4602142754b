"""Messages of others as commands of ours. Pure; None is passed over.

On perdure.triggers.v1 anybody may publish: what cannot be understood becomes a dead letter
with a reason, what is simply not for us is passed over.
"""

import hashlib

from perdure_common.decider import Rejected
from perdure_common.ids import canonical_json, derived
from perdure_contracts.answers import NoteAnswer
from perdure_contracts.cloudevents import CloudEvent, CloudEventError
from perdure_contracts.cron import (
    BackfillCron,
    CronCommand,
    NoteExecutionEnd,
    PauseTrigger,
    ResumeTrigger,
    RetireCron,
    ServeCron,
)
from perdure_contracts.deployments import (
    DeployCopy,
    PauseEventTrigger,
    ResumeEventTrigger,
    RollbackWorkflow,
    SettleHook,
)
from perdure_contracts.message import Envelope, Json
from perdure_contracts.paths import ClaimPath, PathCommand, ReleasePath
from perdure_contracts.scheduler import (
    Command,
    DeploymentCommand,
    DeployWorkflow,
    ForgetWait,
    OfferEvent,
    ReceiveEvent,
    ReceiveTrigger,
    RegisterWait,
    UndeployWorkflow,
)

from .hook_event import http_in, nodes_in, versions_in
from .match import FOREIGN, SUBTYPES

TRIGGERS = "perdure.triggers.v1"
OURS = "perdure.trigger."
EVENTS = "perdure.event."

DATA_BYTES_MAX = 256 * 1024
"""The largest body of a trigger event: the executions that it starts carry it along."""

ENCODED_BYTES_MAX = 2 * DATA_BYTES_MAX
"""The largest body as it is written again: `1e15` becomes 18 characters, a control
character in a plain text 6. What is above would not fit into a message."""

NAME_MAX = 255
"""Characters of the name and the key of an event that executions wait for."""

TOO_LARGE = "kafkabytes"
"""The extension of an event from a foreign topic whose body was left out: how large it was."""

EXPANSION_MAX = 6
"""How many times longer a body can become; shorter ones need no second look."""

ATTRIBUTE_BYTES_MAX = 1024
"""The longest id, source, type or subject: they are keys of tables and indexes."""


def hear(
    message: object, envelope: Envelope
) -> Command | CronCommand | NoteAnswer | PathCommand | Rejected | None:
    """Return what `message` asks of the scheduler, if anything."""
    match message:
        case DeployWorkflow() | UndeployWorkflow() | RegisterWait() | ForgetWait() | OfferEvent():
            return message
        case (
            RollbackWorkflow()
            | DeployCopy()
            | SettleHook()
            | PauseEventTrigger()
            | ResumeEventTrigger()
        ):
            return message
        case (
            ServeCron()
            | RetireCron()
            | PauseTrigger()
            | ResumeTrigger()
            | BackfillCron()
            | NoteExecutionEnd()
            | NoteAnswer()
            | ClaimPath()
            | ReleasePath()
        ):
            return message
        case CloudEvent() if message.type.startswith(EVENTS) and FOREIGN not in message.extensions:
            return _event(message, envelope)
        case CloudEvent():
            return _trigger(message, envelope)
        case _:
            return None


def stream_of_deployment(command: DeploymentCommand) -> str:
    """Return the stream of a workflow's deployment."""
    return command.workflow_id


def stream_of_trigger(command: ReceiveTrigger) -> str:
    """Return the stream of a trigger event: a redelivery meets what the first one left."""
    return derived("trigger", command.tenant_id, command.source, command.event_id)


def _trigger(event: CloudEvent, envelope: Envelope) -> ReceiveTrigger | Rejected | None:
    fault = _fault(event)
    if fault is not None:
        return fault
    data = _data(event)
    if isinstance(data, Rejected):
        return data
    try:
        nodes = nodes_in(event.extensions.get("nodes"))
        versions = versions_in(event.extensions.get("versions"))
        http = http_in(event.extensions.get("http"))
    except ValueError:
        return _dead(
            "bad_attribute", "the extensions `nodes`, `versions` and `http` must be as ours are"
        )
    return ReceiveTrigger(
        tenant_id=envelope.tenant_id,
        source=event.source,
        event_id=event.id,
        event_type=event.type,
        subject=event.subject or "",
        time=event.time,
        data=data,
        body_sha256=hashlib.sha256(event.data).hexdigest(),
        trigger_node=event.extensions.get("triggernode"),
        extensions=dict(event.extensions),
        nodes=nodes,
        versions=versions,
        http=http,
        watch=event.extensions.get("watch", ""),
    )


def _event(event: CloudEvent, envelope: Envelope) -> ReceiveEvent | Rejected:
    """Read an event for those who wait for one of its name; its subject is the key."""
    name = event.type.removeprefix(EVENTS)
    if not 0 < len(name) <= NAME_MAX or len(event.subject or "") > NAME_MAX:
        return _dead(
            "bad_event",
            f"an event is called {EVENTS}NAME, NAME with 1 to {NAME_MAX} characters; its subject "
            f"has at most {NAME_MAX}",
        )
    fault = _too_large(event)
    if fault is not None:
        return fault
    data = _data(event)
    if isinstance(data, Rejected):
        return data
    return ReceiveEvent(
        tenant_id=envelope.tenant_id,
        source=event.source,
        event_id=event.id,
        name=name,
        key=event.subject or "",
        payload=data,
    )


def _fault(event: CloudEvent) -> Rejected | None:
    """Return what is wrong with a trigger event before its body is looked at."""
    if event.extensions.get(TOO_LARGE):
        return _dead(
            "payload_too_large",
            f"the record has {event.extensions[TOO_LARGE]} bytes, at most {DATA_BYTES_MAX:,} can "
            "be taken; send a reference to it instead",
        )
    if FOREIGN in event.extensions or not event.type.startswith(OURS):
        return _too_large(event)
    if event.type not in SUBTYPES:
        return _dead(
            "unknown_trigger_type",
            f"there is no trigger type {event.type!r}; there are {', '.join(SUBTYPES)}",
        )
    if not event.subject:
        return _dead(
            "missing_subject",
            f"a {event.type} must say what it is about: set `ce_subject` to the workflow's id "
            "or name, the webhook's path, or the repository",
        )
    return _too_large(event)


def _too_large(event: CloudEvent) -> Rejected | None:
    """Return which part of an event is too large to be kept, or cannot be."""
    for name, text in (
        ("id", event.id),
        ("source", event.source),
        ("type", event.type),
        ("subject", event.subject or ""),
    ):
        if len(text.encode()) > ATTRIBUTE_BYTES_MAX or "\0" in text:
            return _dead(
                "bad_attribute",
                f"`ce_{name}` must have at most {ATTRIBUTE_BYTES_MAX} bytes and no NUL character",
            )
    if len(event.data) > DATA_BYTES_MAX:
        return _dead(
            "payload_too_large",
            f"the body has {len(event.data):,} bytes, at most {DATA_BYTES_MAX:,} can be taken; "
            "send a reference to it instead",
        )
    return None


def _data(event: CloudEvent) -> Json | Rejected:
    """Return the body as JSON; an event without one has an empty object."""
    try:
        data: Json = event.json() if event.data else {}
    except CloudEventError as error:
        return _dead(error.code, error.message)
    if len(event.data) * EXPANSION_MAX > ENCODED_BYTES_MAX:
        encoded = len(canonical_json(data))
        if encoded > ENCODED_BYTES_MAX:
            return _dead(
                "payload_too_large",
                f"the body has {encoded:,} bytes when it is written as plain JSON, at most "
                f"{ENCODED_BYTES_MAX:,} can be taken; send a reference to it instead",
            )
    return data


def _dead(code: str, reason: str) -> Rejected:
    return Rejected(reason, code, dead_letter=True)
