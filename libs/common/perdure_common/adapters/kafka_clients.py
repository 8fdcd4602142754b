"""What the clients of Kafka have in common: names, and what an error means."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from aiokafka import client
from aiokafka.errors import KafkaError
from perdure_contracts.topology import FIRST_WORD, physical

from perdure_common.shell.ports import Unreachable

Client: TypeAlias = Any
"""An object of aiokafka, which has no types. What is used of it is kept in these files."""

REQUEST_S = 15.0
"""How long one request to a broker may take before its connection is given up."""

RETRY_S = 0.2
"""The pause before something is tried again."""

METADATA_AGE_S = 60.0
"""How old the picture of brokers and leaders may become without a reason to renew it."""


class Names:
    """Maps logical names (`perdure.engine.commands.v1`) to those in Kafka, and back."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._logical: dict[str, str] = {}

    def physical(self, name: str) -> str:
        """Return what a topic is called in Kafka."""
        made = physical(name, self._prefix)
        self._logical[made] = name
        return made

    def logical(self, name: str) -> str:
        """Return what a topic, made by `physical` before, is called here."""
        return self._logical.get(name, name)

    def group(self, name: str) -> str:
        """Return what a group is called in Kafka: under the prefix in any case."""
        return physical(
            name if name.startswith(f"{FIRST_WORD}.") else f"perdure.{name}", self._prefix
        )


def settings(bootstrap: str, client_id: str) -> dict[str, Any]:
    """Return the settings that consumers and producers share."""
    return {
        "bootstrap_servers": bootstrap,
        "client_id": client_id,
        "request_timeout_ms": int(REQUEST_S * 1000),
        "metadata_max_age_ms": int(METADATA_AGE_S * 1000),
    }


_clients: Any = client
_connected = _clients.create_conn


async def _connect(*where: Any, on_close: Any = None, **how: Any) -> Client:
    """Connect as aiokafka does; close the connection that it only asks for brokers, come what may.

    A client that is given up while it waits for that answer (`bootstrap`) would leave it open.
    """
    connection: Client = await _connected(*where, on_close=on_close, **how)
    if on_close is None:
        send = connection.send

        async def asked(*request: Any, **how: Any) -> Any:
            try:
                return await send(*request, **how)
            except BaseException:
                connection.close()
                raise

        connection.send = asked
    return connection


# There is no other place to say so: the client makes its connections by this name.
_clients.create_conn = _connect


@asynccontextmanager
async def reaching(what: str, limit_s: float) -> AsyncGenerator[None, None]:
    """Turn what aiokafka raises, and more than `limit_s` of silence, into `Unreachable`."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise Unreachable(f"{what}: no answer from Kafka within {limit_s:.0f} s") from error
    except (KafkaError, OSError) as error:
        raise Unreachable(f"{what}: {error!r}") from error
