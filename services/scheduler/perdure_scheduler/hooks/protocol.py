"""HTTP/1.1 of the listener: uvicorn's on httptools, which answers a body that ends too soon."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .judging import TRUNCATED


class HookProtocol(HttpToolsProtocol):
    """Keeps a connection open whose sender has ended it in the middle of a body.

    uvicorn drops it without a word. A sender that only closed its own half can be told what is
    wrong, and the application must not take what came for the whole.
    """

    transport: asyncio.Transport

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answer before the connection is closed, if a request is under way."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete or not cycle.more_body:
            return None
        cycle.scope[TRUNCATED] = True
        cycle.keep_alive = False
        cycle.more_body = False
        cycle.message_event.set()
        return True
