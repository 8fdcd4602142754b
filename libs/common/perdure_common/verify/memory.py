"""The archive of a service whose store is in memory, and its tables made anew (I3)."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime

from perdure_contracts.message import NAMES
from perdure_contracts.shell import DeadLettered

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow, Store
from perdure_common.shell.whole_rows import whole_row
from perdure_common.verify.archive import Letter, Marks, Purged


class MemoryArchive:
    """What a `MemoryStore` has; implements `Archive`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    @property
    def store(self) -> Store:
        """See `Archive.store`."""
        return self._store

    async def marks(self) -> Sequence[Marks]:
        """See `Archive.marks`."""
        return [
            Marks(
                shard=claim.shard,
                epoch=claim.epoch,
                next_seq=claim.next_seq,
                published_seq=claim.published_seq,
                projected_seq=claim.projected_seq,
                consumed=claim.consumed,
                heard=claim.heard,
                sent=claim.sent,
            )
            for claim in self._store.shards()
        ]

    async def purged(self) -> Mapping[str, Purged]:
        """See `Archive.purged`: in memory nothing is purged."""
        return {}

    async def wake(self, shard: str, stream: str) -> datetime | None:
        """See `Archive.wake`."""
        return self._store.wake_of(shard, stream)

    async def after(
        self, versions: Mapping[str, int], limit: int
    ) -> Mapping[str, Sequence[JournalRow]]:
        """See `Archive.after`."""
        found: dict[str, Sequence[JournalRow]] = {}
        for stream, version in versions.items():
            rows = [r for r in self._store.streams.get(stream, ()) if r.version > version]
            if rows:
                found[stream] = sorted(rows, key=lambda row: row.version)[:limit]
        return found

    async def letters(self, shard: str, after: int, limit: int) -> Sequence[Letter]:
        """See `Archive.letters`."""
        found: list[Letter] = []
        while len(found) < limit and (rows := await self._store.journal(shard, after, limit)):
            after = rows[-1].seq
            for row in rows:
                if row.type == NAMES[DeadLettered]:
                    told: DeadLettered = codec.event_of(row)
                    found.append(Letter(row.seq, (told.topic, told.partition), told.offset))
        return found[:limit]

    async def streams(self) -> AsyncGenerator[JournalRow]:
        """See `Archive.streams`."""
        for _, rows in sorted(self._store.streams.items()):
            for row in sorted(rows, key=lambda row: row.version):
                yield await whole_row(self._store.payloads, row)
