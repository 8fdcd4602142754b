"""What a TOOL HTTP refuses when its workflow is read."""

from typing import Any

import pytest
from nodes_for_tests import made, refused

ID: dict[str, Any] = {"type": "object", "properties": {"id": {"type": "string"}}}
GIVEN: dict[str, Any] = {
    "name": "look",
    "description": "Looks.",
    "url": "https://shop.test/{id}",
    "arguments": ID,
}


def test_a_tool_is_taken_as_it_is() -> None:
    node = made("TOOL.HTTP", **GIVEN)
    assert node.specification.place == "attached"
    assert node.specification.effect(node.parameters) == "pure"


@pytest.mark.parametrize(
    ("more", "effect"),
    [
        ({"method": "POST"}, "unsafe"),
        ({"method": "POST", "idempotency_header": "Key"}, "keyed"),
        ({"method": "HEAD"}, "pure"),
    ],
)
def test_the_method_and_its_key_say_what_a_repetition_costs(
    more: dict[str, Any], effect: str
) -> None:
    node = made("TOOL.HTTP", **GIVEN, **more)
    assert node.specification.effect(node.parameters) == effect


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"name": "look at"}, "name"),
        ({"name": "7"}, "name"),
        ({"url": "ftp://x"}, "url"),
        ({"url": "https://{id}.test/x"}, "url"),
        ({"url": "https://shop.test/{other}"}, "url"),
        ({"arguments": {**ID, "type": "string"}}, "arguments"),
        ({"arguments": {**ID, "type": "objekt"}}, "arguments"),
        ({"arguments": {**ID, "$ref": "https://x.test/schema"}}, "arguments"),
        ({"arguments": {**ID, "patternProperties": {"a+": {}}}}, "arguments"),
        (
            {"arguments": {"type": "object", "properties": {"id": {"pattern": "(?=a)"}}}},
            "arguments",
        ),
        ({"credential": "Shop!"}, "credential"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(more: dict[str, Any], where: str) -> None:
    assert refused("TOOL.HTTP", **{**GIVEN, **more}) == [("invalid_parameter", where)]


def test_how_a_credential_is_shown_needs_a_credential() -> None:
    given = {**GIVEN, "credential_as": "basic"}
    assert refused("TOOL.HTTP", **given) == [("missing_parameter", "credential")]


def test_which_credential_is_used_is_fixed() -> None:
    given = {**GIVEN, "credential": "{{ $json.secret }}"}
    assert refused("TOOL.HTTP", **given) == [("expression_not_allowed", "credential")]
