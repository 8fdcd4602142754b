"""Reads the tables of one service, as the role that may read and nothing else."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from perdure_common.adapters.postgres_connection import Dropping
from perdure_common.adapters.postgres_errors import LOST
from perdure_common.adapters.postgres_projection import quoted
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.problem import Problem
from perdure_common.api.table import (
    Query,
    TableView,
    Types,
    count_sql,
    page_sql,
    row_sql,
    walk_of,
    walked_sql,
)

_SQL = queries(Path(__file__).with_name("reading.sql"))

_CONNECT_S = 5.0
_STATEMENT_MS = 10_000
"""How long one question may take; a list that takes longer needs an index."""

_PING_S = 2.0
"""How long the server may take to answer nothing: who asks whether it is there, wants to know."""

_SILENT_S = 12.0
"""How long the server may say nothing to one: it should have said that it took too long."""

log = structlog.get_logger(__name__)


class Reading:
    """A few connections that read the schema of `service` as `<service>_api`.

    Args:
        url: the database's address; its user must be a member of the role.
        service: names the schema and the role.
        connections: how many are open at most.
    """

    def __init__(self, url: str, service: str, *, connections: int = 2) -> None:
        self._url = url
        self._service = service
        self._connections = connections
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._types: dict[str, Types] = {}

    async def page(
        self, table: str, view: TableView, tenant_id: str, query: Query
    ) -> tuple[Sequence[bytes], bytes | None]:
        """Return the rows of a page as JSON, and the one after which there may be more.

        That is the page's last row, or the last one that it has passed over; None at the end.

        Raises:
            Problem: `invalid_value`: a filter or the cursor does not fit its column;
                `database_unreachable`, `too_slow`.
        """
        types = await self._types_of(table, (*view.columns, "tenant_id"))
        sql, arguments = page_sql(table, view, types, tenant_id, query)
        rows = [row[0].encode() for row in await self._fetch(sql, *arguments)]
        if len(rows) > query.limit:
            return rows[: query.limit], rows[query.limit - 1]
        if walk_of(view, query) is None:
            return rows, None
        sql, arguments = walked_sql(table, view, types, tenant_id, query)
        last = await self._fetch(sql, *arguments)
        return rows, last[0][0].encode() if last else None

    async def count(self, table: str, view: TableView, tenant_id: str, query: Query) -> int:
        """Return how many rows a list has, up to one more than `COUNT_MAX`. Raises as `page`."""
        types = await self._types_of(table, (*view.columns, "tenant_id"))
        sql, arguments = count_sql(table, view, types, tenant_id, query)
        return int((await self._fetch(sql, *arguments))[0][0])

    async def row(self, table: str, view: TableView, tenant_id: str, key: str) -> bytes | None:
        """Return a row as JSON, None if there is none. Raises as `page`."""
        types = await self._types_of(table, (*view.columns, "tenant_id"))
        rows = await self._fetch(row_sql(table, view, types), tenant_id, key)
        return rows[0][0].encode() if rows else None

    async def answer(self, tenant_id: str, source: str, message_id: str) -> bytes | None:
        """Return what became of an outsider's message as JSON, None if nothing is known."""
        rows = await self._fetch(_SQL["answer"], tenant_id, source, message_id)
        return rows[0][0].encode() if rows else None

    async def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        """Return what a statement of the service finds; JSON columns are read. Raises as `page`.

        The statement must restrict itself to a tenant; what a caller sends travels as argument.
        """
        found = await self._fetch(sql, *arguments)
        return [dict(row) for row in found]

    async def counts(self, table: str, column: str, values: Iterable[str]) -> Mapping[str, int]:
        """Return how many rows of all tenants have each of `values`; names come from code."""
        types = await self._types_of(table, (column,))
        rows = await self._fetch(
            f"SELECT {quoted(column)}::text, count(*) FROM {quoted(table)} "
            f"WHERE {quoted(column)} = ANY ($1::text[]::{types[column]}[]) GROUP BY 1",
            list(values),
        )
        return {row[0]: row[1] for row in rows}

    async def ping(self) -> None:
        """Ask the server for nothing.

        Raises:
            Problem: `database_unreachable`.
        """
        await self._fetch(_SQL["ping"], limit_s=_PING_S)

    async def close(self) -> None:
        """Give the connections back."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), _CONNECT_S)
            except TimeoutError:
                pool.terminate()

    async def _types_of(self, table: str, columns: Sequence[str]) -> Types:
        known = self._types.get(table)
        if known is None:
            rows = await self._fetch(_SQL["columns"], quoted(table))
            known = {row["attname"]: row["type"] for row in rows}
        missing = [name for name in columns if name not in known]
        if missing:
            log.error("table_differs", table=table, missing=missing)
            raise Problem(
                503,
                "not_migrated",
                f"the database has no {self._service}.{table} with {', '.join(missing)}; "
                "run `perdure migrate`, or start the version of the service that fits",
            )
        self._types[table] = known
        return known

    async def _fetch(
        self, sql: str, *arguments: Any, limit_s: float | None = None
    ) -> Sequence[Any]:
        pool = await self._open()
        try:
            connection = await pool.acquire(timeout=limit_s or _CONNECT_S)
        except (*LOST, asyncpg.PostgresError) as error:  # also: no such role before `migrate`
            log.warning("database_unreachable", error=repr(error))
            raise _unreachable() from None
        try:
            return await connection.fetch(sql, *arguments, timeout=limit_s)
        except asyncpg.QueryCanceledError:
            raise Problem(
                503, "too_slow", f"the answer takes over {_STATEMENT_MS} ms; ask for less"
            ) from None
        except asyncpg.DataError as error:
            raise Problem(
                400, "invalid_value", f"a value does not fit its column: {error.args[0]}"
            ) from None
        except LOST as error:
            log.warning("database_unreachable", error=repr(error))
            raise _unreachable() from None
        finally:
            await pool.release(connection)

    async def _open(self) -> Any:
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(  # pyright: ignore
                        self._url,
                        min_size=0,
                        max_size=self._connections,
                        max_inactive_connection_lifetime=60.0,
                        timeout=_CONNECT_S,
                        command_timeout=_SILENT_S,
                        connection_class=Dropping,
                        server_settings={
                            "application_name": f"perdure-{self._service}-api",
                            "role": f"{self._service}_api",
                            "search_path": quoted(self._service),
                            "default_transaction_read_only": "on",
                            "statement_timeout": str(_STATEMENT_MS),
                            "timezone": "UTC",
                        },
                    )
        return self._pool


def _unreachable() -> Problem:
    return Problem(
        503,
        "database_unreachable",
        "PostgreSQL does not answer now, or lets this service not in yet; try again in a moment",
    )
