"""Ids and hashes that follow from what they stand for."""

import uuid

import pytest
from perdure_common.ids import NAMESPACE, canonical_json, derived, sha256_of_json, time_ordered


def test_the_same_json_has_the_same_hash_whatever_the_order_of_its_keys() -> None:
    one = {"b": [1, 2.5, None], "a": {"y": "ü", "x": True}}
    other = {"a": {"x": True, "y": "ü"}, "b": [1, 2.5, None]}
    assert sha256_of_json(one) == sha256_of_json(other)
    assert canonical_json(one) == '{"a":{"x":true,"y":"ü"},"b":[1,2.5,null]}'.encode()


@pytest.mark.parametrize("other", [{"a": "1"}, {"a": 1.0}, {"a": [1]}, {"A": 1}, {}])
def test_another_json_has_another_hash(other: object) -> None:
    assert sha256_of_json({"a": 1}) != sha256_of_json(other)


def test_the_hash_of_an_empty_object_is_that_of_two_braces() -> None:
    expected = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert sha256_of_json({}) == expected


@pytest.mark.parametrize("value", [float("nan"), [float("inf")]])
def test_a_number_that_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        sha256_of_json(value)


def test_derived_ids_keep_their_parts_apart() -> None:
    assert derived("a", "bc") != derived("ab", "c")
    assert derived("a", 1) == derived("a", "1")


def test_time_ordered_ids_begin_with_their_time_and_are_of_version_eight() -> None:
    made = uuid.UUID(time_ordered(1_767_225_600_123, "x"))
    assert made.version == 8
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == 1_767_225_600_123
    assert time_ordered(1, "z") < time_ordered(2, "a")


@pytest.mark.parametrize("parts", [("a",), ("attempt", "x", "n1", (), 1, None), ("ü", -1)])
def test_derived_ids_are_the_uuids_of_version_five_that_the_library_makes(
    parts: tuple[object, ...],
) -> None:
    text = "\x1f".join(str(part) for part in parts)
    assert derived(*parts) == str(uuid.uuid5(NAMESPACE, text))


def test_time_ordered_ids_never_change() -> None:
    assert (
        time_ordered(1_767_225_600_123, "run", "x", (), 1) == "019b76da-a87b-8da6-ac38-ac20bd1644ad"
    )
