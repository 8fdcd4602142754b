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
from perdure_scheduler.mail.smtp import REFUSED_MAX, keep_listening


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
