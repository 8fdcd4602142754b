"""The history of an execution by HTTP: its events, as the journal has them."""

from typing import Any

import orjson
from fastapi import Request
from perdure_common.api.endpoints import number, only, query, reads, tags
from starlette.responses import Response

from .ground import PREFIX, SQL, Ground, no_execution

EVENTS_DEFAULT = 100
EVENTS_MAX = 1_000
PAGE_BYTES_MAX = 4 * 1024 * 1024
"""The events of one page, in bytes of their journal; the first one of a page always fits."""

VERSION_MAX = 2**31 - 1


def add(ground: Ground) -> None:
    """Add `GET …/history`."""

    async def history(request: Request, key: str) -> Response:
        only(request, ("after", "limit"))
        after = number(request, "after", 0, 0, VERSION_MAX)
        limit = number(request, "limit", EVENTS_DEFAULT, 1, EVENTS_MAX)
        events = await events_after(ground, ground.tenant(request), key, after, limit)
        if not events and not after:
            raise no_execution(key)
        following = events[-1]["version"] if events else None
        more = following is not None and bool(
            await events_after(ground, ground.tenant(request), key, following, 1)
        )
        body = {"items": [shown(event) for event in events], "next": following if more else None}
        return Response(orjson.dumps(body), media_type="application/json")

    ground.app.add_api_route(
        PREFIX + "/history",
        history,
        name="history",
        summary="List an execution's events; `after` is the version of the last one had",
        tags=tags("workflow_executions"),
        openapi_extra=reads(
            query("after", "integer", "`next` of the page before", minimum=0),
            query("limit", "integer", "events of a page", minimum=1, maximum=EVENTS_MAX),
        ),
    )


async def events_after(
    ground: Ground, tenant_id: str, key: str, after: int, limit: int
) -> list[dict[str, Any]]:
    """Return rows of an execution's journal, as many as one page may have."""
    return await ground.reading.rows(SQL["history"], tenant_id, key, after, limit, PAGE_BYTES_MAX)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return an event as people and programs are shown it."""
    return {
        "version": row["version"],
        "type": row["type"],
        "recorded_at": row["recorded_at"],
        "data": orjson.Fragment(row["data"]),
        "cause": orjson.loads(row["meta"]).get("cause", ""),
    }
