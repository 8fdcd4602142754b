"""FLOW SPLIT_OUT."""

from typing import Any

import pytest
from nodes_for_tests import failures, made, refused, run, told

SPLIT = made("FLOW.SPLIT_OUT", field="lines")


def test_each_entry_stands_where_the_list_was_beside_the_other_fields() -> None:
    outcome = run(SPLIT, {"id": 1, "lines": ["a", "b"]}, {"id": 2, "lines": [{"c": 3}]})
    assert told(outcome) == [
        ({"id": 1, "lines": "a"}, 0),
        ({"id": 1, "lines": "b"}, 0),
        ({"id": 2, "lines": {"c": 3}}, 1),
    ]


@pytest.mark.parametrize("item", [{"id": 1}, {"lines": None}, {"lines": []}, "text", 7])
def test_what_has_no_list_gives_no_items(item: Any) -> None:
    outcome = run(SPLIT, item)
    assert (told(outcome), outcome.failed) == ([], ())


@pytest.mark.parametrize("value", ["ab", 1, True, {"a": 1}])
def test_what_is_no_list_fails_its_item_alone(value: Any) -> None:
    outcome = run(SPLIT, {"lines": value}, {"lines": [1]})
    assert failures(outcome) == [(0, "not_a_list")]
    assert told(outcome) == [({"lines": 1}, 1)]


def test_a_path_leads_into_objects_and_what_is_around_stays() -> None:
    outcome = run(made("FLOW.SPLIT_OUT", field="a.b"), {"a": {"b": [1, 2], "c": 3}, "d": 4})
    assert told(outcome) == [
        ({"a": {"b": 1, "c": 3}, "d": 4}, 0),
        ({"a": {"b": 2, "c": 3}, "d": 4}, 0),
    ]
    assert told(run(made("FLOW.SPLIT_OUT", field="a.b"), {"a.b": [1]})) == [({"a.b": 1}, 0)]


def test_an_item_that_would_make_too_many_fails_and_the_others_go_on() -> None:
    outcome = run(SPLIT, {"lines": [0] * 6_000}, {"lines": [0] * 6_000}, {"lines": [1]})
    assert failures(outcome) == [(1, "too_many_items")]
    assert len(told(outcome)) == 6_001


def test_a_path_that_is_as_long_as_a_book_is_an_error_and_no_crash() -> None:
    deep: Any = [1]
    steps = 1_500
    for _ in range(steps):
        deep = {"a": deep}
    outcome = run(made("FLOW.SPLIT_OUT", field=".".join("a" * steps)), deep)
    assert failures(outcome) == [(0, "data_too_deep")]


def test_the_field_must_be_named() -> None:
    assert refused("FLOW.SPLIT_OUT", field=" ") == [("invalid_parameter", "field")]
    assert refused("FLOW.SPLIT_OUT", field="{{ $json.a }}") == [("expression_not_allowed", "field")]
