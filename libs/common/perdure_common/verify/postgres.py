"""The archive of a service in PostgreSQL: pages and server-side cursors, whatever its size."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
from perdure_contracts.message import NAMES
from perdure_contracts.shell import DeadLettered

from perdure_common.adapters.postgres import PostgresStore
from perdure_common.adapters.postgres_entries import events_of
from perdure_common.adapters.postgres_projection import quoted
from perdure_common.adapters.postgres_queries import queries
from perdure_common.shell.ports import Heard, JournalRow, Store
from perdure_common.shell.whole_rows import whole_row
from perdure_common.verify.archive import PAGE, Letter, Marks, Purged

_SQL = queries(Path(__file__).with_name("postgres.sql"))


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Any]:
    """Connect for as long as the block lasts."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


class PostgresArchive:
    """What a service has in its schema; implements `Archive`. Close it."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._schema = quoted(service)
        self._store = PostgresStore(url, service)
        self._kept: Any = None

    @property
    def store(self) -> Store:
        """See `Archive.store`."""
        return self._store

    async def marks(self) -> Sequence[Marks]:
        """See `Archive.marks`."""
        async with connected(self._url) as connection:
            await connection.execute(f"SET search_path TO {self._schema}")
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                shards = await connection.fetch(_SQL["shards"])
                consumed = await connection.fetch(_SQL["consumed"])
                heard = await connection.fetch(_SQL["heard"])
                sent = await connection.fetch(_SQL["sent"])
        return [
            Marks(
                shard=row["id"],
                epoch=row["epoch"],
                next_seq=row["next_seq"],
                published_seq=row["published_seq"],
                projected_seq=row["projected_seq"],
                consumed={
                    (r["topic"], r["partition"]): r["next_offset"]
                    for r in consumed
                    if r["shard"] == row["id"]
                },
                heard={
                    (r["topic"], r["partition"], r["source"]): Heard(r["seq"], r["gap"])
                    for r in heard
                    if r["shard"] == row["id"]
                },
                sent={
                    (r["topic"], r["partition"]): r["seq"] for r in sent if r["shard"] == row["id"]
                },
            )
            for row in shards
        ]

    async def purged(self) -> Mapping[str, Purged]:
        """See `Archive.purged`."""
        async with connected(self._url) as connection:
            await connection.execute(f"SET search_path TO {self._schema}")
            if not await connection.fetchval(_SQL["purges"]):
                return {}
            rows = await connection.fetch(_SQL["purged"])
        return {row["shard"]: Purged(row["rows"], row["before"]) for row in rows}

    async def wake(self, shard: str, stream: str) -> datetime | None:
        """See `Archive.wake`."""
        rows = await self._fetch("wake", shard, stream)
        return rows[0]["at"] if rows else None

    async def after(
        self, versions: Mapping[str, int], limit: int
    ) -> Mapping[str, Sequence[JournalRow]]:
        """See `Archive.after`."""
        entries = await self._fetch("after", list(versions), list(versions.values()), limit)
        found: dict[str, list[JournalRow]] = {}
        for row in events_of(entries):
            if row.version > versions[row.stream]:
                found.setdefault(row.stream, []).append(row)
        return found

    async def letters(self, shard: str, after: int, limit: int) -> Sequence[Letter]:
        """See `Archive.letters`."""
        rows = await self._fetch("letters", shard, after, NAMES[DeadLettered], limit)
        return [Letter(r["seq"], (r["topic"], r["partition"]), r["record"]) for r in rows]

    async def _fetch(self, name: str, *arguments: object) -> Sequence[Any]:
        """Ask over one connection that is kept: what is asked often is asked one by one."""
        if self._kept is None:
            self._kept = await asyncpg.connect(self._url)
            await self._kept.execute(f"SET search_path TO {self._schema}")
        return await self._kept.fetch(_SQL[name], *arguments)

    async def streams(self) -> AsyncGenerator[JournalRow]:
        """See `Archive.streams`."""
        async with connected(self._url) as connection:
            await connection.execute(f"SET search_path TO {self._schema}")
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                async for entry in connection.cursor(_SQL["streams"], prefetch=PAGE):
                    for row in events_of([entry]):
                        yield await whole_row(self._store.payloads, row)

    async def close(self) -> None:
        """Give the connections back."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.close()
        await self._store.close()
