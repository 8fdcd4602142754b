"""Connections to the databases that the operator lets the node SQL use, by name."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import asyncpg
from perdure_contracts.cloudevents import parse_json

from perdure_engine.runner.exchange import BODY_BYTES_MAX
from perdure_engine.runner.sql_dates import CODECS

CONNECTIONS_MAX = 4
"""Connections to one database from one process."""

CONNECT_S = 10.0
IDLE_S = 60.0
CLOSE_S = 5.0


RECEIVED_BYTES_MAX = 2 * BODY_BYTES_MAX
"""What one statement may bring, as the server sends it: what is kept as JSON is half of it."""


class Meter(asyncio.Protocol):
    """Counts what a connection brings, and cuts it where one statement brings too much.

    A row is one message of up to 1 GB, and the driver has all of it in memory before anybody can
    look at it. No setting of the server bounds that, nor does one of the driver.
    """

    def __init__(self, driver: asyncio.Protocol, transport: asyncio.Transport) -> None:
        self._driver = driver
        self._transport = transport
        self._received = 0

    @property
    def exceeded(self) -> bool:
        """Whether the connection was cut."""
        return self._received > RECEIVED_BYTES_MAX

    def begin(self) -> None:
        """Count anew, for another statement."""
        self._received = 0

    def data_received(self, data: bytes) -> None:
        """Hand on what came, as long as it is not too much."""
        self._received += len(data)
        if self.exceeded:
            self._transport.abort()
        else:
            self._driver.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on that the server says no more."""
        return self._driver.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on that there is no connection any more."""
        self._driver.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand on that less should be sent."""
        self._driver.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that more may be sent."""
        self._driver.resume_writing()


class Metered(asyncpg.Connection):
    """A connection of the driver with a `meter` before it."""

    def __init__(self, protocol: Any, transport: Any, *more: Any) -> None:
        super().__init__(protocol, transport, *more)
        self.meter = Meter(protocol, transport)
        transport.set_protocol(self.meter)


async def _prepare(connection: Any) -> None:
    """Let a connection take and give the values of JSON for what they stand for."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=json.dumps, decoder=partial(parse_json, what=kind)
        )
    for kind, (sent, read) in CODECS.items():
        await connection.set_type_codec(
            kind, schema="pg_catalog", encoder=sent, decoder=read, format="tuple"
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
                    connection_class=Metered,
                    init=_prepare,
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
