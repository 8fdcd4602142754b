"""Named statements of a file, run by a few connections that are opened when they are needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from perdure_common.adapters.postgres_queries import queries
from perdure_common.shell.ports import Unreachable


class Statements:
    """What one part of a process asks PostgreSQL.

    Args:
        dsn: the database's address.
        file: has the statements, each behind a line `-- name: …`.
        connections: how many are open at most; `kept` is how many stay open.
    """

    def __init__(self, dsn: str, file: Path, *, connections: int = 2, kept: int = 0) -> None:
        self._dsn = dsn
        self._sql = queries(file)
        self._sizes = (kept, connections)
        self._pool: asyncpg.Pool | None = None

    async def fetch(self, name: str, *values: object) -> Sequence[Any]:
        """Run a statement and return its rows.

        Raises:
            Unreachable: The database does not answer.
        """
        try:
            if self._pool is None:
                least, most = self._sizes
                self._pool = await asyncpg.create_pool(self._dsn, min_size=least, max_size=most)
            return await self._pool.fetch(self._sql[name], *values)
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError) as error:
            raise Unreachable(f"the database does not answer: {error}") from error
        except asyncpg.OperatorInterventionError as error:
            raise Unreachable(f"the database is going down: {error}") from error

    async def close(self) -> None:
        """Give the connections back."""
        if self._pool is not None:
            await self._pool.close()
