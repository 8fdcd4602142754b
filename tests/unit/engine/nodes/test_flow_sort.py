"""FLOW SORT: examples, and any items against a model."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes_for_tests import failures, jsons, made, refused, run, told

BY_N = made("FLOW.SORT", by=[{"field": "n"}])


def test_nulls_stand_last_in_both_orders_and_equal_ones_stay_as_they_came() -> None:
    items = [{"n": 2, "a": 1}, {"n": None}, {"n": 1}, {"a": 2}, {"n": 2.0, "a": 3}]
    assert told(run(BY_N, *items)) == [
        (items[2], 2), (items[0], 0), (items[4], 4), (items[1], 1), (items[3], 3),
    ]  # fmt: skip
    down = made("FLOW.SORT", by=[{"field": "n", "order": "desc"}])
    assert [source for _, source in told(run(down, *items))] == [0, 4, 2, 1, 3]


def test_the_first_field_counts_most() -> None:
    node = made("FLOW.SORT", by=[{"field": "a.b"}, {"field": "n", "order": "desc"}])
    items: list[Any] = [{"a": {"b": 1}, "n": 1}, {"a": {"b": 0}, "n": 2}, {"a": {"b": 1}, "n": 3}]
    assert [source for _, source in told(run(node, *items))] == [1, 2, 0]


@pytest.mark.parametrize("other", ["1", True, [1], {"n": 1}])
def test_values_of_two_kinds_are_an_error_of_the_whole_run(other: Any) -> None:
    outcome = run(BY_N, {"n": 1}, {"n": other})
    assert failures(outcome) == [(0, "mixed_types"), (1, "mixed_types")]
    assert outcome.ports == {}


def test_what_to_sort_by_is_checked() -> None:
    assert refused("FLOW.SORT", by=[]) == [("invalid_parameter", "by")]
    assert refused("FLOW.SORT", by=["n"]) == [("invalid_parameter", "by[0]")]
    assert refused("FLOW.SORT", by=[{"field": "n", "order": "up", "x": 1}]) == [
        ("unknown_parameter", "by[0].x"),
        ("invalid_parameter", "by[0].order"),
    ]
    assert refused("FLOW.SORT", by=[{"order": "asc"}]) == [("missing_parameter", "by[0].field")]


value = st.none() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.5])
rows = st.lists(st.fixed_dictionaries({"x": value, "y": value, "id": st.integers()}), min_size=1)


@settings(deadline=None)
@given(rows, st.booleans(), st.booleans())
def test_any_items_come_in_the_order_of_a_plain_insertion(
    items: list[dict[str, Any]], x_down: bool, y_down: bool
) -> None:
    orders = [("x", x_down), ("y", y_down)]
    by = [{"field": name, "order": "desc" if down else "asc"} for name, down in orders]
    expected: list[dict[str, Any]] = []
    for item in items:  # before the first that must come later
        place = 0
        while place < len(expected) and not before(item, expected[place], orders):
            place += 1
        expected.insert(place, item)
    assert jsons(run(made("FLOW.SORT", by=by), *items)) == expected


def before(a: dict[str, Any], b: dict[str, Any], orders: list[tuple[str, bool]]) -> bool:
    for name, down in orders:
        if a[name] == b[name]:
            continue
        if a[name] is None or b[name] is None:
            return b[name] is None
        return (a[name] > b[name]) if down else (a[name] < b[name])
    return False
