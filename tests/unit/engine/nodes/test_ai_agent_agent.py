"""What an AI_AGENT AGENT is, and what it refuses when its workflow is read."""

from typing import Any

import pytest
from nodes_for_tests import made, refused

GIVEN: dict[str, Any] = {"model": "m", "prompt": "Hello"}


def test_an_agent_is_claimed_and_may_be_tried_again() -> None:
    node = made("AI_AGENT.AGENT", **GIVEN)
    assert node.specification.effect(node.parameters) == "keyed"
    assert node.specification.length(node.parameters, 5.0) == "long"
    assert node.specification.attempt_timeout_s(node.parameters) == 315.0


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"provider": "someone"}, "provider"),
        ({"base_url": "localhost:8080"}, "base_url"),
        ({"output_schema": {"type": "array"}}, "output_schema"),
        ({"output_schema": {"type": "object", "properties": 3}}, "output_schema"),
        ({"output_schema": {"type": "object", "properties": {"a": {"pattern": "("}}}},
         "output_schema"),
        ({"steps_max": 0}, "steps_max"),
        ({"temperature": 3}, "temperature"),
        ({"credential": "My Key"}, "credential"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_its_place(more: dict[str, Any], where: str) -> None:
    assert refused("AI_AGENT.AGENT", **{**GIVEN, **more}) == [("invalid_parameter", where)]


def test_prices_are_both_or_none() -> None:
    given = {**GIVEN, "prices": {"input": 1}}
    assert refused("AI_AGENT.AGENT", **given) == [("missing_parameter", "prices.output")]


def test_where_a_model_is_asked_is_fixed() -> None:
    given = {**GIVEN, "base_url": "{{ $json.url }}"}
    assert refused("AI_AGENT.AGENT", **given) == [("expression_not_allowed", "base_url")]
