"""What is in a mail, as the data of a trigger event. Pure: bytes in, plain values out.

Mails come from anybody, so nothing in one may raise: what cannot be read is left out.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any, cast

from perdure_contracts.message import Json

TEXT_MAX = 64 * 1024
"""Characters of a text that go into the event; the whole mail is among the attachments then."""

HEADERS_MAX, HEADER_MAX = 100, 2_000
PARTS_MAX = 200
DEPTH_MAX = 20
ADDRESSES_MAX = 100


@dataclass(frozen=True)
class Attachment:
    """A part of a mail that is no text of it."""

    filename: str
    content_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The hash under which it is kept."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Mail:
    """A mail that was read. `headers` are all of them, in order, names in small letters."""

    raw: bytes
    headers: Sequence[tuple[str, str]]
    text: str
    html: str
    attachments: Sequence[Attachment]
    content_type: str

    def header(self, name: str) -> str:
        """Return the first header of that name, "" if there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def addresses(self, *names: str) -> list[tuple[str, str]]:
        """Return (name, address in small letters) of everybody in headers."""
        values = [value for key, value in self.headers if key in names]
        found = getaddresses(values)
        pairs = [(name, address.strip().lower()) for name, address in found if "@" in address]
        return pairs[:ADDRESSES_MAX]

    @property
    def id(self) -> str:
        """What the mail is known by: its Message-ID, or the hash of all of it."""
        given = self.header("message-id").strip()
        return given[:500] if given else f"sha256:{hashlib.sha256(self.raw).hexdigest()}"

    @property
    def date(self) -> str | None:
        """When the sender says that it was written, in ISO 8601."""
        try:
            at = parsedate_to_datetime(self.header("date"))
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        return at.isoformat() if at.tzinfo is not None else None


def read_mail(raw: bytes) -> Mail:
    """Return what is in a mail."""
    message = BytesParser(policy=policy.compat32).parsebytes(raw)
    headers = [(name.lower(), _decoded(value)) for name, value in message.raw_items()]
    texts: dict[str, list[str]] = {"plain": [], "html": []}
    attachments: list[Attachment] = []
    for part in _parts(message):
        content = _content(part)
        subtype = part.get_content_subtype()
        shown = part.get_content_maintype() == "text" and subtype in texts
        if shown and part.get_content_disposition() != "attachment" and not _filename(part):
            texts[subtype].append(_text(part, content))
        else:
            kind = part.get_content_type()
            attachments.append(Attachment(_filename(part), kind, content))
    return Mail(
        raw=raw,
        headers=headers[:HEADERS_MAX],
        text="\n".join(texts["plain"]),
        html="\n".join(texts["html"]),
        attachments=attachments,
        content_type=message.get_content_type(),
    )


def _parts(message: Message) -> Iterator[Message]:
    """Return what a mail consists of; a mail inside of it is one part."""
    pending: list[tuple[Message, int]] = [(message, 0)]
    count = 0
    while pending and count < PARTS_MAX:
        part, depth = pending.pop(0)
        payload: Any = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            if depth < DEPTH_MAX:
                inside = cast("list[Message]", payload)
                pending[:0] = [(each, depth + 1) for each in inside]
            continue
        count += 1
        yield part


def _content(part: Message) -> bytes:
    if part.get_content_maintype() == "message":
        inside: Any = part.get_payload()
        if isinstance(inside, list) and inside:
            return bytes(cast("list[Message]", inside)[0])
    try:
        content: Any = part.get_payload(decode=True)
    except (ValueError, LookupError):
        content = None
    return content if isinstance(content, bytes) else b""


def _text(part: Message, content: bytes) -> str:
    charset = part.get_content_charset("utf-8")
    try:
        return content.decode(charset, "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


def _filename(part: Message) -> str:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, TypeError):
        return ""
    return _decoded(name)[:255] if name else ""


def _decoded(value: Any) -> str:
    """Return a header as text: encoded words read, what cannot be printed left out."""
    text = str(value)
    with suppress(ValueError, LookupError):  # an encoded word that is none stays as it came
        text = str(make_header(decode_header(text)))
    text = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def data_of(mail: Mail, recipient: str, kept: Sequence[Json]) -> dict[str, Json]:
    """Return the data of the event for one recipient; `kept` are references to attachments."""
    senders = mail.addresses("from")
    named: list[tuple[str, str]] = [(k, v[:HEADER_MAX]) for k, v in reversed(mail.headers)]
    tag = recipient.partition("@")[0].partition("+")[2]
    return {
        "from": senders[0][1] if senders else "",
        "from_name": senders[0][0][:HEADER_MAX] if senders else "",
        "to": [address for _, address in mail.addresses("to")],
        "cc": [address for _, address in mail.addresses("cc")],
        "reply_to": [address for _, address in mail.addresses("reply-to")],
        "recipient": recipient,
        "tag": tag,
        "subject": mail.header("subject")[:HEADER_MAX],
        "date": mail.date,
        "message_id": mail.header("message-id"),
        "in_reply_to": mail.header("in-reply-to"),
        "references": mail.header("references").split()[-50:],
        "text": mail.text[:TEXT_MAX],
        "html": mail.html[:TEXT_MAX],
        "truncated": is_truncated(mail),
        "headers": dict(named),
        "attachments": list(kept),
        "bytes": len(mail.raw),
    }


def is_truncated(mail: Mail) -> bool:
    """Return whether a text of the mail is too long to go into the event whole."""
    return max(len(mail.text), len(mail.html)) > TEXT_MAX


def time_of(mail: Mail, arrived: datetime) -> str:
    """Return the time of the event: when the mail came, whatever its sender says."""
    del mail
    return arrived.isoformat()
