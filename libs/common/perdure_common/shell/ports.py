"""The two things the shell stands on, as protocols: a store and a bus.

`perdure_common.adapters` has the real ones (PostgreSQL, Kafka) and ones in memory; the
same tests run against all of them. What there is one of for each message or event is a
`msgspec.Struct`: making a frozen dataclass takes twenty times as long.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

import msgspec

from perdure_common.decider import Lookup, Row, Upsert
from perdure_common.errors import Told
from perdure_common.shell.payloads import Payload, PayloadStore

TopicPartition: TypeAlias = tuple[str, int]
Headers: TypeAlias = tuple[tuple[str, bytes], ...]


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as it was read from a topic."""

    topic: str
    partition: int
    offset: int
    value: bytes
    key: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int = 0


class Outbound(msgspec.Struct, frozen=True, gc=False):
    """A record to be written to a topic's partition."""

    topic: str
    partition: int
    value: bytes
    key: bytes | None = None
    headers: Headers = ()


class JournalRow(msgspec.Struct, frozen=True, gc=False):
    """An event as it is stored. `data` and `meta` are JSON text; `seq` is dense per shard.

    Where large fields have left it, `whole` is the event with them (or the error for which it
    cannot be had), and `more` their bytes; stores give them with the rows that they read.
    """

    shard: str
    seq: int
    stream: str
    version: int
    tenant_id: str
    type: str
    data: str
    meta: str
    recorded_at: datetime
    whole: object = None
    more: int = 0


@dataclass(slots=True)
class Heard:
    """How far one source was heard on a topic's partition.

    `seq` is the last number taken; `gap` the highest number that was dropped because one
    before it is missing, 0 if none is.
    """

    seq: int = 0
    gap: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What the store knows of a shard at the moment it was claimed.

    `epoch` is the claimer's own. `next_seq` is the next number to hand out;
    `published_seq` and `projected_seq` are the last numbers whose messages were
    acknowledged and whose lazy rows were written. `heard` is keyed (topic, partition,
    source), `sent` (topic, partition) with the last number sent there, `wakes` by stream,
    `parked` by stream with the number of the last message behind it.
    """

    shard: str
    epoch: int
    next_seq: int
    published_seq: int
    projected_seq: int
    format: int
    recorded_at: datetime | None
    consumed: Mapping[TopicPartition, int]
    heard: Mapping[tuple[str, int, str], Heard]
    sent: Mapping[TopicPartition, int]
    wakes: Mapping[str, datetime]
    parked: Mapping[str, int]


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The state of a stream after `version`, as JSON text, made by `state_version`."""

    stream: str
    version: int
    state_version: int
    state: str


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """What became of an outsider's message: `answer` is JSON text."""

    tenant_id: str
    source: str
    id: str
    answer: str


class ParkedMessage(msgspec.Struct, frozen=True, gc=False):
    """A message that waits behind a parked stream; `n` counts from 1 within the stream."""

    stream: str
    n: int
    raw: bytes


@dataclass(slots=True)
class ShardCommit:
    """Everything that one batch writes for one shard.

    `rows` take the numbers from `next_seq` on, which must be the shard's. Marks only move
    forward, but `consumed`, which follows a topic that was cut or made anew. A wake of None
    is removed. `upserts` stand in the order in which they came; the store merges those for one
    row of a table (`shard.merged`) and writes the rows sorted.
    `payloads` are put before anything else is written. `unparked` messages are deleted, and the
    stream with them when none is left.
    """

    shard: str
    epoch: int
    next_seq: int
    format: int
    published_seq: int | None = None
    projected_seq: int | None = None
    rows: list[JournalRow] = field(default_factory=list)
    upserts: list[Upsert] = field(default_factory=list)
    consumed: dict[TopicPartition, int] = field(default_factory=dict)
    heard: dict[tuple[str, int, str], Heard] = field(default_factory=dict)
    sent: dict[TopicPartition, int] = field(default_factory=dict)
    wakes: dict[str, datetime | None] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    parked: list[ParkedMessage] = field(default_factory=list)
    unparked: list[tuple[str, int]] = field(default_factory=list)
    payloads: list[Payload] = field(default_factory=list)

    def is_marks(self) -> bool:
        """Return whether nothing happened but that records were read that change nothing.

        Such marks can wait: after a crash the records are read, and passed over, again.
        """
        return not (
            self.rows or self.upserts or self.wakes or self.deliveries or self.parked
            or self.unparked or self.snapshots or self.sent
        )  # fmt: skip


class Fenced(Exception):
    """Somebody else has claimed `shards`; nothing of the batch was written."""

    def __init__(self, shards: Sequence[str]) -> None:
        super().__init__(f"shards {', '.join(shards)} were claimed by another owner")
        self.shards = tuple(shards)


class Repeated(Exception):
    """A stream or delivery that was taken for new is there already; nothing was written.

    `streams` names the streams, empty when a delivery was met.
    """

    def __init__(self, streams: Sequence[str] = ()) -> None:
        super().__init__(f"already there: {', '.join(streams) or 'a delivery'}")
        self.streams = tuple(streams)


class Refused(Exception):
    """The store does not take the batch's data, whoever sends it; nothing was written."""


class Unanswered(Exception):
    """Whether the batch was written is unknown: the answer did not arrive."""


class Unreachable(Told):
    """The store or the bus cannot be reached now; nothing was written."""

    code = "unreachable"


class NoSuchTopic(LookupError):
    """A topic, or that partition of it, does not exist; what was to go there was not written."""


HandOver: TypeAlias = Callable[[Outbound, Callable[[Record], None]], bool]
"""Takes a message straight after its commit, to be dealt with in this process, or declines.

What takes one must give an answer to the second argument: a record as the service would have
read it from its commands. The message counts as sent once that answer is committed; until
then a crash sends it by its topic.
"""


class Store(Protocol):
    """One service's tables. All methods raise `Unreachable` when the server is gone."""

    @property
    def payloads(self) -> PayloadStore:
        """Where large values are kept that have left events."""
        ...

    async def claim(self, shards: Sequence[str], owner: str) -> Sequence[Claim]:
        """Raise the epochs of `shards` (made when new) and return what is known of each."""
        ...

    async def epochs(self, shards: Sequence[str]) -> Mapping[str, int]:
        """Return the epoch of each shard as it stands."""
        ...

    async def commit(self, batch: Sequence[ShardCommit]) -> None:
        """Write the batch in one transaction, or nothing.

        Raises:
            Fenced: The epoch of a shard is not the batch's.
            Repeated: A journal row's (stream, version) or a delivery is there already.
            Refused: The database refuses the data (a check, a type, a length).
            Unanswered: The connection broke before the answer came.
        """
        ...

    async def load(
        self, streams: Mapping[str, int]
    ) -> Mapping[str, tuple[Snapshot | None, Sequence[JournalRow]]]:
        """Return each stream's newest snapshot and the rows after it, by version.

        `streams` gives the highest snapshot version that may be used for each (-1: any).
        """
        ...

    async def journal(self, shard: str, after: int, limit: int) -> Sequence[JournalRow]:
        """Return up to `limit` rows of the shard with `seq > after`, in order."""
        ...

    async def look_up(self, tenant_id: str, lookups: Sequence[Lookup]) -> Sequence[Sequence[Row]]:
        """Return the rows of each lookup, restricted to the tenant; one query per kind."""
        ...

    async def deliveries(
        self, keys: Sequence[tuple[str, str, str]]
    ) -> Mapping[tuple[str, str, str], str]:
        """Return the answers kept for (tenant, source, id)s that were delivered before."""
        ...

    async def parked(self, stream: str, limit: int) -> Sequence[ParkedMessage]:
        """Return the first `limit` messages that wait behind a parked stream, in order."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


class Member(Protocol):
    """Membership in a group that shares out the partitions of one topic."""

    async def leave(self) -> None:
        """Leave the group, so that the others get the partitions at once."""
        ...

    async def committed(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """Return the offsets that the group has committed; only those there are.

        For work that keeps no marks in a store: the runner's.
        """
        ...

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit the group's next offsets. `Unreachable` when the member is no more."""
        ...


OnChange: TypeAlias = Callable[[Sequence[int]], Awaitable[None]]


class Bus(Protocol):
    """Topics. Logical names (`perdure.engine.commands.v1`) are mapped by the adapter."""

    async def partitions(self, topic: str) -> int:
        """Return how many partitions the topic has.

        Raises:
            LookupError: The topic does not exist; create topics first.
        """
        ...

    async def join(self, group: str, topic: str, assigned: OnChange, revoked: OnChange) -> Member:
        """Join the group. `revoked` is awaited before another member gets the partitions."""
        ...

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        """Return the first offset that is there and the next to be written, of each."""
        ...

    def read(self, positions: Mapping[TopicPartition, int]) -> None:
        """From now on read exactly these partitions, new ones from the given offsets.

        Partitions that were read before go on where they were, whatever is given.
        """
        ...

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at `offset` in a partition that is being read; drop what was fetched."""
        ...

    def pause(self, topics: Sequence[str]) -> None:
        """Fetch nothing from exactly these topics until the next call."""
        ...

    async def fetch(self, records_max: int, wait_s: float) -> Sequence[Record]:
        """Return what is there, oldest first per partition, fair between partitions.

        Waits up to `wait_s` only when nothing is there.
        """
        ...

    async def send(self, records: Sequence[Outbound]) -> Sequence[BaseException | None]:
        """Write the records, in order per partition, and wait for the acknowledgements.

        Returns one entry for each record: None when it is safely written, `NoSuchTopic` when its
        place does not exist, which keeps none of other places.
        """
        ...

    async def close(self) -> None:
        """Stop reading and writing; leave every group."""
        ...
