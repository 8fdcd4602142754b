"""A message behaves as a frozen dataclass does, though it is none."""

from dataclasses import fields, replace

import msgspec
import pytest
from perdure_contracts.engine import NodeCompleted
from perdure_contracts.message import NAMES, TYPES, message


def completed(**more: object) -> NodeCompleted:
    needed = {"execution_id": "e", "node_id": "n", "scope": (), "run": 1, "attempt": 1}
    return NodeCompleted(**{**needed, "ports": {}, "live": (), "dead": (), "step": 1, **more})  # type: ignore[arg-type]


def test_a_message_cannot_be_changed_and_is_equal_to_one_with_the_same_fields() -> None:
    made = completed()
    with pytest.raises(AttributeError):
        made.run = 2  # type: ignore[misc]
    assert type(made) is NodeCompleted
    assert made == completed()
    assert made != completed(run=2)
    assert replace(made, run=2) == completed(run=2)


def test_each_message_has_default_values_of_its_own() -> None:
    one, other = completed(), completed()
    assert one.picks == {}
    assert one.picks is not other.picks
    assert completed(picks={"1": (0,)}).picks == {"1": (0,)}


def test_a_field_that_is_missing_or_unknown_is_an_error() -> None:
    with pytest.raises(TypeError, match="node_id"):
        NodeCompleted(execution_id="e")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        completed(colour="red")


def test_a_message_may_have_no_fields() -> None:
    @message("test.nothing.v1")
    class Nothing:
        """Nothing."""

    try:
        assert fields(Nothing()) == ()  # type: ignore[arg-type]
        assert Nothing() == Nothing()
    finally:
        del TYPES[NAMES.pop(Nothing)]


def test_what_has_its_default_value_is_left_out_of_the_body() -> None:
    body = msgspec.json.decode(msgspec.json.encode(completed(node_type="FLOW", picks={})))
    assert body["node_type"] == "FLOW"
    assert not {"picks", "node_name", "inline"} & body.keys()
    assert msgspec.json.decode(msgspec.json.encode(completed()), type=NodeCompleted) == completed()
