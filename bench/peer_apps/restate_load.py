"""Calls a Restate handler over HTTP and waits for its answer, over connections kept open.

`python -m bench.peer_apps.restate_load HOST PORT`. The client knows no more of HTTP than it needs
here, so that it costs little: one write for a request, one read for an answer.
"""

import asyncio
import json
import sys

from bench.peer_apps.driving import INPUT, serve


class Connection(asyncio.Protocol):
    """One connection, for one request at a time."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[bytes] | None = None
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("Restate closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Give the answer on once it is whole."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0 or self._answer is None or self._answer.done():
            return
        lines = self._buffer[:head].lower()
        place = lines.find(b"content-length:")
        length = int(lines[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self._buffer) >= head + 4 + length:
            status = self._buffer[9:12]
            body, self._buffer = self._buffer[head + 4 : head + 4 + length], b""
            if status == b"200":
                self._answer.set_result(body)
            else:
                self._answer.set_exception(RuntimeError(f"HTTP {status!r}: {body[:300]!r}"))

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, request: bytes) -> bytes:
        """Send a request and return the body of its answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer


class Client:
    """Connections to one server, as many as there are requests at once."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._idle: list[Connection] = []
        self._all: list[Connection] = []
        self._requests: dict[int, bytes] = {}

    async def one(self, steps: int) -> None:
        """Run an execution from its start to its result."""
        connection = self._idle.pop() if self._idle else await self._connect()
        await connection.ask(self._request(steps))
        self._idle.append(connection)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, *self._address)
        self._all.append(connection)
        return connection

    def close(self) -> None:
        """End all connections."""
        for connection in self._all:
            connection.close()

    def _request(self, steps: int) -> bytes:
        made = self._requests.get(steps)
        if made is None:
            body = json.dumps({"steps": steps, "input": INPUT}).encode()
            head = (
                f"POST /Bench/chain HTTP/1.1\r\nhost: {self._address[0]}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            made = self._requests[steps] = head.encode() + body
        return made


async def main(host: str, port: str) -> None:
    """Take orders until there are no more."""
    client = Client(host, int(port))
    try:
        await serve(client.one)
    finally:
        client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
