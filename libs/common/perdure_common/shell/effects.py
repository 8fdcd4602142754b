"""What a journal row leads to: the stream's next state, rows of tables, messages.

The same functions run when an event is new and when it is made again from the journal, so
the two cannot differ.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from msgspec.structs import replace
from perdure_contracts.message import NAMES
from perdure_contracts.shell import (
    NO_SUCH_TOPIC,
    CommandRejected,
    DeadLettered,
    ShardRestored,
    StreamUnparked,
)

from perdure_common.decider import Outgoing, Raw, Recorded, Upsert
from perdure_common.ids import partition_of
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.intake import Registry
from perdure_common.shell.payloads import PAYLOAD_BYTES_MIN, Payload, Refs, header_of, lighten
from perdure_common.shell.ports import JournalRow, Outbound
from perdure_common.shell.shard import Held

SHELL_EVENTS = (CommandRejected, DeadLettered, ShardRestored, StreamUnparked)


def events_partition(shard: str, partitions: int) -> int:
    """Return the partition of the events topic for a shard; foreign ones are folded in."""
    last = shard.rpartition("/")[2]
    return int(last) % partitions


def destination(message: Outgoing, partitions: int) -> tuple[str, int]:
    """Return the topic and partition that a message goes to."""
    if message.partition is not None:
        return message.topic, message.partition
    return message.topic, partition_of(message.stream, partitions)


def effects_of(
    registry: Registry, held: Held, recorded: Recorded[Any]
) -> tuple[Sequence[Outgoing], Sequence[Upsert], bool]:
    """Let an event take effect on the stream; return its messages, rows, and if it is public.

    The stream's state is that after the event. Used when an event is new and when it is
    made again from the journal: the two must not differ.
    """
    event = recorded.event
    kind = cast("type[object]", type(event))
    decider = registry.by_type.get(kind)
    if decider is None:
        return _shell_effects(event, registry.service)
    held.decider = decider
    state = decider.initial if held.state is None else held.state
    held.state = state = decider.evolve(state, event)
    messages = decider.route(state, recorded)
    upserts = decider.project(state, recorded)
    return messages, upserts, kind not in registry.private and decider.told(event)


def _shell_effects(
    event: object, service: Service
) -> tuple[Sequence[Outgoing], Sequence[Upsert], bool]:
    if not isinstance(event, SHELL_EVENTS):
        raise codec.UnknownType(f"no decider of {service.name} makes a {type(event).__name__}")
    if isinstance(event, DeadLettered):
        if event.code == NO_SUCH_TOPIC:
            topic = service.commands_topic + codec.DEAD_LETTERS
        elif event.topic.endswith(codec.DEAD_LETTERS):
            return (), (), False  # a dead letter of a dead letter would never come to rest
        else:
            topic = (event.topic or service.commands_topic) + codec.DEAD_LETTERS
        stream = f"{event.topic}/{event.partition}/{event.offset}"
        return (Outgoing(topic, event.stream or stream, event),), (), False
    if isinstance(event, ShardRestored):
        stream = f"restore/{event.shard}"
        told = [Outgoing(topic, stream, event, partition=n) for topic, n in event.places]
        return told, (), False
    return (), (), True


def outbound_of(
    service: Service,
    row: JournalRow,
    meta: codec.Meta,
    published: bool,
    messages: Sequence[Outgoing],
    body: bytes,
    destinations: Sequence[tuple[str, int]],
    payloads: list[Payload] | None = None,
) -> list[Outbound]:
    """Return the records that a row sends: the event itself when public, then its messages.

    What is too large for a message leaves it, and is added to `payloads`.
    """
    first, prev = codec.number(row.seq, meta.first), meta.prev
    trace = (meta.traceparent, meta.tracestate)
    records: list[Outbound] = []
    if published:
        topic, partition = destinations[0]
        records.append(
            codec.outbound(
                service.name, row, topic, partition, first, prev[0], row.type, body, row.stream,
                trace,
            )
        )  # fmt: skip
    for i, message in enumerate(messages, int(published)):
        topic, partition = destinations[i]
        if message.raw is not None:
            records.append(_as_it_was(message.raw, topic, partition))
            continue
        name, made = NAMES[type(message.message)], codec.encode_body(message.message)
        refs: Refs = ()
        if len(made) > PAYLOAD_BYTES_MIN:
            made, refs, texts = lighten(service.heavy, message.message, made)
            if payloads is not None:
                payloads.extend(payloads_of(row.tenant_id, row.stream, refs, texts))
        record = codec.outbound(
            service.name, row, topic, partition, first + i, prev[i], name, made,
            message.stream, trace,
        )  # fmt: skip
        if refs:
            record = replace(record, headers=(*record.headers, header_of(refs)))
        records.append(record)
    return records


def payloads_of(tenant_id: str, stream: str, refs: Refs, texts: Sequence[str]) -> Iterable[Payload]:
    """Return what has left a message of a stream, to be kept."""
    for (_, sha256), text in zip(refs, texts, strict=True):
        yield Payload(tenant_id, sha256, stream, text)


def _as_it_was(raw: Raw, topic: str, partition: int) -> Outbound:
    key, value, headers = raw
    size = len(value) + len(key or b"") + sum(len(n) + len(each) for n, each in headers)
    if size > codec.RAW_BYTES_MAX:
        raise codec.TooLarge(f"a record of {size:,} bytes cannot be sent as it was")
    return Outbound(topic, partition, value, key, headers)
