"""The SMTP listener: mails come here from a mail server that forwards them, and become events.

A mail is answered 250 only when its events are safely on the topic; until then the sender keeps it
and comes again. Only addresses that a trigger listens to are taken.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from perdure_common.adapters.postgres_queries import queries
from perdure_common.settings import SettingError, Settings
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Unreachable

from perdure_scheduler.definition_edges import ADDRESS
from perdure_scheduler.match import keys_of

from .mailboxes import open_pool
from .outlet import RECIPIENTS_MAX, Outlet

SOURCE = "smtp"
MAIL_BYTES_MAX = 25 * 1024 * 1024
SILENCE_S = 60.0
CONNECTIONS_MAX = 100

log = structlog.get_logger(__name__)

_SQL = queries(Path(__file__).with_name("smtp.sql"))


class Listener:
    """What aiosmtpd asks for each mail; the names of its methods are aiosmtpd's."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take an address that a trigger listens to."""
        del server, session, options
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 too many recipients; send the rest in another mail"
        lower = address.lower()
        if not ADDRESS.fullmatch(lower):
            return "553 5.1.3 no such form of address is taken"
        try:
            heard = await self._outlet.pool.fetchval(
                _SQL["heard"], self._outlet.tenant_id, list(keys_of("EMAIL", lower))
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("mail_deferred", error=str(error))
            return "451 4.3.0 the database does not answer; come again"
        if not heard:
            return "550 5.1.1 no trigger listens to this address"
        envelope.rcpt_tos.append(lower)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Let a mail become events, and answer when that is done."""
        del server, session
        content: Any = envelope.content
        sender = (envelope.mail_from or "").strip("<>")  # "<>" is that of a bounce
        raw = content if isinstance(content, bytes) else str(content).encode()
        try:
            why = await self._outlet.deliver(
                raw,
                SOURCE,
                envelope.rcpt_tos,
                datetime.now(UTC),
                envelope_from=sender,
            )
        except Unreachable as error:
            log.warning("mail_deferred", error=str(error))
            return "451 4.3.0 the mail cannot be taken now; come again"
        if why is not None:
            return f"250 2.0.0 taken, and starts nothing: {why}"
        return "250 2.0.0 OK, its workflows start"


async def keep_listening(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
    """Listen beside the owner until told to stop, if the settings name a port.

    Raises:
        SettingError: The port cannot be had.
    """
    if not settings.smtp_port:
        return
    pool = await open_pool(settings.database_url)
    listener = Listener(Outlet(owner.bus, pool, settings.tenant_id))
    loop = asyncio.get_running_loop()
    open_connections: set[SMTP] = set()

    def connected() -> SMTP:
        made = _Connection(
            listener,
            data_size_limit=MAIL_BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname=settings.smtp_host,
            ident="perdure",
            timeout=SILENCE_S,
            loop=loop,
        )
        made.others = open_connections
        return made

    try:
        try:
            server = await loop.create_server(connected, settings.smtp_host, settings.smtp_port)
        except OSError as error:
            raise SettingError(
                f"scheduler cannot listen on {settings.smtp_host} port {settings.smtp_port}: "
                f"{error.strerror or error}; set PERDURE_SMTP_PORT to a free port, or to 0"
            ) from error
        log.info("smtp_listening", host=settings.smtp_host, port=settings.smtp_port)
        async with server:
            await stop.wait()
    finally:
        await pool.close()


class _Connection(SMTP):
    """One client; there are not more of them than can be served."""

    others: set[SMTP]

    def connection_made(self, transport: Any) -> None:
        """Take a client, or turn it away."""
        if len(self.others) >= CONNECTIONS_MAX:
            transport.write(b"421 4.3.2 too many connections; come again\r\n")
            transport.close()
            return
        self.others.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget a client."""
        if self in self.others:
            self.others.discard(self)
            super().connection_lost(error)
