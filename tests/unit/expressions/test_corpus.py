"""Every expression of the corpus means what JavaScript says it means.

`corpus.json` holds [area, expression, value]; the values were computed by V8 with `DATA` as
`$json`, except that undefined is null.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from perdure_engine.expressions import Scope, compile_expression

DATA: dict[str, Any] = {
    "name": "Ada",
    "age": 36,
    "active": True,
    "one": 1,
    "with space": "w",
    "nothing": None,
    "tags": ["red", "green", "blue"],
    "items": [{"name": "pen", "price": 1.5, "qty": 4}, {"name": "book", "price": 12, "qty": 1}],
    "address": {"city": "London", "zip": "N1"},
    "nested": {"deep": {"er": {"value": 7}}},
}
CORPUS: list[tuple[str, str, Any]] = json.loads(
    Path(__file__).with_name("corpus.json").read_text("utf-8")
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [pytest.param(text, value, id=f"{area}: {text}") for area, text, value in CORPUS],
)
def test_an_expression_means_what_javascript_says(expression: str, expected: Any) -> None:
    got = compile_expression(expression).evaluate(Scope(json=DATA))
    assert got == expected
    assert json.loads(json.dumps(got)) == expected
    assert isinstance(got, bool) == isinstance(expected, bool)


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(CORPUS) > 500


def test_evaluating_changes_nothing_in_the_data() -> None:
    before = json.dumps(DATA)
    for _area, expression, _expected in CORPUS:
        compile_expression(expression).evaluate(Scope(json=DATA))
    assert json.dumps(DATA) == before
