"""ACTION XML: what is read and written, and what is refused because it would do harm."""

from typing import Any

import pytest
from nodes_for_tests import failures, jsons, made, run


def read(text: Any, **parameters: Any) -> Any:
    return run(made("ACTION.XML", value="{{ $json.t }}", **parameters), {"t": text})


def test_elements_attributes_and_texts_become_fields() -> None:
    text = "<o id='1'><l n='2'>a</l><l>b</l><e/><s> c </s></o>"
    assert jsons(read(text))[0]["data"] == {
        "o": {"@id": "1", "l": [{"@n": "2", "#text": "a"}, "b"], "e": None, "s": "c"}
    }
    assert jsons(read("<o><l>b</l></o>", lists=["l"]))[0]["data"] == {"o": {"l": ["b"]}}
    latin = "<?xml version='1.0' encoding='latin-1'?><a>ü</a>"
    assert jsons(read(latin))[0]["data"] == {"a": "ü"}


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
HARMFUL = [
    (f"<!DOCTYPE a [{LAUGHS}]><a>&l9;</a>", "unsafe_xml"),
    ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "unsafe_xml"),
    ('<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1/x"> %x;]><a/>', "unsafe_xml"),
    (f'<!DOCTYPE a [<!ATTLIST b c CDATA "{"x" * 1000}">]><a>{"<b/>" * 9}</a>', "unsafe_xml"),
    ("<a>&undefined;</a>", "invalid_xml"),
    ("<a>" * 150_000, "data_too_deep"),
    ("<a>" + "<b/>" * 60_000 + "</a>", "too_many_items"),
    ("<a><b></a>", "invalid_xml"),
    ("", "invalid_xml"),
    ("<a/><b/>", "invalid_xml"),
    ("<a>\x01</a>", "invalid_xml"),
    (3, "invalid_input"),
]


@pytest.mark.parametrize(("text", "error"), HARMFUL, ids=range(len(HARMFUL)))
def test_what_would_do_harm_or_is_no_xml_fails_its_item(text: Any, error: str) -> None:
    assert failures(read(text)) == [(0, error)]


def test_a_document_type_that_declares_nothing_is_passed_over_and_not_fetched() -> None:
    text = '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a>1</a>'
    assert jsons(read(text))[0]["data"] == {"a": "1"}


WRITE = made("ACTION.XML", operation="write", value="{{ $json.o }}")


def test_what_is_written_is_read_the_same_again() -> None:
    value = {"o": {"@id": "1 & <2>", "l": ["a", {"@n": "3", "#text": "b"}], "e": None}}
    (found,) = jsons(run(WRITE, {"o": value}))
    assert jsons(read(found["xml"]))[0]["data"] == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        [],
        {},
        {"a": 1, "b": 2},
        {"a b": 1},
        {"a>": 1},
        {"1a": 1},
        {"a&b": 1},
        {"a": [1, 2]},
        {"a": "\x00"},
        {"a": {"@x y": 1}},
    ],
)
def test_what_cannot_be_xml_fails_its_item(value: Any) -> None:
    outcome = run(WRITE, {"o": value}, {"o": {"a": 1}})
    assert failures(outcome) == [(0, "invalid_input")]
    assert jsons(outcome)[0]["xml"].endswith("<a>1</a>")
