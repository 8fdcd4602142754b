"""Random expressions over random data mean what V8 says they mean.

The grammar holds what both languages share: paths are written with `?.` and null for what is
missing, numbers stay away from what only a C library decides, and what gives NaN or infinity
must be our typed error.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from expression_corpus import agree, our_value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from javascript import JavaScript, javascript, kind_of, odd_inside
from perdure_engine.expressions import Scope


@pytest.fixture(scope="module")
def v8() -> Iterator[JavaScript]:
    with javascript() as engine:
        yield engine


UNCHECKED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
KEYS = ("a", "b", "c d", "é")
NUMBERS = st.one_of(
    st.integers(-1_000, 1_000),
    st.sampled_from([0.5, -1.5, 0.1, 1e21, 1e-7, 2**53, 123456789.125, 1 / 3]),
)
TEXTS = st.text(st.sampled_from('ab1 ,.-Zzé日😀\n"\\$'), max_size=6)
DATA: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "n": NUMBERS,
        "s": TEXTS,
        "nums": st.lists(NUMBERS, max_size=5),
        "strs": st.lists(TEXTS, max_size=5),
        "rows": st.lists(
            st.fixed_dictionaries({"a": NUMBERS, "b": TEXTS}, optional={"c d": st.none()}),
            max_size=4,
        ),
        "o": st.dictionaries(st.sampled_from(KEYS), st.one_of(NUMBERS, TEXTS, st.none())),
        "x": st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.lists(NUMBERS, max_size=3)),
    }
)


def literal(text: str) -> str:
    """A text as both languages write it."""
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n")):
        text = text.replace(plain, escaped)
    return f"'{text}'"


def forms(*templates: str, **parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """One of the templates, with its parts filled in."""
    fields = st.fixed_dictionaries({name: part for name, part in parts.items()})
    return st.tuples(st.sampled_from(templates), fields).map(lambda both: both[0].format(**both[1]))


small = st.integers(-4, 6).map(str)
number0 = st.one_of(small.map(lambda n: f"({n})"), st.just("$json.n"), st.just("1.5"))
text0 = st.one_of(TEXTS.map(literal), st.just("$json.s"), st.just("`<${$json.s}>`"))
any0 = st.one_of(
    number0, text0, st.sampled_from(["$json.x", "null", "true", "($json.o?.a ?? null)"])
)
array0 = st.sampled_from(["$json.nums", "$json.strs", "[3, 1, 2]", "['b', 'a', '😀']"])

text1 = st.one_of(
    text0,
    forms(
        *("{t}.toUpperCase()", "{t}.toLowerCase()", "{t}.trim()", "{t}.slice({i}, {j})"),
        *("{t}.substring({i}, {j})", "{t}.charAt({i})", "{t}.padStart({i}, {u})"),
        *("{t}.padEnd({i}, '-')", "{t}.replace({u}, {v})", "{t}.replaceAll({u}, {v})"),
        *("{t}.split({u}).join({v})", "[...{t}].reverse().join('')", "{t} + {u}", "String({n})"),
        *("({n}).toFixed(2)", "`${{{t}}}-${{{n}}}`", "JSON.stringify({t})", "{t}.concat({n}, {u})"),
        *("encodeURIComponent({t}.replaceAll(/[^ -~]/g, ''))", "{t}.at({i}) ?? ''"),
        *("{t}.replace(/[a-z]+/gi, m => m.length)", "{t}.replace(/(.)(.)/gu, '$2$1')"),
        t=text0, u=text0, v=text0, n=number0, i=small, j=small,
    ),
)  # fmt: skip
number1 = st.one_of(
    number0,
    forms(
        *("({a} {op} {b})", "Math.round({a})", "Math.floor({a} / 3)", "Math.max({a}, {b})"),
        *("{t}.length", "{t}.indexOf({u})", "{t}.lastIndexOf({u}, {i})", "parseInt({t}, 10)"),
        *("Number({t})", "parseFloat({t})", "({a} | {b})", "({a} >>> {i})", "Math.abs({a})"),
        *("{t}.charCodeAt({i})", "-{a}", "+{t}", "{t}.search(/[0-9]/)", "{t}.localeCompare({t})"),
        a=number0, b=number0, t=text1, u=text0, i=small,
        op=st.sampled_from(["+", "-", "*", "/", "%"]),
    ),
)  # fmt: skip
boolean1 = forms(
    *("({a} {op} {b})", "!{a}", "{t}.includes({u})", "{t}.startsWith({u})", "/a|b+/.test({t})"),
    *("{t}.endsWith({u}, {i})", "[{a}, {b}].includes({a})", "(typeof {a} === typeof {b})"),
    *("({a} && {b})", "({a} || {b})", "({a} ?? {b})", "isNaN({a})", "Number.isInteger({a})"),
    a=any0, b=any0, t=text1, u=text0, i=small,
    op=st.sampled_from(["==", "!=", "===", "!==", "<", ">", "<=", ">="]),
)  # fmt: skip
scalar = st.one_of(text1, number1, boolean1)
array1 = st.one_of(
    array0,
    forms(
        *("{r}.slice({i}, {j})", "{r}.map((x, i) => [i, x])", "{r}.filter(x => x > {s})"),
        *("{r}.concat({s})", "[...{r}, {s}]", "{r}.slice().sort()", "{r}.flatMap(x => [x, {s}])"),
        *("{r}.slice().reverse()", "{t}.split({u})", "{t}.match(/[a-z0-9]/g)", "{r}.map(String)"),
        *("{r}.map(x => x + {s})", "Object.keys($json.o)", "Object.entries($json.o)"),
        *("$json.rows.map(r => r.a)", "$json.rows.map(({{a, b}}) => `${{b}}:${{a}}`)"),
        *("$json.rows.slice().sort((p, q) => p.a - q.a)", "[...new Set({r})]", "[{r}].flat()"),
        "$json.rows.filter(r => r.b.length > {i}).map(r => ({{...r, z: {s}}}))",
        *("{t}.split(/[ ,]+/)", "[...{t}.matchAll(/(.)(b)?/gu)].map(m => [...m])"),
        r=array0, i=small, j=small, s=scalar, t=text0, u=text0,
    ),
)  # fmt: skip
whole = st.one_of(
    scalar,
    array1,
    forms(
        *("{r}.join({t})", "{r}.indexOf({s})", "{r}.includes({s})"),
        "{r}.reduce((p, q) => p + q, {s})",
        *("({b} ? {s} : {t})", "{{p: {s}, ['k' + {t}]: {r}}}", "JSON.stringify({r})", "{r}.length"),
        *("JSON.parse(JSON.stringify({r}))", "{r}.find(x => x == {s}) ?? null", "{r} + {s}"),
        *("Object.fromEntries($json.rows.map(r => ['k' + r.b, r.a]))", "{r}.some(x => x === {s})"),
        *("JSON.stringify({{a: {s}, b: {r}}}, null, {i})", "{r}.at({i}) ?? {s}", "{r}?.[0] ?? {s}"),
        r=array1, s=scalar, t=text1, b=boolean1, i=small,
    ),
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=UNCHECKED)
@given(source=whole, data=DATA)
def test_a_random_expression_means_what_javascript_says(
    source: str, data: dict[str, Any], v8: JavaScript
) -> None:
    javascripts = v8.value(source, data)
    ours = our_value(source, Scope(json=data))
    odd = odd_inside(javascripts)
    if odd is not None and not odd.name.startswith("throws"):
        assert ours == {"error": "not_a_number"}, (source, data, javascripts)
    else:
        assert agree(ours, well_formed(javascripts)), (source, data, ours, javascripts)


def well_formed(value: Any) -> Any:
    """A value of V8 as it would be stored: half a surrogate pair is U+FFFD."""
    kind = kind_of(value)
    if kind is str:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if kind is list:
        return [well_formed(each) for each in value]
    if kind is dict:
        return {well_formed(key): well_formed(each) for key, each in value.items()}
    return value


ATOMS = st.sampled_from(
    ["a", "b", "c", "[ab]", "[^a]", "\\d", "\\w", ".", "\\b", "^", "$", "é", "1"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.tuples(inner, inner).map(lambda both: f"(?:{both[0]}|{both[1]})"),
        inner.map(lambda body: f"({body})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "*?", "+?", "??"])).map(
            lambda both: f"(?:{both[0]}){both[1]}"
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None, suppress_health_check=UNCHECKED)
@given(
    pattern=PATTERNS,
    flags=st.sampled_from(["u", "iu", "mu", "su", "gu", "gimu"]),
    text=st.text(st.sampled_from("abcAB1é \n"), max_size=8),
)
def test_a_random_pattern_matches_as_javascript_says_or_is_refused(
    pattern: str, flags: str, text: str, v8: JavaScript
) -> None:
    regex = f"/{pattern}/{flags}"
    sources = [f"$json.replace({regex}, '<$&>')", f"$json.split({regex}).length"]
    sources.append(f"$json.match({regex})")
    for source in sources:
        ours = our_value(source, Scope(json=text))
        if ours in ({"error": "expression_syntax"}, {"error": "expression_type"}):
            continue
        assert agree(ours, v8.value(source, text)), (source, text, ours)
