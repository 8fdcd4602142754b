"""MERGE: any inputs, in every mode, against models that are plain loops."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes_for_tests import made, run_ports, told

Sided = list[tuple[int, dict[str, Any]]]
"""Items with their places among all input items."""

key = st.none() | st.integers(0, 2) | st.sampled_from([1.0, True, "1"])


def side(name: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(
        st.fixed_dictionaries({"k": key, "n": st.integers(0, 9)}, optional={name: st.booleans()}),
        max_size=4,
    )


inputs = st.tuples(side("a"), side("b"), side("c")).filter(lambda sides: any(sides))
TWO = st.tuples(side("a"), side("b")).filter(lambda sides: any(sides))


def merged(parameters: dict[str, Any], sides: tuple[list[Any], ...]) -> list[tuple[Any, Any]]:
    ports = {f"input{at}": each for at, each in enumerate(sides, 1)}
    return told(run_ports(made("FLOW.MERGE", **parameters), dict(ports)))


def numbered(sides: tuple[list[Any], ...]) -> list[Sided]:
    """Return the sides on which something arrived, their items numbered through."""
    places = iter(range(sum(map(len, sides))))
    return [[(next(places), item) for item in each] for each in sides if each]


def together(*pairs: tuple[int, dict[str, Any]]) -> tuple[dict[str, Any], Any]:
    json: dict[str, Any] = {}
    for _, item in pairs:
        json |= item
    places = [place for place, _ in pairs]
    return json, places if len(places) > 1 else places[0]


@settings(deadline=None)
@given(inputs)
def test_append_is_one_after_the_other(sides: tuple[list[Any], ...]) -> None:
    expected = [together(pair) for each in numbered(sides) for pair in each]
    assert merged({}, sides) == expected


@settings(deadline=None)
@given(inputs)
def test_choose_is_the_first_that_is_there(sides: tuple[list[Any], ...]) -> None:
    assert merged({"mode": "choose"}, sides) == [together(pair) for pair in numbered(sides)[0]]


@settings(deadline=None)
@given(inputs)
def test_position_puts_the_items_of_one_place_together(sides: tuple[list[Any], ...]) -> None:
    live = numbered(sides)
    expected = [
        together(*(each[at] for each in live if at < len(each)))
        for at in range(max(map(len, live)))
    ]
    assert merged({"mode": "position"}, sides) == expected


@settings(deadline=None)
@given(inputs)
def test_cross_is_every_combination(sides: tuple[list[Any], ...]) -> None:
    expected = [together(*pairs) for pairs in product(*numbered(sides))]
    assert merged({"mode": "cross"}, sides) == expected


@pytest.mark.parametrize("join", ["inner", "left", "right", "outer", "anti"])
@settings(deadline=None)
@given(TWO)
def test_fields_joins_as_nested_loops_do(join: str, sides: tuple[list[Any], ...]) -> None:
    places = iter(range(sum(map(len, sides))))
    left, right = ([(next(places), item) for item in each] for each in sides)
    expected: list[tuple[dict[str, Any], Any]] = []
    for a in left:
        partners = [b for b in right if match(a[1]["k"], b[1]["k"])]
        if join != "anti":
            expected += [together(a, b) for b in partners]
        if not partners and join in ("left", "outer", "anti"):
            expected.append(together(a))
    for b in right:
        if join in ("right", "outer") and not any(match(a[1]["k"], b[1]["k"]) for a in left):
            expected.append(together(b))
    parameters = {"mode": "fields", "join": join, "keys": [{"left": "k", "right": "k"}]}
    assert merged(parameters, sides) == expected


def match(a: Any, b: Any) -> bool:
    """Tell whether two keys are equal as JSON; Python takes true for 1."""
    return a is not None and a == b and isinstance(a, bool) == isinstance(b, bool)


@settings(deadline=None)
@given(inputs, st.sampled_from(["append", "position", "cross"]))
def test_on_missing_decides_once_an_input_has_nothing(
    sides: tuple[list[Any], ...], mode: str
) -> None:
    as_if_absent = merged({"mode": mode}, sides)
    missing = not all(sides)
    assert merged({"mode": mode, "on_missing": "skip"}, sides) == ([] if missing else as_if_absent)
    ports: dict[str, Any] = {f"input{at}": each for at, each in enumerate(sides, 1)}
    outcome = run_ports(made("FLOW.MERGE", mode=mode, on_missing="error"), ports)
    failed = [(index, error.type) for index, error in outcome.failed]
    count = sum(map(len, sides)) if missing else 0
    assert failed == [(index, "missing_input") for index in range(count)]
