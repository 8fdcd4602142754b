"""Texts with `{{ … }}` and structures of parameters."""

from typing import Any

import pytest
from perdure_engine.expressions import (
    Constant,
    Expression,
    ExpressionError,
    Scope,
    Template,
    compile_template,
    compile_value,
    references,
)

SCOPE = Scope(json={"n": 5, "s": "text", "o": {"k": [1, None, True]}, "t": "{{ $json.n }}"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{ not } one", "{ not } one"),
        ("{{ $json.n }}", 5),
        ("{{$json.n}}", 5),
        ("{{ $json.o }}", {"k": [1, None, True]}),
        ("n={{ $json.n }}", "n=5"),
        ("{{ $json.n }}{{ $json.n }}", "55"),
        (" {{ $json.n }}", " 5"),
        ("a{{ $json.missing }}b", "ab"),
        ("a{{ null }}b", "ab"),
        ("{{ true }}/{{ 1.50 }}/{{ 1e21 }}", "true/1.5/1e+21"),
        ("o: {{ $json.o }}", 'o: {"k":[1,null,true]}'),
        ("l: {{ [1, 'a'] }}", 'l: [1,"a"]'),
        ("{{ {a: {b: 1}} }}", {"a": {"b": 1}}),
        ("{{ {a:{b:1}}}}", {"a": {"b": 1}}),
        ("{{ '}}' }}", "}}"),
        ("{{ '{{' }} literal", "{{ literal"),
        ("{{ `${`}}`}` }}", "}}"),
        ("{{ $json.t }}", "{{ $json.n }}"),
        ("x {{ $json.t }}", "x {{ $json.n }}"),
        ("{{ 1 // }} no\n + 1 }}", 2),
    ],
)
def test_a_template_is_its_value_or_its_joined_text(text: str, expected: Any) -> None:
    got = compile_template(text).evaluate(SCOPE)
    assert got == expected
    assert type(got) is type(expected)


def test_what_was_compiled_tells_its_kind() -> None:
    assert isinstance(compile_template("plain"), Constant)
    assert isinstance(compile_template("{{ 1 }}"), Expression)
    assert isinstance(compile_template("{{ 1 }} x"), Template)


def test_parameters_are_evaluated_at_any_depth() -> None:
    given = {
        "url": "http://x/{{ $json.n }}",
        "deep": [{"value": "{{ $json.o.k }}", "fixed": 1}, "plain", None],
        "{{ 1 }}": "keys are plain",
    }
    compiled = compile_value(given)
    assert not compiled.is_constant
    assert compiled.evaluate(SCOPE) == {
        "url": "http://x/5",
        "deep": [{"value": [1, None, True], "fixed": 1}, "plain", None],
        "{{ 1 }}": "keys are plain",
    }
    assert given["url"] == "http://x/{{ $json.n }}"
    assert references(compiled).uses_json


def test_parameters_without_expressions_are_constant() -> None:
    given = {"a": [1, {"b": "text"}]}
    compiled = compile_value(given)
    assert compiled.is_constant
    assert compiled.evaluate(SCOPE) is given


def test_an_error_names_the_parameter_and_the_place_in_its_text() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_value({"values": {"total": ["ok", "sum: {{ $json.a.toUpercase() }}"]}})
    error = caught.value
    assert error.code == "expression_unknown"
    assert error.path == "values.total[1]"
    assert error.caret() == "sum: {{ $json.a.toUpercase() }}\n" + " " * 16 + "^"
    assert "toUpperCase" in str(error)


def test_an_error_at_run_time_names_the_parameter_too() -> None:
    compiled = compile_value({"url": "x {{ $json.missing.trim() }}"})
    with pytest.raises(ExpressionError) as caught:
        compiled.evaluate(SCOPE)
    assert (caught.value.code, caught.value.path) == ("expression_type", "url")
    assert caught.value.position == 19


@pytest.mark.parametrize("text", ["{{", "{{ 1", "a {{ 1 } }", "{{ 'x }}", "{{ }}", "{{ (1 }}"])
def test_an_expression_that_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_template(text)
    assert caught.value.code == "expression_syntax"


def test_nested_parameters_have_a_limit() -> None:
    value: Any = "{{ 1 }}"
    for _ in range(5_000):
        value = [value]
    with pytest.raises(ExpressionError) as caught:
        compile_value(value)
    assert caught.value.code == "expression_size"


def test_not_a_number_does_not_leave_a_template() -> None:
    for text in ("{{ 0 / 0 }}", "x {{ 1 / 0 }}", "{{ [0 / 0] }}", "{{ {a: {b: -1 / 0}} }}"):
        with pytest.raises(ExpressionError) as caught:
            compile_template(text).evaluate(SCOPE)
        assert caught.value.code == "not_a_number"


def test_not_a_number_among_parameters_names_its_place() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_value({"a": {"b": "{{ 1 / 0 }}"}}).evaluate(SCOPE)
    assert (caught.value.code, caught.value.path) == ("not_a_number", "a.b")
    assert caught.value.position == 5
