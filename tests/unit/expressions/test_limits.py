"""No expression and no data can make an evaluation large, long or deep."""

import sys
from typing import Any

import pytest
from expression_bombs import BOMB_SCOPE as SCOPE
from expression_bombs import BOMBS
from hypothesis import given, settings
from hypothesis import strategies as st
from perdure_engine.expressions import (
    ExpressionError,
    Scope,
    compile_expression,
    compile_template,
)
from perdure_expressions.limits import FUEL, ROOM, Frame


@pytest.mark.parametrize("source", BOMBS)
def test_a_bomb_ends_with_a_typed_error(source: str) -> None:
    compiled = compile_expression(source)
    with pytest.raises(ExpressionError) as caught:
        compiled.evaluate(SCOPE)
    assert caught.value.code in (
        "expression_fuel",
        "expression_output",
        "expression_depth",
        "expression_type",
    )
    assert caught.value.position is not None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("2 ** 1e308 > 1", True),
        ("9 ** 9 ** 9 === Infinity", True),
        ("-(9 ** 9 ** 9) === -Infinity", True),
        ("1e308 * 10 === Infinity", True),
        ("$json.huge + 1 === Infinity", True),
        ("($json.huge + '').length", 8),
        ("$json.huge > 1", True),
        ("$json.huge | 0", 0),
        ("parseInt('9'.repeat(5000)) > 1e300", True),
        ("isNaN(Number('9'.repeat(5000)))", True),
        ("(1e300).toFixed(2) === '1e+300'", True),
        ("(5e-324).toFixed(100).length", 102),
        ("$json.big.length", 1_000_000),
        ("$json.big.slice(0, 3)", "xxx"),
        ("/((a*)*)*b/.test('a'.repeat(50000))", False),
        ("/(x+x+)+y/.test($json.big)", False),
        ("/^(a|a)*$/.test('a'.repeat(50000))", True),
        ("/(.*)*x/.test($json.text.repeat(10))", False),
    ],
)
def test_huge_numbers_and_texts_stay_harmless(source: str, expected: Any) -> None:
    assert compile_expression(source).evaluate(SCOPE) == expected


@pytest.mark.parametrize(
    "source",
    [
        "(" * 10_000 + "1" + ")" * 10_000,
        "[" * 5_000 + "]" * 5_000,
        "!" * 10_000 + "1",
        "-" * 2_001 + " 1",
        "{a:" * 3_000 + "1" + "}" * 3_000,
        "`${" * 3_000 + "1" + "}`" * 3_000,
        "2" + "**2" * 5_000,
        "$json" + ".at(0)" * 2_000,
        "$json" + "[$json.a" * 1_000 + "]" * 1_000,
        "[1].map(x => " * 500 + "1" + ")" * 500,
        "1" + "+1" * 10_000,
        "a" * 20_000,
        "'" + "a" * 20_000 + "'",
        "1 ? " * 3_000 + "1" + " : 2" * 3_000,
        "{{ 1 }}" * 2_000,
        "/" + "(" * 1_000 + "a" + ")" * 1_000 + "/",
        "/" + "(a{9}" * 20 + "){9}" * 20 + "/",
    ],
)
def test_a_source_that_is_too_large_or_too_deep_is_refused(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source).evaluate(SCOPE)
    assert caught.value.code in ("expression_size", "expression_syntax", "expression_unknown")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1" + "+1" * 1_500, 1_501),
        ("'a'" + " + 'b'" * 500 + " === 'c'", False),
        ("false || " * 1_500 + "7", 7),
        ("".join(f"$json.list[0] === {n} ? {n} : " for n in range(1, 300)) + "0", 0),
        ("$json" + ".a" * 1_500, None),
        ("'x'" + ".trim()" * 100, "x"),
    ],
)
def test_long_chains_are_no_nesting(source: str, expected: Any) -> None:
    assert compile_expression(source).evaluate(SCOPE) == expected


def test_what_is_refused_leaves_room_on_the_stack() -> None:
    def descend(levels: int) -> Any:
        if levels:
            return descend(levels - 1)
        nested = "(" * 60 + "$json.deep.a" + ")" * 60
        return compile_expression(nested).evaluate(SCOPE)

    assert descend(sys.getrecursionlimit() // 10) == 1


def test_data_that_is_deep_is_handed_out_but_not_printed() -> None:
    data: Any = 1
    for _ in range(600):
        data = [data]
    scope = Scope(json={"d": data})
    assert compile_expression("$json.d").evaluate(scope) is data
    for source in ("String($json.d)", "JSON.stringify($json.d)", "[$json.d]", "$json.d.flat(1e9)"):
        with pytest.raises(ExpressionError) as caught:
            compile_expression(source).evaluate(scope)
        assert caught.value.code == "expression_depth"


def test_what_appears_twice_counts_twice_in_a_result() -> None:
    shared = "$json.list.slice(0, {}).reduce((a, x) => [a, a], 1)"
    assert compile_expression(shared.format(10)).evaluate(SCOPE)
    with pytest.raises(ExpressionError) as caught:
        compile_expression(shared.format(20)).evaluate(SCOPE)
    assert caught.value.code == "expression_output"


WORDS = st.sampled_from(
    [
        *("$json", "$json.list", "$json.text", "$input.all()", "x", "1", "'a'", "null", "NaN"),
        *("+", "-", "*", "/", "**", "===", "<", "&&", "??", "?", ":", ".", "?.", ",", "!", "in"),
        *("(", ")", "[", "]", "{", "}", "=>", "...", "`", "${", "'", '"', "//", "/*", "\\", "\n"),
        *(".map(x => x)", ".length", ".split('')", ".join()", ".repeat(9)", ".at(0)", "typeof "),
        *("/a+/g", "Math.max(", "new Date(", "JSON.parse(", "Object.keys(", ".sort()", ".flat()"),
        *("😀", "\ud83d", "\0", "é", "0x", "1e999", ".5", "$('A').item", "}}", "{{"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(WORDS, max_size=25).map("".join))
def test_no_text_raises_anything_but_a_typed_error(source: str) -> None:
    for compile_it in (compile_expression, compile_template):
        try:
            compiled = compile_it(source)
            compiled.evaluate(SCOPE)
        except ExpressionError as error:
            assert error.message
            assert error.position is None or 0 <= error.position <= len(source)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_random_characters_raise_nothing_but_typed_errors(source: str) -> None:
    try:
        compile_template("{{" + source + "}}").evaluate(SCOPE)
    except ExpressionError as error:
        assert error.code.startswith(("expression_", "not_a_number"))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
PIECES = st.sampled_from(
    [
        *("{a} + {b}", "{a} == {b}", "{a} < {b}", "{a} <= {b}", "{a} ?? {b}", "{a} % {b}"),
        *("[{a}, {b}].sort()", "[{a}, {b}].join({a})", "JSON.stringify({a})", "`${{{a}}}${{{b}}}`"),
        *("String({a}).split(String({b}))", "Object.entries({a} ?? {{}})", "Number({a})"),
        *("String({a}).padStart({b}, {a})", "String({a}).slice({b})", "[{a}, {b}].includes({b})"),
        *(
            "[{a}].concat({b}).map(x => x)",
            "String({a}).replaceAll({b}, {a})",
            "new Set([{a}, {b}])",
        ),
        *("parseInt({a}, {b})", "(-1).toString({b})", "Math.round({a})", "{a} | {b}", "-{a}"),
        *("new Date({a})", "String({a}).at({b})", "encodeURIComponent({a})", "typeof {a}"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(PIECES, JSON, JSON)
def test_any_data_gives_json_or_a_typed_error(piece: str, left: Any, right: Any) -> None:
    source = piece.format(a="$json.left", b="$json.right")
    compiled = compile_expression(source)
    try:
        result = compiled.evaluate(Scope(json={"left": left, "right": right}))
    except ExpressionError as error:
        assert error.code.startswith(("expression_", "not_a_number"))
    else:
        assert result is None or type(result) in (bool, int, float, str, list, dict)
        if isinstance(result, str):
            result.encode()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 400), st.integers(1, 60))
def test_fuel_and_room_are_never_overdrawn_by_much(outer: int, inner: int) -> None:
    compiled = compile_expression(
        "$json.a.map(x => $json.b.map(y => `${x}:${y}`).join('')).join('').length"
    )
    scope = Scope(json={"a": list(range(outer)), "b": list(range(inner))})
    frame = Frame(scope, compiled.slots)
    try:
        compiled.run(frame)
    except ExpressionError as error:
        assert error.code in ("expression_fuel", "expression_output")
    spent = FUEL - frame.fuel
    # Work is paid for before it is done: the last charge, perhaps that of the whole text, bought
    # nothing.
    last = 5 * outer + (6 * outer * inner >> 6)
    assert spent <= FUEL + 1_000 + last
    assert spent >= min(FUEL, outer * inner)
    assert ROOM - frame.room <= ROOM + 1_000_000
