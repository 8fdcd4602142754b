"""Files that workflows answer with: the engine keeps them, and gives them out by HTTP."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import quote

import httpx
import structlog
from perdure_common.http import TENANT_HEADER
from perdure_contracts.files import FileRef

from .reply import Refusal, Reply

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

ENGINE_S = 15.0
"""How long the engine may take for the next bytes."""


UNAVAILABLE = "the file that the workflow answers with cannot be had now; ask again"

log = structlog.get_logger(__name__)


class FileUnavailable(Exception):
    """The engine does not give a file, or no more of it; the text is for the log."""


class Files:
    """Asks the engine at `url` for the files of a tenant's executions."""

    def __init__(self, url: str, tenant_id: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {TENANT_HEADER: tenant_id}
        self._http: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def opened(
        self, execution_id: str, file: FileRef
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Yield the bytes of a file that an execution refers to, as they come.

        Raises:
            FileUnavailable: The engine does not answer, has no such file, or breaks off.
        """
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=ENGINE_S, trust_env=False)
        execution, hashed = quote(execution_id, safe=""), quote(file["file_id"], safe="")
        url = f"{self._url}/v1/workflow_executions/{execution}/files/{hashed}"
        try:
            async with self._http.stream("GET", url, headers=self._headers) as response:
                if not response.is_success:
                    raise FileUnavailable(f"{url} answers {response.status_code}")
                yield response.aiter_raw()
        except httpx.HTTPError as error:
            raise FileUnavailable(f"{url}: {error!r}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()


async def send_file(files: Files, reply: Reply, send: Send) -> None:
    """Send an answer whose body is a file, as the engine gives it out; else say that it does not.

    Where the engine breaks off, the body ends before its length, and the server closes the
    connection: nobody takes a part for the whole.
    """
    assert reply.file is not None
    begun = False
    try:
        async with files.opened(reply.execution_id, reply.file) as chunks:
            async for chunk in chunks:
                if not begun:
                    begun = True
                    await _begin(send, reply, reply.file["size"])
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except FileUnavailable as error:
        log.warning("hook_file_unavailable", error=str(error), begun=begun)
        if begun:
            return
        reply = Refusal(502, "file_unavailable", UNAVAILABLE).reply()
    if not begun:  # an empty file, or none
        await _begin(send, reply, len(reply.body))
    await send({"type": "http.response.body", "body": reply.body if reply.file is None else b""})


async def _begin(send: Send, reply: Reply, size: int) -> None:
    headers = [*reply.headers, (b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
