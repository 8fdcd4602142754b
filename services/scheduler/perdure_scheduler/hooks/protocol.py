"""HTTP/1.1 of the listener: uvicorn's on httptools, with an end to what senders may take.

A body that ends too soon is answered, and so is who sends no more but still listens. A connection
whose request is not whole in time is closed, whether its sender is silent, drips, or goes on and on
after it was refused; so is one whose sender takes nothing of its answer. Heads have a size, and
what stands around a chunked body has one too.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from perdure_common.api.problem import MEDIA_TYPE, problem_body
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .judging import TRUNCATED

REQUEST_S = 60.0
"""How long a request may take from its first byte to its last, twice as long as its body alone."""

HEAD_BYTES_MAX = 64 * 1024
SLICE_BYTES = 16 * 1024
"""How much is parsed at once: so much at most is taken for a head that is a body's end."""

STALLED_S = 30.0
"""How long whoever asked may take nothing of the answer that is for it."""

FRAMING_SHARE = 8
"""How many bytes of framing a byte of a chunked body may have: chunks of one byte have six."""

_ERRORS = logging.getLogger("perdure_scheduler.hooks.http")
_ERRORS.setLevel(logging.ERROR)
"""Where uvicorn tells what failed; its warnings of what strangers send would fill the log."""


def _refusal(status: bytes, code: str, detail: str) -> bytes:
    body = problem_body(int(status.split()[0]), code, detail)
    head = b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, MEDIA_TYPE.encode(), len(body)) + body


TOO_MUCH = _refusal(
    b"431 Request Header Fields Too Large",
    "head_too_large",
    f"the head, or what stands around the body, has more than {HEAD_BYTES_MAX:,} bytes",
)
NO_HTTP = _refusal(
    b"400 Bad Request", "invalid_http", "the request is no HTTP/1.1, or its lengths contradict it"
)


class HookProtocol(HttpToolsProtocol):
    """Keeps a connection open whose sender has ended it in the middle of a body.

    uvicorn drops it without a word. A sender that only closed its own half can be told what is
    wrong, and the application must not take what came for the whole.
    """

    transport: asyncio.Transport
    _deaf = False
    """Whether nothing more is read: what came cannot be told apart any more."""

    _deadline: asyncio.TimerHandle | None = None
    _in_head = False
    _around = 0
    """Bytes of the request so far that are no body."""

    _body_bytes = 0

    _sending: asyncio.TimerHandle | None = None
    """When it is looked whether the sender takes its answer."""

    _unsent = 0

    def __init__(
        self, *arguments: Any, refused: Callable[[int, str, str], None], **named: Any
    ) -> None:
        """Take what uvicorn gives; `refused` is told status, code and client of each refusal."""
        super().__init__(*arguments, **named)
        self.logger = _ERRORS
        self._refused = refused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # so that whatever is not taken is watched
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._whole()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to watch whether the answer is taken."""
        super().pause_writing()
        self._watch_sending()

    def resume_writing(self) -> None:
        """Watch no more: all of it was taken."""
        self._taken()
        super().resume_writing()

    def _watch_sending(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._sending = self.loop.call_later(STALLED_S, self._is_taken)

    def _is_taken(self) -> None:
        """Cut a connection whose peer takes nothing: a file's would keep the engine waiting too."""
        if self.transport.get_write_buffer_size() < self._unsent:
            self._watch_sending()
        else:
            self.transport.abort()

    def _taken(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is a head without end."""
        for start in range(0, len(data), SLICE_BYTES):
            if self._deaf or self.transport.is_closing():
                return
            part = data[start : start + SLICE_BYTES]
            self._around += len(part)
            super().data_received(part)
            framing = 0 if self._in_head else self._body_bytes * FRAMING_SHARE
            if self._around > HEAD_BYTES_MAX + framing and not self._deaf:
                self._refuse(431, "head_too_large", TOO_MUCH)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, as every refusal looks here."""
        del msg
        self._refuse(400, "invalid_http", NO_HTTP)

    def _refuse(self, status: int, code: str, answer: bytes) -> None:
        """Read no more, and answer; a request that is under way is answered by itself, as cut."""
        self._deaf = True
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._end(cycle)
            return
        if self._in_head or cycle is None:
            self._refused(status, code, self.client[0] if self.client else "")
            self.transport.write(answer)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Answer whoever asks for another protocol in this one, without a line in the log."""

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request."""
        self._in_head, self._around, self._body_bytes = True, 0, 0
        self._expect()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header of the head; those behind a body are nobody's (RFC 9110, 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Judge the head."""
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._body_bytes += len(body)
        self._around -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait no more: the request is whole."""
        self._whole()
        super().on_message_complete()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answer before the connection is closed, if a request is under way."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            return None
        self._end(cycle)
        return True

    def _end(self, cycle: Any) -> None:
        """Close the connection once the last request is answered, which may be cut off."""
        cycle.keep_alive = False
        if cycle.more_body:
            cycle.scope[TRUNCATED] = True
            cycle.more_body = False
            cycle.message_event.set()

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
