"""The store in memory: the same promises as PostgreSQL, in dicts, for simulations and tests.

No clock, no threads, nothing random. The state lives in the object, so it outlives the
"crash" of whoever uses it. Values are kept as `look_up` returns them, in copies. What the
tables themselves demand (columns, types, required values) is not known here.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common.adapters.memory_payloads import MemoryPayloads
from perdure_common.adapters.postgres_projection import Shape, coalesced, shape_of
from perdure_common.adapters.postgres_reading import in_order, wanted
from perdure_common.adapters.postgres_types import clean, cleaned, plain
from perdure_common.decider import Lookup, Page, Row, Upsert
from perdure_common.shell.ports import (
    Claim,
    Fenced,
    Heard,
    JournalRow,
    ParkedMessage,
    Refused,
    Repeated,
    ShardCommit,
    Snapshot,
    TopicPartition,
    Unanswered,
    Unreachable,
)
from perdure_common.shell.whole_rows import whole_rows

_SNAPSHOTS_KEPT = 2


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class _Shard:
    epoch: int = 0
    owner: str = ""
    next_seq: int = 1
    published_seq: int = 0
    projected_seq: int = 0
    format: int = 1
    rows: list[JournalRow] = field(default_factory=list)
    consumed: dict[TopicPartition, int] = field(default_factory=dict)
    heard: dict[tuple[str, int, str], tuple[int, int]] = field(default_factory=dict)
    sent: dict[TopicPartition, int] = field(default_factory=dict)
    wakes: dict[str, Any] = field(default_factory=dict)
    parked: dict[str, int] = field(default_factory=dict)


class MemoryTable:
    """Rows of one table, found by any set of columns that upserts have as their key."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._indexes: dict[tuple[str, ...], dict[tuple[Any, ...], dict[str, Any]]] = {}

    def find(self, shape: Shape, upsert: Upsert) -> dict[str, Any] | None:
        """Return the row that an upsert is about, None if there is none."""
        index = self._indexes.get(shape.key)
        if index is None:
            index = {_values(row, shape.key): row for row in self.rows}
            self._indexes[shape.key] = index
        return index.get(_values(_stored(upsert.key), shape.key))

    def write(self, shape: Shape, upsert: Upsert) -> None:
        """Insert or change the row of an upsert, unless its guard says that it goes back."""
        row = self.find(shape, upsert)
        comes = _stored(upsert.set)
        if row is None:
            row = {**_stored(upsert.key), **comes, **upsert.add}
            self.rows.append(row)
            for names, index in self._indexes.items():
                index[_values(row, names)] = row
        elif not _goes_back(row, comes, upsert.guard):
            for name, amount in upsert.add.items():
                row[name] = (row.get(name) or 0) + amount
            row.update(comes)
            if any(name in names for names in self._indexes for name in comes):
                self._indexes.clear()


class MemoryStore:
    """A `Store` for one service, in memory.

    A test can stage trouble: `lose_answer` for the next commit, and `down` for as long as
    it is True.
    """

    def __init__(self, service: str = "", now: Callable[[], datetime] = _utc_now) -> None:
        self.service = service
        self._now = now
        self._received: dict[tuple[str, str, str], datetime] = {}
        self.down = False
        self.commits = 0
        self._lost: deque[bool] = deque()
        self._shards: dict[str, _Shard] = {}
        self._streams: dict[str, list[JournalRow]] = {}
        self._versions: set[tuple[str, int]] = set()
        self._snapshots: dict[str, dict[int, Snapshot]] = {}
        self._deliveries: dict[tuple[str, str, str], str] = {}
        self._parked: dict[str, dict[int, bytes]] = {}
        self._tables: dict[str, MemoryTable] = {}
        self.payloads = MemoryPayloads(lambda stream: bool(self._streams.get(stream)), now)

    @property
    def tables(self) -> Mapping[str, Sequence[Row]]:
        """The projected rows by table, in the order in which they were inserted."""
        return {name: list(table.rows) for name, table in sorted(self._tables.items())}

    @property
    def streams(self) -> Mapping[str, Sequence[JournalRow]]:
        """The journal by stream."""
        return self._streams

    def shards(self) -> list[Claim]:
        """Return every shard as it stands, claimed by nobody for that."""
        return [self._claim(name, shard) for name, shard in sorted(self._shards.items())]

    def wake_of(self, shard: str, stream: str) -> datetime | None:
        """Return the instant that a stream waits for, as it was written down."""
        known = self._shards.get(shard)
        return None if known is None else known.wakes.get(stream)

    def consumed_of(self, shard: str) -> Mapping[TopicPartition, int]:
        """Return how far a shard has read each topic."""
        return self._shards[shard].consumed

    def delivered(self, tenant_id: str, source: str, message_id: str) -> bool:
        """Return whether an outsider's message was answered."""
        return _delivery_key(tenant_id, source, message_id) in self._deliveries

    def lose_answer(self, *, written: bool) -> None:
        """Let one more commit be `Unanswered`, after it was written or before."""
        self._lost.append(written)

    async def claim(self, shards: Sequence[str], owner: str) -> Sequence[Claim]:
        """See `Store`."""
        self._reach()
        for name in dict.fromkeys(shards):
            shard = self._shards.setdefault(name, _Shard())
            shard.epoch += 1
            shard.owner = owner
        return [self._claim(name, self._shards[name]) for name in shards]

    def _claim(self, name: str, shard: _Shard) -> Claim:
        return Claim(
            shard=name,
            epoch=shard.epoch,
            next_seq=shard.next_seq,
            published_seq=shard.published_seq,
            projected_seq=shard.projected_seq,
            format=shard.format,
            recorded_at=shard.rows[-1].recorded_at if shard.rows else None,
            consumed=dict(shard.consumed),
            heard={key: Heard(*value) for key, value in shard.heard.items()},
            sent=dict(shard.sent),
            wakes=dict(sorted(shard.wakes.items())),
            parked=dict(sorted(shard.parked.items())),
        )

    async def epochs(self, shards: Sequence[str]) -> Mapping[str, int]:
        """See `Store`."""
        self._reach()
        return {name: self._shards[name].epoch for name in shards if name in self._shards}

    async def commit(self, batch: Sequence[ShardCommit]) -> None:
        """See `Store`. Everything is checked before anything is changed."""
        self._reach()
        if not batch:
            return
        written = self._lost.popleft() if self._lost else None
        if written is False:
            raise Unanswered("the answer was lost, and the batch before it")
        groups = coalesced(u for commit in batch for u in commit.upserts)
        self._check_fences(batch)
        self._check_rows(batch)
        self._check_values(batch, groups)
        for commit in batch:
            self._write(commit)
        for shape, upserts in groups:
            for upsert in upserts:
                self._table(shape.table).write(shape, upsert)
        self.commits += 1
        if written:
            raise Unanswered("the batch was written, its answer was lost")

    async def load(
        self, streams: Mapping[str, int]
    ) -> Mapping[str, tuple[Snapshot | None, Sequence[JournalRow]]]:
        """See `Store`."""
        self._reach()
        found: dict[str, tuple[Snapshot | None, Sequence[JournalRow]]] = {}
        for stream, highest in streams.items():
            kept = self._snapshots.get(stream, {})
            usable = [v for v in kept if highest < 0 or v <= highest]
            snapshot = kept[max(usable)] if usable else None
            after = snapshot.version if snapshot else 0
            rows = [row for row in self._streams.get(stream, ()) if row.version > after]
            found[stream] = (snapshot, await whole_rows(self.payloads, rows))
        return found

    async def journal(self, shard: str, after: int, limit: int) -> Sequence[JournalRow]:
        """See `Store`."""
        self._reach()
        rows = self._shards[shard].rows if shard in self._shards else []
        first = bisect_right(rows, after, key=lambda row: row.seq)
        return await whole_rows(self.payloads, rows[first : first + limit])

    async def look_up(self, tenant_id: str, lookups: Sequence[Lookup]) -> Sequence[Sequence[Row]]:
        """See `Store`."""
        self._reach()
        return [self._found(tenant_id, lookup) for lookup in lookups]

    def _found(self, tenant_id: str, lookup: Lookup) -> list[Row]:
        where = {
            name: [cleaned(plain(v)) for v in wanted(value)]
            for name, value in {**lookup.where, "tenant_id": tenant_id}.items()
        }
        if lookup.table == "payloads":
            return [dict(row) for row in self.payloads.rows(tenant_id, where["sha256"])]
        table = self._tables.get(lookup.table)
        rows = [
            row
            for row in (table.rows if table else ())
            if all(row.get(name) in values for name, values in where.items())
        ]
        if lookup.page is not None:
            rows = _paged(rows, lookup.page)
        return in_order({name: plain(row.get(name)) for name in lookup.columns} for row in rows)

    async def deliveries(
        self, keys: Sequence[tuple[str, str, str]]
    ) -> Mapping[tuple[str, str, str], str]:
        """See `Store`."""
        self._reach()
        kept = {key: self._deliveries.get(_delivery_key(*key)) for key in keys}
        return {key: answer for key, answer in kept.items() if answer is not None}

    async def forget_deliveries(self, older_than_s: float, limit: int) -> int:
        """See `retention.Deliveries`."""
        self._reach()
        before = self._now() - timedelta(seconds=older_than_s)
        old = [key for key, at in self._received.items() if at < before][:limit]
        for key in old:
            del self._deliveries[key], self._received[key]
        return len(old)

    async def parked(self, stream: str, limit: int) -> Sequence[ParkedMessage]:
        """See `Store`."""
        self._reach()
        waiting = sorted(self._parked.get(stream, {}).items())
        return [ParkedMessage(stream, n, raw) for n, raw in waiting[:limit]]

    async def close(self) -> None:
        """See `Store`. What was written stays."""

    # Checking ----------------------------------------------------------------------

    def _reach(self) -> None:
        if self.down:
            raise Unreachable("the store is down")

    def _check_fences(self, batch: Sequence[ShardCommit]) -> None:
        fenced: list[str] = []
        for commit in batch:
            shard = self._shards.get(commit.shard, _Shard())
            if (shard.epoch, shard.next_seq) != (commit.epoch, commit.next_seq):
                fenced.append(commit.shard)
        if fenced:
            raise Fenced(sorted(fenced))

    def _check_rows(self, batch: Sequence[ShardCommit]) -> None:
        rows = [row for commit in batch for row in commit.rows]
        repeated = {row.stream for row in rows if (row.stream, row.version) in self._versions}
        if repeated:
            raise Repeated(sorted(repeated))
        if len({(row.stream, row.version) for row in rows}) < len(rows):
            raise Refused("two rows of the batch have one stream and version")
        if len({(row.shard, row.seq) for row in rows}) < len(rows):
            raise Refused("two rows of the batch have one number")
        keys = [_delivery_key(d.tenant_id, d.source, d.id) for c in batch for d in c.deliveries]
        if len(set(keys)) < len(keys) or any(key in self._deliveries for key in keys):
            raise Repeated

    def _check_values(
        self, batch: Sequence[ShardCommit], groups: Iterable[tuple[Shape, Sequence[Upsert]]]
    ) -> None:
        for commit in batch:
            for row in commit.rows:
                texts = (row.stream, row.tenant_id, row.type, row.data, row.meta)
                if any(clean(text) != text for text in texts):
                    raise Refused(f"journal: a text of event {row.type} has a NUL character")
            for message in commit.parked:
                if message.n in self._parked.get(message.stream, {}):
                    raise Refused(f"parked_message: {message.stream} has {message.n} already")
        for shape, upserts in groups:
            table = self._table(shape.table)
            for upsert in upserts:
                if shape_of(upsert) != shape:
                    raise Refused(f"{shape.table}: not all rows of {upsert.kind!r} are alike")
                if upsert.new and table.find(shape, upsert) is not None:
                    raise Refused(f"{shape.table}: a row promised to be new is there already")

    # Writing -----------------------------------------------------------------------

    def _table(self, name: str) -> MemoryTable:
        return self._tables.setdefault(name, MemoryTable())

    def _write(self, commit: ShardCommit) -> None:
        shard = self._shards[commit.shard]
        self.payloads.keep(commit.payloads)
        shard.next_seq += len(commit.rows)
        shard.published_seq = max(shard.published_seq, commit.published_seq or 0)
        shard.projected_seq = max(shard.projected_seq, commit.projected_seq or 0)
        shard.format = max(shard.format, commit.format)
        for row in commit.rows:
            shard.rows.append(row)
            self._streams.setdefault(row.stream, []).append(row)
            self._versions.add((row.stream, row.version))
        shard.consumed.update(commit.consumed)
        for key, heard in commit.heard.items():
            if heard.seq >= shard.heard.get(key, (0, 0))[0]:
                shard.heard[key] = (heard.seq, heard.gap)
        for place, seq in commit.sent.items():
            shard.sent[place] = max(seq, shard.sent.get(place, 0))
        for stream, at in commit.wakes.items():
            if at is None:
                shard.wakes.pop(stream, None)
            else:
                shard.wakes[stream] = at
        for delivery in commit.deliveries:
            key = _delivery_key(delivery.tenant_id, delivery.source, delivery.id)
            self._deliveries[key] = clean(delivery.answer)
            self._received[key] = self._now()
        for snapshot in commit.snapshots:
            kept = self._snapshots.setdefault(snapshot.stream, {})
            kept[snapshot.version] = snapshot
            for version in sorted(kept)[:-_SNAPSHOTS_KEPT]:
                del kept[version]
        self._write_parked(shard, commit)

    def _write_parked(self, shard: _Shard, commit: ShardCommit) -> None:
        for message in commit.parked:
            self._parked.setdefault(message.stream, {})[message.n] = message.raw
            if message.n > 0:  # below are marks, which another shard may set
                n = max(message.n, shard.parked.get(message.stream, 0))
                shard.parked[message.stream] = n
        for stream, n in commit.unparked:
            self._parked.get(stream, {}).pop(n, None)
        for stream, _ in commit.unparked:
            if not self._parked.get(stream):
                self._parked.pop(stream, None)
                shard.parked.pop(stream, None)


def _paged(rows: Sequence[Row], page: Page) -> list[Row]:
    """Return the rows of one page."""
    column = page.column
    below = [row for row in rows if not page.before or str(row[column]) < page.before]
    return sorted(below, key=lambda row: str(row[column]), reverse=True)[: page.most]


def _delivery_key(tenant_id: str, source: str, message_id: str) -> tuple[str, str, str]:
    return tenant_id, clean(source), clean(message_id)


def _stored(columns: Mapping[str, object]) -> dict[str, Any]:
    return {name: cleaned(plain(value)) for name, value in columns.items()}


def _values(row: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in names)


def _goes_back(row: Mapping[str, Any], comes: Mapping[str, Any], guard: Sequence[str]) -> bool:
    """Return whether `comes` is older than the row, compared as SQL compares rows.

    The first columns that differ decide; one that is missing on either side lets it pass.
    """
    for name in guard:
        was, then = row.get(name), comes.get(name)
        if was is None or then is None:
            return False
        if was != then:
            return then < was
    return False
