"""Steering an execution by HTTP: pause and resume it, settle a node by hand."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import tags, writes
from perdure_contracts.control import MarkNode, PauseExecution, ResumeExecution

from perdure_engine.runner.files import Uploaded

from . import uploads
from .executions import Accepted, accepted
from .ground import PREFIX, Ground

Text = Annotated[str, msgspec.Meta(max_length=1_000)]


class Pause(msgspec.Struct, forbid_unknown_fields=True):
    """Why, and by whom, an execution is paused."""

    reason: Text = ""
    asked_by: Text = ""


class Resume(msgspec.Struct, forbid_unknown_fields=True):
    """By whom an execution is resumed."""

    asked_by: Text = ""


class Mark(msgspec.Struct, forbid_unknown_fields=True):
    """How a node is settled: `done` with `data`, or `skipped`.

    `scope` has the (region, iteration)s around it. `data` is `{"ports": {port: [data, …]}}`, or an
    object or a list of objects for the node's first port; without it what arrived is passed on.
    `files` are those of the items of `data`, as in a start.
    """

    outcome: Literal["done", "skipped"]
    scope: list[tuple[str, int]] = []
    data: Any = None
    files: dict[str, dict[str, Uploaded]] | None = None
    reason: Text = ""
    asked_by: Text = ""


def add(ground: Ground) -> None:
    """Add the endpoints."""

    async def paused(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Pause)
        message = PauseExecution(execution_id=key, reason=body.reason, asked_by=body.asked_by)
        return await accepted(ground, request, key, message)

    async def resumed(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Resume)
        message = ResumeExecution(execution_id=key, asked_by=body.asked_by)
        return await accepted(ground, request, key, message)

    async def marked(request: Request, key: str, node_id: str) -> dict[str, Any]:
        body = await read_body(request, Mark)
        message = MarkNode(
            execution_id=key,
            node_id=node_id,
            outcome=body.outcome,
            scope=tuple(body.scope),
            data=body.data,
            files=await uploads.given(ground, ground.tenant(request), body.files),
            reason=body.reason,
            asked_by=body.asked_by,
        )
        return await accepted(ground, request, key, message)

    for path, endpoint, body, summary in (
        ("/pause", paused, Pause, "Pause an execution: nothing new begins, deadlines stand still"),
        ("/resume", resumed, Resume, "Let a paused execution go on"),
        (
            "/nodes/{node_id}/mark",
            marked,
            Mark,
            "Settle a node by hand: done, or skipped",
        ),
    ):
        ground.app.add_api_route(
            PREFIX + path,
            endpoint,
            methods=["POST"],
            name=f"{body.__name__.lower()}_execution" if body is not Mark else "mark_node",
            summary=summary,
            tags=tags("workflow_executions"),
            openapi_extra=writes(body_schema(body)),
            responses=responses(200, Accepted, "What was accepted."),
        )
