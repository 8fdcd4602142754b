"""CloudEvents 1.0 on Kafka: headers and bytes become an event, and back.

Binary mode keeps the attributes in `ce_*` headers and the data in the record's value;
structured mode keeps the whole event as JSON in the value. What outsiders send is checked
here and nowhere else, so every error says what the sender must change.

Sources: the CloudEvents specification 1.0.2, its JSON event format and its Kafka protocol
binding. Attribute values are UTF-8 in Kafka headers, not percent-encoded (binding, 3.2.4).
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from typing import Any, TypeAlias, cast

Headers: TypeAlias = tuple[tuple[str, bytes], ...]

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
REQUIRED = ("specversion", "id", "source", "type")
OPTIONAL = ("subject", "time", "datacontenttype", "dataschema")
TRACING = ("traceparent", "tracestate")
"""Extensions that also travel as plain headers (W3C trace context)."""

JSON_DEPTH_MAX = 200
"""How deep JSON may be nested: parsers recurse, and nobody writes this by hand."""

WHOLE_DIGITS_SAFE = 308
"""Fewer digits than this are a double in any case; the largest one has 309."""

ROUNDS_MAX = 8
PART_BYTES = 16 * 1024
"""How brackets are counted: so many rounds from the inside, and then so many at once."""

NUMBER_SHOWN = 40
"""Characters of a number that an error shows."""

CACHED_MAX = 100
"""The longest text of an outsider that a cache keeps, in characters."""

_REQUIRED = frozenset(REQUIRED)
_NO_BRACKETS = bytes(each for each in range(256) if each not in b"[]{}")
_STEPS = {each: 1 if each in b"[{" else -1 for each in b"[]{}"}
_CONTENT_TYPE = "content-type"
_NAME = re.compile(r"[a-z0-9]+\Z")
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d{1,30})?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)
_JSON_TYPE = re.compile(r"(application|text)/json|[^/]+/[^/]*\+json", re.IGNORECASE)


class CloudEventError(ValueError):
    """A record is no CloudEvent. `code` is for programs, the text says what to change."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event. `id` and `source` together are unique; `data` is as it was sent.

    `time` is RFC 3339 text. `extensions` has lower-case names; all values are text, as
    they are in Kafka headers.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: bytes = b""
    extensions: Mapping[str, str] = field(default_factory=dict[str, str])

    def json(self) -> Any:
        """Return the data as a JSON value: parsed if it is JSON (the default), else text.

        No data is None. Bytes that are no UTF-8 text come as base64.

        Raises:
            CloudEventError: `bad_json`: the data is said to be JSON and is not.
        """
        if not self.data:
            return None
        if self.datacontenttype is None or is_json(self.datacontenttype):
            return parse_json(self.data, "the data")
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return base64.b64encode(self.data).decode()


def is_json(content_type: str) -> bool:
    """Return whether a media type means JSON (RFC 6839: also everything with `+json`)."""
    return _JSON_TYPE.fullmatch(content_type.partition(";")[0].strip()) is not None


def decode(headers: Iterable[tuple[str, bytes | None]], value: bytes | None) -> CloudEvent:
    """Return the event that a Kafka record carries, in binary or structured mode.

    Header names are compared without regard to case. A `content-type` of
    `application/cloudevents+json` means structured mode, everything else binary.

    Raises:
        CloudEventError: `missing_attribute`, `empty_attribute`, `bad_specversion`,
            `bad_time`, `bad_encoding`, `bad_json`, `bad_attribute`, `duplicate_header` or
            `unsupported_mode`.
    """
    attributes: dict[str, str] = {}
    for name, raw in headers:
        attribute = _attribute_of(name) if len(name) <= CACHED_MAX else _attribute(name)
        if attribute is None or raw is None:
            continue
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise CloudEventError(
                "bad_encoding",
                f"header {name!r} is not UTF-8 at byte {error.start}; encode it as UTF-8",
            ) from None
        if attributes.setdefault(attribute, text) != text:
            raise CloudEventError(
                "duplicate_header", f"header {name!r} is there twice with two values; send it once"
            )
    content_type = attributes.pop(_CONTENT_TYPE, None)
    tracing = {name: attributes.pop(f"-{name}") for name in TRACING if f"-{name}" in attributes}
    if content_type is not None and _is_structured(content_type[:CACHED_MAX]):
        return _structured(value or b"", tracing)
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    for name, text in tracing.items():
        attributes.setdefault(name, text)
    if not _REQUIRED & attributes.keys():
        raise CloudEventError(
            "missing_attribute",
            "the record is no CloudEvent: it has no ce_ headers, and its content-type is not "
            f"{STRUCTURED}; send ce_specversion, ce_id, ce_source and ce_type",
        )
    return _event(attributes, value or b"")


def _attribute(header: str) -> str | None:
    """Return the attribute that a header holds; a trace header's begins with a hyphen."""
    lower = header.lower()
    if lower.startswith("ce_"):
        return lower[3:]
    if lower in TRACING:
        return f"-{lower}"
    return _CONTENT_TYPE if lower == "content-type" else None


_attribute_of = lru_cache(1024)(_attribute)


@lru_cache(256)
def _is_structured(content_type: str) -> bool:
    """Return whether the value holds the whole event.

    Raises:
        CloudEventError: `unsupported_mode`.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media == BATCHED:
        raise CloudEventError(
            "unsupported_mode", "batches of events are not taken; send one event in each record"
        )
    if media != STRUCTURED and media.startswith("application/cloudevents"):
        raise CloudEventError(
            "unsupported_mode", f"{media} is not taken; use {STRUCTURED} or binary mode"
        )
    return media == STRUCTURED


def encode(
    event: CloudEvent, extra_headers: Iterable[tuple[str, bytes]] = ()
) -> tuple[Headers, bytes]:
    """Return the headers and the value of a record that carries `event` in binary mode."""
    headers: list[tuple[str, bytes]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.type.encode()),
    ]
    for name in ("subject", "time", "dataschema"):
        text = getattr(event, name)
        if text is not None:
            headers.append((f"ce_{name}", text.encode()))
    if event.datacontenttype is not None:
        headers.append(("content-type", event.datacontenttype.encode()))
    for name, text in event.extensions.items():
        headers.append((name if name in TRACING else f"ce_{name}", text.encode()))
    headers.extend(extra_headers)
    return tuple(headers), event.data


def parse_json(raw: bytes | str, what: str) -> Any:
    """Return the JSON value of `raw`; `what` names it in the error.

    Raises:
        CloudEventError: `bad_json`: no JSON, nested deeper than `JSON_DEPTH_MAX`, or with
            numbers that JSON does not have or that no double is near to; `bad_encoding`: not
            UTF-8.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode()
    except UnicodeDecodeError as error:
        raise CloudEventError(
            "bad_encoding", f"{what} is not UTF-8 at byte {error.start}; send JSON as UTF-8"
        ) from None
    if deeper(text.encode("utf-8", "surrogatepass"), JSON_DEPTH_MAX):
        raise CloudEventError(
            "bad_json", f"{what} is nested deeper than {JSON_DEPTH_MAX} levels; flatten it"
        )
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise CloudEventError("bad_json", f"{what} is not JSON: {error}") from None
    if "\\u" in text:
        _utf8(json.dumps(value, ensure_ascii=False))
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:NUMBER_SHOWN]} is too large a number")
    return value


def _whole(text: str) -> int:
    # Expressions compute with doubles: what is none of them would fail far from its sender.
    if len(text) >= WHOLE_DIGITS_SAFE:
        _finite(text)
    return int(text)


def deeper(raw: bytes, most: int) -> bool:
    """Tell whether JSON is nested deeper than `most` levels; little is done where it has few.

    Brackets within texts count for nothing: they could pair off with those that do.
    """
    if _has_few_openings(raw, most):
        return False
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in raw else raw
    brackets = b"".join(plain.split(b'"')[::2]).translate(None, _NO_BRACKETS)
    return not _is_flat(brackets, most) and _depth(brackets) > most


def _has_few_openings(raw: bytes, most: int) -> bool:
    """Tell whether a text has at most so many brackets that open.

    They are looked for one by one: counting all of them takes longer than writing the text.
    """
    found = 0
    for bracket in (b"[", b"{"):
        at = raw.find(bracket)
        while at >= 0:
            found += 1
            if found > most:
                return False
            at = raw.find(bracket, at + 1)
    return True


def _is_flat(left: bytes, most: int) -> bool:
    """Tell whether brackets pair off, from the inside; a round takes two levels away at most.

    A few rounds are quick and enough for nearly everybody; more of them would take long.
    """
    for _ in range(min(most // 2, ROUNDS_MAX)):
        before, left = left, left.replace(b"{}", b"").replace(b"[]", b"")
        if len(left) == len(before):
            break
    return not left


def _depth(brackets: bytes) -> int:
    """Return how deep brackets go; a part at a time, so that other threads come in between."""
    deepest = depth = 0
    for start in range(0, len(brackets), PART_BYTES):
        steps = map(_STEPS.__getitem__, brackets[start : start + PART_BYTES])
        depths = list(accumulate(steps, initial=depth))
        deepest, depth = max(deepest, max(depths)), depths[-1]
    return deepest


def _structured(body: bytes, tracing: Mapping[str, str]) -> CloudEvent:
    value = parse_json(body, "the event")
    if not isinstance(value, dict):
        raise CloudEventError(
            "bad_json", "the event is not a JSON object; send one with id and so on"
        )
    members = cast("dict[str, Any]", value)
    if "data" in members and "data_base64" in members:
        raise CloudEventError(
            "bad_attribute", "the event has both data and data_base64; send one of them"
        )
    attributes = {
        name: _member(name, member)
        for name, member in members.items()
        if name not in ("data", "data_base64") and member is not None
    }
    for name, text in tracing.items():
        attributes.setdefault(name, text)
    return _event(attributes, _structured_data(members, attributes))


def _structured_data(members: Mapping[str, Any], attributes: dict[str, str]) -> bytes:
    encoded = members.get("data_base64")
    if encoded is not None:
        if not isinstance(encoded, str):
            raise CloudEventError("bad_encoding", "data_base64 is not text; send base64 text")
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise CloudEventError(
                "bad_encoding", f"data_base64 is not base64 (RFC 4648): {error}"
            ) from None
    if "data" not in members or members["data"] is None:
        return b""
    data = members["data"]
    content_type = attributes.get("datacontenttype")
    if content_type is not None and not is_json(content_type) and isinstance(data, str):
        return _utf8(data)
    if content_type is not None and not is_json(content_type):
        raise CloudEventError(
            "bad_attribute",
            f"data of type {content_type} must be a JSON string (or data_base64); send one",
        )
    return _utf8(json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise CloudEventError(
            "bad_encoding",
            "the event has half of a surrogate pair (\\ud800…); send whole characters",
        ) from None


def _member(name: str, member: Any) -> str:
    if isinstance(member, bool):
        return "true" if member else "false"
    if isinstance(member, int):
        return str(member)
    if not isinstance(member, str):
        raise CloudEventError(
            "bad_attribute",
            f"attribute {name!r} is no string, integer or boolean; put structure into data",
        )
    _utf8(member)
    return member


def _event(attributes: dict[str, str], data: bytes) -> CloudEvent:
    """Check the attributes and make the event."""
    take = attributes.pop
    version, id, source, type = (take(name, None) for name in REQUIRED)
    subject, time, content_type, schema = (take(name, None) for name in OPTIONAL)
    if not (id and source and type and version):
        values = zip(REQUIRED, (version, id, source, type), strict=True)
        raise _lacking(next(pair for pair in values if not pair[1]))
    if version != "1.0":
        raise CloudEventError("bad_specversion", f"specversion is {version!r}; send 1.0")
    if subject == "" or content_type == "" or schema == "":
        values = zip(OPTIONAL, (subject, time, content_type, schema), strict=True)
        raise _lacking(next(pair for pair in values if pair[1] == ""))
    if time is not None:
        _check_time(time)
    for name in attributes:
        if len(name) > CACHED_MAX:
            raise CloudEventError("bad_attribute", "the name of an attribute is too long")
        _check_extension(name)
    return CloudEvent(
        id, source, type, subject, time, content_type, schema, data, extensions=attributes
    )


def _lacking(pair: tuple[str, str | None]) -> CloudEventError:
    name, text = pair
    if text is None:
        return CloudEventError(
            "missing_attribute", f"attribute {name!r} is missing; send it (ce_{name} in headers)"
        )
    return CloudEventError(
        "empty_attribute", f"attribute {name!r} is empty; give it a value or leave it out"
    )


@lru_cache(1024)
def _check_extension(name: str) -> None:
    if not _NAME.match(name) or name == "data":
        raise CloudEventError(
            "bad_attribute",
            f"attribute name {name!r} may only have lower-case letters and digits, "
            "and may not be 'data'",
        )


@lru_cache(256)
def _check_time(text: str) -> None:
    """Check an RFC 3339 instant; a leap second (:60) is one too."""
    match = _TIME.match(text)
    if match:
        date, clock, _, zone = match.groups()
        if clock.endswith(":60"):
            clock = clock[:-2] + "59"
        zone = "+00:00" if zone in "Zz" else zone
        try:
            datetime.fromisoformat(f"{date}T{clock}{zone}")
        except ValueError:
            match = None
    if not match:
        raise CloudEventError(
            "bad_time", f"time is {text!r}; send RFC 3339, such as 2026-01-31T12:00:00Z"
        )
