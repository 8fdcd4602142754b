"""What the owner of a shard keeps in memory: marks, streams, wakes, and what is unsent."""

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from perdure_common.decider import Decider, Rejected, Upsert
from perdure_common.shell.codec import NO_TRACE, Trace
from perdure_common.shell.ports import (
    Claim,
    Heard,
    Outbound,
    Record,
    ShardCommit,
    TopicPartition,
)
from perdure_common.shell.queue import Queue
from perdure_common.shell.upserts import Waiting

STREAMS_MAX = 2_000
"""Streams of one shard that stay in memory; the least recently used is dropped first."""

HEAP_SLACK = 1_000
"""Wakes that were moved or removed and may stay in the heap until they are cleared out."""

GOING, DROPPING = 0, -1
"""Numbers behind a parked stream under which it stands that a person let it go."""


@dataclass(slots=True)
class Held:
    """A stream in memory: its state after `version`; `decider` is None before any event.

    `broken` says why its state cannot be had: its messages must wait for a person. `weight` is
    what its events have brought, in bytes: about what its state holds. `cause` is the message
    that took effect last, `trace` what the stream is part of as a whole. The newest snapshot is
    of `snapshot_version`, had `snapshot_bytes`, and was written when the weight was
    `snapshot_weight`.
    """

    decider: Decider[Any, Any, Any] | None
    state: Any
    version: int
    tenant_id: str
    snapshot_version: int = 0
    broken: Exception | None = None
    weight: int = 0
    cause: str = ""
    trace: Trace = NO_TRACE
    snapshot_weight: int = 0
    snapshot_bytes: int = 0


class Sending(msgspec.Struct, eq=False, gc=False):
    """A message that the journal has and Kafka may not have yet.

    `done` says that it was acknowledged. One that is handed over is dealt with in this
    process, and done when its answer is committed.
    """

    seq: int
    record: Outbound
    done: bool = False


def place_of(message: Sending) -> TopicPartition:
    """Return where a message goes."""
    return message.record.topic, message.record.partition


@dataclass(slots=True, eq=False)
class Answer:
    """The answer to a message that was handed over, as a record that came by no topic.

    `bad` says that the record is the message itself, which cannot be sent, and why.
    """

    sending: Sending
    record: Record
    bad: Rejected | None = None


@dataclass(slots=True, eq=False)
class Shard:
    """A claimed shard. A batch adds its own marks on top of those here.

    `unwritten` are places of `consumed` and keys of `heard` that the store does not have yet:
    what was read there changed nothing, so they go with the next batch, or within a second.
    """

    id: str
    epoch: int
    next_seq: int
    format: int
    published_seq: int
    projected_seq: int
    recorded_at: datetime
    consumed: dict[TopicPartition, int]
    heard: dict[tuple[str, int, str], Heard]
    sent: dict[TopicPartition, int]
    wakes: dict[str, datetime]
    parked: dict[str, int]
    published_mark: int = 0
    streams: "OrderedDict[str, Held]" = field(default_factory=OrderedDict)
    inbox: Queue = field(default_factory=Queue)
    early: deque[Record] = field(default_factory=deque)
    waiting: Queue = field(default_factory=Queue)
    unsent: deque[Sending] = field(default_factory=deque)
    sending: deque[Sending] = field(default_factory=deque)
    answers: deque[Answer] = field(default_factory=deque)
    extra: deque[Outbound] = field(default_factory=deque)
    lazy: Waiting = field(default_factory=Waiting)
    heap: list[tuple[datetime, str]] = field(default_factory=list)
    draining: dict[str, str] = field(default_factory=dict)
    unwritten: tuple[set[TopicPartition], set[tuple[str, int, str]]] = field(
        default_factory=lambda: (set(), set())
    )
    weight: int = 0
    lost: bool = False

    @classmethod
    def of(cls, claim: Claim) -> "Shard":
        """Return the shard as it stands right after it was claimed."""
        shard = cls(
            id=claim.shard,
            epoch=claim.epoch,
            next_seq=claim.next_seq,
            format=claim.format,
            published_seq=claim.published_seq,
            projected_seq=claim.projected_seq,
            recorded_at=claim.recorded_at or datetime.min.replace(tzinfo=UTC),
            consumed=dict(claim.consumed),
            heard=dict(claim.heard),
            sent=dict(claim.sent),
            wakes=dict(claim.wakes),
            parked=dict(claim.parked),
            published_mark=claim.published_seq,
            lazy=Waiting(claim.projected_seq),
        )
        shard.heap = [(at, stream) for stream, at in shard.wakes.items()]
        heapq.heapify(shard.heap)
        return shard

    def acknowledged(self) -> int:
        """Return the last number up to which everything is safely published."""
        return self.unsent[0].seq - 1 if self.unsent else self.next_seq - 1

    def say(
        self, messages: Iterable[Sending], hand_over: Callable[[Sending], bool] | None = None
    ) -> None:
        """Take messages to be sent, in order, but for those that `hand_over` takes."""
        for message in messages:
            self.unsent.append(message)
            if hand_over is None or not hand_over(message):
                self.sending.append(message)

    def next_to_send(self, most: int, resting: Collection[TopicPartition] = ()) -> list[Sending]:
        """Return the next messages for Kafka, in order, but for those of places that rest."""
        if not resting:
            return [message for message in islice(self.sending, most) if not message.done]
        others = (m for m in self.sending if not m.done and place_of(m) not in resting)
        return list(islice(others, most))

    def sent_on(self, *, behind: bool = False) -> None:
        """Forget the messages at the front that are done; `behind` others that are not, too."""
        for queue in (self.unsent, self.sending):
            while queue and queue[0].done:
                queue.popleft()
        if behind:
            self.unsent = deque(message for message in self.unsent if not message.done)
            self.sending = deque(message for message in self.sending if not message.done)

    def take_back(self) -> None:
        """Send what was handed over and has no answer yet: this process is to finish."""
        self.answers.clear()
        self.sending = deque(message for message in self.unsent if not message.done)

    def hold(self, stream: str, held: Held) -> None:
        """Keep a stream in memory."""
        self.forget((stream,))
        self.streams[stream] = held
        self.weight += held.weight

    def forget(self, streams: Iterable[str]) -> None:
        """Drop streams from memory; they are loaded again when they are needed."""
        for stream in streams:
            held = self.streams.pop(stream, None)
            if held is not None:
                self.weight -= held.weight

    def is_done_with(self, stream: str) -> bool:
        """Return whether a stream need not be remembered: it is over, or there is nothing of it.

        What was taken for new and has no event yet is looked at when it comes again.
        """
        held = self.streams.get(stream)
        if held is None or held.version == 0:
            return True
        return held.decider is not None and held.decider.over(held.state)

    def keep(self, streams: "OrderedDict[str, Held]") -> None:
        """Go on with the streams that an earlier owner in this process had in memory."""
        self.streams = streams
        self.weight = sum(held.weight for held in streams.values())

    def trim(self, bytes_max: int) -> None:
        """Drop the streams that were not used for longest, above `STREAMS_MAX` or the weight."""
        streams = self.streams
        while len(streams) > STREAMS_MAX or (self.weight > bytes_max and len(streams) > 1):
            _, held = streams.popitem(last=False)
            self.weight -= held.weight

    def due(self, now: datetime) -> list[str]:
        """Return the streams whose wake is at or before `now`, earliest first.

        Entries of the heap that were moved or removed meanwhile are thrown away here.
        """
        found: list[str] = []
        while self.heap and self.heap[0][0] <= now:
            at, stream = heapq.heappop(self.heap)
            if self.wakes.get(stream) == at and stream not in self.parked:
                found.append(stream)
        return found

    def next_wake(self) -> datetime | None:
        """Return the earliest instant in the heap, of a wake that may have moved."""
        return self.heap[0][0] if self.heap else None

    def again(self, streams: Iterable[str]) -> None:
        """Put wakes back that were taken out by `due` and could not be fired."""
        for stream in streams:
            at = self.wakes.get(stream)
            if at is not None:
                heapq.heappush(self.heap, (at, stream))

    def drains(self, actions: Mapping[str, str | None]) -> None:
        """Take over which parked streams are let go, and which (None) no more."""
        for stream, action in actions.items():
            if action is None:
                self.draining.pop(stream, None)
            else:
                self.draining[stream] = action

    def put_off(self, commit: ShardCommit) -> None:
        """Take over the marks of a batch that changed nothing; they are written later."""
        self.consumed.update(commit.consumed)
        self.heard.update(commit.heard)
        self.unwritten[0].update(commit.consumed)
        self.unwritten[1].update(commit.heard)

    def catch_up(self, commit: ShardCommit) -> None:
        """Let a batch write the marks that were put off."""
        for place in self.unwritten[0]:
            commit.consumed.setdefault(place, self.consumed[place])
        for key in self.unwritten[1]:
            commit.heard.setdefault(key, self.heard[key])

    def absorb(self, commit: ShardCommit, lazy: Iterable[Upsert], flushed: bool) -> None:
        """Take over the marks of a batch that was written.

        `lazy` are the rows that the batch leaves for later; `flushed` says that it wrote
        those that were waiting before.
        """
        if commit.rows:
            self.recorded_at = commit.rows[-1].recorded_at
        self.next_seq = commit.next_seq + len(commit.rows)
        self.consumed.update(commit.consumed)
        self.heard.update(commit.heard)
        for unwritten in self.unwritten:
            unwritten.clear()
        self.sent.update(commit.sent)
        self._absorb_wakes(commit.wakes)
        for message in (each for each in commit.parked if each.n > GOING):
            self.parked[message.stream] = max(self.parked.get(message.stream, 0), message.n)
        for stream, n in commit.unparked:
            if n >= self.parked.get(stream, n + 1):
                del self.parked[stream]
                self.draining.pop(stream, None)
                self.again([stream])
        if commit.published_seq is not None:
            self.published_mark = commit.published_seq
        if flushed:
            self.projected_seq = commit.projected_seq or self.projected_seq
            return
        self.lazy.extend(lazy, self.next_seq - 1)
        for upsert in commit.upserts:
            self.lazy.supersede(upsert)

    def _absorb_wakes(self, wakes: Mapping[str, datetime | None]) -> None:
        for stream, at in wakes.items():
            if at is None:
                self.wakes.pop(stream, None)
            else:
                self.wakes[stream] = at
                heapq.heappush(self.heap, (at, stream))
        if len(self.heap) > 2 * len(self.wakes) + HEAP_SLACK:
            self.heap = [entry for entry in self.heap if self.wakes.get(entry[1]) == entry[0]]
            heapq.heapify(self.heap)
