"""FLOW LIMIT."""

from typing import Any

import pytest
from nodes_for_tests import failures, made, refused, run, told


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"count": 2}, [("a", 0), ("b", 1)]),
        ({"count": 2, "from": "last"}, [("b", 1), ("c", 2)]),
        ({"count": 9, "from": "last"}, [("a", 0), ("b", 1), ("c", 2)]),
        ({"count": 0}, []),
        ({"count": "{{ $input.all().length - 2 }}"}, [("a", 0)]),
    ],
)
def test_so_many_items_pass_from_the_one_end(parameters: Any, expected: Any) -> None:
    assert told(run(made("FLOW.LIMIT", **parameters), "a", "b", "c")) == expected


@pytest.mark.parametrize(
    "count", ["{{ -1 }}", "{{ 1.5 }}", "{{ '2' }}", "{{ null }}", "{{ true }}"]
)
def test_a_count_that_is_no_whole_number_fails_the_run(count: str) -> None:
    outcome = run(made("FLOW.LIMIT", count=count), "a", "b")
    assert failures(outcome) == [(0, "invalid_input"), (1, "invalid_input")]


def test_a_count_that_cannot_be_is_refused() -> None:
    assert refused("FLOW.LIMIT", count=-1) == [("invalid_parameter", "count")]
    assert refused("FLOW.LIMIT", count=1.5) == [("invalid_parameter", "count")]
    assert refused("FLOW.LIMIT", count=1, **{"from": "middle"}) == [("invalid_parameter", "from")]
