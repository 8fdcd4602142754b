"""Payloads in PostgreSQL: two tables in the schema of the service that names them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg

from perdure_common.adapters.postgres_projection import quoted
from perdure_common.adapters.postgres_queries import queries
from perdure_common.shell.payloads import Payload
from perdure_common.shell.ports import Unreachable

_SQL = queries(Path(__file__).with_name("postgres_payloads.sql"))

PUT_MAX = 16
"""Payloads of one statement: each may have some megabytes."""


class PostgresPayloads:
    """A `PayloadStore` in the schema of `service`; `connection` gives a connection to use."""

    def __init__(
        self, service: str, connection: Callable[[], AbstractAsyncContextManager[Any]]
    ) -> None:
        self._sql = {n: sql.format(schema=quoted(service)) for n, sql in _SQL.items()}
        self._connection = connection

    async def put(self, payloads: Sequence[Payload]) -> None:
        """See `PayloadStore`."""
        for at in range(0, len(payloads), PUT_MAX):
            part = payloads[at : at + PUT_MAX]
            columns = zip(*((p.tenant_id, p.sha256, p.stream, p.text) for p in part), strict=True)
            await self._run("put", *(list(column) for column in columns))

    async def get(self, tenant_id: str, hashes: Collection[str]) -> Mapping[str, str]:
        """See `PayloadStore`."""
        rows = await self._run("get", tenant_id, sorted(hashes))
        return {row["sha256"]: row["data"] for row in rows}

    async def sweep(self, grace_s: float, most: int) -> int:
        """See `PayloadStore`."""
        await self._run("sweep_uses", grace_s, most)
        rows = await self._run("sweep", grace_s, most)
        return int(rows[0]["count"])

    async def _run(self, name: str, *arguments: object) -> Sequence[Any]:
        async with self._connection() as connection:
            try:
                return await connection.fetch(self._sql[name], *arguments)
            except asyncpg.PostgresError as error:
                raise Unreachable(f"PostgreSQL does not take payloads now: {error}") from error
