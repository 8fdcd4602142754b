"""ACTION JSON."""

from typing import Any

import pytest
from nodes_for_tests import failures, jsons, made, run

PARSE = made("ACTION.JSON", value="{{ $json.t }}")


def test_a_text_is_read_beside_the_other_fields() -> None:
    assert jsons(run(PARSE, {"t": '{"a": [1, null, "ü"]}'})) == [
        {"t": '{"a": [1, null, "ü"]}', "data": {"a": [1, None, "ü"]}}
    ]
    nested = made("ACTION.JSON", value="{{ $json.t }}", **{"as": "o.p"})
    assert jsons(run(nested, {"t": "1", "o": {"q": 2}})) == [{"t": "1", "o": {"q": 2, "p": 1}}]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "invalid_json"),
        ("", "invalid_json"),
        ("NaN", "invalid_json"),
        ("[1,]", "invalid_json"),
        ("[" * 100_000, "data_too_deep"),
        ("[" * 300 + "]" * 300, "data_too_deep"),
        (5, "invalid_input"),
        (None, "invalid_input"),
        ("1" * 700_000, "input_too_large"),
    ],
    ids=str,
)
def test_a_text_that_cannot_be_read_fails_its_item_alone(text: Any, error: str) -> None:
    outcome = run(PARSE, {"t": text}, {"t": "2"})
    assert failures(outcome) == [(0, error)]
    assert [item["data"] for item in jsons(outcome)] == [2]


@pytest.mark.parametrize(
    ("indent", "text"), [(None, '{"b":1,"a":"ü"}'), (2, '{\n  "b": 1,\n  "a": "ü"\n}')]
)
def test_data_is_written_in_its_order(indent: int | None, text: str) -> None:
    parameters = {} if indent is None else {"indent": indent}
    node = made("ACTION.JSON", operation="write", value="{{ $json }}", **parameters)
    assert jsons(run(node, {"b": 1, "a": "ü"})) == [{"b": 1, "a": "ü", "json": text}]
