"""The log of an execution by HTTP: business and technical lines, milestones, progress."""

from typing import Any

import orjson
from fastapi import Request
from perdure_common.api.endpoints import query, reads, tags
from perdure_common.api.problem import Problem
from perdure_common.api.table import make_cursor, read_query
from starlette.responses import Response

from .ground import PREFIX, SQL, Ground
from .tables import TABLES

TABLE = "workflow_execution_logs"
SHORT = {"category": "log_category", "milestones": "is_milestone"}
"""What parameters are called here, and the columns that they are."""


def add(ground: Ground) -> None:
    """Add `GET …/logs` and `GET …/progress`."""

    async def logs(request: Request, key: str) -> Response:
        view = TABLES[TABLE]
        given = [(SHORT.get(name, name), value) for name, value in request.query_params.items()]
        if any(name == "execution_id" for name, _ in given):
            raise Problem(400, "unknown_parameter", "the execution is named by the path already")
        asked = [("execution_id", key), *((n, v.upper() if n in UPPER else v) for n, v in given)]
        rows, last = await ground.reading.page(
            TABLE, view, ground.tenant(request), read_query(view, asked)
        )
        following = None if last is None else make_cursor(view, last)
        body = b'{"items":[%b],"next":%b}' % (b",".join(rows), orjson.dumps(following))
        return Response(body, media_type="application/json")

    ground.app.add_api_route(
        PREFIX + "/logs",
        logs,
        name="logs",
        summary="List an execution's log in order",
        tags=tags("workflow_executions"),
        openapi_extra=reads(
            query("category", about="BUSINESS or TECHNICAL"),
            query("level", about="DEBUG, INFO, WARNING or ERROR"),
            query("milestones", "boolean", "true: milestones alone"),
            query("node_id"),
            query("q", about="a part of the message"),
            query("limit", "integer"),
            query("cursor", about="`next` of the page before"),
        ),
    )

    async def progress(request: Request, key: str) -> dict[str, Any]:
        state, version = await ground.execution(request, key)
        rows = await ground.reading.rows(SQL["progress"], ground.tenant(request), key)
        return {
            "execution_id": key,
            "status": state.status,
            "version": version,
            "steps": state.steps,
            "steps_total": state.steps_total,
            "open": len(state.open) + len(state.ready) + len(state.rounds),
            "last": rows[0] if rows else None,
        }

    ground.app.add_api_route(
        PREFIX + "/progress",
        progress,
        name="progress",
        summary="Say how far an execution is",
        tags=tags("workflow_executions"),
        openapi_extra=reads(),
    )


UPPER = ("log_category", "level")
"""Columns whose values are written in capitals."""
