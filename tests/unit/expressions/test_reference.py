"""docs/expressions.md says what the language is: its tables are generated, its examples true."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from expression_corpus import REASONS, SCOPE
from perdure_engine.expressions import ExpressionError, compile_expression
from perdure_expressions.limits import FUEL, NODES_MAX, RESULT_NODES_MAX, ROOM, SOURCE_MAX
from perdure_expressions.methods import METHODS
from perdure_expressions.reference import table

PAGE = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text("utf-8")
EXAMPLES = re.findall(r"^\| `(.+)` \| `(.+)` \|$", PAGE, re.MULTILINE)


def test_the_page_lists_exactly_the_methods_there_are() -> None:
    assert PAGE.endswith(table() + "\n")


@pytest.mark.parametrize(("expression", "value"), EXAMPLES)
def test_the_examples_are_true(expression: str, value: str) -> None:
    assert compile_expression(expression).evaluate(SCOPE) == json.loads(value)


def test_the_page_has_examples_and_every_reason_for_a_difference() -> None:
    assert len(EXAMPLES) >= 14
    assert [reason for reason in REASONS.values() if f"- {reason}\n" not in PAGE] == []


def test_the_page_names_the_limits() -> None:
    limits = (f"{FUEL:,}", f"{ROOM >> 20} MB", f"{SOURCE_MAX:,}", f"{NODES_MAX:,}")
    assert [each for each in (*limits, f"{RESULT_NODES_MAX:,}") if each not in PAGE] == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("[1, '2', 3].average()", 2),
        ("[[].isNotEmpty(), 'a'.isNotEmpty(), {a: 1}.isNotEmpty()]", [False, True, True]),
        ("[3, 1, 2].min() + [3, 1, 2].max()", 4),
        ("[1, 2, 3].chunk(2)", [[1, 2], [3]]),
        ("[(2.345).round(2), (2.5).round(), (-2.5).round()]", [2.35, 3, -2]),
        ("(1e300).round(3)", 1e300),
        ("[(4).isEven(), (4).isOdd(), (1.5).isOdd()]", [True, False, False]),
        ("{a: 1, b: 2}.keys().concat({a: 1}.values())", ["a", "b", 1]),
        ("{a: 1}.merge({a: 2, b: 3})", {"a": 1, "b": 3}),
        ("{a: 1, b: 2}.removeField('a')", {"b": 2}),
        ("{a: 1, b: null, c: ''}.compact()", {"a": 1}),
        ("'hELLO World'.toSentenceCase()", "Hello world"),
        ("['no', 'yes', 'OFF', '0'].map(x => x.toBoolean())", [False, True, False, False]),
        ("'12.9'.toInt() + (-1.9).toInt()", 11),
        ("['a@b.org', 'a@b', 'x'].map(x => x.isEmail())", [True, False, False]),
        ("$json.url.extractDomain()", "example.org"),
    ],
)  # fmt: skip
def test_short_words_for_what_is_often_needed(expression: str, expected: Any) -> None:
    assert compile_expression(expression).evaluate(SCOPE) == expected


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_misspelt_method_is_refused_with_the_nearest_one(name: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(f"$json.x.{name}q()")
    assert caught.value.code == "expression_unknown"
    assert len(name) < 3 or "Did you mean" in caught.value.message
