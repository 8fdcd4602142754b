"""Connections to the databases that the operator lets the node SQL use, by name."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import asyncpg
from perdure_contracts.cloudevents import parse_json

CONNECTIONS_MAX = 4
"""Connections to one database from one process."""

CONNECT_S = 10.0
IDLE_S = 60.0
CLOSE_S = 5.0


async def _read_json(connection: Any) -> None:
    """Let a connection take and give json as the values that it stands for."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=json.dumps, decoder=partial(parse_json, what=kind)
        )


class Databases:
    """Pools by the database's address, opened when they are first asked for."""

    def __init__(self, urls: Mapping[str, str] | None = None) -> None:
        self._urls = dict(urls or {})
        self._pools: dict[str, Any] = {}
        self._opening = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """What nodes may call a database."""
        return tuple(self._urls)

    def address(self, name: str, url: str | None = None) -> str:
        """Return where a database is: by the operator's setting, or at `url`."""
        return self._urls[name] if url is None else url

    async def pool(self, name: str, url: str | None = None) -> Any:
        """Return the pool of a database: that of the operator's setting, or at `url`.

        Raises:
            KeyError: There is no such database.
            ValueError: The address is none.
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: It cannot be reached.
        """
        address = self.address(name, url)
        async with self._opening:
            if address not in self._pools:
                self._pools[address] = await asyncpg.create_pool(
                    address,
                    min_size=0,
                    max_size=CONNECTIONS_MAX,
                    max_inactive_connection_lifetime=IDLE_S,
                    timeout=CONNECT_S,
                    init=_read_json,
                    server_settings={"application_name": "perdure", "timezone": "UTC"},
                )
            return self._pools[address]

    async def close(self) -> None:
        """Close all connections; those that are busy are cut off after a while."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            try:
                await asyncio.wait_for(pool.close(), CLOSE_S)
            except TimeoutError:
                pool.terminate()
