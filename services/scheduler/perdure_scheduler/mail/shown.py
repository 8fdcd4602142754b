"""What a workflow sees of a mail: the data of its event, which always fits into one. Pure.

An event of more than `DATA_BYTES_MAX` would be a dead letter, and one that Kafka does not take
would keep the mailbox waiting for ever. So each part of the data has its share of the bytes, as
they are in JSON: what is more is cut, and the whole mail is among the attachments.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import orjson
from perdure_contracts.message import Json

from .parsing import Attachment, Mail

ATTACHMENT_PATH = "/v1/attachments/"

TEXT_MAX = 64 * 1024
"""Characters of a text that go into the event."""

TEXT_BYTES_MAX = 74 * 1024
REFERENCES_BYTES_MAX = 40 * 1024
HEADERS_BYTES_MAX = 24 * 1024
ADDRESSES_BYTES_MAX = 5 * 1024
IDS_BYTES_MAX = 4 * 1024
"""Shares of an event's data, which has 256 KiB: of each text, of what is said of attachments, of
headers, of each list of addresses, and of the mails that it is an answer to."""

HEADER_MAX = 2_000
"""Characters of one header."""

NAME_MAX, ID_MAX = 500, 1_000

T = TypeVar("T")


def data_of(mail: Mail, recipient: str, kept: Sequence[Json]) -> dict[str, Json]:
    """Return the data of the event for one recipient; `kept` are references to attachments."""
    senders = mail.addresses("from")
    tag = recipient.partition("@")[0].partition("+")[2]
    ids: list[Json] = list(reversed(mail.header("references").split()[-50:]))
    return {
        "from": senders[0][1] if senders else "",
        "from_name": senders[0][0][:NAME_MAX] if senders else "",
        "to": _addresses(mail, "to"),
        "cc": _addresses(mail, "cc"),
        "reply_to": _addresses(mail, "reply-to"),
        "recipient": recipient,
        "tag": tag,
        "subject": mail.header("subject")[:HEADER_MAX],
        "date": mail.date,
        "message_id": mail.header("message-id")[:ID_MAX],
        "in_reply_to": mail.header("in-reply-to")[:ID_MAX],
        "references": _first(ids, IDS_BYTES_MAX)[::-1],
        "text": cut(mail.text),
        "html": cut(mail.html),
        "truncated": is_truncated(mail),
        "headers": _headers(mail),
        "attachments": _first(kept, REFERENCES_BYTES_MAX),
        "bytes": len(mail.raw),
    }


def is_truncated(mail: Mail) -> bool:
    """Return whether something of the mail does not go into the event, or was not understood."""
    return (
        not mail.is_whole
        or cut(mail.text) != mail.text
        or cut(mail.html) != mail.html
        or not _fits([reference(each) for each in mail.attachments], REFERENCES_BYTES_MAX)
    )


def attachments_of(mail: Mail) -> list[Attachment]:
    """Return what is kept of a mail beside its event; the mail itself first, if that is not all."""
    whole = [Attachment("mail.eml", "message/rfc822", mail.raw)] if is_truncated(mail) else []
    return [*whole, *mail.attachments]


def reference(attachment: Attachment) -> dict[str, Json]:
    """Return what the event says of an attachment."""
    sha256 = attachment.sha256
    return {
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "bytes": len(attachment.content),
        "sha256": sha256,
        "path": ATTACHMENT_PATH + sha256,
    }


def cut(text: str) -> str:
    """Return as much of a text as goes into an event."""
    shown = text[:TEXT_MAX]
    while (size := _size(shown)) > TEXT_BYTES_MAX:
        shown = shown[: len(shown) * TEXT_BYTES_MAX // size]
    return shown


def _addresses(mail: Mail, name: str) -> list[Json]:
    return _first([address for _, address in mail.addresses(name)], ADDRESSES_BYTES_MAX)


def _headers(mail: Mail) -> dict[str, Json]:
    """Return the headers by their names; of several with one name the first."""
    pairs = [(name, value[:HEADER_MAX]) for name, value in mail.headers]
    return dict(reversed(_first(pairs, HEADERS_BYTES_MAX)))


def _first(values: Iterable[T], most: int) -> list[T]:
    """Return values from the first on, as many as have their share of bytes."""
    found: list[T] = []
    left = most
    for each in values:
        left -= _size(each) + 1
        if left < 0:
            break
        found.append(each)
    return found


def _fits(values: Sequence[Json], most: int) -> bool:
    return len(_first(values, most)) == len(values)


def _size(value: Json) -> int:
    return len(orjson.dumps(value))
