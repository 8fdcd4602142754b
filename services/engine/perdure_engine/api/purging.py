"""Purging executions by HTTP: all that ended long enough ago and match, with a dry run.

Each is sent a command of its own, which it takes or refuses as any other. Rows go a little later
(perdure_engine/retention.py).
"""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request
from perdure_common.api import many
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import tags, writes
from perdure_common.api.many import Limit, Many, Row, Text
from perdure_common.api.problem import Problem
from perdure_common.run import utc_now
from perdure_common.settings import EXECUTION_DAYS_MIN
from perdure_contracts.purging import PurgeExecution

from perdure_engine.executions.state import ENDED
from perdure_engine.retention import Keep, past

from .bulk import SHOWN, UUID, Came
from .ground import Ground


class Purge(msgspec.Struct, forbid_unknown_fields=True):
    """Which executions are to go: those that ended more than `older_than_days` days ago.

    The latest execution of a workflow stays, and so does a child whose parent is open.
    """

    older_than_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)]
    status: list[Literal["SUCCESS", "ERROR", "TIMEOUT", "CANCELED"]] = []
    workflow_id: Annotated[str, msgspec.Meta(pattern=UUID)] | None = None
    execution_id: Text | None = None
    limit: Limit = 100
    dry_run: bool = False
    asked_by: Text = ""


class Purged(many.Done, kw_only=True):
    """What came of all of them."""

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
        rows = await past(
            ground.reading, ground.tenant(request), Keep(body.older_than_days), utc_now(),
            status=body.status or ENDED, workflow_id=body.workflow_id,
            execution_id=body.execution_id, most=body.limit + 1,
        )  # fmt: skip

        def command(row: Row) -> tuple[str, PurgeExecution]:
            id = str(row["execution_id"])
            return id, PurgeExecution(execution_id=id, asked_by=body.asked_by)

        sending = Many(ground.asking, request, "purge", SHOWN, command, body.dry_run)
        return await sending.send(rows, body.limit, "executions")

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
