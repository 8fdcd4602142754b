"""What strangers send to the SMTP listener costs little and fills no log."""

import asyncio
import contextlib
import logging
import smtplib
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from mail_server import free_port
from perdure_common import migrate
from perdure_common.settings import Settings
from perdure_scheduler.mail import smtp
from perdure_scheduler.mail.smtp import REFUSED_MAX, Listener, keep_listening


@contextlib.asynccontextmanager
async def smtp_listener(database: str) -> AsyncGenerator[int]:
    """Run the listener on a database without triggers; give its port."""
    await migrate.up(database, "scheduler")
    port = free_port()
    environment = {
        "PERDURE_DATABASE_URL": database,
        "PERDURE_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}",
        "PERDURE_SMTP_PORT": str(port),
    }
    owner: Any = SimpleNamespace(bus=None)  # nothing gets as far as Kafka
    stop = asyncio.Event()
    settings = Settings.read("scheduler", environment)
    running = asyncio.create_task(keep_listening(settings, owner, stop))
    try:
        async with asyncio.timeout(60):
            while not running.done():
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.02)
        yield port
    finally:
        stop.set()
        await running


def _names_strangers(port: int) -> list[int]:
    """Name recipients until the listener hangs up; return what it answered."""
    codes: list[int] = []
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("stranger")
        client.docmd("XYZZY", "nothing")
        assert client.mail("ann@example.com")[0] == 250
        with contextlib.suppress(smtplib.SMTPServerDisconnected, ConnectionError):
            for n in range(REFUSED_MAX * 3):
                codes.append(client.rcpt(f"nobody-{n}@shop.example")[0])
    return codes


async def test_who_guesses_addresses_is_sent_away_and_leaves_a_line_for_each_guess(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with smtp_listener(database) as port:
            codes = await asyncio.to_thread(_names_strangers, port)
    assert codes[: REFUSED_MAX + 1] == [550] * REFUSED_MAX + [421]
    assert len(codes) <= REFUSED_MAX + 2, "the connection is closed"
    assert not [each for each in caplog.records if each.name == "mail.log"]


@contextlib.asynccontextmanager
async def _connected(
    port: int, *lines: bytes, host: str = "127.0.0.1"
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect from an address and say lines; the greeting and each line's answer are read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
    try:
        if lines:
            await reader.readline()
        for line in lines:
            writer.write(line + b"\r\n")
            while (await reader.readline())[3:4] == b"-":
                pass
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _ends(reader: asyncio.StreamReader) -> bytes:
    """Return what is still said before the connection ends."""
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


@pytest.mark.parametrize("endless", [b"a" * 1_000, b"line\r\n" * 100], ids=["a line", "a mail"])
async def test_a_mail_without_end_is_cut_off_before_it_fills_the_memory(
    database: str, monkeypatch: pytest.MonkeyPatch, endless: bytes
) -> None:
    async def anybody(
        listener: Listener, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    monkeypatch.setattr(Listener, "handle_RCPT", anybody)
    monkeypatch.setattr(smtp, "MAIL_BYTES_MAX", 50_000)
    monkeypatch.setattr(smtp, "BYTES_MAX", 100_000)
    async with smtp_listener(database) as port, asyncio.timeout(30):
        hello = (b"EHLO stranger", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>", b"DATA")
        async with _connected(port, *hello) as (reader, writer):
            ended = asyncio.create_task(_ends(reader))
            with contextlib.suppress(ConnectionError):
                while not ended.done():
                    writer.write(endless)
                    await writer.drain()
                    await asyncio.sleep(0)
            assert (await ended)[-50:] in (b"", smtp.TOO_MUCH[-50:])


async def test_who_brings_no_mail_is_sent_away_although_he_goes_on_talking(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "WITHOUT_MAIL_S", 0.3)
    async with smtp_listener(database) as port, asyncio.timeout(30):
        async with _connected(port, b"EHLO stranger") as (reader, writer):
            heard: list[bytes] = []
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"NOOP\r\n")
                    heard.append(await reader.readline())
                    await asyncio.sleep(0.02)
        assert b"250 OK\r\n" in heard, "he was answered until the connection ended"


async def test_one_client_does_not_have_all_connections(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "CONNECTIONS_OF_ONE_MAX", 2)
    async with smtp_listener(database) as port, asyncio.timeout(30):
        one = (b"EHLO stranger",)
        async with _connected(port, *one), _connected(port, *one):
            async with _connected(port) as (reader, _):
                assert await _ends(reader) == smtp.TOO_MANY
            async with _connected(port, host="127.0.0.2") as (reader, _):
                assert (await reader.readline()).startswith(b"220 "), "another one is let in"
