"""One action for many executions by HTTP: cancel or retry all that match a filter.

Each execution is sent a command of its own, which it takes or refuses as any other; what came of
each is told. A dry run tells what would be sent, and sends nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api import many
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import tags, writes
from perdure_common.api.many import Limit, Many, Row, Text
from perdure_common.api.problem import Problem
from perdure_contracts.engine import CancelExecution, RetryNode

from perdure_engine.executions.state import OPEN

from .ground import Ground

SQL: Mapping[str, str] = queries(Path(__file__).with_name("bulk.sql"))
UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
Open = Literal["NEW", "RUNNING", "PAUSED", "WAITING_FOR_HUMAN"]
Failed = Literal["ERROR", "TIMEOUT", "CANCELED"]

DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "cancel": OPEN,
    "retry": ("ERROR", "TIMEOUT"),
}
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "cancel": DEFAULTS["cancel"],
    "retry": (*DEFAULTS["retry"], "CANCELED"),
}


class Bulk(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done with the executions that match.

    Without `status` these are all that the action is for: those that are open, or those that
    failed. `error_type` is the type of the error that ended them, `error_code` what the other side
    answered then: its HTTP status, or one of its own codes. The instants bound when they began.
    With `dry_run` nothing is sent.
    """

    action: Literal["cancel", "retry"]
    status: list[Open | Failed] = []
    workflow_id: Annotated[str, msgspec.Meta(pattern=UUID)] | None = None
    error_type: Text | None = None
    error_code: Text | None = None
    since: datetime | None = None
    before: datetime | None = None
    limit: Limit = 100
    dry_run: bool = False
    reason: Text = ""
    asked_by: Text = ""


class Came(many.Came, kw_only=True):
    """What came of one execution."""

    execution_id: str
    workflow_id: str
    workflow_name: str | None
    status: str


SHOWN = ("execution_id", "workflow_id", "workflow_name", "status")


class Done(many.Done, kw_only=True):
    """What came of all of them."""

    action: str
    executions: list[Came]


def add(ground: Ground) -> None:
    """Add the endpoint."""

    async def bulk(request: Request) -> dict[str, Any]:
        ground.asking.check_tenant(request)
        body = await read_body(request, Bulk)
        rows = await ground.reading.rows(
            SQL["matching"], ground.tenant(request), _statuses(body), body.workflow_id,
            body.error_type, _instant("since", body.since), _instant("before", body.before),
            body.limit + 1, body.error_code,
        )  # fmt: skip

        def command(row: Row) -> tuple[str, CancelExecution | RetryNode]:
            id = str(row["execution_id"])
            if body.action == "retry":
                return id, RetryNode(execution_id=id, asked_by=body.asked_by)
            return id, CancelExecution(execution_id=id, reason=body.reason, asked_by=body.asked_by)

        sending = Many(ground.asking, request, "bulk", SHOWN, command, body.dry_run)
        done = await sending.send(rows, body.limit, "executions")
        return {"action": body.action, **done}

    ground.app.add_api_route(
        "/v1/bulk/workflow_executions",
        bulk,
        methods=["POST"],
        name="bulk_executions",
        summary="Cancel or retry all executions that match a filter; with a dry run",
        tags=tags("workflow_executions"),
        openapi_extra=writes(body_schema(Bulk)),
        responses=responses(200, Done, "What came of each."),
    )


def _statuses(body: Bulk) -> list[str]:
    allowed = ALLOWED[body.action]
    for status in body.status:
        if status not in allowed:
            raise Problem(
                422,
                "invalid_status",
                f"{body.action} is not for executions that are {status}; it is for "
                f"{', '.join(allowed)}",
            )
    return list(body.status or DEFAULTS[body.action])


def _instant(name: str, at: datetime | None) -> datetime | None:
    if at is not None and at.tzinfo is None:
        raise Problem(422, "invalid_instant", f"`{name}` needs a time zone, such as Z at its end")
    return at
