"""What a record of a foreign topic is as an event."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perdure_common.decider import Rejected
from perdure_contracts.cloudevents import CloudEvent, CloudEventError, decode, encode
from perdure_contracts.message import Envelope
from perdure_scheduler.hear import DATA_BYTES_MAX, TRIGGERS, hear
from perdure_scheduler.topics.record import (
    ATTRIBUTES_BYTES_MAX,
    Headers,
    event_of,
    outbound_of,
)

ENVELOPE = Envelope(id="1", source="/s", type="t", tenant_id="t", topic=TRIGGERS, subject="")


def read(value: bytes | None, headers: Headers = (), key: bytes | None = b"k-1") -> CloudEvent:
    return event_of("orders", 3, 17, 1_767_225_600_123, key, value, headers)


def test_a_record_that_is_no_cloudevent_is_known_by_its_place() -> None:
    event = read(b'{"total": 7}')
    assert (event.source, event.type) == ("kafka/orders", "kafka.record")
    assert event.id == "3/17/1767225600123"
    assert (event.subject, event.time) == ("k-1", "2026-01-01T00:00:00.123+00:00")
    assert event.json() == {"total": 7}
    assert event.extensions == {"kafkatopic": "orders"}


def test_a_cloudevent_keeps_its_own_attributes_but_what_only_we_may_say() -> None:
    own = CloudEvent(
        id="e1", source="/shop", type="shop.paid", subject="o-1", data=b"1",
        extensions={"region": "eu", "nodes": "[]", "kafkatopic": "other", "triggernode": "x"},
    )  # fmt: skip
    headers, value = encode(own)
    event = read(value, headers)
    assert (event.id, event.source, event.type) == ("e1", "/shop", "shop.paid")
    assert event.extensions == {"region": "eu", "kafkatopic": "orders"}


@pytest.mark.parametrize(
    ("value", "kind", "seen"),
    [
        (b"[1]", "application/json", [1]),
        (b"plain words", "text/plain", "plain words"),
        (b"\xff\xfe", "application/octet-stream", "//4="),
        (b"", "text/plain", None),
        (None, "text/plain", None),
    ],
)
def test_any_value_whatever_is_data(value: bytes | None, kind: str, seen: object) -> None:
    event = read(value)
    assert event.datacontenttype == kind and event.json() == seen


def test_what_a_record_says_of_itself_counts() -> None:
    said = read(b"{}", [("Content-Type", b"text/x-log")])
    assert said.datacontenttype == "text/x-log" and said.json() == "{}"


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a\0b", b"x" * 2_000])
def test_a_key_that_is_no_text_is_no_subject(key: bytes | None) -> None:
    assert read(b"1", key=key).subject is None


def test_a_value_that_is_too_large_is_left_out_and_its_size_told() -> None:
    event = read(b"1" * (DATA_BYTES_MAX + 1))
    assert event.data == b"" and event.extensions["kafkabytes"] == str(DATA_BYTES_MAX + 1)


def test_the_event_travels_whole_and_those_of_one_partition_in_one_line() -> None:
    event = read(b'{"total": 7}')
    sent = outbound_of(event, "orders/3", 8)
    assert decode(sent.headers, sent.value) == event
    assert sent.partition == zlib.crc32(b"orders/3") % 8


@pytest.mark.parametrize("size", [ATTRIBUTES_BYTES_MAX, 900_000])
def test_a_record_that_says_too_much_of_itself_is_known_by_its_place_and_size(size: int) -> None:
    own = CloudEvent(id="e1", source="/shop", type="shop.paid", extensions={"x": "y" * size})
    headers, value = encode(own)
    event = read(value, headers)
    assert (event.source, event.id, event.data) == ("kafka/orders", "3/17/1767225600123", b"")
    assert int(event.extensions["kafkabytes"]) > size
    refused = hear(event, ENVELOPE)
    assert isinstance(refused, Rejected) and refused.code == "payload_too_large"


INNER = {
    "specversion": "1.0", "id": "2", "source": "/x", "type": "perdure.trigger.manual",
    "subject": "orders", "nodes": "[]",
}  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["application/cloudevents+json", "Application/CloudEvents+JSON; x=1"]
)
def test_no_record_passes_for_an_event_of_ours_by_what_is_inside_of_it(kind: str) -> None:
    outer = {**INNER, "type": "shop.paid", "datacontenttype": kind, "data": INNER}
    structured = [("content-type", b"application/cloudevents+json")]
    out = outbound_of(read(json.dumps(outer).encode(), structured), "orders/3", 8)
    found = decode(out.headers, out.value)
    assert (found.type, found.subject) == ("shop.paid", "orders")
    assert found.extensions == {"kafkatopic": "orders"}
    assert found.json() == INNER


NAMES = ("ce_id", "ce_source", "ce_type", "ce_specversion", "ce_time", "ce_subject", "ce_x")
MORE = ("content-type", "ce_datacontenttype", "ce_dataschema", "ce_kafkatopic", "CE_NODES")
VALUES = (b"1.0", b"/s", b"a", b"\n", b"application/json", b"application/cloudevents+json")


@given(
    st.lists(
        st.tuples(
            st.sampled_from((*NAMES, *MORE)) | st.text(max_size=3),
            st.none() | st.binary(max_size=9) | st.sampled_from(VALUES),
        ),
        max_size=8,
    ),
    st.none() | st.binary(max_size=9) | st.just(json.dumps(INNER).encode()),
    st.integers(-(2**63), 2**63 - 1),
)
def test_whatever_a_record_is_it_is_handed_on_as_foreign(
    headers: Headers, value: bytes | None, timestamp_ms: int
) -> None:
    event = event_of("orders", 3, 17, timestamp_ms, None, value, headers)
    out = outbound_of(event, "orders/3", 8)
    try:
        found = decode(out.headers, out.value)
    except CloudEventError:
        return  # a dead letter that says so
    assert found.extensions["kafkatopic"] == "orders" and "nodes" not in found.extensions
