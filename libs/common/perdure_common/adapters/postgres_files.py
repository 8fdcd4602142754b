"""Files in PostgreSQL: two tables in the schema of the service whose executions refer to them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg

from perdure_common.adapters.postgres_projection import quoted
from perdure_common.adapters.postgres_queries import queries
from perdure_common.shell.files import Stored, Upload
from perdure_common.shell.ports import Unreachable

_SQL = queries(Path(__file__).with_name("postgres_files.sql"))

_TRIES_MAX = 5
"""How often an upload may find that its file has just come, or has just gone."""


class PostgresFiles:
    """A `FileStore` in the schema of `service`; `connection` gives a connection to use."""

    def __init__(
        self, service: str, connection: Callable[[], AbstractAsyncContextManager[Any]]
    ) -> None:
        self._sql = {n: sql.format(schema=quoted(service)) for n, sql in _SQL.items()}
        self._connection = connection

    async def begin(self, tenant_id: str, upload: str) -> None:
        """See `FileStore`."""
        await self._run("begin", upload, tenant_id)

    async def append(self, upload: str, n: int, data: bytes) -> None:
        """See `FileStore`."""
        await self._run("append", upload, n, data)

    async def finish(self, tenant_id: str, upload: str, stored: Stored) -> None:
        """See `FileStore`."""
        for _ in range(_TRIES_MAX):
            if await self._run("known", upload, tenant_id, stored.file_id):
                return
            try:
                if await self._run("finish", upload, tenant_id, stored.file_id, stored.size):
                    return
            except _Taken:
                continue
        raise Unreachable("a file cannot be kept now: others write and delete the same one")

    async def discard(self, upload: str) -> None:
        """See `FileStore`."""
        await self._run("discard", upload)

    async def find(self, tenant_id: str, file_id: str) -> Upload | None:
        """See `FileStore`."""
        rows = await self._run("find", tenant_id, file_id)
        return Upload(rows[0]["upload"], rows[0]["bytes"]) if rows else None

    async def chunk(self, upload: str, n: int) -> bytes | None:
        """See `FileStore`."""
        rows = await self._run("chunk", upload, n)
        return bytes(rows[0]["data"]) if rows else None

    async def sweep_files(self, grace_s: float, most: int) -> int:
        """See `FileStore`."""
        await self._run("sweep_used")
        await self._run("sweep_unused")
        rows = await self._run("sweep", grace_s, most)
        return int(rows[0]["count"])

    async def _run(self, name: str, *arguments: object) -> Sequence[Any]:
        async with self._connection() as connection:
            try:
                return await connection.fetch(self._sql[name], *arguments)
            except asyncpg.UniqueViolationError as error:
                raise _Taken from error
            except asyncpg.PostgresError as error:
                raise Unreachable(f"PostgreSQL does not take files now: {error}") from error


class _Taken(Exception):
    """Another upload became the same file at the same moment."""
