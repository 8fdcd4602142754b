"""HTTP clients for many requests at once.

A client's connection pool looks at all its connections and all its waiting requests whenever
one of them changes, so the cost of a request grows with the requests under way. Several
clients with small pools keep that short; a host's requests are spread over them in turn.
"""

import ssl
from contextlib import AsyncExitStack
from itertools import cycle
from types import TracebackType

import httpx

CLIENTS = 24
CONNECTIONS_MAX = 25
"""Of one client: together they reach 600 connections, twice the attempts of a runner."""


def make_client(trusted: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """Return one client: no proxies from the environment, no redirects.

    `trusted` has the authorities by which it verifies servers, httpx's own without. Reading them
    takes as long as loading a small library, and some memory: clients share them.
    """
    limits = httpx.Limits(
        max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX
    )
    return httpx.AsyncClient(
        verify=trusted or True, follow_redirects=False, trust_env=False, limits=limits
    )


class Clients:
    """Clients that take turns; use it as an asynchronous context manager."""

    def __init__(self, count: int = CLIENTS) -> None:
        trusted = httpx.create_ssl_context(trust_env=False)
        self._clients = [make_client(trusted) for _ in range(count)]
        self._turns = cycle(self._clients)
        self._open = AsyncExitStack()

    def next(self) -> httpx.AsyncClient:
        """Return the client whose turn it is."""
        return next(self._turns)

    async def __aenter__(self) -> "Clients":
        for client in self._clients:
            await self._open.enter_async_context(client)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()
