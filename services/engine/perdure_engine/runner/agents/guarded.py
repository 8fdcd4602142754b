"""An HTTP client for the libraries of models: it reaches only addresses that are allowed."""

import httpx2
from perdure_common.outbound import AllowList, resolve

from perdure_engine.runner.pinning import pinned

CONNECTIONS_MAX = 100


class Guarded(httpx2.AsyncHTTPTransport):
    """Judges the address of each request, and connects to the very one that was judged."""

    def __init__(self, allowed: AllowList) -> None:
        super().__init__(trust_env=False, limits=httpx2.Limits(max_connections=CONNECTIONS_MAX))
        self._allowed = allowed

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to the address that its host has, if that is allowed.

        Raises:
            AddressError: The address may not be asked, or does not exist.
        """
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await resolve(url.host, port, self._allowed)
        trace = pinned(address, request.extensions.get("trace"))
        request.extensions = {**request.extensions, "trace": trace}
        return await super().handle_async_request(request)


def guarded_client(allowed: AllowList) -> httpx2.AsyncClient:
    """Return a client: no proxies from the environment, no redirects, no limits of its own."""
    return httpx2.AsyncClient(
        transport=Guarded(allowed), trust_env=False, follow_redirects=False, timeout=None
    )
