"""A TCP proxy that loses answers, or makes a server slow.

`hush` lets the connections that are open say nothing any more, and hear nothing: nobody closes
them, as where a firewall has forgotten them. While `deaf` is set all that are opened are the same.

`delay_s` is how long each piece of an answer is held back, as a busy server or a long way does.
A lost answer: the server has done what was asked, the client never hears.

`cut_after` names bytes; the next request that holds them is passed on, or not, and nothing that
the server says afterwards comes back on that connection, which is cut when the test says so.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK = 65_536


@dataclass
class Cut:
    """A connection that is to be cut: `met` is set when the request came, `now` lets it happen."""

    marker: bytes
    passed_on: bool
    met: asyncio.Event = field(default_factory=asyncio.Event)
    now: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Proxy:
    """The proxy; `port` is where it listens on 127.0.0.1."""

    host: str
    target: int
    port: int = 0
    delay_s: float = 0.0
    cuts: list[Cut] = field(default_factory=list)
    deaf: bool = False
    hushed: int = 0
    """Connections that were left without a word."""

    _carried: set[asyncio.Event] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def cut_after(self, marker: bytes, *, passed_on: bool) -> Cut:
        """Lose the answer to the next request that holds `marker`."""
        cut = Cut(marker, passed_on)
        self.cuts.append(cut)
        return cut

    def hush(self) -> None:
        """Carry nothing any more on the connections that are open, and do not close them."""
        for each in self._carried:
            each.clear()
        self.hushed += len(self._carried)
        self._carried.clear()

    def through(self, url: str) -> str:
        """Return a server's URL with the way through this proxy."""
        parts = urlsplit(url)
        user = parts.netloc.rpartition("@")[0]
        return parts._replace(netloc=f"{user}@127.0.0.1:{self.port}").geturl()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            there, server = await asyncio.open_connection(self.host, self.target)
        except OSError:  # the server is away, and so it looks from here
            writer.close()
            return
        carried = asyncio.Event()
        if not self.deaf:
            carried.set()
            self._carried.add(carried)
        answers = asyncio.create_task(self._carry(there, writer, carried))
        try:
            while data := await reader.read(CHUNK):
                await carried.wait()
                cut = next((each for each in self.cuts if each.marker in data), None)
                if cut is not None:
                    self.cuts.remove(cut)
                    answers.cancel()
                    if cut.passed_on:
                        server.write(data)
                        await server.drain()
                    cut.met.set()
                    await cut.now.wait()
                    return
                server.write(data)
                await server.drain()
        except OSError:
            return  # one side is gone, so is the other
        finally:
            answers.cancel()
            self._carried.discard(carried)
            for each in (writer, server):
                each.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, carried: asyncio.Event
    ) -> None:
        """Carry what the server says."""
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await asyncio.sleep(self.delay_s)
                await carried.wait()
                writer.write(data)
                await writer.drain()
            writer.close()

    async def close(self) -> None:
        """Cut every connection."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxy_to(url: str) -> AsyncGenerator[Proxy]:
    """Stand before the server of a URL for as long as the block lasts."""
    parts = urlsplit(url)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = int(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
