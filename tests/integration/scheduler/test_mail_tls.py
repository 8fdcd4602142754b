"""Mailboxes behind TLS: a real server's certificate is checked, whichever way the seal is made."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from mail_server import PASSWORD, USER, MailServer, mail_server
from perdure_scheduler.mail.imap import Account, MailboxError, session

MAIL = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: sealed\r\n\r\nHello.\r\n"


class Authority:
    """An authority of this test's own, and the certificate that it gave to a server."""

    def __init__(self, folder: Path, host: str = "localhost") -> None:
        authority = trustme.CA()
        given = authority.issue_cert(host)
        self.trusted, self.certificate = folder / "authority.pem", folder / "server.pem"
        authority.cert_pem.write_to_path(str(self.trusted))
        # The authority's comes last: the server's own must be the first in the file.
        for part in (given.private_key_pem, *given.cert_chain_pems, authority.cert_pem):
            part.write_to_path(str(self.certificate), append=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def imap(authority: Authority) -> Generator[MailServer]:
    with mail_server(authority.certificate) as made:
        made.append(MAIL)
        yield made


def account(port: int, tls: str, host: str = "localhost") -> Account:
    return Account(
        host=host, port=port, tls=tls, user=USER, folder="INBOX", poll_s=5.0,
        address="127.0.0.1", password=PASSWORD,
    )  # fmt: skip


@contextlib.contextmanager
def sealed(port: int, certificate: Path) -> Generator[int]:
    """Stand before a server that is not sealed from its first byte on, and give the port."""
    loop = asyncio.new_event_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while came := await reader.read(65_536):
                writer.write(came)
                await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(hand_on(reader, before), hand_on(behind, writer))

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)

    server = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def read(where: Account) -> bytes:
    """Read the first mail's subject as the mailbox's reader does."""
    with session(where) as client:
        client.select_folder("INBOX", readonly=True)
        [uid] = client.search()
        found = client.fetch([uid], ["BODY.PEEK[HEADER.FIELDS (SUBJECT)]"])
        return bytes(found[uid][b"BODY[HEADER.FIELDS (SUBJECT)]"]).strip()


def test_a_mailbox_is_read_after_starttls(
    imap: MailServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
    assert read(account(imap.port, "starttls")) == b"Subject: sealed"


def test_a_password_is_wrong_behind_tls_too(
    imap: MailServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
    with pytest.raises(MailboxError) as refused:
        read(replace(account(imap.port, "starttls"), password="not it"))
    assert refused.value.code == "mailbox_refused"


def test_a_server_of_an_unknown_authority_never_hears_the_password(imap: MailServer) -> None:
    with pytest.raises(MailboxError, match="CERTIFICATE_VERIFY_FAILED") as refused:
        read(account(imap.port, "starttls"))
    assert refused.value.code == "mailbox_unreachable"


def test_a_certificate_of_another_name_is_refused(
    imap: MailServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
    with pytest.raises(MailboxError, match=r"not valid for '127\.0\.0\.1'"):
        read(account(imap.port, "starttls", host="127.0.0.1"))


def test_a_mailbox_is_read_through_a_connection_that_is_sealed_from_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    with mail_server() as plain, sealed(plain.port, authority.certificate) as port:
        plain.append(MAIL)
        with pytest.raises(MailboxError, match="CERTIFICATE_VERIFY_FAILED"):
            read(account(port, "implicit"))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
        assert read(account(port, "implicit")) == b"Subject: sealed"
