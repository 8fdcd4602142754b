"""FLOW AGGREGATE."""

from typing import Any

import pytest
from nodes_for_tests import made, run, told


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"field": "a"}, {"a": [1, None, None]}),
        ({"field": "a", "as": "all"}, {"all": [1, None, None]}),
        ({"as": "all"}, {"all": [{"a": 1}, {"a": None}, {"b": 2}]}),
        ({}, {"items": [{"a": 1}, {"a": None}, {"b": 2}]}),
    ],
)
def test_the_list_has_an_entry_for_each_item(parameters: Any, expected: Any) -> None:
    outcome = run(made("FLOW.AGGREGATE", **parameters), {"a": 1}, {"a": None}, {"b": 2})
    assert told(outcome) == [(expected, [0, 1, 2])]
