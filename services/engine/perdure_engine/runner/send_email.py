"""EXTERNAL_ACTION SEND_EMAIL: one mail for each item, by SMTP."""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime, getaddresses, parseaddr
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

import aiosmtplib
from perdure_common.run import utc_now
from perdure_contracts.engine import EffectState, ErrorFacts

from perdure_engine.nodes.external_action_send_email import ATTACHMENTS_BYTES_MAX, RECIPIENTS_MAX
from perdure_engine.nodes.services import TIMEOUT_S
from perdure_engine.runner.dependencies import of_address
from perdure_engine.runner.failures import Failed, facts_of
from perdure_engine.runner.files import FAULTS, ItemFiles, failed

NO_FILES = ItemFiles()

PORTS = {"smtps": 465, "smtp+starttls": 587, "smtp": 25}

NETWORK = (OSError, ssl.SSLError, aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPConnectError)


async def send(
    servers: Mapping[str, str],
    parameters: Mapping[str, Any],
    idempotency_key: str,
    files: ItemFiles = NO_FILES,
) -> dict[str, Any] | Failed:
    """Send the mail of one item; return `{message_id, accepted, refused}`, or why it was not."""
    url = parameters.get("url")  # only a credential has one
    name = str(parameters.get("credential" if url else "server") or "")
    if url is None and name not in servers:
        known = ", ".join(servers) or "none"
        text = f"there is no mail server {name!r}; PERDURE_MAIL_SERVERS has {known}"
        return Failed(ErrorFacts(type="server_not_known", message=text, stage="run"))
    try:
        mail, recipients = _mail(parameters, idempotency_key)
        await _attach(mail, parameters.get("attachments"), files)
        raw = mail.as_bytes(policy=WIRE)
    except FAULTS as error:
        return failed(error)
    except (ValueError, TypeError, UnicodeError, LookupError) as error:
        text = f"the mail cannot be written: {error}"
        return Failed(facts_of(error, "invalid_parameters", text, retryable=False))
    server = urlsplit(str(url or servers[name]))
    if server.scheme not in PORTS or (server.scheme == "smtp" and server.password):
        text = f"the `url` of {name!r} is no mail server's; write smtps:// or smtp+starttls://"
        return Failed(ErrorFacts(type="invalid_parameters", message=text, stage="run"))
    delivery = _Delivery(server, of_address("smtp", server.geturl(), name))
    return await delivery.deliver(
        parseaddr(str(mail["From"]))[1],
        recipients,
        raw,
        str(mail["Message-ID"]),
        float(parameters.get("timeout_s") or TIMEOUT_S),
    )


def _mail(parameters: Mapping[str, Any], key: str) -> tuple[EmailMessage, list[str]]:
    """Return the mail and all its recipients; those of `bcc` do not stand in it.

    Raises:
        ValueError, TypeError: An address or a header cannot be used.
    """
    mail = EmailMessage()
    sender = _addresses(parameters.get("from"), "from")
    if len(sender) != 1:
        raise ValueError("`from` must be one address")
    mail["From"] = str(parameters["from"])
    recipients: list[str] = []
    for name in ("to", "cc", "bcc"):
        found = _addresses(parameters.get(name), name)
        recipients += found
        if found and name != "bcc":
            mail[name.title()] = ", ".join(_listed(parameters[name]))
    recipients = list(dict.fromkeys(recipients))
    if not 1 <= len(recipients) <= RECIPIENTS_MAX:
        raise ValueError(f"there are {len(recipients)} recipients; 1 to {RECIPIENTS_MAX} may be")
    if parameters.get("reply_to"):
        mail["Reply-To"] = str(parameters["reply_to"])
    mail["Subject"] = str(parameters.get("subject") or "")
    mail["Date"] = format_datetime(utc_now())
    mail["Message-ID"] = f"<{key}@{sender[0].rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # or an EMAIL trigger would answer it (RFC 3834)
    text, html = parameters.get("text"), parameters.get("html")
    if text is not None:
        mail.set_content(str(text))
    if html is not None and text is not None:
        mail.add_alternative(str(html), subtype="html")
    elif html is not None:
        mail.set_content(str(html), subtype="html")
    return mail, recipients


async def _attach(mail: EmailMessage, names: Any, files: ItemFiles) -> None:
    """Attach files of the item.

    Raises:
        FileFault: One is not there, or all together are too large.
    """
    left = ATTACHMENTS_BYTES_MAX
    for name in _listed(names):
        ref = files.ref(name)
        content = await files.whole(ref, left)
        left -= len(content)
        maintype, _, subtype = ref["mime_type"].partition("/")
        if maintype in ("message", "multipart"):
            maintype, subtype = "application", "octet-stream"  # which cannot be sent in Base64
        mail.add_attachment(content, maintype, subtype, filename=ref["file_name"])


def _listed(value: Any) -> list[str]:
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [str(each) for each in values if each is not None]


def _addresses(value: Any, name: str) -> list[str]:
    """Return the bare addresses of a parameter."""
    found: list[str] = []
    for _, address in getaddresses(_listed(value)):
        local, at, domain = address.rpartition("@")
        if not (local and at and domain) or not address.isascii() or not address.isprintable():
            raise ValueError(f"`{name}` has {address[:80]!r}, which is no address")
        found.append(address)
    return found


class _Delivery:
    """One mail to one server; `state` says how far it had got."""

    def __init__(self, server: SplitResult, dependency: str) -> None:
        self._server = server
        self._dependency = dependency
        self._state: EffectState = "not_sent"
        self._connected = False

    async def deliver(
        self, sender: str, recipients: list[str], raw: bytes, message_id: str, timeout_s: float
    ) -> dict[str, Any] | Failed:
        smtp = self._client(timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                await self._connect(smtp)
                refused = await self._hand_over(smtp, sender, recipients, raw)
        except (TimeoutError, aiosmtplib.SMTPTimeoutError) as error:
            text = f"the mail server did not take the mail within {timeout_s:g} s"
            return self._failed(error, "attempt_timeout", text, retryable=True)
        except aiosmtplib.SMTPResponseException as error:
            return self._refused(error)
        except NETWORK as error:
            code = "connection_reset" if self._connected else "connect_failed"
            if _is_about_tls(error):
                code = "tls_failed"
            text = f"the mail server cannot be used: {error}"
            return self._failed(error, code, text, retryable=code != "tls_failed")
        except (aiosmtplib.SMTPException, ValueError) as error:
            return self._failed(error, "mail_refused", str(error), retryable=False)
        finally:
            await _quit(smtp)
        return {
            "message_id": message_id,
            "accepted": [each for each in recipients if each not in refused],
            "refused": refused,
        }

    def _client(self, timeout_s: float) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.hostname or "localhost",
            port=server.port or PORTS[server.scheme],
            local_hostname="perdure",
            use_tls=server.scheme == "smtps",
            start_tls=server.scheme == "smtp+starttls",
            timeout=timeout_s,
        )

    async def _connect(self, smtp: aiosmtplib.SMTP) -> None:
        await smtp.connect()
        self._connected = True
        if self._server.username:
            await smtp.login(unquote(self._server.username), unquote(self._server.password or ""))

    async def _hand_over(
        self, smtp: aiosmtplib.SMTP, sender: str, recipients: list[str], raw: bytes
    ) -> dict[str, str]:
        """Say whose the mail is, for whom, and what it says; return the refused recipients.

        Raises:
            SMTPException: It was not taken.
        """
        await smtp.mail(sender)
        refused: dict[str, aiosmtplib.SMTPRecipientRefused] = {}
        for recipient in recipients:
            try:
                await smtp.rcpt(recipient)
            except aiosmtplib.SMTPRecipientRefused as error:
                refused[recipient] = error
        if len(refused) == len(recipients):
            raise refused[recipients[0]]
        self._state = "unknown"  # from here on it may be on its way
        await smtp.data(raw)
        self._state = "done"
        return {each: f"{error.code} {error.message}"[:300] for each, error in refused.items()}

    def _refused(self, error: aiosmtplib.SMTPResponseException) -> Failed:
        """Return the failure of a mail that the server refused: for now (4xx) or for good."""
        self._state = "refused"
        text = f"the mail server refused: {error.code} {error.message}"
        codes = (f"smtp_{error.code}",)
        return self._failed(
            error, "mail_refused", text, retryable=400 <= error.code < 500, codes=codes
        )

    def _failed(
        self,
        error: BaseException,
        code: str,
        text: str,
        *,
        retryable: bool,
        codes: tuple[str, ...] = (),
    ) -> Failed:
        return Failed(
            facts_of(
                error, code, text, retryable=retryable, codes=codes,
                dependency=self._dependency, effect_state=self._state,
            )
        )  # fmt: skip


def _is_about_tls(error: BaseException) -> bool:
    """Tell whether a certificate or the protocol of TLS is what a connection failed by."""
    return any(isinstance(each, ssl.SSLError) for each in (error, error.__cause__))


async def _quit(smtp: aiosmtplib.SMTP) -> None:
    """Say good-bye where somebody still listens; the mail is settled whatever comes of it."""
    if not smtp.is_connected:
        return
    with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        await asyncio.wait_for(smtp.quit(), 2.0)
    smtp.close()
