"""EXTERNAL_ACTION SEND_EMAIL against a real SMTP server in this process."""

import asyncio
import email.policy
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from perdure_common.adapters.memory_files import MemoryFiles
from perdure_contracts.files import FileRef
from perdure_engine.nodes.external_action_send_email import effect
from perdure_engine.runner import send_email as sending
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.files import ItemFiles
from perdure_engine.runner.send_email import send


class Post:
    """What the server got; `answers` are its replies where they are not the usual ones."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.mails: list[Any] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.silent = asyncio.Event()

    async def handle_RCPT(self, s: Any, session: Any, envelope: Any, to: str, options: Any) -> str:
        if to.startswith("unknown"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_MAIL(self, s: Any, session: Any, envelope: Any, by: str, options: Any) -> str:
        if "mail" in self.answers:
            return self.answers["mail"]
        envelope.mail_from = by
        return "250 OK"

    async def handle_DATA(self, s: Any, session: Any, envelope: Any) -> str:
        if self.answers.get("data") == "hang":
            await self.silent.wait()
        if self.answers.get("data") == "drop":
            session_transport: Any = s.transport
            session_transport.abort()
            return "250 OK"
        if "data" in self.answers:
            return self.answers["data"]
        self.mails.append(envelope)
        return "250 OK"

    def authenticate(self, s: Any, session: Any, envelope: Any, how: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        right = data.password == b"p@ss"
        return AuthResult(success=right, handled=right, message=None if right else "535 5.7.8 no")


@asynccontextmanager
async def served(post: Post, **options: Any) -> AsyncGenerator[int]:
    loop = asyncio.get_running_loop()
    implicit: Any = options.pop("ssl", None)
    made = lambda: SMTP(post, loop=loop, **options)  # noqa: E731
    server = await loop.create_server(made, "127.0.0.1", 0, ssl=implicit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        post.silent.set()
        server.close()
        await server.wait_closed()


MAIL: dict[str, Any] = {
    "server": "office",
    "from": "The Shop <shop@example.com>",
    "to": "Ada <ada@example.com>",
    "subject": "Grüße",
    "text": "Hello\n.\nWörld",
}


async def mail(url: str, **changes: Any) -> Any:
    answer = await send({"office": url}, {**MAIL, **changes}, "key-1")
    return answer.error if isinstance(answer, Failed) else answer


def parts(envelope: Any) -> Any:
    return email.message_from_bytes(envelope.content, policy=email.policy.default)


async def test_a_mail_arrives_as_it_was_written() -> None:
    post = Post()
    async with served(post) as port:
        answer = await mail(
            f"smtp://127.0.0.1:{port}",
            cc=["bob@example.com", "Ada <ada@example.com>"],
            bcc="eve@example.com",
            reply_to="help@example.com",
            html="<p>Hello</p>",
        )
    to = ["ada@example.com", "bob@example.com", "eve@example.com"]
    assert answer == {"message_id": "<key-1@example.com>", "accepted": to, "refused": {}}
    (envelope,) = post.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("shop@example.com", to)
    message = parts(envelope)
    assert message["Subject"] == "Grüße"
    assert message["From"] == "The Shop <shop@example.com>"
    assert message["Reply-To"] == "help@example.com"
    assert "eve" not in envelope.content.decode()
    assert message.get_body(("plain",)).get_content().splitlines() == ["Hello", ".", "Wörld"]
    assert message.get_body(("html",)).get_content().strip() == "<p>Hello</p>"
    assert message["Date"].datetime.tzinfo is not None


async def attached(*files: tuple[str, bytes, str, str]) -> ItemFiles:
    """Return an item with files: names, bytes, file names and types."""
    empty, refs = ItemFiles(MemoryFiles(), "tenant"), dict[str, FileRef]()
    for name, content, file_name, mime in files:

        async def source(content: bytes = content) -> AsyncGenerator[bytes]:
            yield content

        refs[name] = await empty.keep(source(), file_name, mime)
    return ItemFiles(empty.store, "tenant", refs)


async def test_files_of_the_item_are_attached() -> None:
    post = Post()
    item = await attached(
        ("data", bytes(range(256)) * 500, "Rechnung für Ada.pdf", "application/pdf"),
        ("note", b"line\n.\nend", 'a"; x=y\r\nBcc: eve@example.com', "text/plain"),
        ("mail", b"From: x\n\nhi", "old.eml", "message/rfc822"),
        ("other", b"not this one", "no.txt", "text/plain"),
    )
    async with served(post) as port:
        parameters = {**MAIL, "attachments": ["data", "note", "mail"]}
        answer = await send({"office": f"smtp://127.0.0.1:{port}"}, parameters, "key-1", item)
    assert not isinstance(answer, Failed), answer
    message = parts(post.mails[0])
    first, note, mail = message.iter_attachments()
    assert first.get_filename() == "Rechnung für Ada.pdf"
    assert first.get_content_type() == "application/pdf"
    assert first.get_content() == bytes(range(256)) * 500
    assert note.get_filename() == 'a"; x=yBcc: eve@example.com'
    assert mail.get_content_type() == "application/octet-stream"
    assert message["Bcc"] is None and post.mails[0].rcpt_tos == ["ada@example.com"]
    assert message.get_body(("plain",)).get_content().splitlines() == ["Hello", ".", "Wörld"]


async def test_a_mail_with_a_file_that_is_not_there_or_too_large_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    post = Post()
    item = await attached(("data", b"x" * 60, "a.txt", "text/plain"))
    monkeypatch.setattr(sending, "ATTACHMENTS_BYTES_MAX", 100)
    async with served(post) as port:
        servers = {"office": f"smtp://127.0.0.1:{port}"}
        for names, code in (("other", "file_not_found"), (["data", "data"], "file_too_large")):
            answer = await send(servers, {**MAIL, "attachments": names}, "key-1", item)
            assert isinstance(answer, Failed)
            assert (answer.error.type, answer.error.effect_state) == (code, "not_sent")
    assert post.mails == []


async def test_every_attempt_has_the_same_message_id() -> None:
    post = Post()
    async with served(post) as port:
        for _ in range(2):
            await mail(f"smtp://127.0.0.1:{port}")
    assert {parts(each)["Message-ID"] for each in post.mails} == {"<key-1@example.com>"}


async def test_recipients_that_are_refused_are_told_and_the_others_get_it() -> None:
    post = Post()
    async with served(post) as port:
        url = f"smtp://127.0.0.1:{port}"
        some = await mail(url, to="ada@example.com, unknown@example.com")
        none = await mail(url, to="unknown@example.com")
    assert some["accepted"] == ["ada@example.com"]
    assert some["refused"] == {"unknown@example.com": "550 5.1.1 no such user"}
    assert (none.type, none.codes, none.retryable) == ("mail_refused", ("smtp_550",), False)
    assert none.effect_state == "refused"


@pytest.mark.parametrize(
    ("answers", "code", "retryable"),
    [
        ({"mail": "451 4.7.1 greylisted"}, "smtp_451", True),
        ({"mail": "550 5.7.1 not allowed"}, "smtp_550", False),
        ({"data": "452 4.3.1 full"}, "smtp_452", True),
        ({"data": "554 5.6.0 spam"}, "smtp_554", False),
    ],
)
async def test_a_refusal_for_now_may_be_tried_again_and_one_for_good_not(
    answers: dict[str, str], code: str, retryable: bool
) -> None:
    async with served(Post(**answers)) as port:
        error = await mail(f"smtp://127.0.0.1:{port}")
    assert (error.codes, error.retryable, error.effect_state) == ((code,), retryable, "refused")
    assert error.dependency == "smtp:127.0.0.1"


PHASES = (("hang", "attempt_timeout"), ("drop", "connection_reset"))


@pytest.mark.parametrize(("data", "code"), PHASES)
async def test_a_mail_that_may_have_been_taken_is_unknown(data: str, code: str) -> None:
    async with served(Post(data=data)) as port:
        error = await mail(f"smtp://127.0.0.1:{port}", timeout_s=1)
    assert (error.type, error.retryable, error.effect_state) == (code, True, "unknown")


async def test_a_server_that_is_not_there_got_nothing() -> None:
    async with served(Post()) as port:
        pass
    error = await mail(f"smtp://127.0.0.1:{port}")
    assert (error.type, error.retryable, error.effect_state) == ("connect_failed", True, "not_sent")


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "no address"},
        {"to": []},
        {"to": None},
        {"to": [f"a{n}@example.com" for n in range(101)]},
        {"from": "a@example.com, b@example.com"},
        {"subject": "a\r\nBcc: eve@example.com"},
        {"reply_to": "x\nBcc: eve@example.com"},
        {"to": "ada@example.com\r\nDATA"},
        {"to": "jürgen@example.com"},
    ],
    ids=range(9),
)
async def test_what_is_no_mail_is_told_before_anything_is_sent(changes: dict[str, Any]) -> None:
    post = Post()
    async with served(post) as port:
        error = await mail(f"smtp://127.0.0.1:{port}", **changes)
    assert (error.type, error.effect_state) == ("invalid_parameters", "not_sent")
    assert post.mails == []


async def test_a_server_that_nobody_named_is_not_known() -> None:
    error = await mail("smtp://127.0.0.1:1", server="other")
    assert (error.type, error.retryable) == ("server_not_known", False)
    assert "office" in error.message


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    trusted, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    trusted.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted, private)
    return context


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_credentials_go_over_tls(certificate: ssl.SSLContext, scheme: str) -> None:
    post = Post()
    how: dict[str, Any] = {"authenticator": post.authenticate}
    if scheme == "smtps":
        how |= {"ssl": certificate, "auth_require_tls": False}
    else:
        how |= {"tls_context": certificate, "require_starttls": True, "auth_required": True}
    async with served(post, **how) as port:
        answer = await mail(f"{scheme}://user:p%40ss@127.0.0.1:{port}")
        wrong = await mail(f"{scheme}://user:other@127.0.0.1:{port}")
    assert answer["accepted"] == ["ada@example.com"]
    assert post.logins[0] == (b"user", b"p@ss")
    assert (wrong.codes, wrong.retryable, wrong.effect_state) == (("smtp_535",), False, "refused")
    assert "other" not in wrong.message


async def test_a_server_without_tls_gets_no_mail_that_must_go_over_it() -> None:
    post = Post()
    async with served(post) as port:
        error = await mail(f"smtp+starttls://user:secret@127.0.0.1:{port}")
    assert error.effect_state in ("not_sent", "refused")
    assert (post.mails, post.logins) == ([], [])


async def test_a_certificate_that_nobody_trusts_is_refused(
    certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    post = Post()
    async with served(post, ssl=certificate) as port:
        error = await mail(f"smtps://127.0.0.1:{port}")
    assert (error.type, error.effect_state) == ("tls_failed", "not_sent")
    assert not error.retryable


def test_a_second_mail_does_harm_unless_it_is_dropped_on_the_way() -> None:
    assert effect({}) == "unsafe"
    assert effect({"deduplicated": True}) == "keyed"
