"""ACTION CSV."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes_for_tests import failures, jsons, made, refused, run, told


def read(text: Any, **parameters: Any) -> Any:
    return run(made("ACTION.CSV", value="{{ $json.t }}", **parameters), {"t": text})


def test_each_row_becomes_an_item_from_the_same_text() -> None:
    text = '\ufeffname,quote\r\nAda,"a ""b"",\r\nc"\r\n\r\nBob,\r\n'
    assert told(read(text)) == [
        ({"name": "Ada", "quote": 'a "b",\r\nc'}, 0),
        ({"name": "Bob", "quote": ""}, 0),
    ]


def test_rows_may_stand_in_a_field_instead() -> None:
    assert jsons(read("a;b\n1;2", delimiter=";", **{"as": "rows"})) == [
        {"t": "a;b\n1;2", "rows": [{"a": "1", "b": "2"}]}
    ]


@pytest.mark.parametrize(
    ("text", "parameters", "rows"),
    [
        (
            "1,2\n3,4",
            {"header": False},
            [{"column1": "1", "column2": "2"}, {"column1": "3", "column2": "4"}],
        ),
        ("1,2", {"header": False, "columns": ["x", "y"]}, [{"x": "1", "y": "2"}]),
        ("a,b\n1,2", {"columns": ["x", "y"]}, [{"x": "1", "y": "2"}]),
        ("a,b\n1\n1,2,3", {"ragged": True}, [{"a": "1", "b": None}, {"a": "1", "b": "2"}]),
        ("a,b", {}, []),
        ("", {}, []),
    ],
)
def test_names_come_from_the_header_or_the_author(text: str, parameters: Any, rows: Any) -> None:
    assert jsons(read(text, **parameters)) == rows


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a,b\n1", "invalid_csv"),
        ("a,b\n1,2,3", "invalid_csv"),
        ('a\n"x"y', "invalid_csv"),
        ('a\n"x', "invalid_csv"),
        ("a,a\n1,2", "invalid_csv"),
        ("a\n" + "x" * 140_000, "invalid_csv"),
        ("a\n" + "1\n" * 10_001, "too_many_items"),
        (7, "invalid_input"),
    ],
    ids=range(8),
)
def test_what_is_no_csv_fails_its_item(text: Any, error: str) -> None:
    outcome = read(text)
    assert failures(outcome) == [(0, error)]


def test_an_error_names_the_line() -> None:
    assert "line 3 has 1 fields" in read("a,b\n1,2\n3").failed[0][1].message


def test_all_items_are_written_as_one_text() -> None:
    items: list[Any] = [{"a": 'x,"y"', "b": None}, {"b": True, "c": [1, {"d": 2}]}, {"a": 1.5}]
    outcome = run(made("ACTION.CSV", operation="write"), *items)
    assert told(outcome) == [
        ({"csv": 'a,b,c\r\n"x,""y""",,\r\n,true,"[1,{""d"":2}]"\r\n1.5,,\r\n'}, [0, 1, 2])
    ]
    some = made("ACTION.CSV", operation="write", columns=["c.d", "a"], header=False)
    assert jsons(run(some, {"a": 1, "c": {"d": 2}})) == [{"csv": "2,1\r\n"}]


def test_parameters_are_checked() -> None:
    assert refused("ACTION.CSV") == [("missing_parameter", "value")]
    assert refused("ACTION.CSV", operation="write", delimiter="::") == [
        ("invalid_parameter", "delimiter")
    ]
    assert refused("ACTION.CSV", operation="write", columns=["a", "a"]) == [
        ("invalid_parameter", "columns")
    ]


cell = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)


@settings(deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({"a": cell, "b": cell}).filter(lambda row: any(row.values())),
        min_size=1,
    )
)
def test_what_is_written_can_be_read_again(rows: list[dict[str, str]]) -> None:
    (written,) = jsons(run(made("ACTION.CSV", operation="write"), *rows))
    assert jsons(read(written["csv"])) == rows
