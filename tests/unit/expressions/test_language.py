"""What is our own: null, the scope's roots, dates, other nodes' items, and the methods beside
JavaScript's."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from perdure_engine.expressions import (
    ExpressionError,
    NodeView,
    Scope,
    compile_expression,
    lint,
    references,
)

NOW = datetime(2024, 5, 17, 12, 30, 45, 123_456, tzinfo=UTC)
NODES = {
    "Fetch": NodeView([{"id": 1}, {"id": 2}, {"id": 3}], 1),
    "Unpaired": NodeView([{"id": 9}], None),
}
SCOPE = Scope(
    json={"a": {"b": 5}, "list": [1, 2], "null": None, "big": 12345678901234567890, "when": "x"},
    input=NodeView([{"n": 1}, {"n": 2}], 1),
    node=NODES.get,
    now=NOW,
    vars={"region": "eu"},
    execution={"id": "7", "trigger": {"type": "manual"}},
    context={"crm": [{"name": "Acme"}]},
    binary={"data": {"file_id": "f1", "file_name": "a.txt", "mime_type": "text/plain", "size": 3}},
)


def value(expression: str, scope: Scope = SCOPE) -> Any:
    return compile_expression(expression).evaluate(scope)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$json.a.x", None),
        ("$json.a.x.y.z", None),
        ("$json.x.y[0].z", None),
        ("$json.null.x", None),
        ("$json.list[9]", None),
        ("$json.list['01']", None),
        ("$json.list['1']", 2),
        ("$json.list[-1]", None),
        ("$json.list[1.5]", None),
        ("$json.list.map", None),
        ("$json.a.b.c", None),
        ("$json.when.length.x", None),
        ("$json.__proto__", None),
        ("$json.constructor", None),
        ("$json.__class__", None),
        ("$json.list.__len__", None),
        ("$json.a['b']", 5),
        ("$json.x?.toUpperCase()", None),
        ("$json.x?.y.toUpperCase().length", None),
        ("$json.x ?? 'none'", "none"),
        ("$json.x + 1", 1),
        ("$json.x == undefined", True),
        ("$json.x === null", True),
        ("undefined", None),
        ("typeof $json.x", "undefined"),
        ("typeof $json.null", "object"),
        ("typeof $json.list[9]", "undefined"),
        ("typeof $now", "object"),
        ("[undefined, null]", [None, None]),
        ("{a: undefined}", {"a": None}),
        ("$json.big", 12345678901234567890),
        ("-0", 0),
        ("[-0.0]", [0]),
    ],
)
def test_what_is_missing_is_null_and_null_is_javascripts(expression: str, expected: Any) -> None:
    got = value(expression)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$vars.region", "eu"),
        ("$binary.data.file_name", "a.txt"),
        ("$binary['data'].size > 2", True),
        ("$binary.other?.file_name", None),
        ("Object.keys($binary)", ["data"]),
        ("$execution.trigger.type", "manual"),
        ("$context.crm[0].name", "Acme"),
        ("$itemIndex", 1),
        ("$input.item.json.n", 2),
        ("$input.item", {"json": {"n": 2}}),
        ("$input.first().json.n", 1),
        ("$input.last().json.n", 2),
        ("$input.all().map(i => i.json.n)", [1, 2]),
        ("$input.all().length", 2),
        ("$('Fetch').item.json.id", 2),
        ("$('Fetch').json.id", 2),
        ("$('Fetch').first().json.id", 1),
        ("$('Fetch').last().json.id", 3),
        ("$('Fetch').all().map(i => i.json.id).join()", "1,2,3"),
        ('$node["Fetch"].json.id', 2),
        ("$node.Fetch.json.id", 2),
        ("$(`Fetch`).item.json.id", 2),
        ("$('Unpaired').item", None),
        ("$('Unpaired').item.json.id", None),
        ("$('Unpaired').first().json.id", 9),
        ("$('Nobody').item.json.id", None),
        ("$('Nobody').all()", []),
        ("$('Nobody').first()", None),
        ("$('Fetch').isExecuted", True),
        ("$('Nobody').isExecuted", False),
    ],
)
def test_the_scope_is_read_by_its_names(expression: str, expected: Any) -> None:
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$now", "2024-05-17T12:30:45.123Z"),
        ("$now.toISO()", "2024-05-17T12:30:45.123Z"),
        ("'at ' + $now", "at 2024-05-17T12:30:45.123Z"),
        ("{at: $now, list: [$now]}.list[0]", "2024-05-17T12:30:45.123Z"),
        ("$today", "2024-05-17T00:00:00.000Z"),
        ("$now.year", 2024),
        ("$now.month", 5),
        ("$now.weekday", 5),
        ("$now.weekNumber", 20),
        ("$now.quarter", 2),
        ("$now.ordinal", 138),
        ("$now.toMillis()", 1715949045123),
        ("$now.toSeconds()", 1715949045.123),
        ("$now.plus({days: 1}).toISODate()", "2024-05-18"),
        ("$now.plus(1, 'month').toISODate()", "2024-06-17"),
        ("$now.minus({months: 3}).toISODate()", "2024-02-17"),
        ("$now.minus(2, 'weeks').toISODate()", "2024-05-03"),
        ("DateTime.fromISO('2024-01-31').plus({months: 1}).toISODate()", "2024-02-29"),
        ("DateTime.fromISO('2024-02-29').plus({years: 1}).toISODate()", "2025-02-28"),
        ("$now.plus({hours: 1.5}).toFormat('HH:mm')", "14:00"),
        ("$now.startOf('month').toISO()", "2024-05-01T00:00:00.000Z"),
        ("$now.startOf('week').toISODate()", "2024-05-13"),
        ("$now.startOf('quarter').toISODate()", "2024-04-01"),
        ("$now.startOf('year').toISODate()", "2024-01-01"),
        ("$now.startOf('hour').toISO()", "2024-05-17T12:00:00.000Z"),
        ("$now.startOf('minute').toISO()", "2024-05-17T12:30:00.000Z"),
        ("$now.startOf('second').toISO()", "2024-05-17T12:30:45.000Z"),
        ("$now.endOf('month').toISO()", "2024-05-31T23:59:59.999Z"),
        ("$now.endOf('day').toISO()", "2024-05-17T23:59:59.999Z"),
        ("$now.toFormat('yyyy-LL-dd')", "2024-05-17"),
        ("$now.format('dd.MM.yy HH:mm:ss.SSS')", "17.05.24 12:30:45.123"),
        ("$now.toFormat('d LLL yyyy, h:mm a')", "17 May 2024, 12:30 PM"),
        ("$now.toFormat(\"cccc, d 'of' MMMM\")", "Friday, 17 of May"),
        ("$now.setZone('UTC+2').toISO()", "2024-05-17T14:30:45.123+02:00"),
        ("$now.setZone('UTC-3:30').toFormat('HH:mm ZZ')", "09:00 -03:30"),
        ("$now.diff('2024-05-15T12:30:45.123Z', 'days').days", 2),
        ("$now.diffTo('2024-05-20T12:30:45.123Z')", 3),
        ("DateTime.fromISO('2024-03-15').diff('2024-01-15', 'months').months", 2),
        ("$now > DateTime.fromISO('2024-01-01')", True),
        ("$now - DateTime.fromMillis(1715949045000)", 123),
        ("DateTime.fromSeconds(0).toISO()", "1970-01-01T00:00:00.000Z"),
        ("'2024-05-17'.toDateTime().month", 5),
        ("'2024-05-17T10:00+02:00'.toDateTime().toISO()", "2024-05-17T10:00:00.000+02:00"),
        ("'2024-05-17T10:00+02:00'.toDateTime().toUTC().hour", 8),
        ("new Date().getTime()", 1715949045123),
        ("Date.now()", 1715949045123),
        ("`${$now.toFormat('yyyy')}!`", "2024!"),
    ],
)
def test_dates_are_computed_from_the_moment_of_the_scope(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_the_offset_of_now_is_kept() -> None:
    scope = Scope(now=NOW.astimezone(timezone(timedelta(hours=2))))
    assert value("$now", scope) == "2024-05-17T14:30:45.123+02:00"
    assert value("$today", scope) == "2024-05-17T00:00:00.000+02:00"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("[1, 1, 'a', 'a', null, null, 1.0].unique()", [1, "a", None]),
        ("[1, 2].first() + [1, 2].last()", 3),
        ("[].first()", None),
        ("[{a: 1}, {b: 2}, 3].pluck('a')", [1, None, None]),
        ("[1, '2', 3.5].sum()", 6.5),
        ("[0, null, '', 'a'].compact()", [0, "a"]),
        ("[].isEmpty() && {}.isEmpty() && ''.isEmpty()", True),
        ("'hello wORLD'.toTitleCase()", "Hello World"),
        ("'42'.toNumber()", 42),
        ("{a: 1}.hasField('a')", True),
        ("{a: [1]}.toJsonString()", '{"a":[1]}'),
        ("'é'.base64Encode()", "w6k="),
        ("'w6k='.base64Decode()", "é"),
        ("'a b'.urlEncode()", "a%20b"),
        ("$if(1 > 2, 'a', 'b')", "b"),
        ("$ifEmpty('', 'x') + $ifEmpty([], 'y') + $ifEmpty(0, 'z')", "xy0"),
        ("$max(1, 2) - $min(1, 2)", 1),
        ("'\\ud83d'", "\ufffd"),
        ("['\\ud83d\\ude00']", ["😀"]),
        ("[{'\\ud83d': '\\ud83d'}]", [{"\ufffd": "\ufffd"}]),
    ],
)
def test_further_methods_do_what_they_say(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_arguments_of_an_arrow_function_hide_outer_ones_only_inside_it() -> None:
    expression = "[1].map(x => [2].map(x => x).concat(x))"
    assert value(expression) == [[2, 1]]


@pytest.mark.parametrize(
    "expression", ["[x => x]", "x => x", "(x => x)(1)", "[1].at(x => x)", "[].concat(Boolean)"]
)
def test_a_function_is_never_a_value(expression: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(expression)


def test_only_what_an_expression_asks_for_is_computed() -> None:
    def explode() -> Any:
        raise AssertionError("computed without being asked for")

    asked: list[str] = []

    def variables() -> Any:
        asked.append("vars")
        return {"a": 1}

    scope = Scope(
        json={"b": 2},
        input=explode,
        now=explode,
        vars=variables,
        execution=explode,
        context=explode,
    )
    assert value("$json.b + $vars.a", scope) == 3
    assert asked == ["vars"]


def test_references_name_what_has_to_be_gathered() -> None:
    found = references(
        compile_expression(
            "$('A').item.json.x + $node['B'].json.y + $now.year + $vars.q + $context.crm.z"
            " + $input.all().map(i => $('C').first().json.k).length"
        )
    )
    assert found.nodes == {"A", "B", "C"}
    assert found.context == {"crm"}
    assert (found.uses_now, found.uses_vars, found.uses_input, found.uses_context) == (True,) * 4
    assert (found.uses_json, found.uses_execution) == (False, False)


@pytest.mark.parametrize(
    ("source", "code", "position"),
    [
        ("$json.list.map", "method_not_called", 11),
        ("1 + $json.s.trim", "method_not_called", 12),
        ("$json.n === NaN", "compared_with_nan", 8),
        ("$json.l == []", "compared_with_new_object", 8),
    ],
)
def test_what_is_probably_not_meant_is_told(source: str, code: str, position: int) -> None:
    assert [(each.code, each.position) for each in lint(source)] == [(code, position)]


def test_an_ordinary_expression_gives_no_warning() -> None:
    assert lint("$json.list.map(x => x.trim()).length > 0 && $json.first === 'a'") == []
