"""Mailboxes behind TLS: a real server's certificate is checked, whichever way the seal is made."""

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from authority import Authority
from mail_server import PASSWORD, USER, MailServer, mail_server
from perdure_common.settings import SettingError, Settings
from perdure_scheduler.mail.imap import Account, MailboxError, session
from perdure_scheduler.mail.smtp import Certificate

MAIL = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: sealed\r\n\r\nHello.\r\n"


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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_serve, args=(listening, context, port))
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """Seal one connection after the other until nobody listens any more."""
    while True:
        try:
            raw, _ = listening.accept()
        except OSError:
            return
        with (
            raw,
            contextlib.suppress(OSError),
            context.wrap_socket(raw, server_side=True) as client,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            answers = threading.Thread(target=_hand_on, args=(server, client))
            answers.start()
            _hand_on(client, server)
            answers.join()


def _hand_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while came := source.recv(65_536):
            target.sendall(came)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


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


def test_a_renewed_certificate_counts_for_the_next_connection_and_a_broken_one_changes_nothing(
    tmp_path: Path,
) -> None:
    file = Authority(tmp_path).certificate
    certificate = Certificate(file, None)
    first = certificate.context()
    assert certificate.context() is first
    for text, instant in (("no certificate", 1), ("", 2)):
        file.write_text(text)
        os.utime(file, (instant, instant))
        assert certificate.context() is first
    Authority(tmp_path)
    assert certificate.context() is not first


def test_a_certificate_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    settings = Settings(smtp_port=25, smtp_certificate=str(tmp_path / "none.pem"))
    with pytest.raises(SettingError, match="PERDURE_SMTP_CERTIFICATE"):
        Certificate.of(settings)
