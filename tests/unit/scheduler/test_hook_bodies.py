"""Bodies as data: every kind of them, what is large, what is broken, and what is meant to harm."""

import base64
import contextlib
import hashlib
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perdure_scheduler.hear import DATA_BYTES_MAX
from perdure_scheduler.hooks.body import INLINE_BYTES_MAX, BadBody, kind_of, parse
from perdure_scheduler.hooks.reading import unwrapped

BASE = "http://scheduler/v1/trigger_bodies/"
BOUNDARY = "multipart/form-data; boundary=XX"


def data_of(content_type: str, body: bytes) -> Any:
    parsed = parse(content_type, body, (), BASE)
    assert json.loads(parsed.encoded) == parsed.data
    return parsed.data


def part(name: str, body: bytes, more: str = "") -> bytes:
    return b'--XX\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (
        name.encode(),
        more.encode(),
        body,
    )


@pytest.mark.parametrize("kind", ["", "application/json", "text/json; charset=utf-8", "a/b+json"])
def test_json_travels_as_it_came(kind: str) -> None:
    body = b'{"b": 1.50, "a": [12345678901234567890123]}'
    parsed = parse(kind, body, (), BASE)
    assert parsed.encoded == body
    assert parsed.data == {"b": 1.5, "a": [12345678901234567890123]}


@pytest.mark.parametrize(
    "body",
    [b"{", b"nul", b"NaN", b"1e999", b"\xff", b'{"a": "\\ud800"}', b"[" * 300, b"{}{}",
     b"[" * 10**6, b"\xef\xbb\xbf{}", b"1" * 5_000, b"9" * 309, b"-" + b"9" * 4_000]
)  # fmt: skip
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody):
        parse("application/json", body, (), BASE)


def test_a_request_without_a_body_has_its_query_as_data() -> None:
    query = [("a", "1"), ("b", "2"), ("a", "3")]
    assert parse("application/json", b"", query, BASE).data == {"a": ["1", "3"], "b": "2"}


def test_a_form_is_an_object_and_a_field_that_comes_twice_a_list() -> None:
    body = b"a=1&b=%C3%A4+x&a=2&empty="
    expected = {"a": ["1", "2"], "b": "ä x", "empty": ""}
    assert data_of("application/x-www-form-urlencoded", body) == expected


@pytest.mark.parametrize("body", [b"a=%ff", b"\xff=1", b"&".join([b"a=1"] * 1_001)])
def test_a_form_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody):
        parse("application/x-www-form-urlencoded", body, (), BASE)


def test_parts_are_texts_and_files() -> None:
    body = (
        part("note", "grüße".encode())
        + part("file", b"\x00\x01", '; filename="a.bin"\r\nContent-Type: image/PNG')
        + b"--XX--\r\n"
    )
    found = data_of(BOUNDARY, body)
    assert found["note"] == "grüße"
    assert found["file"] == {
        "filename": "a.bin",
        "base64": base64.b64encode(b"\x00\x01").decode(),
        "bytes": 2,
        "content_type": "image/png",
        "sha256": hashlib.sha256(b"\x00\x01").hexdigest(),
    }


def test_a_large_file_is_kept_apart_and_referred_to() -> None:
    file = b"\x00" * (INLINE_BYTES_MAX + 1)
    body = part("file", file, '; filename="a.bin"') + b"--XX--\r\n"
    parsed = parse(BOUNDARY, body, (), BASE)
    (kept,) = parsed.kept
    assert kept.data == file
    assert parsed.data["file"]["payload"]["url"] == BASE + kept.sha256
    assert len(parsed.encoded) < 1_000


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (BOUNDARY, part("a", b"1")),
        (BOUNDARY, b"--YY--"),
        (BOUNDARY, part("a", b"\xff") + b"--XX--\r\n"),
        ("multipart/form-data", part("a", b"1") + b"--XX--\r\n"),
        (f"multipart/form-data; boundary={'x' * 71}", b"--"),
        (BOUNDARY, part("a", b"1") * 1_001 + b"--XX--\r\n"),
    ],
)
def test_parts_that_cannot_be_told_apart_are_refused(kind: str, body: bytes) -> None:
    with pytest.raises(BadBody):
        parse(kind, body, (), BASE)


@pytest.mark.parametrize(
    "body",
    [b"garbage", b"--XX\r\ngarbage", b"--XX\r\n: no name\r\n\r\n", part("a", b"1") + b"--XX?",
     part("a", b"1") + b"--XX--\r\n" + b"more" * 1_000]
)  # fmt: skip
def test_parts_that_are_none_leave_nothing_in_the_log(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(0), contextlib.suppress(BadBody):
        parse(BOUNDARY, body, (), BASE)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [("", "json"), ("a/b+json; x=y", "json"), (BOUNDARY, "multipart"), ("image/svg+xml", "xml"),
     ("Application/X-WWW-Form-URLEncoded", "form"), ("text/html", "text"), ("x", "bytes")]
)  # fmt: skip
def test_bodies_are_of_few_kinds(content_type: str, kind: str) -> None:
    assert kind_of(content_type) == kind


def test_xml_is_objects() -> None:
    body = b'<order id="7"><line>a</line><line>b</line></order>'
    assert data_of("application/xml", body) == {"order": {"@id": "7", "line": ["a", "b"]}}
    assert data_of("application/soap+xml; charset=utf-8", b"<a/>") == {"a": None}


@pytest.mark.parametrize(
    "body",
    [
        b"<a>",
        b"no xml",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b"<a>" * 101 + b"</a>" * 101,
        b"<a>" + b"<b/>" * 20_000 + b"</a>",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b'<?xml version="1.0" encoding="shift_jis"?><a/>',
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b'<?xml version="1.0" encoding="base64"?><a/>',
        b'<?xml version="1.0" encoding="idna"?><a/>',
    ],
)
def test_xml_that_is_broken_or_meant_to_harm_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody):
        parse("text/xml", body, (), BASE)


def test_text_is_text_and_bytes_are_bytes() -> None:
    assert data_of("text/plain", "grüße".encode()) == {"text": "grüße"}
    assert data_of("text/plain; charset=iso-8859-1", b"\xfc") == {"text": "ü"}
    assert data_of("image/png", b"\x89PNG")["base64"] == base64.b64encode(b"\x89PNG").decode()
    for kind, body in (("text/plain", b"\xff"), ("text/plain; charset=utf-16", b"aa")):
        with pytest.raises(BadBody):
            parse(kind, body, (), BASE)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "image/png"])
def test_what_is_too_large_for_an_event_is_kept_apart_whatever_it_is(kind: str) -> None:
    body = json.dumps(["x" * 100] * 5_000).encode()
    assert len(body) > DATA_BYTES_MAX
    parsed = parse(kind, body, (), BASE)
    (kept,) = parsed.kept
    told = json.loads(parsed.encoded)["payload"]
    assert kept.data == body
    assert told["sha256"] == kept.sha256 == hashlib.sha256(body).hexdigest()
    assert told["bytes"] == len(body)


def test_json_that_grows_when_it_is_written_again_is_kept_apart() -> None:
    body = b"[" + b",".join([b"1e15"] * 50_000) + b"]"
    assert len(body) < DATA_BYTES_MAX
    assert parse("application/json", body, (), BASE).kept


def test_a_payload_in_a_form_is_read_out_of_it() -> None:
    parsed = parse("application/x-www-form-urlencoded", b"payload=%7B%22a%22%3A1%7D", (), BASE)
    inner = unwrapped("application/x-www-form-urlencoded", parsed)
    assert inner.data == {"a": 1}
    assert inner.encoded == b'{"a":1}'
    broken = parse("application/x-www-form-urlencoded", b"payload=%7B", (), BASE)
    with pytest.raises(BadBody):
        unwrapped("application/x-www-form-urlencoded", broken)


KINDS = st.sampled_from(
    ("", "application/json", BOUNDARY, "text/xml", "text/plain", "image/png", "multipart/form-data",
     "application/x-www-form-urlencoded", "text/plain; charset=\xff", "a;b=c;;", ";")
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(str.encode),
    st.lists(st.sampled_from((b"--XX", b"--XX--", b"\r\n", b":", b"<a>", b"</a>", b"&", b"=")))
    .map(b"".join),
    st.binary(max_size=100).map(zlib.compress),
)  # fmt: skip


@given(kind=KINDS, body=BODIES)
def test_whatever_comes_is_data_or_refused(kind: str, body: bytes) -> None:
    try:
        parsed = parse(kind, body, (), BASE)
    except BadBody as error:
        assert str(error)
    else:
        json.loads(parsed.encoded)
