"""HTTP/1.1 of the listener: uvicorn's on httptools, with an end to what senders may take.

A body that ends too soon is answered. A connection whose request is not whole in time is closed,
whether its sender is silent, drips, or goes on and on after it was refused; headers have a size.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .judging import TRUNCATED

REQUEST_S = 60.0
"""How long a request may take from its first byte to its last, twice as long as its body alone."""

HEAD_BYTES_MAX = 64 * 1024
TOO_MUCH = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class HookProtocol(HttpToolsProtocol):
    """Keeps a connection open whose sender has ended it in the middle of a body.

    uvicorn drops it without a word. A sender that only closed its own half can be told what is
    wrong, and the application must not take what came for the whole.
    """

    transport: asyncio.Transport
    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._whole()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is a head without end."""
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.transport.write(TOO_MUCH)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request."""
        self._in_head, self._head_bytes = True, 0
        self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Judge the head."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait no more: the request is whole."""
        self._whole()
        super().on_message_complete()

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

    def _expect(self) -> None:
        self._whole()
        self._deadline = self.loop.call_later(REQUEST_S, self._give_up)

    def _give_up(self) -> None:
        """Close the connection, unless a request before this one is still being answered."""
        cycle: Any = self.cycle
        answers = cycle is not None and not cycle.response_complete and not cycle.more_body
        if answers or self.pipeline:
            self._expect()
        else:
            self.transport.close()

    def _whole(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
