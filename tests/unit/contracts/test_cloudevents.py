"""CloudEvents on Kafka: what is taken, what is refused, and with which word."""

import base64
import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perdure_contracts.cloudevents import (
    OPTIONAL,
    REQUIRED,
    STRUCTURED,
    TRACING,
    CloudEvent,
    CloudEventError,
    decode,
    deeper,
    encode,
)

PLAIN = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/shop"),
    ("ce_type", b"order.created"),
)
MINIMAL = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.created"}

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
NO_EXTENSIONS = frozenset((*REQUIRED, *OPTIONAL, "data"))
names = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(lambda n: n not in NO_EXTENSIONS)
content_types = st.sampled_from(["application/json", "text/plain; charset=utf-8", "image/png"])
events = st.builds(
    CloudEvent,
    id=texts,
    source=texts,
    type=texts,
    subject=st.none() | texts,
    time=st.none()
    | st.datetimes(timezones=st.timezones())
    .map(lambda t: t.isoformat())
    .filter(lambda t: len(t.rpartition("T")[2].lstrip("0123456789.:")) == 6),
    datacontenttype=st.none() | content_types,
    dataschema=st.none() | texts,
    data=st.binary(),
    extensions=st.dictionaries(names | st.sampled_from(TRACING), texts),
)


def structured(event: Mapping[str, Any] | bytes, **more: bytes) -> CloudEvent:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return decode([("Content-Type", STRUCTURED.encode()), *more.items()], body)


def refusal(headers: Any, value: bytes | None = b"{}") -> str:
    with pytest.raises(CloudEventError) as caught:
        decode(headers, value)
    assert str(caught.value)
    return caught.value.code


@given(events)
def test_an_event_that_is_written_is_read_as_it_was(event: CloudEvent) -> None:
    headers, value = encode(event, [("x-other", b"1")])
    assert decode(headers, value) == event


header_names = st.sampled_from([n for n, _ in PLAIN] + ["ce_time", "content-type", "ce_x", "CE_ID"])
odd_values = st.binary() | st.sampled_from([b"1.0", STRUCTURED.encode(), b"application/json"])


@given(st.lists(st.tuples(header_names, st.none() | odd_values)), st.none() | st.binary())
def test_whatever_arrives_is_an_event_or_a_refusal(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    for shape in (headers, [*PLAIN, *headers], [("content-type", STRUCTURED.encode())]):
        try:
            decode(shape, value).json()
        except CloudEventError as error:
            assert error.code.isidentifier()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
members = st.dictionaries(st.sampled_from([*MINIMAL, "data", "data_base64", "time"]), json_values)


@given(members, st.booleans())
def test_whatever_json_arrives_is_an_event_or_a_refusal(event: Any, whole: bool) -> None:
    try:
        structured(MINIMAL | event if whole else event).json()
    except CloudEventError as error:
        assert error.code.isidentifier()


def test_header_names_are_read_in_any_case() -> None:
    event = decode([(name.upper(), value) for name, value in PLAIN], b"[1]")
    assert (event.id, event.source, event.type, event.json()) == (
        "1",
        "/shop",
        "order.created",
        [1],
    )


def test_other_headers_and_headers_without_a_value_are_passed_over() -> None:
    event = decode([*PLAIN, ("ce_subject", None), ("other", b"\xff"), ("x", None)], None)
    assert (event.subject, event.data, event.json(), event.extensions) == (None, b"", None, {})


def test_text_in_headers_is_utf8_and_never_percent_decoded() -> None:
    event = decode([*PLAIN, ("ce_subject", "grün %20".encode())], b"")
    assert event.subject == "grün %20"


@pytest.mark.parametrize("missing", ["ce_id", "ce_source", "ce_type", "ce_specversion"])
def test_a_required_attribute_that_is_missing_is_named(missing: str) -> None:
    headers = [pair for pair in PLAIN if pair[0] != missing]
    with pytest.raises(CloudEventError, match=missing.removeprefix("ce_")) as caught:
        decode(headers, b"")
    assert caught.value.code == "missing_attribute"


def test_a_record_without_any_attribute_is_told_what_an_event_is() -> None:
    with pytest.raises(CloudEventError, match=r"no CloudEvent.*ce_id"):
        decode([("content-type", b"application/json")], b"{}")


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        (("ce_specversion", b"0.3"), "duplicate_header"),
        (("ce_id", b"2"), "duplicate_header"),
        (("ce_subject", b"\xff"), "bad_encoding"),
        (("ce_subject", b""), "empty_attribute"),
        (("ce_time", b"yesterday"), "bad_time"),
        (("ce_time", b"2026-02-30T00:00:00Z"), "bad_time"),
        (("ce_time", b"2026-02-01T00:00:00"), "bad_time"),
        (("ce_my-ext", b"1"), "bad_attribute"),
        (("ce_", b"1"), "bad_attribute"),
        (("ce_data", b"1"), "bad_attribute"),
        (("ce_" + "x" * 200, b"1"), "bad_attribute"),
        (("ce_time", b"2026-01-31T12:00:00." + b"0" * 200 + b"Z"), "bad_time"),
        (("content-type", b"application/cloudevents-batch+json"), "unsupported_mode"),
        (("content-type", b"application/cloudevents+avro"), "unsupported_mode"),
    ],
)
def test_what_is_wrong_has_a_code(extra: tuple[str, bytes], code: str) -> None:
    assert refusal([*PLAIN, extra]) == code


def test_another_version_of_the_specification_is_refused() -> None:
    assert refusal([("ce_specversion", b"0.3"), *PLAIN[1:]]) == "bad_specversion"


def test_the_same_header_twice_with_one_value_is_one_header() -> None:
    assert decode([*PLAIN, PLAIN[1]], b"").id == "1"


@pytest.mark.parametrize(
    "time",
    ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00.123456789z", "2026-06-30T23:59:60+02:00"],
)
def test_rfc_3339_instants_are_times(time: str) -> None:
    assert decode([*PLAIN, ("ce_time", time.encode())], b"").time == time


def test_structured_json_is_read_with_its_data_and_extensions() -> None:
    extra = {"data": {"a": [1]}, "subject": "s", "retries": 3, "urgent": True, "gone": None}
    event = structured(MINIMAL | extra)
    assert event.json() == {"a": [1]}
    assert event.subject == "s"
    assert event.extensions == {"retries": "3", "urgent": "true"}


def test_structured_bytes_come_as_base64() -> None:
    encoded = base64.b64encode(b"\x00\xff").decode()
    event = structured(MINIMAL | {"data_base64": encoded, "datacontenttype": "image/png"})
    assert event.data == b"\x00\xff"


def test_structured_text_is_the_text_itself() -> None:
    event = structured(MINIMAL | {"data": "hello", "datacontenttype": "text/plain"})
    assert (event.data, event.json()) == (b"hello", "hello")


def test_trace_headers_are_read_in_both_modes() -> None:
    assert decode([*PLAIN, ("traceparent", b"00-1")], b"").extensions["traceparent"] == "00-1"
    assert structured(MINIMAL, traceparent=b"00-1").extensions["traceparent"] == "00-1"


WRONG: list[tuple[Any, str]] = [
    (b"{", "bad_json"),
    (b"[]", "bad_json"),
    (b"\xff", "bad_encoding"),
    (b'{"id": NaN}', "bad_json"),
    (b"[" * 100_000, "bad_json"),
    (b'{"a":' * 100_000, "bad_json"),
    (b'{"id": 1e999}', "bad_json"),
    (b'{"id": ' + b"9" * 309 + b"}", "bad_json"),
    (b'{"id": -' + b"9" * 4_000 + b"}", "bad_json"),
    (MINIMAL | {"data": 1, "data_base64": ""}, "bad_attribute"),
    (MINIMAL | {"data_base64": "!"}, "bad_encoding"),
    (MINIMAL | {"data_base64": 1}, "bad_encoding"),
    (MINIMAL | {"data": {}, "datacontenttype": "text/plain"}, "bad_attribute"),
    (MINIMAL | {"subject": {}}, "bad_attribute"),
    (MINIMAL | {"subject": "\ud800"}, "bad_encoding"),
    (MINIMAL | {"data": "\ud800"}, "bad_encoding"),
    (MINIMAL | {"ID": "2"}, "bad_attribute"),
    (MINIMAL | {"id": ""}, "empty_attribute"),
]


@pytest.mark.parametrize(("event", "code"), WRONG)
def test_structured_events_that_are_wrong_are_refused(event: Any, code: str) -> None:
    with pytest.raises(CloudEventError) as caught:
        structured(event)
    assert caught.value.code == code


def test_deep_data_is_refused_when_it_is_read() -> None:
    event = decode(PLAIN, b"[" * 100_000)
    with pytest.raises(CloudEventError, match="nested deeper"):
        event.json()


def test_half_a_surrogate_pair_is_refused_when_it_is_read() -> None:
    with pytest.raises(CloudEventError, match="surrogate"):
        decode(PLAIN, rb'["\ud800"]').json()
    assert decode(PLAIN, rb'["\ud83d\ude00"]').json() == ["😀"]


def test_many_brackets_are_not_deep() -> None:
    data = [[["[" * 500]] for _ in range(500)]
    assert decode(PLAIN, json.dumps(data).encode()).json() == data


def test_data_that_is_no_json_is_text() -> None:
    headers = (*PLAIN, ("content-type", b"text/csv"))
    assert decode(headers, b"a,b").json() == "a,b"
    assert decode(headers, b"\xff").json() == base64.b64encode(b"\xff").decode()
    assert decode((*PLAIN, ("content-type", b"application/vnd.x+json")), b"{}").json() == {}


DEPTHS: list[tuple[str, int]] = [
    ("[" * 9 + "]" * 9, 9),
    ('{"a":' * 9 + "1" + "}" * 9, 9),
    ("[" + "[[]]," * 99 + "[[[]]]]", 4),
    ('{"t": "' + "[" * 99 + '", "u": [[]]}', 3),
    ('{"t": "' + "]{" * 99 + '\\"[[[", "u": [[]]}', 3),
    ("[" + '"x]",' * 99 + "[[" * 3 + "]]" * 3 + "]", 7),
    ("[" * 99, 99),
    ('["]",' * 99 + "1" + ',"["]' * 99, 99),
    ('["\\\\",' * 99 + "1" + "]" * 99, 99),
    ('["\\\\\\"[",' * 99 + "1" + "]" * 99, 99),
    ("[" + ("[" * 40 + "]" * 40 + ",") * 999 + "1]", 41),
    ("1", 0),
]


@pytest.mark.parametrize(("text", "depth"), DEPTHS)
def test_how_deep_json_is_nested_is_told_exactly(text: str, depth: int) -> None:
    found = [most for most in range(2, 110) if deeper(text.encode(), most)]
    assert found == list(range(2, depth))


JSON = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\a'), lambda inner: st.lists(inner) | st.dictionaries(
        st.text(alphabet='[]{}"\\a'), inner), max_leaves=60,
)  # fmt: skip


@given(JSON, st.integers(0, 9))
def test_any_json_is_as_deep_as_it_is(value: Any, most: int) -> None:
    def depth(each: Any) -> int:
        if isinstance(each, dict):
            return 1 + max(map(depth, cast("dict[str, Any]", each).values()), default=0)
        if isinstance(each, list):
            return 1 + max(map(depth, cast("list[Any]", each)), default=0)
        return 0

    assert deeper(json.dumps(value).encode(), most) == (depth(value) > most)
