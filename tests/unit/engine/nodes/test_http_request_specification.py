"""What a repetition of a request costs, and how long it may take."""

from typing import Any

import pytest
from perdure_engine.nodes import find
from perdure_engine.nodes.external_action_http_request import effect, length


@pytest.mark.parametrize(
    ("parameters", "cost"),
    [
        ({}, "pure"),
        ({"method": "HEAD"}, "pure"),
        ({"method": "OPTIONS"}, "pure"),
        ({"method": "POST"}, "unsafe"),
        ({"method": "DELETE"}, "unsafe"),
        ({"method": "PUT", "idempotency_header": "Idempotency-Key"}, "keyed"),
    ],
)
def test_the_method_and_the_key_decide_what_a_repetition_costs(
    parameters: dict[str, Any], cost: str
) -> None:
    assert effect(parameters) == cost


def test_a_request_is_short_up_to_thirty_seconds() -> None:
    assert length({}, None) == "short"
    assert length({"timeout_s": 31}, None) == "long"
    assert length({"timeout_s": 31}, 30.0) == "short"
    assert length({}, 31.0) == "long"


def test_subtypes_are_found_by_type_and_name() -> None:
    assert find("FLOW", "IF") is not None
    assert find("ACTION", "IF") is None
