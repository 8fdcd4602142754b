"""What is stuck, by HTTP: the oldest open executions, each with what it waits for."""

from dataclasses import asdict
from typing import Any

from fastapi import Request
from perdure_common.api.endpoints import number, only, query, reads, tags
from perdure_common.run import utc_now
from perdure_common.shell import remake

from perdure_engine.executions.stalls import stall
from perdure_engine.executions.state import Execution
from perdure_engine.executions.why import why

from .ground import SQL, Ground
from .workers import with_workers

OLDER_S = 60
LIMIT_DEFAULT = 20
LIMIT_MAX = 100
DAY_S = 86_400


def add(ground: Ground) -> None:
    """Add `GET /v1/stuck`."""

    async def stuck(request: Request) -> dict[str, Any]:
        only(request, ("older_than_s", "limit"))
        older_s = number(request, "older_than_s", OLDER_S, 0, 3_650 * DAY_S)
        limit = number(request, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
        tenant_id = ground.tenant(request)
        rows = await ground.reading.rows(SQL["open"], tenant_id, float(older_s), limit)
        keys = [str(row["execution_id"]) for row in rows]
        held = await remake.load(ground.registry, ground.store, dict.fromkeys(keys, -1))
        items: list[dict[str, Any]] = []
        for row in rows:
            state = held[row["execution_id"]].state
            if not isinstance(state, Execution):
                continue
            workflow = await ground.workflow_of(tenant_id, state)
            unexplained = stall(state, workflow, utc_now(), ground.settings.stall_grace_s)
            waits = [asdict(each) for each in why(state, workflow)]
            items.append({**row, "unexplained": unexplained, "waits_for": waits})
        everything = [each for item in items for each in item["waits_for"]]
        await with_workers(ground, request, everything)
        return {"items": items}

    ground.app.add_api_route(
        "/v1/stuck",
        stuck,
        name="stuck",
        summary="List the oldest open executions, each with what it waits for",
        tags=tags("workflow_executions"),
        openapi_extra=reads(
            query("older_than_s", "integer", "only those that began so long ago", minimum=0),
            query("limit", "integer", minimum=1, maximum=LIMIT_MAX),
        ),
    )
