"""The outside world of a scenario: servers at an address of its own, which misbehave as told.

Each scenario has a loopback address (127.77.x.y), because a dependency is a host: what one
scenario breaks must not open the breaker of another.
"""

import asyncio
import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

from answering_server import Asked, as_json, parsed
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY = "idempotency-key"

Reply: TypeAlias = Callable[[Asked], Awaitable[bytes | None]]
"""Answers a request; None cuts the connection. Those of model_server.py are of this kind."""


def address(number: int) -> str:
    """Return the loopback address of a scenario."""
    return f"127.77.{number // 250}.{number % 250 + 1}"


@dataclass
class Server:
    """An HTTP server that answers by its script, the last reply for ever.

    `then` takes over from the script once a test says so (`mend`).
    """

    script: Sequence[Reply]
    host: str
    tls: bool = False
    port: int = 0
    asked: list[Asked] = field(default_factory=list[Asked])
    mended: Reply | None = None
    _listening: asyncio.Server | None = None
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    async def begin(self, port: int = 0) -> None:
        """Serve on a port, a free one if none is named."""
        context = _certificate() if self.tls else None
        self._listening = await asyncio.start_server(self._handle, self.host, port, ssl=context)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def end(self) -> None:
        """Stop serving; whoever still waits for an answer is cut off."""
        if self._listening is not None:
            self._listening.close()
            self._gone.set()
            for writer in list(self._open):
                writer.close()
            self._listening = None

    def mend(self, reply: Reply) -> None:
        """Answer with `reply` from now on."""
        self.mended = reply

    def url(self, path: str = "/", scheme: str = "") -> str:
        """Return the address of a path."""
        return f"{scheme or ('https' if self.tls else 'http')}://{self.host}:{self.port}{path}"

    @property
    def keys(self) -> list[str]:
        """The idempotency keys that came, in order."""
        return [each.headers.get(KEY, "") for each in self.asked]

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next((int(x.split(b":")[1]) for x in lines if x.startswith(b"content-len")), 0)
            asked = parsed(head + await reader.readexactly(length))
            place = len(self.asked)
            self.asked.append(asked)
            reply = self.mended or self.script[min(place, len(self.script) - 1)]
            answer = await self._answer(reply, asked)
            if answer is not None:
                writer.write(answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked is gone
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, reply: Reply, asked: Asked) -> bytes | None:
        """Return what to answer; nothing once the server has ended meanwhile."""
        answering = asyncio.ensure_future(reply(asked))
        ending = asyncio.ensure_future(self._gone.wait())
        await asyncio.wait({answering, ending}, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not answering.done():
            answering.cancel()
            return None
        return answering.result()


@cache
def _certificate() -> ssl.SSLContext:
    """Return what a server shows that signed its certificate itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "laboratory")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(path)
    return context


# Replies of servers that are no models ---------------------------------------------------


def fine(value: object = None) -> Reply:
    """Answer as one should."""

    async def reply(asked: Asked) -> bytes:
        del asked
        return as_json({"fine": True} if value is None else value)

    return reply


def status(number: int, body: object = None, more: str = "") -> Reply:
    """Answer with a status."""

    async def reply(asked: Asked) -> bytes:
        del asked
        return as_json({} if body is None else body, f"{number} Status", more)

    return reply


def silence() -> Reply:
    """Say nothing until the other side gives up, or is gone."""

    async def reply(asked: Asked) -> None:
        del asked
        await asyncio.sleep(60)

    return reply


def half() -> Reply:
    """Begin an answer, and cut the connection in its middle."""

    async def reply(asked: Asked) -> bytes:
        del asked
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
        return head + b'{"fine":'

    return reply


def plain(text: bytes) -> Reply:
    """Answer 200 with a body that claims to be JSON."""

    async def reply(asked: Asked) -> bytes:
        del asked
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        return head + f"content-length: {len(text)}\r\n\r\n".encode() + text

    return reply


async def closed_port(host: str) -> int:
    """Return a port on which nobody listens."""
    listening = await asyncio.start_server(lambda r, w: None, host, 0)
    port: int = listening.sockets[0].getsockname()[1]
    listening.close()
    with suppress(ConnectionError):
        await listening.wait_closed()
    return port
