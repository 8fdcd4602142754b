"""One action for many executions by HTTP: cancel or retry all that match a filter.

Each execution is sent a command of its own, which it takes or refuses as any other; what came of
each is told. A dry run tells what would be sent, and sends nothing.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.asking import KEY_HEADER
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.problem import Problem
from perdure_common.ids import derived
from perdure_contracts.engine import CancelExecution, RetryNode

from .ground import Ground, tags, writes

SQL: Mapping[str, str] = queries(Path(__file__).with_name("bulk.sql"))
MOST = 1_000
"""Executions that one request may be about; those that are left match the next one."""

AT_ONCE = 32
"""Commands whose answers are waited for at the same time."""

UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
Text = Annotated[str, msgspec.Meta(max_length=1_000)]
Open = Literal["NEW", "RUNNING", "PAUSED", "WAITING_FOR_HUMAN"]
Failed = Literal["ERROR", "TIMEOUT", "CANCELED"]

DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "cancel": ("NEW", "RUNNING", "PAUSED", "WAITING_FOR_HUMAN"),
    "retry": ("ERROR", "TIMEOUT"),
}
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "cancel": DEFAULTS["cancel"],
    "retry": (*DEFAULTS["retry"], "CANCELED"),
}


class Bulk(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done with the executions that match.

    Without `status` these are all that the action is for: those that are open, or those that
    failed. `error_type` is the type of the error that ended them; the instants bound when
    they began. With `dry_run` nothing is sent.
    """

    action: Literal["cancel", "retry"]
    status: list[Open | Failed] = []
    workflow_id: Annotated[str, msgspec.Meta(pattern=UUID)] | None = None
    error_type: Text | None = None
    since: datetime | None = None
    before: datetime | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 100
    dry_run: bool = False
    reason: Text = ""
    asked_by: Text = ""


class Came(msgspec.Struct):
    """What came of one execution; `code` and `detail` say why it refused."""

    execution_id: str
    workflow_id: str
    workflow_name: str | None
    status: str
    sent: bool
    accepted: bool
    code: str = ""
    detail: str = ""


class Done(msgspec.Struct):
    """What came of all of them; `more` says that others match as well."""

    action: str
    dry_run: bool
    matched: int
    accepted: int
    more: bool
    executions: list[Came]


def add(ground: Ground) -> None:
    """Add the endpoint."""

    async def bulk(request: Request) -> dict[str, Any]:
        ground.asking.check_tenant(request)
        body = await read_body(request, Bulk)
        rows = await ground.reading.rows(
            SQL["matching"], ground.tenant(request), _statuses(body), body.workflow_id,
            body.error_type, _instant("since", body.since), _instant("before", body.before),
            body.limit + 1,
        )  # fmt: skip
        more, rows = len(rows) > body.limit, rows[: body.limit]
        found: list[dict[str, Any]] = []
        for first in range(0, len(rows), AT_ONCE):
            part = rows[first : first + AT_ONCE]
            found += await asyncio.gather(*(_one(ground, request, body, row) for row in part))
        return {
            "action": body.action,
            "dry_run": body.dry_run,
            "matched": len(rows),
            "accepted": sum(each["accepted"] for each in found),
            "more": more,
            "executions": found,
        }

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


async def _one(
    ground: Ground, request: Request, body: Bulk, row: Mapping[str, Any]
) -> dict[str, Any]:
    execution_id = str(row["execution_id"])
    came = {
        "execution_id": execution_id,
        "workflow_id": row["workflow_id"],
        "workflow_name": row["workflow_name"],
        "status": row["status"],
        "sent": not body.dry_run,
        "accepted": False,
        "code": "",
        "detail": "",
    }
    if body.dry_run:
        return came
    message: CancelExecution | RetryNode
    if body.action == "cancel":
        message = CancelExecution(
            execution_id=execution_id, reason=body.reason, asked_by=body.asked_by
        )
    else:
        message = RetryNode(execution_id=execution_id, asked_by=body.asked_by)
    key = request.headers.get(KEY_HEADER)
    id = None if key is None else derived("bulk", key, execution_id)
    try:
        asked = await ground.asking.ask(request, execution_id, message, id=id)
    except Problem as problem:
        return {**came, "code": problem.code, "detail": problem.detail}
    return {**came, "accepted": asked.answer is not None, "code": "" if asked.answer else "late"}
