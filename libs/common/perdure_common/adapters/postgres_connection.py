"""A connection to PostgreSQL that is dropped when a statement on it got no answer in time.

The driver would ask the server to cancel the statement and then wait for the word that this was
done: from a server that says nothing, and again as long, whoever gives the connection back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
from asyncpg.transaction import Transaction

CHECKED = {"client_connection_check_interval": "10s"}
"""A setting of sessions: the server ends a statement whose client has dropped its connection."""


class _Undone(Transaction):
    """A transaction that is over with its connection: the server undoes it by itself."""

    async def __aexit__(self, *raised: Any) -> None:
        if raised[0] is not None and self._connection.is_closed():
            return  # what was raised goes on: asyncpg would say that there is no connection
        await super().__aexit__(*raised)


class Dropping(asyncpg.Connection):
    """A connection to be given to pools as their class."""

    def transaction(
        self, *, isolation: Any = None, readonly: bool = False, deferrable: bool = False
    ) -> Transaction:
        """See asyncpg."""
        return _Undone(self, isolation, readonly, deferrable)

    async def execute(self, *arguments: Any, **options: Any) -> Any:
        """See asyncpg. So transactions begin and end, too."""
        return await self._or_dropped(super().execute, *arguments, **options)

    async def fetch(self, *arguments: Any, **options: Any) -> Any:
        """See asyncpg."""
        return await self._or_dropped(super().fetch, *arguments, **options)

    async def fetchval(self, *arguments: Any, **options: Any) -> Any:
        """See asyncpg."""
        return await self._or_dropped(super().fetchval, *arguments, **options)

    async def fetchrow(self, *arguments: Any, **options: Any) -> Any:
        """See asyncpg."""
        return await self._or_dropped(super().fetchrow, *arguments, **options)

    async def _or_dropped(
        self, work: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
    ) -> Any:
        try:
            return await work(*arguments, **options)
        except (TimeoutError, asyncio.CancelledError):
            self.terminate()
            raise
