"""A local HTTP server that answers with what it is told, and keeps what it was asked."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = Callable[[bytes], bytes]


class Server:
    """A local HTTP server that answers with what it is told."""

    def __init__(self) -> None:
        self.answer: Answer = lambda asked: ok(b"{}")
        self.asked: list[bytes] = []
        self.silent = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except asyncio.IncompleteReadError:
            pass  # whoever called has gone
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(x.split(b":")[1]) for x in lines if x.startswith(b"content-len")), 0)
        asked = head + await reader.readexactly(length)
        self.asked.append(asked)
        written = self.answer(asked)
        if written:
            writer.write(written)
            await writer.drain()
        else:
            await self.silent.wait()


def ok(
    body: bytes, kind: str = "application/json", more: str = "", status: str = "200 OK"
) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def as_json(value: Any, status: str = "200 OK", more: str = "") -> bytes:
    """Return an answer in JSON."""
    return ok(json.dumps(value).encode(), more=more, status=status)


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it; the names of headers are in small letters."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def parsed(asked: bytes) -> Asked:
    """Return the parts of a request."""
    head, _, body = asked.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    url = urlsplit(target)
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return Asked(method, url.path, tuple(parse_qsl(url.query)), headers, body)


@asynccontextmanager
async def answering_server() -> AsyncGenerator[tuple[Server, int]]:
    """Serve on a free port for as long as the block lasts."""
    made = Server()
    listening = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    port: int = listening.sockets[0].getsockname()[1]
    try:
        yield made, port
    finally:
        made.silent.set()
        listening.close()
        await listening.wait_closed()
