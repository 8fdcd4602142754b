"""The SMTP listener: mails come here from a mail server that forwards them, and become events.

A mail is answered 250 only when its events are safely on the topic; until then the sender keeps it
and comes again. Only addresses that a trigger listens to are taken. Where there is a certificate,
mails come by STARTTLS alone, unless the settings let others come too; there are no passwords.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from perdure_common import fault
from perdure_common.adapters.postgres_errors import FAILED
from perdure_common.adapters.postgres_queries import queries
from perdure_common.settings import SettingError, Settings
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Unreachable

from perdure_scheduler.definition_edges import ADDRESS
from perdure_scheduler.match import keys_of

from .mailboxes import open_pool
from .outlet import RECIPIENTS_MAX, Outlet
from .parsing import read_mail

SOURCE = "smtp"
MAIL_BYTES_MAX = 25 * 1024 * 1024
BYTES_MAX = MAIL_BYTES_MAX + 1024 * 1024
"""What may come between a mail that is taken and the next one. aiosmtpd keeps a line until it
ends, whatever its length, and reads a mail that is too large to its end."""

SILENCE_S = 60.0
WITHOUT_MAIL_S = 600.0
"""How long a client that goes on talking may have a connection without a mail."""

CONNECTIONS_MAX, CONNECTIONS_OF_ONE_MAX = 100, 50
"""Connections at once, and those that one address may have of them."""

TOO_MANY = b"421 4.3.2 too many connections; come again\r\n"
TOO_MUCH = b"552 5.3.4 too much; come again with less\r\n"
NO_MAIL = b"421 4.4.2 no mail has come for long; come again with one\r\n"

REFUSED_MAX = 20
"""Recipients of a connection that nobody listens to; each costs a question to the database."""

log = structlog.get_logger(__name__)
logging.getLogger("mail.log").setLevel(logging.ERROR)
"""aiosmtpd writes down every line that a stranger sends; what is refused has a line of ours."""

_SQL = queries(Path(__file__).with_name("smtp.sql"))


class Listener:
    """What aiosmtpd asks for each mail; the names of its methods are aiosmtpd's."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    async def handle_EHLO(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        hostname: str,
        responses: list[str],
    ) -> list[str]:
        """Say what is understood; passwords are not, whatever aiosmtpd would say."""
        del server, envelope
        session.host_name = hostname
        return [each for each in responses if not each.startswith("250-AUTH")]

    async def handle_exception(self, error: Exception) -> str:
        """Answer what should not have happened; the sender keeps the mail."""
        log.error("mail_failed", error=repr(error)[:500], exc_info=error)
        return "451 4.3.0 something failed here that should not; come again"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take an address that a trigger listens to."""
        del options
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 too many recipients; send the rest in another mail"
        lower = address.lower()
        if not ADDRESS.fullmatch(lower):
            return await self._refused(
                server, session, lower, "553 5.1.3 no such form of address is taken"
            )
        try:
            heard = await self._outlet.pool.fetchval(
                _SQL["heard"], self._outlet.tenant_id, list(keys_of("EMAIL", lower))
            )
        except FAILED as error:
            log.warning("mail_deferred", error=str(error))
            return "451 4.3.0 the database does not answer; come again"
        if not heard:
            return await self._refused(
                server, session, lower, "550 5.1.1 no trigger listens to this address"
            )
        envelope.rcpt_tos.append(lower)
        return "250 2.1.5 OK"

    async def _refused(self, server: SMTP, session: Session, address: str, why: str) -> str:
        """Note a recipient that is refused; who names too many of them is sent away."""
        assert isinstance(server, _Connection)
        server.refused += 1
        if server.refused <= REFUSED_MAX:
            client = session.peer[0] if session.peer else ""
            log.info("mail_recipient_refused", address=address[:320], reason=why, client=client)
            return why
        await server.push("421 4.7.0 too many recipients that nobody listens to; come again")
        assert server.transport is not None
        server.transport.close()
        return why

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Let a mail become events, and answer when that is done."""
        del session
        assert isinstance(server, _Connection)
        server.expect_a_mail()
        content: Any = envelope.content
        sender = (envelope.mail_from or "").strip("<>")  # "<>" is that of a bounce
        raw = content if isinstance(content, bytes) else str(content).encode()
        try:
            why = await self._outlet.deliver(
                await asyncio.to_thread(read_mail, raw),
                SOURCE,
                envelope.rcpt_tos,
                datetime.now(UTC),
                envelope_from=sender,
            )
        except Unreachable as error:
            log.warning("mail_deferred", error=str(error))
            return "451 4.3.0 the mail cannot be taken now; come again"
        fault.point("after_smtp_before_answer")
        if why is not None:
            return f"250 2.0.0 taken, and starts nothing: {why}"
        return "250 2.0.0 OK, its workflows start"


class Certificate:
    """The listener's certificate, which may be renewed while it runs."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._read_at = self._changed()
        self._context = self._read()

    @classmethod
    def of(cls, settings: Settings) -> "Certificate | None":
        """Return the certificate that settings name, None if they name none.

        Raises:
            SettingError: It cannot be used.
        """
        if not settings.smtp_certificate:
            return None
        try:
            key = Path(settings.smtp_key) if settings.smtp_key else None
            return cls(Path(settings.smtp_certificate), key)
        except (OSError, ssl.SSLError) as error:
            raise SettingError(
                f"the certificate of PERDURE_SMTP_CERTIFICATE cannot be used: {error}; it must be "
                "in PEM, with its key behind it or in PERDURE_SMTP_KEY"
            ) from error

    def context(self) -> ssl.SSLContext:
        """Return what seals the next connection; files that cannot be used change nothing."""
        with suppress(OSError):
            changed = self._changed()
            if changed != self._read_at:
                self._read_at = changed
                try:
                    self._context = self._read()
                    log.info("smtp_certificate_read")
                except (OSError, ssl.SSLError) as error:
                    log.error("smtp_certificate_unusable", error=str(error))
        return self._context

    def _changed(self) -> Sequence[int]:
        files = [self._certificate, *([self._key] if self._key is not None else [])]
        return [each.stat().st_mtime_ns for each in files]

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificate, self._key)
        return context


async def keep_listening(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
    """Listen beside the owner until told to stop, if the settings name a port.

    Raises:
        SettingError: The port cannot be had, or the certificate cannot be used.
    """
    if not settings.smtp_port:
        return
    certificate = Certificate.of(settings)
    pool = await open_pool(settings.database_url)
    listener = Listener(Outlet(owner.bus, pool, settings.tenant_id))
    loop = asyncio.get_running_loop()
    open_connections: set[_Connection] = set()

    def connected() -> SMTP:
        made = _Connection(
            listener,
            data_size_limit=MAIL_BYTES_MAX,
            enable_SMTPUTF8=True,
            hostname=settings.smtp_host,
            ident="perdure",
            timeout=SILENCE_S,
            loop=loop,
            tls_context=None if certificate is None else certificate.context(),
            require_starttls=settings.smtp_tls == "require",
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
    """One client; there are not more of them than can be served, and none takes for ever."""

    others: set["_Connection"]
    refused = 0
    _address: str = ""
    _came = 0
    """Bytes since the last mail."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a client, or turn it away; called again when the connection has been sealed."""
        if self not in self.others:
            self._address = str((transport.get_extra_info("peername") or ("",))[0])
            of_it = sum(1 for each in self.others if each._address == self._address)
            if len(self.others) >= CONNECTIONS_MAX or of_it >= CONNECTIONS_OF_ONE_MAX:
                transport.write(TOO_MANY)
                transport.close()
                return
            self.others.add(self)
            self.expect_a_mail()
        super().connection_made(transport)

    def expect_a_mail(self) -> None:
        """Begin to wait for the next mail."""
        self._came = 0
        self._wait_no_more()
        self._deadline = self.loop.call_later(WITHOUT_MAIL_S, self._send_away, NO_MAIL)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is too much."""
        self._came += len(data)
        if self._came > BYTES_MAX:
            self._send_away(TOO_MUCH)
        else:
            super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget a client."""
        self._wait_no_more()
        if self in self.others:
            self.others.discard(self)
            super().connection_lost(error)

    def _send_away(self, why: bytes) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.write(why)
            transport.close()

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
