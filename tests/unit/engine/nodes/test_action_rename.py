"""ACTION RENAME."""

from typing import Any

import pytest
from nodes_for_tests import jsons, made, refused, run


@pytest.mark.parametrize(
    ("fields", "item", "expected"),
    [
        ({"a": "b"}, {"x": 1, "a": 2, "y": 3}, {"x": 1, "b": 2, "y": 3}),
        ({"a": "b", "b": "a"}, {"a": 1, "b": 2}, {"b": 1, "a": 2}),
        ({"a": "b"}, {"a": 1, "b": 2}, {"b": 1}),
        ({"a": "b"}, {"b": 2}, {"b": 2}),
        ({"a": "b"}, {"a": None}, {"b": None}),
        ({"a.b": "c.d"}, {"a": {"b": 1, "e": 2}}, {"a": {"e": 2}, "c": {"d": 1}}),
        ({"a.b": "a.c"}, {"a": {"b": 1}}, {"a": {"c": 1}}),
        ({"a.b": "c"}, {"a.b": 1}, {"c": 1}),
        ({"a.b": "c"}, {"a": 1}, {"a": 1}),
        ({"value": "n"}, 7, {"n": 7}),
    ],
)
def test_fields_get_their_new_names(
    fields: dict[str, str], item: Any, expected: dict[str, Any]
) -> None:
    (found,) = jsons(run(made("ACTION.RENAME", fields=fields), item))
    assert found == expected
    assert list(found) == list(expected)


def test_the_item_that_came_is_not_changed() -> None:
    item = {"a": {"b": 1}}
    run(made("ACTION.RENAME", fields={"a.b": "a.c"}), item)
    assert item == {"a": {"b": 1}}


def test_new_names_are_texts_and_different() -> None:
    assert refused("ACTION.RENAME", fields={"a": "x", "b": "x", "c": 1}) == [
        ("invalid_parameter", "fields.b"),
        ("invalid_parameter", "fields.c"),
    ]
