"""Messages as bytes and back, and the numbers that chain what one shard says.

The k-th message that row `seq` of a shard makes has the number `seq · 1024 + k`; k = 0 is
the event itself. Numbers of one source grow, so a receiver that knows the number before
(`x-prev`) sees what it has had already and what is missing.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, TypeAlias

import msgspec
from perdure_contracts import shell as shell_messages
from perdure_contracts.cloudevents import TRACING
from perdure_contracts.message import NAMES, TYPES

from perdure_common.shell.payloads import Refs
from perdure_common.shell.ports import Headers, JournalRow, Outbound, Record

FAN_OUT_BITS = 10
FAN_OUT_MAX = 1 << FAN_OUT_BITS
"""How many messages one event may send, itself included."""

MESSAGE_BYTES_MAX = 900_000
"""The largest body that is sent: below Kafka's default of 1 MiB for a batch, headers too."""

MESSAGE_LEVELS_MAX = 250
"""Levels of objects and lists in a message: the encoder of rows stops at 254."""

RAW_BYTES_MAX = 1_000_000
"""The largest foreign record that is sent as it was: one that Kafka refuses blocks its shard."""

NUMBER_MAX = 2**63 - 1
"""The largest number: the tables keep them in a bigint."""

DIGITS_MAX = 24
SOURCE_MAX = 500
"""Characters of a shard's `ce_source`: a longer one is nobody's."""

DEAD_LETTERS = ".dlt"

PREV = "x-prev"
"""The header that has the number before, in what a shell has numbered."""
DEAD_LETTER_BYTES_MAX = 1_900_000
"""A dead letter holds a record of up to 1 MiB as base64; its topics take 2 MiB."""

_ = shell_messages  # imported so that its messages are registered


class TooLarge(ValueError):
    """A message is larger than may be sent."""


class UnknownType(LookupError):
    """No message of that name exists in this version."""


@cache
def decoder_of(cls: type) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a message type."""
    return msgspec.json.Decoder(cls)


_encoder = msgspec.json.Encoder()


def encode_body(message: object) -> bytes:
    """Return the message's fields as JSON."""
    return _encoder.encode(message)


def decode_body(name: str, body: bytes | str) -> Any:
    """Return the message called `name` with the fields in `body`.

    Raises:
        UnknownType: There is no message of that name.
        msgspec.ValidationError: A field is missing or of another type.
        msgspec.DecodeError: The body is not JSON.
    """
    cls = TYPES.get(name)
    if cls is None:
        raise UnknownType(name)
    return decoder_of(cls).decode(body)


def number(seq: int, k: int) -> int:
    """Return the number of the k-th message of row `seq`."""
    return seq << FAN_OUT_BITS | k


def source_of(service: str, shard: str) -> str:
    """Return how a shard signs its messages (`ce_source`)."""
    return f"/{service}/{shard}"


def parse_source(source: str) -> tuple[str, str] | None:
    """Return (service, shard) of a source, None if no shard of perdure signs like that."""
    parts = source.split("/", 2)
    if len(parts) != 3 or parts[0] or not parts[1]:
        return None
    last = parts[2].rpartition("/")[2]
    return (parts[1], parts[2]) if last.isascii() and last.isdecimal() else None


def parse_number(message_id: str) -> int | None:
    """Return the number in a message's id (`<service>/<shard>/<seq>.<k>`), if it has one."""
    return number_of(message_id.rpartition("/")[2].encode(), b"")


def number_of(message_id: bytes, prefix: bytes) -> int | None:
    """Return the number in an id that begins with `prefix`, None if it is not such an id."""
    if not message_id.startswith(prefix):
        return None
    seq, _, k = message_id[len(prefix) :].partition(b".")
    if not (seq.isdigit() and k.isdigit() and len(seq) + len(k) <= DIGITS_MAX):
        return None
    found = number(int(seq), int(k))
    return found if found <= NUMBER_MAX else None


@lru_cache(4096)
def signed_by(source: bytes) -> tuple[str, bytes] | None:
    """Return a shard's `ce_source` as text and what its ids begin with, None if it is none."""
    if len(source) > SOURCE_MAX:
        return None
    text = source.decode(errors="replace")
    who = parse_source(text)
    return (text, f"{who[0]}/{who[1]}/".encode()) if who is not None else None


Trace: TypeAlias = tuple[str, str]
"""A `traceparent` and its `tracestate` (W3C trace context); empty texts where there is none."""

NO_TRACE: Trace = ("", "")

TRACESTATE_MAX = 512
"""Characters of a `tracestate` that are carried (W3C trace context, 3.3.1.5), and no more."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


@lru_cache(1024)
def trace_of(traceparent: str | None, tracestate: str | None) -> Trace:
    """Return the trace that a message is part of; what is not written as it must be is none."""
    if not traceparent or _TRACEPARENT.match(traceparent) is None:
        return NO_TRACE
    state = tracestate or ""
    fits = len(state) <= TRACESTATE_MAX and state.isascii() and state.isprintable()
    return traceparent, state if fits else ""


class Meta(msgspec.Struct, omit_defaults=True):
    """What the journal keeps beside an event: its cause, and the numbers before its messages.

    `prev` has one entry for each message that the event made, in the order of k, beginning
    with `first` (1 when the event itself was not published). `epoch` is the writer's.
    `traceparent` and `tracestate` are of the message that led to the event, else of its stream.
    `payloads` names what has left the event. `again` says that the cause had taken effect on the
    stream just before: that must never be, and the writer says what it did so that
    `perdure verify` sees it within one batch, too.
    """

    cause: str = ""
    first: int = 0
    prev: tuple[int, ...] = ()
    traceparent: str = ""
    tracestate: str = ""
    epoch: int = 0
    payloads: Refs = ()
    again: bool = False


_meta_decoder = msgspec.json.Decoder(Meta)


def trace_in(meta: str) -> Trace:
    """Return the trace that stands in a journal row's meta; most have none."""
    if '"traceparent":' not in meta:
        return NO_TRACE
    found = decode_meta(meta)
    return found.traceparent, found.tracestate


def encode_meta(meta: Meta) -> str:
    """Return the meta as JSON text."""
    return _encoder.encode(meta).decode()


def decode_meta(text: str) -> Meta:
    """Return the meta of a journal row."""
    return _meta_decoder.decode(text)


def event_of(row: JournalRow) -> Any:
    """Return the event of a journal row.

    Raises:
        UnknownType: A newer version of perdure wrote it.
        MissingPayload: A large value that has left it is gone.
    """
    if row.whole is not None:
        if isinstance(row.whole, Exception):
            raise row.whole
        return row.whole
    return decode_body(row.type, row.data)


def outbound(
    service: str,
    row: JournalRow,
    topic: str,
    partition: int,
    number: int,
    prev: int,
    name: str,
    body: bytes,
    key: str,
    trace: Trace = NO_TRACE,
) -> Outbound:
    """Return the record for a message that `row` made; `trace` goes with it.

    Raises:
        TooLarge: The body is above `MESSAGE_BYTES_MAX` (`DEAD_LETTER_BYTES_MAX` for those).
    """
    if len(body) > MESSAGE_BYTES_MAX:
        most = DEAD_LETTER_BYTES_MAX if topic.endswith(DEAD_LETTERS) else MESSAGE_BYTES_MAX
        if len(body) > most:
            what = f"{name} for {key} has {len(body):,} bytes"
            raise TooLarge(f"{what}; at most {most:,} can be sent")
    subject = key.encode()
    prefix, source = _signature(service, row.shard)
    seq, k = number >> FAN_OUT_BITS, number & (FAN_OUT_MAX - 1)
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"%b%d.%d" % (prefix, seq, k)),
        source,
        _type_header(name),
        ("ce_subject", subject),
        _time_header(row.recorded_at),
        ("ce_tenantid", row.tenant_id.encode()),
        ("content-type", b"application/json"),
        (PREV, b"%d" % prev),
    )
    if trace[0]:
        headers = (*headers, *_trace_headers(trace))
    return Outbound(topic, partition, body, subject, headers)


# What many messages have in common is made once: there are few shards and types, and one
# instant for a whole batch.


@lru_cache(1024)
def _signature(service: str, shard: str) -> tuple[bytes, tuple[str, bytes]]:
    """Return what the ids of a shard's messages begin with, and the header of its source."""
    source = source_of(service, shard)
    return f"{source[1:]}/".encode(), ("ce_source", source.encode())


@lru_cache(1024)
def _type_header(name: str) -> tuple[str, bytes]:
    return "ce_type", name.encode()


@lru_cache(1024)
def _trace_headers(trace: Trace) -> Headers:
    found = zip(TRACING, trace, strict=True)
    return tuple([(name, text.encode()) for name, text in found if text])


@lru_cache(64)
def _time_header(moment: datetime) -> tuple[str, bytes]:
    return "ce_time", instant(moment).encode()


def control(
    service: str, shard: str, topic: str, partition: int, message: object, unique: str
) -> Outbound:
    """Return a record by which one shell speaks to another; it has no number of its own."""
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", unique.encode()),
        ("ce_source", source_of(service, shard).encode()),
        ("ce_type", NAMES[type(message)].encode()),
        ("content-type", b"application/json"),
    )
    return Outbound(topic, partition, encode_body(message), None, headers)


def instant(moment: datetime) -> str:
    """Return an instant as RFC 3339 text in UTC with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def header(headers: Headers, name: str) -> bytes | None:
    """Return the first header of that name, None if there is none."""
    for key, value in headers:
        if key == name:
            return value
    return None


_record_decoder = msgspec.json.Decoder(Record)


def pack_record(record: Record) -> bytes:
    """Return a record as bytes, to be kept behind a parked stream."""
    return _encoder.encode(record)


def unpack_record(raw: bytes) -> Record:
    """Return the record that `pack_record` packed."""
    return _record_decoder.decode(raw)


class Frame(msgspec.Struct, omit_defaults=True):
    """A snapshot's text: the state with what is needed to read it again."""

    decider: str
    tenant_id: str
    state: msgspec.Raw
    trace: Trace = NO_TRACE


def encode_frame(decider: str, tenant_id: str, state: object, trace: Trace = NO_TRACE) -> str:
    """Return a stream's state as a snapshot's text."""
    raw = msgspec.Raw(_encoder.encode(state))
    return _encoder.encode(Frame(decider, tenant_id, raw, trace)).decode()


def decode_frame(text: str) -> Frame:
    """Return the frame of a snapshot; its `state` is still JSON."""
    return msgspec.json.decode(text, type=Frame)


def answer(fields: Mapping[str, object]) -> str:
    """Return what is kept of a delivery, as JSON text."""
    return _encoder.encode(fields).decode()
