"""Damages what a service has kept, in memory and in PostgreSQL alike, for those who must notice.

What is kept is taken out as rows and marks, changed by a function, and put back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import asyncpg
import msgspec
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell.ports import Heard, JournalRow
from perdure_common.verify import Archive, Marks
from perdure_common.verify.memory import MemoryArchive
from perdure_common.verify.postgres import PostgresArchive


@dataclass
class Kept:
    """A service's journal and marks."""

    rows: list[JournalRow]
    marks: dict[str, Marks]

    def of(self, shard: str) -> list[JournalRow]:
        """Return a shard's rows, in order."""
        return sorted((r for r in self.rows if r.shard == shard), key=lambda r: r.seq)

    def change(self, row: JournalRow, **fields: Any) -> None:
        """Change a row."""
        self.rows[self.rows.index(row)] = _with(row, **fields)

    def add(self, row: JournalRow, **fields: Any) -> JournalRow:
        """Add a row like another one."""
        self.rows.append(_with(row, **fields))
        return self.rows[-1]

    def mark(self, shard: str, **fields: Any) -> None:
        """Change the marks of a shard."""
        self.marks[shard] = replace(self.marks[shard], **fields)


def _with(row: JournalRow, **fields: Any) -> JournalRow:
    return msgspec.structs.replace(row, **fields)


class Keeper(Protocol):
    """Where a service keeps its journal and marks."""

    archive: Archive

    async def put(self, kept: Kept) -> None:
        """Keep this instead."""
        ...


async def taken(archive: Archive) -> Kept:
    """Return what is kept."""
    rows = [row async for row in archive.streams()]
    return Kept(rows, {mark.shard: mark for mark in await archive.marks()})


class InMemory:
    """What a `MemoryStore` keeps."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.archive: Archive = MemoryArchive(store)

    async def put(self, kept: Kept) -> None:
        """See `Keeper.put`."""
        inner: Any = vars(self._store)
        inner["_streams"] = {}
        for row in kept.rows:
            inner["_streams"].setdefault(row.stream, []).append(row)
        for name, mark in kept.marks.items():
            shard = inner["_shards"][name]
            shard.rows = kept.of(name)
            shard.next_seq, shard.published_seq = mark.next_seq, mark.published_seq
            shard.consumed, shard.sent = dict(mark.consumed), dict(mark.sent)
            shard.heard = {key: (heard.seq, heard.gap) for key, heard in mark.heard.items()}


class InPostgres:
    """What a schema keeps."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._schema = service
        self.postgres = PostgresArchive(url, service)
        self.archive: Archive = self.postgres

    async def put(self, kept: Kept) -> None:
        """See `Keeper.put`."""
        connection = await asyncpg.connect(self._url)
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL search_path TO {self._schema}")
                await connection.execute("DELETE FROM journal_entry; DELETE FROM sent; "
                                         "DELETE FROM heard; DELETE FROM consumed")  # fmt: skip
                await connection.executemany(
                    "INSERT INTO journal VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    [
                        (r.shard, r.seq, r.stream, r.version, r.tenant_id, r.type, r.data, r.meta,
                         r.recorded_at)
                        for r in kept.rows
                    ],
                )  # fmt: skip
                for mark in kept.marks.values():
                    await _put_marks(connection, mark)
        finally:
            await connection.close()


async def _put_marks(connection: Any, mark: Marks) -> None:
    await connection.execute(
        "UPDATE shard SET next_seq = $2, published_seq = $3 WHERE id = $1",
        mark.shard, mark.next_seq, mark.published_seq,
    )  # fmt: skip
    await connection.executemany(
        "INSERT INTO consumed VALUES ($1, $2, $3, $4)",
        [(mark.shard, *place, offset) for place, offset in mark.consumed.items()],
    )
    await connection.executemany(
        "INSERT INTO sent VALUES ($1, $2, $3, $4)",
        [(mark.shard, *place, number) for place, number in mark.sent.items()],
    )
    await connection.executemany(
        "INSERT INTO heard VALUES ($1, $2, $3, $4, $5, $6)",
        [(mark.shard, *key, heard.seq, heard.gap) for key, heard in mark.heard.items()],
    )


def without_heard(mark: Marks) -> Mapping[tuple[str, int, str], Heard]:
    """Return what was heard as if nothing was."""
    return {key: Heard() for key in mark.heard}
