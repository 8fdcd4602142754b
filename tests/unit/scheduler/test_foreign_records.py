"""What a record of a foreign topic is as an event."""

import zlib

import pytest
from perdure_contracts.cloudevents import CloudEvent, decode, encode
from perdure_scheduler.hear import DATA_BYTES_MAX
from perdure_scheduler.topics.record import Headers, event_of, outbound_of


def read(value: bytes | None, headers: Headers = (), key: bytes | None = b"k-1") -> CloudEvent:
    return event_of("orders", 3, 17, 1_767_225_600_123, key, value, headers)


def test_a_record_that_is_no_cloudevent_is_known_by_its_place() -> None:
    event = read(b'{"total": 7}')
    assert (event.source, event.id, event.type) == ("kafka/orders", "3/17", "kafka.record")
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
