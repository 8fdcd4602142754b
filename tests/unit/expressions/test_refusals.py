"""What is refused, with which code, at which character, and with which advice."""

import pytest
from perdure_engine.expressions import ExpressionError, Scope, compile_expression

SCOPE = Scope(json={"a": {"b": 1}, "s": "text", "l": [1, 2]})


@pytest.mark.parametrize(
    ("source", "code", "position", "advice"),
    [
        ("", "expression_syntax", 0, "empty"),
        ("1 +", "expression_syntax", 3, "too early"),
        ("1 2", "expression_syntax", 2, "not expected"),
        ("(1", "expression_syntax", 0, "never closed"),
        ("1)", "expression_syntax", 1, "closes nothing"),
        ("[1, 2", "expression_syntax", 0, "never closed"),
        ("(1]", "expression_syntax", 0, "not closed before"),
        ("'abc", "expression_syntax", 0, "never closed"),
        ("`abc", "expression_syntax", 0, "never closed"),
        ("`a${1`", "expression_syntax", 5, "never closed"),
        ("a = 1", "expression_unknown", 0, "$json.a"),
        ("$json.a = 1", "expression_syntax", 8, "==="),
        ("$json.a += 1", "expression_syntax", 8, "assigns"),
        ("$json.a++", "expression_syntax", 7, "assigns"),
        ("1; 2", "expression_syntax", 1, "statements"),
        ("this.x", "expression_syntax", 0, "$json"),
        ("new Function('x')", "expression_syntax", 0, "new Date"),
        ("function () {}", "expression_syntax", 0, "arrow"),
        ("eval('1')", "expression_syntax", 0, "never evaluated"),
        ("await x", "expression_syntax", 0, "wait"),
        ("x => x", "expression_syntax", 0, "argument"),
        ("(x) => x", "expression_unknown", 1, "$json.x"),
        ("[1].map(x => { return x })", "expression_syntax", 13, "({"),
        ("[1].map(x => y)", "expression_unknown", 13, "$json.y"),
        ("[1].map($x => 1)", "expression_syntax", 8, "plain name"),
        ("$json.s.toUppercase()", "expression_unknown", 8, "'toUpperCase'"),
        ("$json.l.push(1)", "expression_unknown", 8, "concat"),
        ("$json.a.constructor('x')", "expression_unknown", 8, "no method"),
        ("$json.a.__class__()", "expression_unknown", 8, "no method"),
        ("$jsn.a", "expression_unknown", 0, "'$json'"),
        ("Math.flor(1)", "expression_unknown", 0, "'Math.floor'"),
        ("Math.random()", "expression_unknown", 0, "not known"),
        ("Math.max", "expression_syntax", 0, "call it"),
        ("process.env", "expression_unknown", 0, "$json.process"),
        ("$json.a()", "expression_unknown", 6, "no method"),
        ("$json['a']()", "expression_syntax", 10, "cannot be called"),
        ("(1)(2)", "expression_syntax", 3, "cannot be called"),
        ("$json.a`x`", "expression_syntax", 7, "tagged"),
        ("$input", "expression_syntax", 0, ".first()"),
        ("$input.firts()", "expression_unknown", 7, "'first'"),
        ("$input.first", "expression_syntax", 7, "first()"),
        ("$($json.name).item", "expression_syntax", 2, "by a text"),
        ("$('A')", "expression_syntax", 0, ".all()"),
        ("-2 ** 2", "expression_syntax", 3, "ambiguous"),
        ("1 ? 2", "expression_syntax", 5, "':' is missing"),
        ("{a 1}", "expression_syntax", 3, "':' is missing"),
        ("{a() {}}", "expression_syntax", 2, "no methods"),
        ("1 instanceof x", "expression_syntax", 2, "typeof"),
        ("3px", "expression_syntax", 0, "number"),
        ("10n", "expression_syntax", 0, "number"),
        ("017", "expression_syntax", 0, "begin with 0"),
        ("'\\u12'", "expression_syntax", 1, "escape"),
        ("#", "expression_syntax", 0, "no meaning"),
        ("/* x", "expression_syntax", 0, "comment"),
        ("/a/y", "expression_syntax", 1, "flag"),
        ("/(?=a)/", "expression_syntax", 2, "Look-around"),
        (r"/(a)\1/", "expression_syntax", 6, "Back-references"),
        ("/a{2,1}/", "expression_syntax", 7, "order"),
        ("/(a/", "expression_syntax", 3, "closed"),
        ("/(?:a{100}){100}/", "expression_syntax", 16, "too large"),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_advice(
    source: str, code: str, position: int, advice: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source)
    error = caught.value
    assert (error.code, error.position) == (code, position)
    assert advice in error.message
    assert error.source == source
    assert error.caret().endswith("^")


@pytest.mark.parametrize(
    ("source", "code", "position"),
    [
        ("$json.missing.trim()", "expression_type", 14),
        ("1 + $json.a.trim()", "expression_type", 12),
        ("$json.l.toUpperCase()", "expression_type", 8),
        ("$json.l.map()", "expression_type", 8),
        ("$json.l.map(1)", "expression_type", 8),
        ("[].reduce((a, b) => a)", "expression_type", 3),
        ("[...$json.a]", "expression_type", 0),
        ("'a' in 'b'", "expression_type", 4),
        ("Object.keys(null)", "expression_type", 0),
        ("JSON.parse('{')", "expression_type", 0),
        ("JSON.parse('NaN')", "expression_type", 0),
        ("new Date('garbage')", "expression_type", 0),
        ("$now", "expression_type", 0),
        ("'a'.repeat(-1)", "expression_range", 4),
        ("(1).toFixed(101)", "expression_range", 4),
        ("(1).toString(1)", "expression_range", 4),
        ("decodeURIComponent('%zz')", "expression_range", 0),
        ("/a/", "expression_output", 0),
        ("[/a/]", "expression_output", 0),
        ("0 / 0", "not_a_number", 2),
        ("$json.l.map(x => x.trim())", "expression_type", 19),
        ("'a'.match('a')", "expression_type", 4),
        ("'a'.replaceAll(/a/, 'b')", "expression_type", 4),
    ],
)
def test_what_fails_says_where(source: str, code: str, position: int) -> None:
    compiled = compile_expression(source)
    with pytest.raises(ExpressionError) as caught:
        compiled.evaluate(SCOPE)
    assert (caught.value.code, caught.value.position) == (code, position)
    assert caught.value.source == source
    assert caught.value.message.endswith((".", "]."))
