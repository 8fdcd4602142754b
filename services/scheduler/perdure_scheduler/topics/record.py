"""From a record of a foreign topic to a trigger event: the same event whenever it is read. Pure."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson
from perdure_common.shell.ports import Outbound
from perdure_contracts.cloudevents import CloudEvent, CloudEventError, decode, encode

from perdure_scheduler.hear import ATTRIBUTE_BYTES_MAX, DATA_BYTES_MAX, TOO_LARGE, TRIGGERS
from perdure_scheduler.match import FOREIGN

TYPE = "kafka.record"
"""The type of a record that is no CloudEvent."""

OURS_ALONE = frozenset({"nodes", "versions", "http", "watch", "triggernode", TOO_LARGE, FOREIGN})
"""Extensions that say something to the scheduler; a foreign sender does not get to say it."""

ATTRIBUTES_BYTES_MAX = 64 * 1024
"""How much a record may say of itself beside its value: Kafka must take the event that it becomes,
or the records behind it would wait for ever."""

LAST_MS = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000)
"""Senders choose the timestamps of records; later ones have no date."""

Headers = Sequence[tuple[str, bytes | None]]


def event_of(
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
) -> CloudEvent:
    """Return the event that a record is: its own if it is a CloudEvent, else one made of it."""
    try:
        event = decode(headers, value)
    except CloudEventError:
        event = _made(topic, partition, offset, timestamp_ms, key, value, headers)
    if _is_envelope(event.datacontenttype or ""):
        # Written so it would be read as the event that its body says it is: one of ours, even.
        event = replace(event, datacontenttype="application/json")
    said = _bytes_said(event)
    if said > ATTRIBUTES_BYTES_MAX:
        event = _made(topic, partition, offset, timestamp_ms, None, b"", ())
        extensions = {FOREIGN: topic, TOO_LARGE: str(said + len(value or b""))}
        return replace(event, extensions=extensions)
    extensions = {n: text for n, text in event.extensions.items() if n not in OURS_ALONE}
    extensions[FOREIGN] = topic
    if len(event.data) > DATA_BYTES_MAX:
        extensions[TOO_LARGE] = str(len(event.data))
        return replace(event, data=b"", extensions=extensions)
    return replace(event, extensions=extensions)


def _made(
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
) -> CloudEvent:
    at = datetime.fromtimestamp(min(max(0, timestamp_ms), LAST_MS) / 1000, UTC)
    return CloudEvent(
        # A topic that is deleted and made anew has the same places again, with other records.
        id=f"{partition}/{offset}/{timestamp_ms}",
        source=f"kafka/{topic}",
        type=TYPE,
        subject=_text(key),
        time=at.isoformat(timespec="milliseconds"),
        datacontenttype=_content_type(value or b"", headers),
        data=value or b"",
    )


def _is_envelope(content_type: str) -> bool:
    return content_type.strip().lower().startswith("application/cloudevents")


def _bytes_said(event: CloudEvent) -> int:
    """Return how many bytes of an event are not its body."""
    named = (event.id, event.source, event.type, event.subject or "", event.time or "",
             event.datacontenttype or "", event.dataschema or "")  # fmt: skip
    extended = (text for pair in event.extensions.items() for text in pair)
    return sum(len(text.encode()) for text in (*named, *extended))


def _text(key: bytes | None) -> str | None:
    """Return a record's key where it is a text that can be a subject."""
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if text and len(text) <= ATTRIBUTE_BYTES_MAX and text.isprintable() else None


def _content_type(value: bytes, headers: Headers) -> str:
    """Return what a record says that it is, or what it looks like."""
    for name, raw in headers:
        if name.lower() == "content-type" and raw and raw.isascii():
            said = raw.decode("ascii").strip()
            if said and not _is_envelope(said) and said.isprintable():
                return said[:200]
    try:
        orjson.loads(value)
    except orjson.JSONDecodeError:
        pass
    else:
        return "application/json"
    try:
        value.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "text/plain"


def outbound_of(event: CloudEvent, place: str, partitions: int) -> Outbound:
    """Return the record on the trigger topic; those of one foreign partition stay in order."""
    headers, value = encode(event)
    partition = zlib.crc32(place.encode()) % partitions
    return Outbound(TRIGGERS, partition, value, place.encode(), headers)
