"""The connections to models: one client, made with the first agent, that judges every address."""

from typing import TYPE_CHECKING

from perdure_common.outbound import AllowList

if TYPE_CHECKING:
    import httpx2


class Connections:
    """Gives the client of a process; nothing is loaded before somebody asks."""

    def __init__(self, allowed: AllowList | None = None) -> None:
        self._allowed = allowed or AllowList()
        self._client: httpx2.AsyncClient | None = None

    def client(self) -> "httpx2.AsyncClient":
        """Return the client."""
        if self._client is None:
            from .guarded import guarded_client

            self._client = guarded_client(self._allowed)
        return self._client

    async def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()
