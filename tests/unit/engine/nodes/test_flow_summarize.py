"""FLOW SUMMARIZE: examples, and any items against a model."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes_for_tests import failures, jsons, made, refused, run, told

FUNCTIONS = ("count", "sum", "min", "max", "mean", "first", "last", "list")


def measured(function: str, *values: Any) -> Any:
    node = made("FLOW.SUMMARIZE", measures=[{"function": function, "field": "n", "as": "r"}])
    (made_of,) = jsons(run(node, *({"n": value} for value in values)))
    return made_of["r"]


def test_groups_come_in_the_order_of_their_first_items() -> None:
    measures = [{"function": "count"}, {"function": "sum", "field": "n"}]
    node = made("FLOW.SUMMARIZE", group_by=["k.a"], measures=measures)
    items: list[Any] = [{"k": {"a": 2}, "n": 1}, {"n": 2}, {"k": {"a": 2.0}, "n": 3}, {"k": 4}]
    assert told(run(node, *items)) == [
        ({"k.a": 2, "count": 2, "sum_n": 4}, [0, 2]),
        ({"k.a": None, "count": 2, "sum_n": 2}, [1, 3]),
    ]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("count", 2), ("sum", 4), ("min", 1), ("max", 3), ("mean", 2),
        ("first", 3), ("last", 1), ("list", [3, None, 1]),
    ],
)  # fmt: skip
def test_each_function_leaves_nulls_out_but_list(function: str, expected: Any) -> None:
    assert measured(function, 3, None, 1) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [("count", 0), ("sum", 0), ("min", None), ("max", None), ("mean", None), ("first", None)],
)
def test_of_no_values_the_sum_is_nothing_and_the_rest_null(function: str, expected: Any) -> None:
    assert measured(function, None) == expected


def test_sums_are_exact_where_numbers_are_whole_and_rounded_once_where_not() -> None:
    assert measured("sum", 2**53, 1, 1) == 2**53 + 2
    assert measured("sum", *[0.1] * 10) == 1.0
    assert measured("min", "b", "a") == "a"
    assert measured("max", False, True) is True


@pytest.mark.parametrize(
    ("function", "values", "error"),
    [
        ("sum", [1, "2"], "not_numeric"),
        ("mean", [True], "not_numeric"),
        ("min", [1, "2"], "mixed_types"),
        ("max", [[1]], "mixed_types"),
        ("sum", [1e308, 1e308], "not_a_number"),
    ],
)
def test_values_that_cannot_be_measured_fail_the_run(
    function: str, values: list[Any], error: str
) -> None:
    node = made("FLOW.SUMMARIZE", measures=[{"function": function, "field": "n"}])
    outcome = run(node, *({"n": value} for value in values))
    assert failures(outcome) == [(at, error) for at in range(len(values))]


def test_measures_are_checked() -> None:
    kind = "FLOW.SUMMARIZE"
    assert refused(kind, measures=[{"function": "sum"}]) == [
        ("missing_parameter", "measures[0].field")
    ]
    assert refused(kind, measures=[{"function": "avg"}]) == [
        ("invalid_parameter", "measures[0].function")
    ]
    twice = [{"function": "count", "as": "a"}, {"function": "sum", "field": "n", "as": "a"}]
    assert refused(kind, measures=twice) == [("invalid_parameter", "measures[1].as")]
    assert refused(kind, group_by=["count"], measures=[{"function": "count"}]) == [
        ("invalid_parameter", "measures[0].as")
    ]


number = st.none() | st.integers(-(2**60), 2**60) | st.floats(-1e6, 1e6)
rows = st.lists(
    st.fixed_dictionaries({"k": st.sampled_from(["a", "b", None]), "n": number}), min_size=1
)


@settings(deadline=None)
@given(rows)
def test_any_items_are_measured_as_by_hand(items: list[dict[str, Any]]) -> None:
    measures = [{"function": each, "field": "n", "as": each} for each in FUNCTIONS]
    node = made("FLOW.SUMMARIZE", group_by=["k"], measures=measures)
    found = {each["k"]: each for each in jsons(run(node, *items))}
    assert list(found) == list(dict.fromkeys(item["k"] for item in items))
    for key, row in found.items():
        listed = [item["n"] for item in items if item["k"] == key]
        there = [value for value in listed if value is not None]
        assert (row["list"], row["count"]) == (listed, len(there))
        exact = sum(map(Fraction, there))
        assert row["sum"] == (exact if all(isinstance(v, int) for v in there) else float(exact))
        assert row["mean"] == (row["sum"] / len(there) if there else None)
        for name, pick in (("min", 0), ("max", -1)):
            assert row[name] == (sorted(there)[pick] if there else None)
        assert (row["first"], row["last"]) == ((there[0], there[-1]) if there else (None, None))
