"""A node subtype by HTTP, by its name: what it takes, emits and does.

The list is the table's own endpoint (`/v1/node_specifications`).
"""

from typing import Any

from perdure_common.api.endpoints import tags
from perdure_common.api.problem import Problem

from perdure_engine.nodes.describe import described
from perdure_engine.nodes.registry import SPECIFICATIONS

from .ground import Ground


def add(ground: Ground) -> None:
    """Add `GET /v1/node_specifications/{type}/{subtype}`."""

    async def shown(node_type: str, subtype: str) -> Any:
        wanted = (node_type.upper(), subtype.upper())
        for each in SPECIFICATIONS:
            if (each.node_type, each.subtype) == wanted:
                return described(each)
        raise Problem(
            404,
            "unknown_node",
            f"there is no node {node_type[:50]} {subtype[:50]}; /v1/node_specifications lists "
            "those there are",
        )

    ground.app.add_api_route(
        "/v1/node_specifications/{node_type}/{subtype}",
        shown,
        name="show_node",
        summary="Show a node subtype of this version, by its name",
        tags=tags("node_specifications"),
    )
