"""Items that are made to hurt: what many of them take together is bounded, whatever each takes."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from nodes_for_tests import NOW, failures, jsons, made, run, run_ports
from perdure_engine.definition.model import Node
from perdure_engine.expressions import Meter, NodeView, Scope
from perdure_engine.nodes.action_html_extract import ATTRIBUTES_MAX, count_elements
from perdure_engine.nodes.base import Inputs, Item, Outcome
from perdure_engine.nodes.each import ItemFault
from perdure_engine.runner.file_tables import csv_rows, csv_text, html_rows
from perdure_engine.runner.files import FileFault

MANY = 10_000


def wide(count: int) -> dict[str, int]:
    return {f"f{at}": 0 for at in range(count)}


def run_metered(node: Node, items: list[Any]) -> tuple[Outcome, Meter]:
    """Run a node as an execution does: all its evaluations pay into one meter."""
    meter = Meter()
    inputs = Inputs({"main": [Item(json=json) for json in items]})

    def scope_of(index: int) -> Scope:
        return Scope(json=items[index], input=NodeView(items, index), now=NOW, meter=meter)

    assert node.specification.run is not None
    return node.specification.run(node.prepared, inputs, scope_of), meter


def test_few_wide_items_are_not_multiplied_into_gigabytes() -> None:
    split = run(made("FLOW.SPLIT_OUT", field="list"), {**wide(50_000), "list": [0] * MANY})
    assert failures(split) == [(0, "too_many_items")]
    below = run(made("FLOW.SPLIT_OUT", field="a.list"), {"a": {**wide(50_000), "list": [0] * MANY}})
    assert failures(below) == [(0, "too_many_items")]
    sides: dict[str, Any] = {"input1": [wide(50_000)], "input2": [{"a": n} for n in range(MANY)]}
    crossed = run_ports(made("FLOW.MERGE", mode="cross"), sides)
    assert failures(crossed)[0] == (0, "too_many_items")
    keyed: dict[str, Any] = {"input1": [{**wide(50_000), "k": 1}], "input2": [{"k": 1}] * MANY}
    by_key = made("FLOW.MERGE", mode="fields", keys=[{"left": "k", "right": "k"}])
    assert failures(run_ports(by_key, keyed))[0] == (0, "too_many_items")


def test_what_is_wide_may_be_split_and_merged_where_it_is_not_many() -> None:
    split = run(made("FLOW.SPLIT_OUT", field="list"), {**wide(300), "list": [0] * MANY})
    assert len(jsons(split)) == MANY
    sides: dict[str, Any] = {"input1": [wide(300)], "input2": [{"a": n} for n in range(MANY)]}
    assert len(jsons(run_ports(made("FLOW.MERGE", mode="cross"), sides))) == MANY


def test_the_fields_that_csv_rows_do_not_have_take_no_gigabytes() -> None:
    header = ",".join(f"a{at}" for at in range(50_000))
    node = made("ACTION.CSV", value="{{ $json.t }}", ragged=True)
    outcome = run(node, {"t": header + "\nx" * MANY})
    assert failures(outcome) == [(0, "too_many_items")]
    items = [{f"f{at}": 0} for at in range(MANY)]
    written = run(made("ACTION.CSV", operation="write"), *items)
    assert failures(written)[0] == (0, "too_many_items")
    with pytest.raises(FileFault, match="fields together"):
        csv_text(items, ",", True)


def test_tables_of_pages_are_not_filled_with_gigabytes_of_nothing() -> None:
    header = "".join(f"<td>{at}" for at in range(10_000))
    with pytest.raises(ItemFault, match="fields together"):
        html_rows(f"<table><tr>{header}" + "<tr>" * 10_000)


class Compared(str):
    """A text that counts how often it is compared."""

    __slots__ = ()
    compared: ClassVar[int] = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.compared += 1
        return str.__eq__(self, other)


def test_a_name_that_comes_twice_is_found_without_comparing_all_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [Compared(f"{at:x}") for at in range(2_000)]
    names.append(Compared("7cf"))

    def rows(*_: object, **__: object) -> Any:
        return iter([names])

    monkeypatch.setattr("perdure_engine.runner.file_tables.csv.reader", rows)
    Compared.compared = 0
    with pytest.raises(ItemFault, match="two columns are called '7cf'"):
        csv_rows("", ",", True)
    assert Compared.compared < 10 * len(names)
    Compared.compared = 0

    class Reader:
        line_num = 1

        def __iter__(self) -> Any:
            return iter([names])

    def read(*_: object, **__: object) -> Reader:
        return Reader()

    monkeypatch.setattr("perdure_engine.nodes.action_csv.csv.reader", read)
    outcome = run(made("ACTION.CSV", value="{{ $json.t }}"), {"t": ""})
    assert failures(outcome) == [(0, "invalid_csv")]
    assert Compared.compared < 10 * len(names)


def test_many_keys_of_many_items_are_not_compared() -> None:
    keys = [f"k{at}" for at in range(300)]
    items = [{"k": at} for at in range(MANY)]
    assert failures(run(made("FLOW.DEDUPE", keys=keys), *items))[0] == (0, "too_many_items")
    compare = made("FLOW.COMPARE", keys=keys)
    assert failures(run_ports(compare, {"input1": items, "input2": items}))[0][1] == (
        "too_many_items"
    )
    merge = made("FLOW.MERGE", mode="fields", keys=[{"left": key, "right": key} for key in keys])
    assert failures(run_ports(merge, {"input1": items, "input2": items}))[0][1] == "too_many_items"
    sort = made("FLOW.SORT", by=[{"field": key} for key in keys[:20]])
    many = [{"k": 1}] * (2_000_000 // 20 + 1)
    assert failures(run(sort, *many))[0] == (0, "too_many_items")
    measures = [{"function": "count", "field": key, "as": key} for key in keys[:100]]
    summarize = made("FLOW.SUMMARIZE", measures=measures)
    assert failures(run(summarize, *[{"k": 1}] * 20_001))[0] == (0, "too_many_items")


@pytest.mark.parametrize("node", ["FLOW.SORT", "FLOW.DEDUPE", "FLOW.AGGREGATE"])
def test_a_hundred_thousand_items_are_taken_as_they_are(node: str) -> None:
    items = [{"k": at % 7} for at in range(120_000)]
    parameters: dict[str, Any] = {"FLOW.SORT": {"by": [{"field": "k"}]}}.get(node, {})
    outcome = run(made(node, **parameters), *items)
    assert not outcome.failed
    assert len(jsons(outcome)) == {"FLOW.SORT": 120_000, "FLOW.DEDUPE": 7}.get(node, 1)


SLOW = "{{ 'x'.repeat(3000).split('').map(a => a + 'b').length > 4 }}"
LARGE = "{{ 'x'.repeat(4000000) }}"
WIDE = "{{ {...$input.first().json.w} }}"


TOGETHER: list[tuple[Callable[[], Node], list[Any], str]] = [
    (lambda: made("FLOW.IF", condition=SLOW), [{}] * 2_000, "expression_fuel"),
    (lambda: made("ACTION.SET", values={"a": LARGE}), [{}] * 200, "expression_output"),
    (lambda: made("ACTION.SET", values=WIDE), [{"w": wide(50_000)}] * 90, "input_too_large"),
    (lambda: made("ACTION.SET", values=wide(50_000)), [{}] * 200, "input_too_large"),
    (
        lambda: made("ACTION.SET", values={**wide(50_000), "a": "{{ $json.a }}"}),
        [{}] * 200,
        "expression_output",
    ),
    (
        lambda: made("ACTION.JSON", value=f"[{'0,' * 9_000}0]"),
        [{}] * 900,
        "input_too_large",
    ),
    (
        lambda: made("ACTION.JSON", operation="write", value="{{ $input.first().json }}"),
        [{"t": "x" * 500_000}] * 700,
        "expression_output",
    ),
    (
        lambda: made("ACTION.XML", value="{{ $json.t }}"),
        [{"t": "<a>" + "<b/>" * 49_000 + "</a>"}] * 20,
        "expression_fuel",
    ),
    (
        lambda: made(
            "ACTION.HTML_EXTRACT",
            value="{{ $json.t }}",
            extract=[{"name": "a", "selector": "p"}],
        ),
        [{"t": "x" * 290_000}] * 700,
        "expression_fuel",
    ),
    (
        lambda: made("ACTION.CRYPTO", operation="hash", value="{{ $json.t }}"),
        [{"t": "x" * 500_000}] * 400,
        "expression_fuel",
    ),
]


@pytest.mark.parametrize(("node", "items", "code"), TOGETHER, ids=range(len(TOGETHER)))
def test_the_items_of_a_run_are_bounded_together(
    node: Callable[[], Node], items: list[Any], code: str
) -> None:
    outcome, meter = run_metered(node(), items)
    assert meter.is_empty
    assert 0 < len(outcome.failed) < len(items)
    assert code in {kind for _, kind in failures(outcome)}
    whole = sum(len(port) for port in outcome.ports.values())
    assert whole == len(items) - len(outcome.failed)


def test_ten_thousand_items_of_every_day_stay_far_from_the_bounds() -> None:
    values = {
        "total": "{{ $json.lines.map(l => l.p * l.q).reduce((a, b) => a + b, 0) }}",
        "text": "order {{ $json.id }} of {{ $now.toISO() }}",
    }
    items = [{"id": at, "lines": [{"p": 1, "q": 2}] * 10} for at in range(MANY)]
    outcome, meter = run_metered(made("ACTION.SET", values=values), items)
    assert not outcome.failed
    assert meter.work > 0
    assert meter.spent < 10_000_000


def test_an_element_with_very_many_attributes_is_refused_before_it_is_parsed() -> None:
    most = " ".join(f"a{at}" for at in range(ATTRIBUTES_MAX))
    assert count_elements(f"<p {most}>") == 4
    for page in (
        f"<p {most} b>",
        f'<p ="x y=">" {most}>',
        f'<!-- <a b="> --><p {most} b>',
        f"<script><a b='</script><p {most} b>",
        f"<p/{most.replace(' ', '/')}/b=''>",
        "<a " * 10_000,
        "<a" * 100_000,
        "<a b='<" * 10_000,
    ):
        with pytest.raises(ItemFault, match="attributes"):
            count_elements(page)


@pytest.mark.parametrize("text", ["[1e999]", "[-1e999]", "1" + "0" * 400 + ".0"])
def test_numbers_beyond_a_float_are_refused_instead_of_becoming_null(text: str) -> None:
    outcome = run(made("ACTION.JSON", value=text), {})
    assert failures(outcome) == [(0, "invalid_json")]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue"])
@pytest.mark.parametrize("value", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_dates_at_the_end_of_time_are_results_or_typed_errors(zone: str, value: str) -> None:
    for operation in (
        {"operation": "round", "unit": "year", "rounding": "up"},
        {"operation": "round", "unit": "week", "rounding": "down"},
        {"operation": "difference", "unit": "month", "to": "2026-01-01T00:00:00Z"},
        {"operation": "add", "unit": "day", "amount": 1},
        {"operation": "extract", "part": "week"},
        {"operation": "format", "format": "yyyy"},
    ):
        outcome = run(made("ACTION.DATE_TIME", value=value, zone=zone, **operation), {})
        assert {kind for _, kind in failures(outcome)} <= {"invalid_date", "expression_range"}
