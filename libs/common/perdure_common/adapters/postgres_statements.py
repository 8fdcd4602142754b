"""Named statements of a file, run by a few connections that are opened when they are needed."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol

import asyncpg

from perdure_common.adapters.postgres_connection import CHECKED, Dropping
from perdure_common.adapters.postgres_errors import CONNECT_S, UPKEEP_S, WAIT_S
from perdure_common.adapters.postgres_queries import queries
from perdure_common.shell.ports import Unreachable

CLOSE_S = 5.0


class Run(Protocol):
    """Runs a statement by its name, and returns its rows."""

    async def __call__(self, name: str, *values: object) -> Sequence[Any]:
        """Run it."""
        ...


_LOST: Final = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement on a connection that is just being lost
)


@contextmanager
def _reached() -> Generator[None]:
    """Tell that the database does not answer in the words of the ports."""
    try:
        yield
    except _LOST as error:
        raise Unreachable(f"the database does not answer: {error}") from error
    except asyncpg.OperatorInterventionError as error:
        raise Unreachable(f"the database is going down: {error}") from error


class Statements:
    """What one part of a process asks PostgreSQL.

    Args:
        dsn: the database's address.
        file: has the statements, each behind a line `-- name: …`.
        connections: how many are open at most; `kept` is how many stay open.
        wait_s: how long the database may say nothing to a statement.
    """

    def __init__(
        self,
        dsn: str,
        file: Path,
        *,
        connections: int = 2,
        kept: int = 0,
        wait_s: float = WAIT_S,
    ) -> None:
        self._dsn = dsn
        self._sql = queries(file)
        self._sizes = (kept, connections)
        self._wait_s = wait_s
        self._pool: asyncpg.Pool | None = None

    async def fetch(self, name: str, *values: object) -> Sequence[Any]:
        """Run a statement and return its rows.

        Raises:
            Unreachable: The database does not answer.
        """
        with _reached():
            return await (await self._opened()).fetch(self._sql[name], *values)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Run]:
        """Give what runs statements as `fetch` does, all of them in one transaction.

        What the caller does in between is its own: if that fails, it is not the database's fault.

        Raises:
            Unreachable: The database does not answer.
        """
        with _reached():
            connection: Any = await (await self._opened()).acquire()

        async def run(name: str, *values: object) -> Sequence[Any]:
            with _reached():
                return await connection.fetch(self._sql[name], *values)

        try:
            transaction: Any = connection.transaction()
            with _reached():
                await transaction.start()
            try:
                yield run
            except BaseException:
                with suppress(*_LOST, asyncpg.PostgresError):
                    await transaction.rollback()  # without a connection it is undone anyway
                raise
            with _reached():
                await transaction.commit()
        finally:
            with _reached():
                await (await self._opened()).release(connection)

    async def _opened(self) -> asyncpg.Pool:
        if self._pool is None:
            least, most = self._sizes
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=least,
                max_size=most,
                timeout=CONNECT_S,
                command_timeout=self._wait_s,
                connection_class=Dropping,
                server_settings={
                    **CHECKED,
                    # Whoever begins a transaction may ask others in between, who take their time.
                    "idle_in_transaction_session_timeout": f"{UPKEEP_S * 1000:.0f}",
                },
            )
        return self._pool

    async def close(self) -> None:
        """Give the connections back; those that say nothing are cut off after a while."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), CLOSE_S)
            except TimeoutError:
                pool.terminate()
