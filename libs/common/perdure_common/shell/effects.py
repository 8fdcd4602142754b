"""What a journal row leads to: the stream's next state, rows of tables, messages.

The same functions run when an event is new and when it is made again from the journal, so
the two cannot differ.
"""

from collections.abc import Sequence
from typing import Any

from perdure_contracts.message import NAMES
from perdure_contracts.shell import (
    CommandRejected,
    DeadLettered,
    ShardRestored,
    StreamUnparked,
)

from perdure_common.decider import Outgoing, Recorded, Service, Upsert
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.intake import Registry
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
    if isinstance(event, SHELL_EVENTS):
        return _shell_effects(event, registry.service)
    decider = registry.by_event[NAMES[type(event)]]
    held.decider = decider
    if held.state is None:
        held.state = decider.initial
    held.state = decider.evolve(held.state, event)
    messages = decider.route(held.state, recorded)
    upserts = decider.project(held.state, recorded)
    return messages, upserts, not isinstance(event, decider.private)


def _shell_effects(
    event: CommandRejected | DeadLettered | ShardRestored | StreamUnparked, service: Service
) -> tuple[Sequence[Outgoing], Sequence[Upsert], bool]:
    if isinstance(event, DeadLettered):
        if event.topic.endswith(codec.DEAD_LETTERS):
            return (), (), False  # a dead letter of a dead letter would never come to rest
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
) -> list[Outbound]:
    """Return the records that a row sends: the event itself when public, then its messages."""
    records: list[Outbound] = []
    everything: list[Outgoing | None] = [None, *messages] if published else [*messages]
    for i, (message, (topic, partition)) in enumerate(zip(everything, destinations, strict=True)):
        at = codec.Address(topic, partition, codec.number(row.seq, meta.first + i), meta.prev[i])
        if message is None:
            records.append(codec.outbound(service.name, row, at, row.type, body, row.stream))
        elif message.raw is not None:
            key, value, headers = message.raw
            size = len(value) + len(key or b"") + sum(len(n) + len(raw) for n, raw in headers)
            if size > codec.RAW_BYTES_MAX:
                raise codec.TooLarge(f"a record of {size:,} bytes cannot be sent as it was")
            records.append(Outbound(topic, partition, value, key, headers))
        else:
            name = NAMES[type(message.message)]
            made = codec.encode_body(message.message)
            records.append(codec.outbound(service.name, row, at, name, made, message.stream))
    return records
