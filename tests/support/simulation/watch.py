"""What must hold at every step, and the trace that tells two runs apart.

The watch sees each commit, each record and each effect as it happens, and knows the promises
by itself: it counts epochs and numbers beside the store that is to keep them. What attempts
must keep is in attempts.py.
"""

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.fencing import Plan
from perdure_common.shell import codec
from perdure_common.shell.ports import (
    Claim,
    JournalRow,
    Outbound,
    Record,
    ShardCommit,
    TopicPartition,
)
from perdure_contracts.executions import NodeScheduled
from perdure_contracts.message import NAMES

from simulation.admission import Admission
from simulation.attempts import Attempts
from simulation.wakes import Wakes

ShardOf = tuple[str, str]
"""A service and one of its shards."""


@dataclass(frozen=True)
class Broken:
    """A promise that did not hold at an instant of the run."""

    promise: str
    found: str
    at_s: float

    def __str__(self) -> str:
        """The finding in one line."""
        return f"{self.promise} at {self.at_s:.3f} s: {self.found}"


@dataclass
class _Shard:
    """What is known of a shard; `pending` are numbers that are not marked as published."""

    epoch: int = 0
    last: int = 0
    latest: datetime | None = None
    published: int = 0
    landed: set[int] = field(default_factory=set)
    pending: deque[tuple[int, str]] = field(default_factory=deque)


class Watch:
    """What was seen. `faults` counts what went wrong, by its kind."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.broken: list[Broken] = []
        self.faults: Counter[str] = Counter()
        self.events = 0
        self.log = log
        self.attempts = Attempts(self.breaks)
        self.wakes = Wakes(self.breaks)
        self.admission = Admission(self.breaks)
        self._trace = hashlib.blake2b(digest_size=16)
        self._shards: dict[ShardOf, _Shard] = {}
        self._versions: dict[tuple[str, str], int] = {}
        self._sent: dict[tuple[TopicPartition, str], set[int]] = {}
        self._fetched: dict[tuple[TopicPartition, str], set[int]] = {}

    # Telling ------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        line = f"{asyncio.get_running_loop().time():.6f} {text}\n"
        self._trace.update(line.encode())
        if self.log is not None:
            self.log.append(line.rstrip())

    @property
    def trace(self) -> str:
        """What is the same in two runs of one seed, and in no others."""
        return self._trace.hexdigest()

    def fault(self, what: str) -> None:
        """Count something that went wrong."""
        self.faults[what] += 1
        self.note(f"fault {what}")

    def breaks(self, promise: str, found: str) -> None:
        """Note a promise that does not hold."""
        self.broken.append(Broken(promise, found, asyncio.get_running_loop().time()))
        self.note(f"broken {promise} {found}")

    def effect(self, key: str) -> None:
        """See an effect on the world outside."""
        self.note(f"effect {key}")

    # The database -------------------------------------------------------------------------

    def _shard(self, place: ShardOf) -> _Shard:
        return self._shards.setdefault(place, _Shard())

    def claimed(self, store: MemoryStore, claims: Sequence[Claim], who: str) -> None:
        """See shards change hands: each claim has a higher epoch than all before."""
        for claim in claims:
            place = (store.service, claim.shard)
            shard = self._shard(place)
            if claim.epoch <= shard.epoch:
                self.breaks("I7", f"{place} was claimed under the epoch {claim.epoch} before")
            shard.epoch = claim.epoch
            self.note(f"claim {place} {claim.epoch} {who}")

    def committing(self, store: MemoryStore, batch: Sequence[ShardCommit]) -> None:
        """See a batch before it is written, perhaps in vain."""
        self.wakes.committing(store, batch)

    def committed(self, store: MemoryStore, batch: Sequence[ShardCommit], who: str) -> None:
        """See a batch that was written: by the owner, with the next numbers and versions."""
        self.wakes.committed(store)
        for commit in batch:
            place = (store.service, commit.shard)
            shard = self._shard(place)
            if commit.epoch != shard.epoch:
                self.breaks("I7", f"{place}: a write with epoch {commit.epoch} was taken")
            source = codec.source_of(*place)
            for to, number in commit.sent.items():
                self._sent.setdefault((to, source), set()).add(number)
            for message in commit.parked:
                if message.raw:
                    self.attempts.parked(codec.unpack_record(message.raw))
            self._see_rows(place, shard, commit)
            self._see_mark(place, shard, commit.published_seq or 0)
            if not commit.rows:
                self.note(f"marks {place} {sorted(commit.consumed.items())} {who}")

    def _see_rows(self, place: ShardOf, shard: _Shard, commit: ShardCommit) -> None:
        for row in commit.rows:
            stream = (place[0], row.stream)
            if row.seq != shard.last + 1:
                self.breaks("I4", f"{place}: number {row.seq} after {shard.last}")
            if row.version != self._versions.get(stream, 0) + 1:
                self.breaks("I4", f"{stream}: version {row.version}")
            if shard.latest is not None and row.recorded_at < shard.latest:
                self.breaks("I4", f"{place}: time goes back at {row.seq}")
            shard.last, shard.latest = row.seq, row.recorded_at
            self._versions[stream] = row.version
            self.note(f"row {place} {row.seq} {row.stream} {row.version} {row.type}")
            token = ""
            if place[0] == "engine":
                token = self.attempts.row(row)
                self.admission.row(row)
            self._expect(place, row, token)
        self.events += len(commit.rows)

    def _expect(self, place: ShardOf, row: JournalRow, token: str) -> None:
        """Know the messages of a row, which are to be published before it is marked so."""
        meta = codec.decode_meta(row.meta)
        for k in range(meta.first, meta.first + len(meta.prev)):
            handed = token if row.type == NAMES[NodeScheduled] else ""
            self._shard(place).pending.append((codec.number(row.seq, k), handed))

    def _see_mark(self, place: ShardOf, shard: _Shard, published: int) -> None:
        """Check that what is marked as published was, or was dealt with in the process."""
        while shard.pending and shard.pending[0][0] >> codec.FAN_OUT_BITS <= published:
            number, token = shard.pending.popleft()
            if number in shard.landed or (token and self.attempts.settled(token)):
                shard.landed.discard(number)
                continue
            name = f"{number >> codec.FAN_OUT_BITS}.{number & (codec.FAN_OUT_MAX - 1)}"
            self.breaks("I5", f"{place}: {name} is marked as published and never was")

    def swept(self, store: MemoryStore, stream: str) -> None:
        """See a stream lose all before its tombstone: versions go on behind what is left."""
        self._versions[store.service, stream] = store.streams[stream][-1].version

    def restored(self, store: MemoryStore, plans: Sequence[Plan]) -> None:
        """See tables go back to a backup: what they say now counts, and numbers go on above."""
        for plan in plans:
            place = (store.service, plan.fence.shard)
            self._shards[place] = shard = _Shard(plan.fence.epoch, plan.next_seq - 1)
            shard.latest = plan.rows[-1].recorded_at
            source = codec.source_of(*place)
            for (_, who), numbers in self._sent.items():
                if who == source:
                    numbers -= {n for n in numbers if n >> codec.FAN_OUT_BITS >= plan.fence.first}
            for to, number in plan.sent.items():
                self._sent.setdefault((to, source), set()).add(number)
        rows = [row for stream in store.streams.values() for row in stream]
        known = [key for key in self._versions if key[0] == store.service]
        for key in known:
            del self._versions[key]
        if store.service == "engine":
            self.attempts.forget()
            self.admission.forget()
        marks = {claim.shard: claim.published_seq for claim in store.shards()}
        for row in sorted(rows, key=lambda each: (each.shard, each.seq)):
            self._versions[store.service, row.stream] = row.version
            token = ""
            if store.service == "engine":
                token = self.attempts.row(row)
                self.admission.row(row, check=False)
            if row.seq > marks[row.shard]:
                self._expect((store.service, row.shard), row, token)

    # Kafka --------------------------------------------------------------------------------

    def appended(self, record: Record) -> None:
        """See a record in a topic: what has a number must have been committed before."""
        name = (codec.header(record.headers, "ce_id") or b"").decode()
        self.note(f"record {record.topic} {record.partition} {record.offset} {name}")
        self.attempts.record(record)
        self.wakes.record(record)
        who = self._numbered(record)
        if who is None:
            return
        place, number = who
        shard = self._shard(place)
        shard.landed.add(number)
        if number >> codec.FAN_OUT_BITS > shard.last:
            self.breaks("I5", f"{name} was published before it was committed")

    def lost(self, record: Outbound | Record) -> None:
        """See a record that Kafka has acknowledged and loses: its sender cannot know."""
        self.attempts.lost(record)
        who = self._numbered(record)
        if who is not None:
            self._shard(who[0]).landed.add(who[1])

    def fetched(self, records: Sequence[Record]) -> None:
        """See records that a process reads."""
        for record in records:
            who = self._numbered(record)
            if who is not None:
                key = ((record.topic, record.partition), codec.source_of(*who[0]))
                self._fetched.setdefault(key, set()).add(who[1])

    @staticmethod
    def _numbered(record: Record | Outbound) -> tuple[ShardOf, int] | None:
        if codec.header(record.headers, "x-prev") is None:
            return None
        number = codec.parse_number((codec.header(record.headers, "ce_id") or b"").decode())
        source = (codec.header(record.headers, "ce_source") or b"").decode()
        who = codec.parse_source(source)
        return None if number is None or who is None else (who, number)

    def numbered(self) -> Iterator[tuple[TopicPartition, str, int]]:
        """Give every message that shards have sent: its place, its source, its number."""
        for (place, source), numbers in sorted(self._sent.items()):
            for number in sorted(numbers):
                yield place, source, number

    def was_fetched(self, place: TopicPartition, source: str, number: int) -> bool:
        """Return whether a message was ever read by a service."""
        return number in self._fetched.get((place, source), ())
