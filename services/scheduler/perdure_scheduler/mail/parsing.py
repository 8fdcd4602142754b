"""What is in a mail, as it was read. Pure: bytes in, plain values out; shown.py says what is told.

Mails come from anybody, so nothing in one may raise, and none may take long: what cannot be read is
left out, headers are read up to a length, and a mail that no parser understands (parts within
parts without end) is kept whole as its own attachment. A mail that raised would come again and
again, and keep all those behind it waiting.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email import policy
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from email.utils import getaddresses, parsedate_to_datetime
from itertools import islice
from typing import Any, cast

HEADERS_MAX, HEADERS_READ_MAX = 100, 1_000
"""Headers that are shown of a mail, and among how many those are looked for that decide."""

HEADER_READ_MAX = 16 * 1024
"""Characters of a header that are read; longer ones are none that people write."""

PARAMETERS_READ_MAX = 2_000
"""Characters that are read of what says how a part is written: what the parser takes for its
parameters grows by the square of their length, and each part has its own."""

LINES_MAX, HEAD_BYTES_MAX = 1_000_000, 1024 * 1024
"""Lines of a mail that is taken apart, more than 25 MiB of base64 have; of another one the headers
are looked for in its first bytes."""

COMPARED_MAX = 20_000_000
"""Lines times boundaries of a mail that is taken apart: each line may end each open part."""

NAME_MAX, TYPE_MAX = 100, 255
"""Characters of a header's name, and of a content type."""

DECIDING = frozenset(
    (
        *("from", "to", "cc", "bcc", "reply-to", "delivered-to", "x-original-to", "x-envelope-to"),
        *("subject", "date", "message-id", "in-reply-to", "references"),
        *("auto-submitted", "precedence", "return-path", "x-autoreply", "x-auto-response-suppress"),
    )
)
"""Headers that are found wherever they stand: mail servers write theirs above them."""

PARTS_MAX = 200
DEPTH_MAX = 20
OCTETS = "application/octet-stream"
ADDRESSES_MAX = 100
ADDRESS_MAX = 320
"""Characters of an address: 64 before the sign, 255 behind it (RFC 5321, 4.5.3.1)."""


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
    """A mail that was read. `headers` are in their order, names in small letters.

    `is_whole` is false where something in it could not be read.
    """

    raw: bytes
    headers: Sequence[tuple[str, str]]
    text: str
    html: str
    attachments: Sequence[Attachment]
    content_type: str
    is_whole: bool = True

    def header(self, name: str) -> str:
        """Return the first header of that name, "" if there is none."""
        return next((value for key, value in self.headers if key == name), "")

    def addresses(self, *names: str) -> list[tuple[str, str]]:
        """Return (name, address in small letters) of everybody in headers."""
        found: list[tuple[str, str]] = []
        for value in (value for key, value in self.headers if key in names):
            with suppress(RecursionError):  # groups within groups
                found += getaddresses([value])
        pairs = [(name, address.strip().lower()) for name, address in found]
        return [each for each in pairs if "@" in each[1] and len(each[1]) <= ADDRESS_MAX][
            :ADDRESSES_MAX
        ]

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
    try:
        return _read(raw)
    except Exception:  # RecursionError, and whatever a parser thinks of
        return _unread(raw)


class _Bounded(policy.Compat32):
    """Reads headers up to a length."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Return a header's name and value from its lines."""
        name, value = super().header_source_parse(sourcelines)
        most = PARAMETERS_READ_MAX if name.lower().startswith("content-") else HEADER_READ_MAX
        return name, value[:most]


_BOUNDED = _Bounded()


def _read(raw: bytes) -> Mail:
    ends = raw.count(b"\n") + raw.count(b"\r")  # CR LF is one end of a line
    if ends > 2 * LINES_MAX or ends * raw.lower().count(b"boundary") > 2 * COMPARED_MAX:
        return _unread(raw)
    message = BytesParser(policy=_BOUNDED).parsebytes(raw)
    texts: dict[str, list[str]] = {"plain": [], "html": []}
    attachments: list[Attachment] = []
    parts = _Parts(message)
    for part in parts:
        content = _content(part)
        subtype = part.get_content_subtype()
        shown = part.get_content_maintype() == "text" and subtype in texts
        if shown and part.get_content_disposition() != "attachment" and not _filename(part):
            texts[subtype].append(_text(part, content))
        else:
            attachments.append(Attachment(_filename(part), _kind(part), content))
    return Mail(
        raw=raw,
        headers=_headers(message),
        text="\n".join(texts["plain"]),
        html="\n".join(texts["html"]),
        attachments=attachments,
        content_type=message.get_content_type(),
        is_whole=parts.is_whole,
    )


def _unread(raw: bytes) -> Mail:
    """Return a mail of which the headers alone are understood, at most."""
    headers: Sequence[tuple[str, str]] = ()
    kind = "text/plain"
    with suppress(Exception):
        message = BytesHeaderParser(policy=_BOUNDED).parsebytes(raw[:HEAD_BYTES_MAX])
        headers, kind = _headers(message), message.get_content_type()
    return Mail(raw, headers, "", "", (), kind, is_whole=False)


def _headers(message: Message) -> list[tuple[str, str]]:
    """Return headers as text: the first of all, and those beyond that say who and what."""
    read: list[tuple[str, str]] = []
    known: set[str] = set()
    for name, value in islice(message.raw_items(), HEADERS_READ_MAX):
        lower = name.lower()
        if len(read) < HEADERS_MAX or (lower in DECIDING and lower not in known):
            read.append((lower[:NAME_MAX], _decoded(value)))
            known.add(lower)
    return read


class _Parts:
    """What a mail consists of; a mail inside of it is one part."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self.is_whole = True

    def __iter__(self) -> Iterator[Message]:
        pending: list[tuple[Message, int]] = [(self._message, 0)]
        count = 0
        while pending:
            part, depth = pending.pop()
            payload: Any = part.get_payload()
            if part.get_content_maintype() == "multipart" and isinstance(payload, list):
                if depth == DEPTH_MAX:
                    self.is_whole = False
                    continue
                inside = cast("list[Message]", payload)
                pending += [(each, depth + 1) for each in reversed(inside)]
                continue
            if count == PARTS_MAX:
                self.is_whole = False
                return
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
        text = content.decode(charset, "replace")
    except (LookupError, ValueError):
        text = content.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode()  # some charsets make halves of characters


def _kind(part: Message) -> str:
    """Return a part's content type, if it can be one."""
    kind = part.get_content_type()
    return kind if kind.isascii() and kind.isprintable() and len(kind) <= TYPE_MAX else OCTETS


def _filename(part: Message) -> str:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, TypeError):
        return ""
    return _decoded(name)[:255] if name else ""


def _decoded(value: Any) -> str:
    """Return a header as text: encoded words read, what cannot be printed left out."""
    text = str(value)[:HEADER_READ_MAX]
    with suppress(ValueError, LookupError):  # an encoded word that is none stays as it came
        text = str(make_header(decode_header(text)))
    text = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
