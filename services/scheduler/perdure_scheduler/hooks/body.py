"""Bodies of requests as data: JSON, forms, parts, XML, text, and everything else as bytes. Pure.

JSON is passed on as it came. What is too large for an event, or is no text, is kept apart, and
the data has a reference to it instead: `{"payload": {sha256, bytes, content_type, url}}`.
"""

import base64
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl
from xml.parsers import expat

import orjson
import xmltodict
from perdure_common.ids import canonical_json
from perdure_contracts.cloudevents import CloudEventError, is_json, parse_json
from perdure_contracts.message import Json
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from perdure_scheduler.hear import DATA_BYTES_MAX, ENCODED_BYTES_MAX, EXPANSION_MAX

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
OCTETS = "application/octet-stream"
XML = ("application/xml", "text/xml")

INLINE_BYTES_MAX = 32 * 1024
"""Up to how many bytes what is no text stands in the data itself, as base64."""

FIELDS_MAX = 1_000
XML_DEPTH_MAX = 100
XML_ELEMENTS_MAX = 20_000


_UNHEARD = logging.getLogger("perdure_scheduler.hooks.multipart")
_UNHEARD.disabled = True
"""Where the parser of forms warns of each body that is none: strangers must not fill the log."""


class BadBody(ValueError):
    """A body is not what its content type says; the text says where."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes that are kept apart from the event, by their hash."""

    sha256: str
    content_type: str
    data: bytes


@dataclass
class Parsed:
    """A body as data; `encoded` is the JSON that travels, `kept` what is kept apart of it."""

    data: Json
    encoded: bytes
    kept: list[Kept] = field(default_factory=list[Kept])


@dataclass
class _Part:
    """One part of a form while it is read."""

    headers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    body: bytearray = field(default_factory=bytearray)


def parse(content_type: str, body: bytes, query: Sequence[tuple[str, str]], base: str) -> Parsed:
    """Return a body as data; a request without one has its query as data.

    `base` is where bodies that are kept apart can be fetched: their URL is this and their hash.

    Raises:
        BadBody: It is not what its content type says.
    """
    kept: list[Kept] = []
    if not body:
        data: Json = _gathered(query)
        return Parsed(data, orjson.dumps(data))
    media = content_type.partition(";")[0].strip().lower()
    if not media or is_json(media):
        data = _json(body)
        if fits(data, body):
            return Parsed(data, body)
    else:
        data = _other(media, content_type, body, base, kept)
        encoded = orjson.dumps(data)
        if fits(data, encoded):
            return Parsed(data, encoded, kept)
    whole = _apart(body, media or "application/json", base)
    data_of_it = {"payload": whole[0]}
    return Parsed(data, orjson.dumps(data_of_it), [whole[1]])


def kind_of(content_type: str) -> str:
    """Return which of few kinds of bodies this is: json, form, multipart, xml, text or bytes."""
    media = content_type.partition(";")[0].strip().lower()
    if not media or is_json(media):
        return "json"
    if media in XML or media.endswith("+xml"):
        return "xml"
    if media.startswith("text/"):
        return "text"
    return {FORM: "form", MULTIPART: "multipart"}.get(media, "bytes")


def fits(data: Json, encoded: bytes) -> bool:
    """Return whether data can travel in an event, as who hears it will judge."""
    if len(encoded) > DATA_BYTES_MAX:
        return False
    if len(encoded) * EXPANSION_MAX <= ENCODED_BYTES_MAX:
        return True
    return len(canonical_json(data)) <= ENCODED_BYTES_MAX


def _json(body: bytes) -> Json:
    try:
        return parse_json(body, "the body")
    except CloudEventError as error:
        raise BadBody(error.message) from None


def _other(media: str, content_type: str, body: bytes, base: str, kept: list[Kept]) -> Json:
    if media == FORM:
        return _gathered(_form(body))
    if media == MULTIPART:
        return _parts(content_type, body, base, kept)
    if media in XML or media.endswith("+xml"):
        return _xml(body)
    if media.startswith("text/"):
        return {"text": _text(body, content_type)}
    return _bytes(body, media, base, kept)


def _form(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=False,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise BadBody(f"the body is no form: {error}") from None


def _gathered(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    """Return fields by name; a name that comes several times has a list."""
    found: dict[str, list[Json]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _text(body: bytes, content_type: str) -> str:
    _, options = parse_options_header(content_type)
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in ("utf-8", "utf8", "us-ascii", "iso-8859-1", "latin1"):
        raise BadBody(f"the text's charset is {charset[:40]!r}; send UTF-8")
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        raise BadBody(f"the body is no {charset} at byte {error.start}; send UTF-8") from None


def _xml(body: bytes) -> Json:
    """Return XML as objects, by xmltodict's convention; entities are refused, and depth bound."""
    depth = elements = 0

    def begun(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > XML_DEPTH_MAX or elements > XML_ELEMENTS_MAX:
            raise BadBody(
                f"the XML is deeper than {XML_DEPTH_MAX} levels, or has more than "
                f"{XML_ELEMENTS_MAX:,} elements; send it as text/plain"
            )

    def ended(name: str) -> None:
        nonlocal depth
        depth -= 1

    def declared(*_: Any) -> None:
        raise BadBody("the XML has a document type, which is not taken; leave it out")

    scan = expat.ParserCreate()
    scan.StartElementHandler, scan.EndElementHandler = begun, ended
    scan.StartDoctypeDeclHandler = declared
    try:
        scan.Parse(body, True)
        return cast("Json", xmltodict.parse(body))
    except BadBody:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # ValueError: of its encoding
        raise BadBody(f"the body is no XML: {error}") from None


def _bytes(body: bytes, media: str, base: str, kept: list[Kept]) -> dict[str, Json]:
    told, apart = _apart(body, media, base)
    if len(body) <= INLINE_BYTES_MAX:
        del told["url"]
        return {"base64": base64.b64encode(body).decode(), **told}
    kept.append(apart)
    return {"payload": told}


def _apart(body: bytes, media: str, base: str) -> tuple[dict[str, Json], Kept]:
    sha256 = hashlib.sha256(body).hexdigest()
    told: dict[str, Json] = {
        "sha256": sha256,
        "bytes": len(body),
        "content_type": media[:255],
        "url": f"{base}{sha256}",
    }
    return told, Kept(sha256, media[:255], body)


def _parts(content_type: str, body: bytes, base: str, kept: list[Kept]) -> dict[str, Json]:
    """Return the parts of a form: texts as they are, files with their name, type and bytes."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:
        raise BadBody("the content type has no boundary of 1 to 70 characters")
    parts = _split(boundary, body)
    pairs: list[tuple[str, Json]] = []
    for part in parts:
        _, said = parse_options_header(part.headers.get("content-disposition", b""))
        name = _named(said.get(b"name", b""))
        if b"filename" not in said:
            pairs.append((name, _text(bytes(part.body), "text/plain")))
            continue
        media = part.headers.get("content-type", b"").decode("latin-1").partition(";")[0]
        told = _bytes(bytes(part.body), media.strip().lower() or OCTETS, base, kept)
        pairs.append((name, {"filename": _named(said[b"filename"]), **told}))
    return _gathered(pairs)


def _named(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadBody("the name of a part is no UTF-8") from None


def _split(boundary: bytes, body: bytes) -> list[_Part]:
    parts: list[_Part] = []
    names, values = bytearray(), bytearray()
    done = False

    def begun() -> None:
        if len(parts) == FIELDS_MAX:
            raise BadBody(f"the form has more than {FIELDS_MAX:,} parts")
        parts.append(_Part())

    def header() -> None:
        parts[-1].headers[names.decode("latin-1").lower()] = bytes(values)
        names.clear()
        values.clear()

    def finished() -> None:
        nonlocal done
        done = True

    def data_of(data: bytes, start: int, end: int) -> None:
        parts[-1].body.extend(data[start:end])

    def name_of(data: bytes, start: int, end: int) -> None:
        names.extend(data[start:end])

    def value_of(data: bytes, start: int, end: int) -> None:
        values.extend(data[start:end])

    callbacks: MultipartCallbacks = {
        "on_part_begin": begun,
        "on_part_data": data_of,
        "on_header_field": name_of,
        "on_header_value": value_of,
        "on_header_end": header,
        "on_end": finished,
    }
    try:
        parser = MultipartParser(boundary, callbacks)
        parser.logger = _UNHEARD
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise BadBody(f"the parts of the form cannot be told apart: {error}") from None
    if not done:
        raise BadBody("the form ends before its last boundary")
    return parts
