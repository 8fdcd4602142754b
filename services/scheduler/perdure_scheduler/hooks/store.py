"""What the listener keeps and looks up in PostgreSQL: a few connections of its own."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
from perdure_common.adapters.postgres_connection import Dropping
from perdure_common.adapters.postgres_errors import FAILED
from perdure_common.adapters.postgres_projection import quoted
from perdure_common.adapters.postgres_queries import queries
from perdure_common.shell.ports import Unreachable

CONNECTIONS = 4
CONNECT_S = 5.0
COMMAND_S = 10.0

Run: TypeAlias = Callable[..., Awaitable[Sequence[Any]]]
"""Runs a statement by its name, with its arguments, and returns its rows."""

_SQL = queries(Path(__file__).with_name("receipts.sql"))


async def _as_it_is(connection: Any) -> None:
    """Leave a connection as it is: nobody here changes one, and a reset is a question more."""
    del connection


class HookStore:
    """Runs the statements of receipts.sql as the role that writes the service's tables.

    Commits of `run` are not waited for on the disk: what must not be lost is in Kafka. A crash of
    the server can lose receipts of the last moments; their events still count once, by their ids.
    What events only point at goes by `run_safely`, what counts only together by `together`.
    """

    def __init__(self, url: str, tenant_id: str) -> None:
        self._url = url
        self.tenant_id = tenant_id
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def run(self, name: str, *arguments: object) -> Sequence[Any]:
        """Run a statement and return its rows.

        Raises:
            Unreachable: The database does not answer, or does not take it now.
        """
        try:
            pool = self._pool or await self._open()
            return await pool.fetch(_SQL[name], *arguments)
        except FAILED as error:
            raise Unreachable(f"PostgreSQL does not take {name} now: {error!r}") from error

    async def run_safely(self, name: str, *arguments: object) -> None:
        """Run a statement; when it returns, what it has written is on the disk. Raises as `run`."""
        try:
            pool = self._pool or await self._open()
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SET LOCAL synchronous_commit = on")
                await connection.execute(_SQL[name], *arguments)
        except FAILED as error:
            raise Unreachable(f"PostgreSQL does not take {name} now: {error!r}") from error

    @asynccontextmanager
    async def together(self) -> AsyncGenerator[Run]:
        """Give what runs statements; all of them count, on the disk, once the block has ended.

        None does if it raises. It has a connection for itself: few may last long at once.

        Raises:
            Unreachable: The database does not answer, or does not take it now.
        """
        try:
            pool = self._pool or await self._open()
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("SET LOCAL synchronous_commit = on")

                async def run(name: str, *arguments: object) -> Sequence[Any]:
                    found: Sequence[Any] = await connection.fetch(_SQL[name], *arguments)
                    return found

                yield run
        except FAILED as error:
            raise Unreachable(f"PostgreSQL does not take it now: {error!r}") from error

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(  # pyright: ignore
                    self._url,
                    min_size=1,
                    max_size=CONNECTIONS,
                    max_inactive_connection_lifetime=0,
                    reset=_as_it_is,
                    timeout=CONNECT_S,
                    command_timeout=COMMAND_S,
                    connection_class=Dropping,
                    server_settings={
                        "application_name": "perdure-scheduler-hooks",
                        "role": "scheduler_shell",
                        "search_path": quoted("scheduler"),
                        "synchronous_commit": "off",
                        "timezone": "UTC",
                    },
                )
            return self._pool

    async def close(self) -> None:
        """Give the connections back."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()
