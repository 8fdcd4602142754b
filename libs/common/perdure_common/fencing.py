"""What a fence after a restore is: pure, so that simulations restore as `perdure fence` does.

`fenced` says how a shard stands behind its fence: with which epoch and number, and which events
its journal has for it. `mark_in` says from where a topic is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from perdure_contracts.message import NAMES
from perdure_contracts.shell import ShardRestored

from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow, TopicPartition

PLACES_MAX = 1_000
"""Places that one event tells; a shard that has spoken to more has several events."""

NAME = "perdure fence"
"""Who owns the shards until a service claims them."""


@dataclass(frozen=True)
class Fence:
    """A fenced shard: numbers from `first` to `last` are not used (again)."""

    shard: str
    epoch: int
    first: int
    last: int


@dataclass(frozen=True)
class Standing:
    """How the backup left a shard.

    `sent` has the last number by place, `version` is that of the stream of its fences, `newest`
    the instant of its last event.
    """

    shard: str
    epoch: int
    next_seq: int
    sent: Mapping[TopicPartition, int]
    version: int
    newest: datetime | None


@dataclass(frozen=True)
class Plan:
    """How a shard is to stand behind its fence; `rows` are its new events."""

    fence: Fence
    next_seq: int
    rows: Sequence[JournalRow]
    sent: Mapping[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])


def stream_of(shard: str) -> str:
    """Return the stream that has the fences of a shard."""
    return f"restore/{shard}"


def fenced(
    standing: Standing,
    tenant_id: str,
    moment: datetime,
    until: tuple[tuple[str, int, int], ...],
) -> Plan:
    """Move a shard past all numbers and epochs that may have been given out, by the clock.

    What is skipped is told in events that go to every place. They leave like all messages, when
    the shard is claimed; whoever waits for a number that was given out after the backup hears
    with them that it is not to come. `until` is what is to be read first.
    """
    clock = int(moment.timestamp() * 1_000_000)
    first = standing.next_seq
    epoch, seq = max(standing.epoch + 1, clock), max(first, clock)
    fence = Fence(standing.shard, epoch, first, seq - 1)
    at = max(moment, standing.newest) if standing.newest is not None else moment
    places, version = sorted(standing.sent), standing.version
    rows: list[JournalRow] = []
    sent: dict[TopicPartition, int] = {}
    for start in range(0, max(1, len(places)), PLACES_MAX):
        told = tuple(places[start : start + PLACES_MAX])
        last = seq - 1 if start == 0 else first - 1
        event = ShardRestored(
            shard=standing.shard, first=first, last=last, places=told, until=until
        )
        meta = codec.Meta(cause=NAME, first=1, prev=tuple(standing.sent[p] for p in told))
        version += 1
        rows.append(
            JournalRow(
                shard=standing.shard,
                seq=seq,
                stream=stream_of(standing.shard),
                version=version,
                tenant_id=tenant_id,
                type=NAMES[ShardRestored],
                data=codec.encode_body(event).decode(),
                meta=codec.encode_meta(meta),
                recorded_at=at,
            )
        )
        sent.update({place: codec.number(seq, k) for k, place in enumerate(told, 1)})
        seq += 1
    return Plan(fence, seq, rows, sent)


def mark_in(bounds: tuple[int, int], mark: int) -> int:
    """Return from where a topic is read whose mark may lie outside of it.

    A topic that ends before the mark was made anew: everything in it is to be read, and what
    was had before is known by its number, its token or its delivery.
    """
    begin, end = bounds
    return begin if mark > end else mark
