"""Reads partitions by hand: one consumer without a group, drained into buffers of our own.

aiokafka asks a broker for nothing more while one fetched partition is not drained, so it
is drained at once, whatever the shell takes. What is buffered is bounded: a full
partition is paused at the broker until half of it is taken. The buffers know the position
of every partition; a consumer that fails is replaced and goes on there.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher  # pyright: ignore[reportMissingTypeStubs]
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from perdure_common.adapters.kafka_clients import RETRY_S, Client, Names, settings
from perdure_common.adapters.kafka_pacing import Rate, pace
from perdure_common.shell import ports
from perdure_common.shell.ports import Record, Unreachable

BUFFER_BYTES = 64 * 1024 * 1024
"""What all buffers may hold together."""

PARTITION_BYTES = (64 * 1024, 4 * 1024 * 1024)
"""The least and the most that one partition's share of it is."""

FETCH_BYTES = 16 * 1024 * 1024
FETCH_PARTITION_BYTES = 1024 * 1024
"""What one answer of a broker may hold, and one partition in it."""

LONG_POLL_S = 0.1
"""How long a broker waits for a record. What is assigned anew waits for that as well."""

OVERHEAD_BYTES = 400
"""What a record takes beside its value: key, headers, the objects."""

POLL_S = 1.0
"""How often the consumer is looked after when nothing arrives."""

REREAD_S = 5.0
"""How long records may take that are read again one by one."""

UNREADABLE = "perdure-unreadable"
"""The header of a record that stands for one that cannot be read; it says why."""

log = structlog.get_logger(__name__)

Bounds = Callable[
    [Sequence[ports.TopicPartition]], Awaitable[Mapping[ports.TopicPartition, tuple[int, int]]]
]


@dataclass(slots=True)
class _Buffer:
    """What was fetched of a partition. `next` is the offset to fetch from."""

    place: ports.TopicPartition
    next: int
    records: deque[Record] = field(default_factory=deque)
    bytes: int = 0
    full: bool = False

    def clear(self, offset: int) -> None:
        self.records.clear()
        self.bytes, self.full, self.next = 0, False, offset


def _as_parsed(raw: bytes) -> bytes:
    """Mark the consumers of this file (`_Records`): keys are taken as they are."""
    return raw


class _Records(fetcher.PartitionRecords):
    """Records as they are parsed: what aiokafka makes of each takes longer than all the rest."""

    def _consumer_record(self, tp: Client, record: Client) -> Client:
        if self._key_deserializer is _as_parsed:
            return record
        return super()._consumer_record(tp, record)  # pyright: ignore


# There is no other place to say so: the fetcher makes the objects by this name.
fetcher.PartitionRecords = _Records


def _headers(found: Sequence[tuple[str, bytes | None]]) -> ports.Headers:
    """Return headers; one without a value has an empty one."""
    try:
        b"".join([raw for _, raw in found])  # type: ignore[misc]  # a TypeError tells
    except TypeError:
        return tuple((name, raw or b"") for name, raw in found)
    return tuple(found)  # type: ignore[arg-type]


class Reader:
    """The reading half of the bus.

    `out_of_range` counts positions that lay outside a log; `unreadable` records whose
    bytes could not be understood. While `busy` says so, more records are not asked for at once.
    """

    def __init__(self, bootstrap: str, client_id: str, names: Names, bounds: Bounds) -> None:
        self.out_of_range = 0
        self.unreadable = 0
        self.busy: Callable[[], bool] = lambda: False
        self._settings = settings(bootstrap, client_id)
        self._names = names
        self._bounds = bounds
        self._buffers: dict[TopicPartition, _Buffer] = {}
        self._paused: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._arrived = asyncio.Event()
        self._turn = 0
        self._rate = Rate()
        self._closed = False
        self._consumer: Client = None
        self._task: asyncio.Task[None] | None = None

    def read(self, positions: Mapping[ports.TopicPartition, int]) -> None:
        """See `Bus.read`."""
        kept, self._buffers = self._buffers, {}
        for place, offset in positions.items():
            tp = self._tp(place)
            self._buffers[tp] = kept.get(tp) or _Buffer(place, offset)
        if self._buffers.keys() == kept.keys():
            return
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def seek(self, place: ports.TopicPartition, offset: int) -> None:
        """See `Bus.seek`."""
        tp = self._tp(place)
        buffer = self._buffers.get(tp)
        if buffer is not None:
            buffer.clear(offset)
            self._go_to(tp, buffer)

    def pause(self, topics: Sequence[str]) -> None:
        """See `Bus.pause`. What is buffered of a paused topic is given back to the broker."""
        self._paused = frozenset(topics)
        for tp, buffer in self._buffers.items():
            if buffer.place[0] in self._paused and buffer.records:
                buffer.clear(buffer.records[0].offset)
                self._go_to(tp, buffer)
            self._hold(tp, buffer)
        self._arrived.set()

    async def fetch(self, records_max: int, wait_s: float) -> Sequence[Record]:
        """See `Bus.fetch`."""
        await asyncio.sleep(0)  # before taking: what was taken is the caller's at once
        self._arrived.clear()
        taken = self._take(records_max)
        if taken or wait_s <= 0:
            return taken
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not taken and not self._closed:
                    await self._arrived.wait()
                    self._arrived.clear()
                    taken = self._take(records_max)
        return taken

    async def close(self) -> None:
        """Stop reading; a waiting `fetch` returns."""
        self._closed = True
        self._arrived.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def _take(self, records_max: int) -> list[Record]:
        """Take what is there, an equal share of each partition, beginning elsewhere each time."""
        ready: list[tuple[TopicPartition, _Buffer]] = [
            (tp, buffer)
            for tp, buffer in self._buffers.items()
            if buffer.records and buffer.place[0] not in self._paused
        ]
        taken: list[Record] = []
        self._turn += 1
        first = self._turn % len(ready) if ready else 0
        ready = ready[first:] + ready[:first]
        while ready and len(taken) < records_max:
            share = max(1, (records_max - len(taken)) // len(ready))
            for _, buffer in ready:
                count = min(share, len(buffer.records), records_max - len(taken))
                for _ in range(count):
                    record = buffer.records.popleft()
                    buffer.bytes -= len(record.value) + OVERHEAD_BYTES
                    taken.append(record)
            for tp, buffer in ready:
                if buffer.full and buffer.bytes <= self._share() // 2:
                    buffer.full = False
                    self._hold(tp, buffer)
            ready = [(tp, buffer) for tp, buffer in ready if buffer.records]
        return taken

    def _share(self) -> int:
        """Return how many bytes one partition may buffer."""
        least, most = PARTITION_BYTES
        return max(least, min(most, BUFFER_BYTES // max(1, len(self._buffers))))

    def _tp(self, place: ports.TopicPartition) -> TopicPartition:
        return TopicPartition(self._names.physical(place[0]), place[1])

    def _is_assigned(self, tp: TopicPartition) -> bool:
        return self._consumer is not None and tp in self._consumer.assignment()

    def _go_to(self, tp: TopicPartition, buffer: _Buffer) -> None:
        """Let the consumer go on where the buffer is."""
        if self._is_assigned(tp):
            self._consumer.seek(tp, buffer.next)
            self._hold(tp, buffer)

    def _hold(self, tp: TopicPartition, buffer: _Buffer) -> None:
        """Let the consumer fetch from the partition, or not."""
        if not self._is_assigned(tp):
            return
        if buffer.full or buffer.place[0] in self._paused:
            self._consumer.pause(tp)
        else:
            self._consumer.resume(tp)

    async def _run(self) -> None:
        """Keep a consumer going until cancelled."""
        while True:
            consumer: Client = AIOKafkaConsumer(
                **self._settings,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                key_deserializer=_as_parsed,  # pyright: ignore[reportCallIssue]
                fetch_max_wait_ms=int(LONG_POLL_S * 1000),
                fetch_max_bytes=FETCH_BYTES,
                max_partition_fetch_bytes=FETCH_PARTITION_BYTES,
            )
            try:
                await consumer.start()
                pace(consumer._fetcher, lambda: self.busy(), self._rate)
                self._consumer = consumer
                self._changed.set()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._assign(consumer))
                    tasks.create_task(self._drain(consumer))
            except Exception as error:  # whatever it was: go on from the known positions
                log.warning("reading_starts_again", error=repr(error))
            finally:
                self._consumer = None
                await consumer.stop()
            await asyncio.sleep(RETRY_S)

    async def _assign(self, consumer: Client) -> None:
        """Assign what is to be read, whenever that changes, and as soon as it is there."""
        missing: set[str] = set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            client = consumer._client
            wanted = list(self._buffers)
            missing = {
                tp.topic for tp in wanted if not client.cluster.partitions_for_topic(tp.topic)
            }
            if missing:
                # Assigned before its topic is known, a partition makes aiokafka spin.
                for topic in missing:
                    client.add_topic(topic)
                await client.force_metadata_update()
                missing = {t for t in missing if not client.cluster.partitions_for_topic(t)}
            known = [tp for tp in self._buffers if tp.topic not in missing]
            if set(known) != consumer.assignment() or not known:
                consumer.assign(known)
            for tp in known:
                consumer.seek(tp, self._buffers[tp].next)
                self._hold(tp, self._buffers[tp])
            if missing:
                log.warning("topics_missing", topics=sorted(missing))
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _drain(self, consumer: Client) -> None:
        """Move everything that the consumer has fetched into the buffers, at once."""
        while True:
            if consumer._fetcher.error_future.done():
                raise consumer._fetcher.error_future.exception() or RuntimeError("fetching ended")
            try:
                fetched = await consumer.getmany(timeout_ms=int(POLL_S * 1000))
            except OffsetOutOfRangeError as error:
                await self._to_nearer_end(error.args[0])
                continue
            except UnicodeDecodeError as error:
                await self._past_unreadable(consumer, error)
                continue
            except KafkaError as error:
                log.warning("reading_failed", error=repr(error))
                await asyncio.sleep(RETRY_S)
                continue
            now = asyncio.get_running_loop().time()
            self._rate.count(sum(len(records) for records in fetched.values()), now)
            for tp, records in fetched.items():
                self._keep(tp, records)

    def _keep(self, tp: TopicPartition, records: Sequence[Client]) -> None:
        """Put fetched records behind the ones that are buffered."""
        buffer = self._buffers.get(tp)
        if buffer is None:
            return
        topic = buffer.place[0]
        for fetched in records:
            if fetched.offset < buffer.next:
                continue
            value: bytes = fetched.value or b""
            buffer.records.append(
                Record(
                    topic,
                    tp.partition,
                    fetched.offset,
                    value,
                    fetched.key,
                    _headers(fetched.headers),
                    fetched.timestamp,
                )
            )
            buffer.bytes += len(value) + OVERHEAD_BYTES
            buffer.next = fetched.offset + 1
        if buffer.bytes >= self._share() and not buffer.full:
            buffer.full = True
            self._hold(tp, buffer)
        self._arrived.set()

    async def _past_unreadable(self, consumer: Client, error: UnicodeDecodeError) -> None:
        """Go past a record on which aiokafka fails (a header's name that is not UTF-8).

        aiokafka loses what it read before it in the same answer, so everything is read
        again from the known positions, one by one in this partition. A record without
        value stands for the one that cannot be read; it ends as a dead letter. What
        follows in the same batch of the producer cannot be reached either.
        """
        tp, failed = next(iter(consumer._fetcher._records.items()))
        bad: int = failed._partition_records.next_fetch_offset
        for other, buffer in self._buffers.items():
            self._go_to(other, buffer)
        buffer = self._buffers.get(tp)
        if buffer is None:
            return
        with suppress(UnicodeDecodeError):
            async with asyncio.timeout(REREAD_S):
                while buffer.next < bad:
                    self._keep(tp, [await consumer.getone(tp)])
        self.unreadable += 1
        topic, partition = buffer.place
        log.error("record_unreadable", topic=topic, partition=partition, offset=bad)
        reason = f"a header of this record cannot be read: {error}".encode()
        buffer.records.append(Record(topic, partition, bad, b"", None, ((UNREADABLE, reason),)))
        buffer.bytes += OVERHEAD_BYTES
        buffer.next = bad + 1
        self._go_to(tp, buffer)
        self._arrived.set()

    async def _to_nearer_end(self, positions: Mapping[TopicPartition, int]) -> None:
        """Bring positions outside their logs to the nearer end: what is gone is gone."""
        for tp, offset in positions.items():
            buffer = self._buffers.get(tp)
            if buffer is None or buffer.next != offset:
                continue
            try:
                begin, end = (await self._bounds([buffer.place]))[buffer.place]
            except Unreachable as error:
                log.warning("reading_failed", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            if buffer.next == offset and not begin <= offset <= end:
                self.out_of_range += 1
                buffer.clear(begin if offset < begin else end)
                log.error(
                    "position_out_of_range",
                    topic=buffer.place[0],
                    partition=tp.partition,
                    offset=offset,
                    begin=begin,
                    end=end,
                )
            self._go_to(tp, buffer)
