"""What must hold at every step, and the trace that tells two runs apart.

The watch sees each commit, each record and each effect as it happens, and knows the promises
by itself: it counts epochs and numbers beside the store that is to keep them.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell import codec
from perdure_common.shell.ports import Claim, Record, ShardCommit, TopicPartition


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
class Watch:
    """What was seen. `faults` counts what went wrong, by its kind."""

    broken: list[Broken] = field(default_factory=list[Broken])
    faults: Counter[str] = field(default_factory=Counter[str])
    events: int = 0
    log: list[str] | None = None
    _trace: "hashlib.blake2b" = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    _sent: dict[tuple[TopicPartition, str], set[int]] = field(
        default_factory=dict[tuple[TopicPartition, str], "set[int]"]
    )
    _fetched: dict[tuple[TopicPartition, str], set[int]] = field(
        default_factory=dict[tuple[TopicPartition, str], "set[int]"]
    )
    _epochs: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    _last: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    _latest: dict[tuple[str, str], datetime] = field(
        default_factory=dict[tuple[str, str], datetime]
    )
    _versions: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def numbered(self) -> Iterator[tuple[TopicPartition, str, int]]:
        """Give every message that shards have sent: its place, its source, its number."""
        for place, source, numbers in self._sent_by_place():
            for number in numbers:
                yield place, source, number

    def _sent_by_place(self) -> Iterator[tuple[TopicPartition, str, set[int]]]:
        for (place, source), numbers in sorted(self._sent.items()):
            yield place, source, numbers

    def was_fetched(self, place: TopicPartition, source: str, number: int) -> bool:
        """Return whether a message was ever read by a service."""
        return number in self._fetched.get((place, source), ())

    def fetched(self, records: Sequence[Record]) -> None:
        """See records that a process reads."""
        for record in records:
            if codec.header(record.headers, "x-prev") is None:
                continue
            source = (codec.header(record.headers, "ce_source") or b"").decode()
            number = codec.parse_number((codec.header(record.headers, "ce_id") or b"").decode())
            if number is not None:
                key = ((record.topic, record.partition), source)
                self._fetched.setdefault(key, set()).add(number)

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        line = f"{asyncio.get_running_loop().time():.6f} {text}"
        self._trace.update(line.encode())
        self._trace.update(b"\n")
        if self.log is not None:
            self.log.append(line)

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

    def claimed(self, store: MemoryStore, claims: Sequence[Claim], who: str) -> None:
        """See shards change hands: each claim has a higher epoch than all before."""
        for claim in claims:
            place = (store.service, claim.shard)
            if claim.epoch <= self._epochs.get(place, 0):
                self.breaks("I7", f"{place} was claimed under the epoch {claim.epoch} before")
            self._epochs[place] = claim.epoch
            self.note(f"claim {place} {claim.epoch} {who}")

    def committed(self, store: MemoryStore, batch: Sequence[ShardCommit], who: str) -> None:
        """See a batch that was written: by the owner, with the next numbers and versions."""
        for commit in batch:
            place = (store.service, commit.shard)
            if commit.epoch != self._epochs.get(place):
                self.breaks("I7", f"{place}: a write with epoch {commit.epoch} was taken")
            for to, number in commit.sent.items():
                source = codec.source_of(store.service, commit.shard)
                self._sent.setdefault((to, source), set()).add(number)
            for row in commit.rows:
                stream = (store.service, row.stream)
                if row.seq != self._last.get(place, 0) + 1:
                    self.breaks("I4", f"{place}: number {row.seq} after {self._last.get(place)}")
                if row.version != self._versions.get(stream, 0) + 1:
                    self.breaks("I4", f"{stream}: version {row.version}")
                latest = self._latest.get(place)
                if latest is not None and row.recorded_at < latest:
                    self.breaks("I4", f"{place}: time goes back at {row.seq}")
                self._last[place] = row.seq
                self._versions[stream] = row.version
                self._latest[place] = row.recorded_at
                self.note(f"row {place} {row.seq} {row.stream} {row.version} {row.type}")
            self.events += len(commit.rows)
            if not commit.rows:
                self.note(f"marks {place} {sorted(commit.consumed.items())} {who}")

    def appended(self, record: Record) -> None:
        """See a record in a topic: what has a number must have been committed before."""
        name = (codec.header(record.headers, "ce_id") or b"").decode()
        self.note(f"record {record.topic} {record.partition} {record.offset} {name}")
        if codec.header(record.headers, "x-prev") is None:
            return
        number = codec.parse_number(name)
        source = (codec.header(record.headers, "ce_source") or b"").decode()
        who = codec.parse_source(source)
        if number is None or who is None:
            return
        if number >> codec.FAN_OUT_BITS > self._last.get(who, 0):
            self.breaks("I5", f"{name} was published before it was committed")
