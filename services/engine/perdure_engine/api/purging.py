"""Purging executions by HTTP: all that ended long enough ago and match, with a dry run.

Each is sent a command of its own, which it takes or refuses as any other. Rows go a little later
(perdure_engine/retention.py).
"""

import asyncio
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request
from perdure_common.api.asking import KEY_HEADER
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.problem import Problem
from perdure_common.ids import derived
from perdure_common.run import utc_now
from perdure_common.settings import EXECUTION_DAYS_MIN
from perdure_contracts.purging import PurgeExecution

from perdure_engine.executions.purging import ENDED
from perdure_engine.retention import SQL

from .bulk import AT_ONCE, MOST, UUID, Came, Text
from .ground import Ground, tags, writes


class Purge(msgspec.Struct, forbid_unknown_fields=True):
    """Which executions are to go: those that ended more than `older_than_days` days ago.

    The latest execution of a workflow stays, and so does a child whose parent is open.
    """

    older_than_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)]
    status: list[Literal["SUCCESS", "ERROR", "TIMEOUT", "CANCELED"]] = []
    workflow_id: Annotated[str, msgspec.Meta(pattern=UUID)] | None = None
    execution_id: Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 100
    dry_run: bool = False
    asked_by: Text = ""


class Purged(msgspec.Struct):
    """What came of all of them; `more` says that others match as well."""

    dry_run: bool
    matched: int
    accepted: int
    more: bool
    executions: list[Came]


def add(ground: Ground) -> None:
    """Add the endpoint."""

    async def purge(request: Request) -> dict[str, Any]:
        ground.asking.check_tenant(request)
        body = await read_body(request, Purge)
        if body.older_than_days < EXECUTION_DAYS_MIN:
            raise Problem(
                422,
                "too_young",
                f"executions are kept for {EXECUTION_DAYS_MIN} days at least, as long as topics "
                f"keep records: older_than_days must be {EXECUTION_DAYS_MIN} or more",
            )
        before = utc_now() - timedelta(days=body.older_than_days)
        rows = await ground.reading.rows(
            SQL["matching"], ground.tenant(request), list(body.status or ENDED),
            int(before.timestamp() * 1000), body.workflow_id, body.execution_id, body.limit + 1,
        )  # fmt: skip
        more, rows = len(rows) > body.limit, rows[: body.limit]
        found: list[dict[str, Any]] = []
        for first in range(0, len(rows), AT_ONCE):
            part = rows[first : first + AT_ONCE]
            found += await asyncio.gather(*(one(ground, request, body, row) for row in part))
        return {
            "dry_run": body.dry_run,
            "matched": len(rows),
            "accepted": sum(each["accepted"] for each in found),
            "more": more,
            "executions": found,
        }

    ground.app.add_api_route(
        "/v1/bulk/purges",
        purge,
        methods=["POST"],
        name="purge_executions",
        summary="Delete executions that ended long ago; with a dry run",
        tags=tags("workflow_executions"),
        openapi_extra=writes(body_schema(Purge)),
        responses=responses(200, Purged, "What came of each."),
    )


async def one(ground: Ground, request: Request, body: Purge, row: Any) -> dict[str, Any]:
    """Send the command to one execution, and return what came of it."""
    came = {**row, "sent": not body.dry_run, "accepted": False, "code": "", "detail": ""}
    if body.dry_run:
        return came
    key = request.headers.get(KEY_HEADER)
    id = None if key is None else derived("purge", key, row["execution_id"])
    message = PurgeExecution(execution_id=row["execution_id"], asked_by=body.asked_by)
    try:
        asked = await ground.asking.ask(request, row["execution_id"], message, id=id)
    except Problem as problem:
        return {**came, "code": problem.code, "detail": problem.detail}
    return {**came, "accepted": asked.answer is not None, "code": "" if asked.answer else "late"}
