"""The archive of a service in PostgreSQL: pages and server-side cursors, whatever its size."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from perdure_common.adapters.postgres import PostgresStore
from perdure_common.adapters.postgres_entries import events_of
from perdure_common.adapters.postgres_projection import quoted
from perdure_common.adapters.postgres_queries import queries
from perdure_common.shell.ports import Heard, JournalRow, Store
from perdure_common.shell.whole_rows import whole_row
from perdure_common.verify.archive import PAGE, Marks, Purged

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
        async with connected(self._url) as connection:
            await connection.execute(f"SET search_path TO {self._schema}")
            return await connection.fetchval(_SQL["wake"], shard, stream)

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
        await self._store.close()
