"""Every expression of the corpus means what V8 says it means, or differs for a stated reason.

`corpus/<theme>.jsonl` holds an expression in each line; where ours differs on purpose, the line
has our value and a key of `corpus/reasons.json`.
"""

import json
from collections.abc import Iterator

import pytest
from expression_corpus import DATA, LINES, REASONS, SCOPE, THEMES, agree, equal, our_value, theme
from javascript import JavaScript, javascript
from perdure_engine.expressions import ExpressionError, compile_expression


@pytest.fixture(scope="module")
def v8() -> Iterator[JavaScript]:
    with javascript() as engine:
        yield engine


@pytest.mark.parametrize("name", THEMES)
def test_expressions_mean_what_javascript_says_or_differ_for_a_reason(
    name: str, v8: JavaScript
) -> None:
    lines = theme(name)
    answers = v8.values([(line.expression, DATA) for line in lines])
    wrong: list[str] = []
    for line, javascripts in zip(lines, answers, strict=True):
        ours = our_value(line.expression)
        same = agree(ours, javascripts)
        if line.why and same:
            wrong.append(f"{line.expression}: no longer differs from JavaScript")
        elif line.why and not equal(ours, line.ours):
            wrong.append(f"{line.expression}: {ours!r} instead of the deviation {line.ours!r}")
        elif not line.why and not same:
            wrong.append(f"{line.expression}: ours {ours!r}, JavaScript's {javascripts!r}")
    assert wrong == []


def test_the_corpus_is_as_large_as_promised_and_every_expression_is_in_it_once() -> None:
    assert len(LINES) > 2_400
    assert len({line.expression for line in LINES}) == len(LINES)


def test_every_deviation_has_a_reason_and_every_reason_is_needed() -> None:
    assert {line.why for line in LINES if line.why} == set(REASONS)
    assert sum(bool(line.why) for line in LINES) < len(LINES) // 10


def test_evaluating_changes_nothing_in_the_data() -> None:
    before = json.dumps(DATA)
    for line in LINES:
        our_value(line.expression)
    assert json.dumps(DATA) == before


def test_every_value_can_be_stored() -> None:
    for line in LINES:
        try:
            value = compile_expression(line.expression).evaluate(SCOPE)
        except ExpressionError:
            continue
        stored = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        assert json.loads(stored) == value
