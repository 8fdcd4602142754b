"""What a TOOL MCP refuses when its workflow is read."""

from typing import Any

import pytest
from nodes_for_tests import made, refused

URL = "https://mcp.test/mcp"


def test_a_server_is_taken_as_it_is_and_its_calls_are_not_repeated() -> None:
    node = made("TOOL.MCP", url=URL, tools=["look", "note"], repeatable=["look"], approval=True)
    assert node.specification.place == "attached"
    assert node.specification.effect(node.parameters) == "unsafe"


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"url": "stdio:server"}, "url"),
        ({"tools": []}, "tools"),
        ({"tools": [7]}, "tools"),
        ({"tools": ["look"], "repeatable": ["note"]}, "repeatable"),
        ({"credential_as": "bearer"}, "credential"),
        ({"credential": "No Handle"}, "credential"),
        ({"approval": {"ask": "me"}}, "approval"),
        ({"calls_max": 0}, "calls_max"),
        ({"timeout_s": 301}, "timeout_s"),
    ],
)
def test_what_cannot_be_a_server_is_refused(more: dict[str, Any], where: str) -> None:
    ((_, path),) = refused("TOOL.MCP", **{"url": URL, **more})
    assert path.startswith(where)
