"""What is in a mail, which mails start nothing, and for whom one is."""

import base64
import time
from datetime import UTC, datetime
from email.message import EmailMessage

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perdure_scheduler.hear import DATA_BYTES_MAX
from perdure_scheduler.mail.loops import refusal
from perdure_scheduler.mail.mailboxes import recipients_of
from perdure_scheduler.mail.outlet import event_of
from perdure_scheduler.mail.parsing import PARTS_MAX, read_mail
from perdure_scheduler.mail.shown import TEXT_MAX, attachments_of, data_of, reference

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def mail(text: str = "Hello", **headers: str) -> EmailMessage:
    made = EmailMessage()
    fields = {
        "from": "Ann Smith <Ann@Example.com>",
        "to": "orders@shop.example",
        "subject": "Bücher",
        "message-id": "<1@example.com>",
        "date": "Thu, 01 Jan 2026 10:00:00 +0100",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    for name, value in fields.items():
        if value:
            made[name] = value
    made.set_content(text)
    return made


def test_the_data_has_what_a_workflow_needs() -> None:
    made = mail("Two of them, please.", cc="b@example.com", in_reply_to="<0@x>")
    made.add_alternative("<p>Two</p>", subtype="html")
    made.add_attachment(b"\x00\x01", maintype="application", subtype="pdf", filename="büro.pdf")
    read = read_mail(bytes(made))
    data = data_of(read, "orders+berlin@shop.example", [reference(read.attachments[0])])
    assert (data["from"], data["from_name"]) == ("ann@example.com", "Ann Smith")
    assert (data["to"], data["cc"]) == (["orders@shop.example"], ["b@example.com"])
    assert (data["subject"], data["tag"]) == ("Bücher", "berlin")
    assert data["date"] == "2026-01-01T10:00:00+01:00"
    assert data["text"].strip() == "Two of them, please."
    assert data["html"].strip() == "<p>Two</p>"
    assert data["in_reply_to"] == "<0@x>"
    [kept] = data["attachments"]
    assert (kept["filename"], kept["content_type"], kept["bytes"]) == (
        "büro.pdf", "application/pdf", 2,
    )  # fmt: skip
    assert read.attachments[0].content == b"\x00\x01"
    assert not data["truncated"]


def test_a_text_that_is_too_long_is_cut_and_said_to_be() -> None:
    data = data_of(read_mail(bytes(mail("x" * (TEXT_MAX + 1)))), "a@b.c", [])
    assert len(data["text"]) == TEXT_MAX and data["truncated"]


def test_a_mail_within_a_mail_is_an_attachment_not_its_text() -> None:
    outer = mail("see below")
    outer.add_attachment(mail("inner text", subject="inner"))
    read = read_mail(bytes(outer))
    assert read.text.strip() == "see below"
    [inside] = read.attachments
    assert inside.content_type == "message/rfc822" and b"inner text" in inside.content


@given(st.binary(max_size=400))
def test_no_bytes_whatever_can_raise(raw: bytes) -> None:
    read = read_mail(raw)
    assert refusal(read, None) is None or refusal(read, None)
    orjson.dumps(data_of(read, "a@b.c", []))


@pytest.mark.parametrize(
    "raw",
    [
        b"Subject: =?utf-8?b?!!!?=\n\nx",
        b"Subject: =?nonsense?q?x?=\n\nx",
        b"Date: Thu, 99 Foo\n\nx",
        b"From: \xff\xfe <a@b.c>\n\nx",
        b'Content-Type: text/plain; charset="no-such"\n\n\xe4',
        b"Content-Type: multipart/mixed\n\nno boundary",
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\n--x--\n",
        b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n%%%",
        b"Content-Disposition: attachment; filename*=bad'x'%ff\n\nx",
        b"To: " + b"a@b.c, " * 5_000 + b"\n\nx",
        b"Message-ID:\n\nx",
        b"Content-Type: text/plain; charset=unicode_escape\n\n\\ud800",
        b"Content-Type: application/x\xff\0y\n\nx",
        b"From: " + b"a:" * 10_000 + b"a@b.c\n\nx",
        b"From: " + b"<" * 10_000 + b"a@b.c\n\nx",
    ],
)
def test_broken_mails_are_read_as_far_as_they_go(raw: bytes) -> None:
    read = read_mail(raw)
    assert read.id and read.is_whole
    assert refusal(read) is None
    kept = attachments_of(read)
    assert all(each.content_type.isprintable() for each in kept)
    orjson.dumps(data_of(read, "a@b.c", [reference(each) for each in kept]))


MANY = "".join(f"--x\nContent-Type: text/x{n}\n\n{n}\n" for n in range(PARTS_MAX + 1))


@pytest.mark.parametrize(
    "parts",
    [
        "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(2_000)),
        "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(30)),
        "Content-Type: message/rfc822\n\n" * 2_000,
        f"Content-Type: multipart/mixed; boundary=x\n\n{MANY}--x--\n",
    ],
)
def test_a_mail_that_no_parser_understands_is_kept_whole(parts: str) -> None:
    raw = b"From: ann@example.com\nSubject: Deep\n" + parts.encode() + b"\nhi"
    read = read_mail(raw)
    first, *_ = kept = attachments_of(read)
    assert (first.filename, first.content) == ("mail.eml", raw)
    data = data_of(read, "a@b.c", [reference(each) for each in kept])
    assert (data["from"], data["subject"]) == ("ann@example.com", "Deep")
    assert data["truncated"] and data["attachments"][0]["filename"] == "mail.eml"


LONG = '\u6f22"' * 40_000


@pytest.mark.parametrize(
    "headers",
    [
        {"references": "<a@b> " * 5_000},
        {"message_id": "<" + "m" * 2_000_000 + ">"},
        {"to": ", ".join(f"{n}@{'d' * 250}" for n in range(2_000))},
        {f"x_{n}": "\u6f22" * 3_000 for n in range(150)},
    ],
)
def test_whatever_is_in_a_mail_its_event_is_not_too_large_to_travel(
    headers: dict[str, str],
) -> None:
    names = {"message_id": "<1@b>", **headers}
    top = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in names.items())
    parts = [f"Content-Type: text/{kind}; charset=utf-8\n\n{LONG}" for kind in ("plain", "html")]
    parts += [f"Content-Disposition: attachment; filename={'f' * 250}{n}\n\n" for n in range(190)]
    body = "".join(f"--x\n{part}\n" for part in parts)
    raw = f"{top}From: ann@example.com\nContent-Type: multipart/mixed; boundary=x\n\n{body}--x--\n"
    read = read_mail(raw.encode())
    event = event_of(read, "smtp", "a@b.c", NOW, [reference(each) for each in attachments_of(read)])
    assert len(event.data) <= DATA_BYTES_MAX
    data = event.json()
    assert data["truncated"] and data["attachments"][0]["filename"] == "mail.eml"
    assert data["from"] == "ann@example.com", "it stands below all others"
    assert data["text"] and data["html"]


@pytest.mark.parametrize(
    ("headers", "envelope_from", "refused"),
    [
        ({}, None, False),
        ({}, "ann@example.com", False),
        ({}, "", True),
        ({"auto_submitted": "no"}, None, False),
        ({"auto_submitted": "auto-replied; x"}, None, True),
        ({"precedence": "Bulk"}, None, True),
        ({"precedence": "normal"}, None, False),
        ({"return_path": "<>"}, None, True),
        ({"x_autoreply": "yes"}, None, True),
        ({"from": "MAILER-DAEMON@example.com"}, None, True),
    ],
)
def test_mails_of_programs_and_bounces_start_nothing(
    headers: dict[str, str], envelope_from: str | None, refused: bool
) -> None:
    why = refusal(read_mail(bytes(mail(**headers))), envelope_from)
    assert (why is not None) == refused


def test_a_report_on_another_mail_starts_nothing() -> None:
    raw = b"Content-Type: multipart/report; boundary=x\n\n--x\n\nfailed\n--x--\n"
    assert refusal(read_mail(raw)) is not None


def test_a_mail_is_for_whom_the_envelope_names_then_the_header_then_all() -> None:
    mine = ["orders@shop.example", "sales@shop.example"]
    enveloped = read_mail(bytes(mail(delivered_to="sales@shop.example")))
    assert recipients_of(enveloped, mine) == ["sales@shop.example"]
    both = read_mail(bytes(mail(cc="Sales+eu@shop.example, x@y.z")))
    assert recipients_of(both, mine) == ["orders@shop.example", "sales+eu@shop.example"]
    assert recipients_of(read_mail(bytes(mail(to="list@shop.example"))), mine) == mine


def test_the_same_mail_is_the_same_event_for_each_recipient() -> None:
    read = read_mail(bytes(mail()))
    first, again = (event_of(read, "smtp", "a@b.c", NOW, []) for _ in range(2))
    assert first == again
    assert event_of(read, "smtp", "d@e.f", NOW, []).id != first.id
    unnamed = [read_mail(bytes(mail(text, message_id=""))) for text in ("one", "two")]
    assert len({event_of(each, "smtp", "a@b.c", NOW, []).id for each in unnamed}) == 2


def test_an_attachment_in_base64_comes_as_its_bytes() -> None:
    body = base64.b64encode(b"hello")
    head = b"Content-Type: application/x; name=f\nContent-Transfer-Encoding: base64\n\n"
    [attachment] = read_mail(head + body).attachments
    assert (attachment.content, attachment.filename) == (b"hello", "f")


HEAD = b"From: a@b.example\r\nSubject: a book\r\n"
NESTED = b"".join(
    b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(250)
)
MANY_PARAMETERS = b"--b\r\nContent-Type: text/plain" + b"; a" * 20_000 + b"\r\n\r\nx\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Content-Type: text/plain" + b";" * 400_000 + b"\r\n\r\nx",
        HEAD + b"Content-Type: multipart/mixed" + b"; a" * 200_000 + b"\r\n\r\nx",
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + MANY_PARAMETERS * 50,
        HEAD + NESTED + b"x\r\n" * 200_000,
        HEAD + b"\r\n" + b"\n" * 12_000_000,
        HEAD + b"\r\n" + b"\r" * 12_000_000,
    ],
    ids=["semicolons", "parameters", "parts", "ends", "lines", "returns"],
)
def test_no_mail_takes_long(raw: bytes) -> None:
    """One that did would be read for hours, again and again, and keep all others waiting."""
    began = time.process_time()
    mail = read_mail(raw)
    assert time.process_time() - began < 3
    assert mail.header("subject") == "a book"


def test_a_mail_of_an_ordinary_kind_is_taken_apart_up_to_its_largest() -> None:
    lines = b"QUJD" * 19 + b"\r\n"
    kind = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    (attachment,) = read_mail(HEAD + kind + lines * 330_000).attachments
    assert attachment.content == b"ABC" * 19 * 330_000
