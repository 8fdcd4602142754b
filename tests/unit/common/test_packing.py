"""Columns are packed so that the server's `texts` and `repeated` make the same values again."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perdure_common.adapters.postgres_packing import (
    JOINED_MAX,
    NULL,
    SEPARATOR,
    packed,
    packed_json,
    repeated,
    texts,
)
from perdure_common.adapters.postgres_types import column

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def unpacked(sent: Any, count: int) -> list[Any]:
    """Do what the functions of the schema do (migrations/shell/0003_packed_columns.sql)."""
    if len(sent) == count:
        return list(sent)
    assert len(sent) == 1
    return [None if text == NULL else text for text in sent[0].split(SEPARATOR)]


@given(st.lists(st.none() | st.text("ab\x1e\x1f\x00é", max_size=3), min_size=1, max_size=6))
def test_texts_are_the_same_after_the_journey_whatever_is_in_them(values: list[str | None]) -> None:
    assert unpacked(texts(values), len(values)) == values


@given(st.lists(st.none() | st.text(max_size=5) | st.integers(-5, 5), min_size=1, max_size=6))
def test_json_values_are_the_same_after_the_journey(values: list[Any]) -> None:
    plain = [value for value in values if not isinstance(value, str) or value.isprintable()]
    if plain:
        found = unpacked(packed_json(plain), len(plain))
        expected = packed_json([*plain, "x" * JOINED_MAX * 10])[:-1]  # long ones are not joined
        assert found == list(expected)


def test_short_texts_travel_as_one_and_long_ones_each_by_itself() -> None:
    assert texts(["a", None, ""]) == ("a\x1f\x1e\x1f",)
    long = ["x" * (JOINED_MAX + 1)] * 2
    assert texts(long) == long
    assert texts([""]) == [""]


def test_a_value_that_all_rows_share_travels_once() -> None:
    assert repeated([NOW, NOW, NOW]) == (NOW,)
    assert repeated([1, 2]) == [1, 2]
    assert repeated([None, None]) == (None,)
    assert repeated([0.0, -0.0]) == [0.0, -0.0]


@pytest.mark.parametrize("value", [1, 1.5, b"x", ["a"]])
def test_a_column_of_text_does_not_take_what_is_none(value: object) -> None:
    name = column("name", "text", is_array=False, required=True)
    with pytest.raises(TypeError):
        packed(name, ["a", value])


def test_characters_that_the_server_refuses_are_replaced() -> None:
    name = column("name", "text", is_array=False, required=True)
    assert unpacked(packed(name, ["a\x00", "b\ud800", "c"]), 3) == ["a\ufffd", "b\ufffd", "c"]


def test_a_whole_number_that_no_float_is_near_to_is_null_in_a_row() -> None:
    data = column("data", "jsonb", is_array=False, required=True)
    (sent,) = packed(data, [{"large": 10**300, "larger": 10**309, "least": [-(10**5_000)]}])
    assert orjson.loads(sent) == {"large": 1e300, "larger": None, "least": [None]}
