"""FLOW DEDUPE: examples, and any items against a model."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from nodes_for_tests import failures, jsons, made, refused, run, told


def test_the_first_of_those_that_are_alike_stays() -> None:
    node = made("FLOW.DEDUPE", keys=["user.mail"])
    items: list[Any] = [{"user": {"mail": "a"}, "n": n} for n in (1, 2)] + [{"n": 3}, {"user": 4}]
    assert told(run(node, *items)) == [(items[0], 0), (items[2], 2)]


def test_values_are_compared_as_json() -> None:
    items: list[Any] = [1, 1.0, True, "1", {"a": 1, "b": [2]}, {"b": [2.0], "a": 1}, None, {}]
    assert [source for _, source in told(run(made("FLOW.DEDUPE"), *items))] == [0, 2, 3, 4, 6, 7]


def test_data_that_is_too_deep_is_an_error_and_no_crash() -> None:
    deep: Any = 1
    for _ in range(3_000):
        deep = [deep]
    assert failures(run(made("FLOW.DEDUPE"), deep)) == [(0, "data_too_deep")]


def test_keys_are_names() -> None:
    assert refused("FLOW.DEDUPE", keys=[]) == [("invalid_parameter", "keys")]
    assert refused("FLOW.DEDUPE", keys=["a", 1, ""]) == [
        ("invalid_parameter", "keys[1]"),
        ("invalid_parameter", "keys[2]"),
    ]


value = st.sampled_from([None, 0, 1, 2, "1", "a", True, False])
rows = st.lists(st.fixed_dictionaries({}, optional={"x": value, "y": value}), min_size=1)


def same(a: Any, b: Any) -> bool:
    return (a is None and b is None) or (type(a) is type(b) and a == b)


@settings(deadline=None)
@given(rows, st.sampled_from([["x"], ["y", "x"]]))
def test_any_item_stays_unless_an_earlier_one_is_like_it(
    items: list[dict[str, Any]], keys: list[str]
) -> None:
    expected = [
        item
        for at, item in enumerate(items)
        if not any(all(same(item.get(key), other.get(key)) for key in keys) for other in items[:at])
    ]
    assert jsons(run(made("FLOW.DEDUPE", keys=keys), *items)) == expected
