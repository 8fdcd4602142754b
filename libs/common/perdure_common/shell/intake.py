"""A record becomes something to do: a command, a word between shells, or a dead letter.

Nothing here looks at a stream or changes a mark; whether a numbered message was had before
is decided when it is folded, in order (`hearing`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
from perdure_contracts import cloudevents
from perdure_contracts.message import NAMES, TYPES, Envelope
from perdure_contracts.shell import Resend, ShardRestored, Tail, Unpark

from perdure_common.decider import Decider, Rejected
from perdure_common.ids import partition_of
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.ports import Heard, Record

log = structlog.get_logger(__name__)

ANSWER_HEADERS = {
    "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_tenantid", "content-type",
}  # fmt: skip
"""The headers of an answer by token; one with others is read with care."""

BETWEEN_SHELLS = {NAMES[cls] for cls in (Tail, Resend, ShardRestored, Unpark)}

STREAM_MAX = 500
"""Characters in a stream's id: it stands in indexes and headers."""


class NewerType(Exception):
    """Another shard of perdure sent a command that this version does not know.

    It must not be passed over: the shard waits for a newer binary.
    """


class Link(msgspec.Struct, frozen=True, gc=False):
    """The place of a message in what its source says: its number and the one before."""

    source: str
    number: int
    prev: int


class Taken(msgspec.Struct, gc=False):
    """What a record asks for. Exactly one of `command`, `bad`, `tail`, `unpark`, or none.

    `outsider` is (tenant, source, id) when the message is settled by its delivery.
    `parked` is its place behind a parked stream when it comes from there. `elsewhere` says of
    an `unpark` that another shard of the service has the stream, one of a foreign topic; `first`
    is the place of the message that is first behind it. Whose it is says `tenant_id` where there
    is no envelope.
    """

    record: Record
    envelope: Envelope | None = None
    link: Link | None = None
    command: Any = None
    decider: Decider[Any, Any, Any] | None = None
    stream: str = ""
    outsider: tuple[str, str, str] | None = None
    bad: Rejected | None = None
    tail: Tail | None = None
    resend: Resend | None = None
    unpark: Unpark | None = None
    parked: int = 0
    elsewhere: bool = False
    first: tuple[str, int, int] | None = None
    passed_over: str = ""
    tenant_id: str = ""


@dataclass
class Registry:
    """Which decider of a service takes which command and made which event.

    Events of a `private` type are not published.
    """

    service: Service
    by_command: dict[type, Decider[Any, Any, Any]] = field(default_factory=dict)
    by_type: dict[type, Decider[Any, Any, Any]] = field(default_factory=dict)
    by_event: dict[str, Decider[Any, Any, Any]] = field(default_factory=dict)
    by_name: dict[str, Decider[Any, Any, Any]] = field(default_factory=dict)
    private: set[type] = field(default_factory=set)

    def __post_init__(self) -> None:
        for decider in self.service.deciders:
            self.by_name[decider.name] = decider
            for command in decider.commands:
                self.by_command[command] = decider
            for event in decider.events:
                self.by_event[NAMES[event]] = self.by_type[event] = decider
            self.private.update(decider.private)


def hearing(heard: Heard | None, link: Link) -> tuple[bool, Heard]:
    """Return whether a message is to be taken, and how far its source is heard then.

    A message is taken if the one before it was, and it is itself new. One whose
    predecessor is missing is dropped and remembered as a gap.
    """
    known = heard or Heard()
    if link.number <= known.seq:
        return False, known
    if link.prev > known.seq:
        return False, Heard(known.seq, max(known.gap, link.number))
    return True, Heard(link.number, known.gap if known.gap > link.number else 0)


class Intake:
    """Reads the records of one service."""

    def __init__(self, registry: Registry, *, tenant_id: str, partitions: int) -> None:
        self._registry = registry
        self._service = registry.service
        self._tenant_id = tenant_id
        self._partitions = partitions
        self._own = {self._service.commands_topic, *self._service.pausable}
        self._known = {name.encode(): name for name in TYPES if name not in BETWEEN_SHELLS}
        self._answers = {NAMES[each] for each in self._service.by_token}
        concerns = self._service.concerns
        self._concerns = None if concerns is None else {NAMES[each] for each in concerns}

    def take(self, record: Record) -> Taken:
        """Return what the record asks for.

        Raises:
            NewerType: See there.
        """
        return self._told(record) or self._read(record)

    def _told(self, record: Record) -> Taken | None:
        """Read what a shard of ours says, known by its number and type; None if it is not that.

        Most records are: they need not be looked at with the care that outsiders need.
        """
        headers = dict(record.headers)
        name = self._known.get(headers.get("ce_type", b""))
        if name is None or len(headers) != len(record.headers):
            return None
        link = self._link_of(record.topic, headers)
        if link is None:
            return self._answer(record, headers, name)
        if (
            self._concerns is not None
            and name not in self._concerns
            and record.topic in self._service.hears
        ):
            return Taken(record, link=link, passed_over="not_heard")
        try:
            envelope = Envelope(
                id=headers["ce_id"].decode(),
                source=link.source,
                type=name,
                tenant_id=headers["ce_tenantid"].decode() or self._tenant_id,
                topic=record.topic,
                subject=headers["ce_subject"].decode(),
                time=headers["ce_time"].decode(),
                traceparent=headers.get("traceparent", b"").decode() or None,
                tracestate=headers.get("tracestate", b"").decode() or None,
            )
            message = codec.decode_body(name, record.value)
            return self._heard(Taken(record, envelope, link), message)
        except Exception:  # the careful reading finds out what it is
            return None

    def _answer(self, record: Record, headers: Mapping[str, bytes], name: str) -> Taken | None:
        """Read an answer as runners send it, None if it is anything else."""
        if name not in self._answers or set(headers) != ANSWER_HEADERS:
            return None
        if headers["ce_specversion"] != b"1.0" or headers["content-type"] != b"application/json":
            return None
        try:
            envelope = Envelope(
                id=headers["ce_id"].decode(),
                source=headers["ce_source"].decode(),
                type=name,
                tenant_id=self._tenant_id,
                topic=record.topic,
                subject=headers["ce_subject"].decode(),
            )
            if not (envelope.id and envelope.source and envelope.subject):
                return None
            return self._heard(Taken(record, envelope), codec.decode_body(name, record.value))
        except Exception:  # the careful reading finds out what it is
            return None

    def _read(self, record: Record) -> Taken:
        try:
            event = cloudevents.decode(record.headers, record.value)
        except cloudevents.CloudEventError as error:
            return self._bad(record, Rejected(str(error), error.code))
        try:
            return self._taken(record, event)
        except NewerType:
            raise
        except Exception as error:
            log.exception("record_not_taken", topic=record.topic, offset=record.offset)
            reason = f"it could not be read: {type(error).__name__}"
            return self._bad(record, Rejected(reason, "unreadable"))

    def _bad(self, record: Record, why: Rejected) -> Taken:
        return Taken(record, link=self._link_of(record.topic, dict(record.headers)), bad=why)

    def _taken(self, record: Record, event: cloudevents.CloudEvent) -> Taken:
        foreign = record.topic in self._service.foreign
        link = self._link_of(record.topic, dict(record.headers))
        envelope = Envelope(
            id=event.id,
            source=event.source,
            type=event.type,
            tenant_id=self._tenant_of(event, trusted=link is not None),
            topic=record.topic,
            subject=event.subject,
            time=event.time,
            traceparent=event.extensions.get("traceparent"),
            tracestate=event.extensions.get("tracestate"),
        )
        if foreign:
            return self._heard(Taken(record, envelope), event)
        taken = Taken(record, envelope, link)
        if event.type in BETWEEN_SHELLS:
            return self._between_shells(taken, event)
        if event.type not in TYPES:
            return self._unknown(taken, event)
        if link is None and cloudevents.deeper(event.data, codec.MESSAGE_LEVELS_MAX):
            reason = f"the body is nested deeper than {codec.MESSAGE_LEVELS_MAX} levels; flatten it"
            taken.bad = Rejected(reason, "invalid_body")
            return taken
        try:
            message = codec.decode_body(event.type, event.data)
        except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
            reason = f"the body is no {event.type}: {error}; its schema stands in schemas/"
            taken.bad = Rejected(reason, "invalid_body")
            return taken
        return self._heard(taken, message)

    def _tenant_of(self, event: cloudevents.CloudEvent, *, trusted: bool) -> str:
        """Return the tenant; a header is believed only when a shard of ours wrote it."""
        named = event.extensions.get("tenantid")
        return named if trusted and named else self._tenant_id

    def _link_of(self, topic: str, headers: Mapping[str, bytes]) -> Link | None:
        """Return a message's place in what a shard says, None if no shard signs like that.

        It is read even of a message that is otherwise bad: its number counts as heard, or
        its source would send it again for ever.
        """
        prev = headers.get("x-prev", b"")
        if not prev.isdigit() or len(prev) > codec.DIGITS_MAX or topic in self._service.foreign:
            return None
        signed = codec.signed_by(headers.get("ce_source", b""))
        number = codec.number_of(headers.get("ce_id", b""), signed[1]) if signed else None
        return Link(signed[0], number, int(prev)) if signed and number is not None else None

    def _between_shells(self, taken: Taken, event: cloudevents.CloudEvent) -> Taken:
        try:
            message = codec.decode_body(event.type, event.data)
        except (codec.UnknownType, msgspec.ValidationError, msgspec.DecodeError) as error:
            taken.bad = Rejected(f"the body is no {event.type}: {error}", "invalid_body")
            return taken
        if isinstance(message, Tail):
            told = codec.parse_source(event.source) and 0 < message.last <= codec.NUMBER_MAX
            taken.tail, taken.passed_over = message, "" if told else "no_tail"
        elif isinstance(message, Resend):
            taken.resend = message
        elif isinstance(message, ShardRestored):
            taken.passed_over = "restored"  # its number is what matters: a gap ends with it
        elif isinstance(message, Unpark):
            taken.unpark = message
            taken.stream = message.stream
        return taken

    def _unknown(self, taken: Taken, event: cloudevents.CloudEvent) -> Taken:
        if taken.record.topic not in self._own:
            taken.passed_over = "unknown_type"
            return taken
        if taken.link is not None:
            raise NewerType(
                f"{taken.record.topic} has a {event.type} from {event.source}, which this "
                f"version of {self._service.name} does not know; start the newer version"
            )
        taken.bad = Rejected(
            f"{self._service.name} has no command {event.type!r}; "
            "schemas/ lists the ones there are",
            "unknown_type",
        )
        return taken

    def _heard(self, taken: Taken, message: object) -> Taken:
        assert taken.envelope is not None
        command = self._service.hear(message, taken.envelope)
        if command is None:
            return self._passed_over(taken, message)
        if isinstance(command, Rejected):
            taken.bad = command
            return taken
        decider = self._registry.by_command.get(type(command))
        if decider is None:
            return self._passed_over(taken, command)
        taken.command, taken.decider = command, decider
        taken.stream = decider.stream_of(command)
        if taken.link is None and not isinstance(command, self._service.by_token):
            envelope = taken.envelope
            taken.outsider = (envelope.tenant_id, envelope.source, envelope.id)
        return self._in_its_shard(taken)

    def _passed_over(self, taken: Taken, message: object) -> Taken:
        """Pass a message over: news that are none of ours, but never an outsider's command."""
        if taken.link is None and taken.record.topic in self._own:
            name = NAMES.get(type(message), type(message).__name__)
            taken.bad = Rejected(f"{self._service.name} takes no {name}", "not_a_command")
        else:
            taken.passed_over = "not_heard"
        return taken

    def _in_its_shard(self, taken: Taken) -> Taken:
        """Refuse a command on a partition that is not its stream's: two owners would write it."""
        record = taken.record
        if len(taken.stream) > STREAM_MAX or not taken.stream.isprintable():
            taken.bad = Rejected(
                f"{taken.stream[:80]!r} cannot name a stream: at most {STREAM_MAX} "
                "printable characters",
                "invalid_stream",
            )
            taken.command, taken.stream = None, ""
            return taken
        if record.topic in self._service.foreign:
            return taken
        right = partition_of(taken.stream, self._partitions)
        if record.partition != right:
            taken.bad = Rejected(
                f"{NAMES[type(taken.command)]} about {taken.stream!r} belongs to partition "
                f"{right} of {self._partitions} (CRC-32 of the key), not {record.partition}",
                "wrong_partition",
            )
            taken.command = None
        return taken
