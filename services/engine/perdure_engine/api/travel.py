"""Time travel by HTTP: an execution's journal, executed again up to any version."""

import asyncio
from typing import Any

from fastapi import Request
from perdure_common.api.endpoints import number, only, query, reads, tags
from perdure_common.api.problem import Problem
from perdure_common.shell import remake
from perdure_common.shell.shard import Held

from perdure_engine.executions.state import Execution
from perdure_engine.executions.travel import ITEMS_SHOWN, Seen, difference, seen

from .ground import PREFIX, Ground, check_name, no_execution
from .history import VERSION_MAX

ROWS_AT_ONCE = 200
"""Events that are folded before others get their turn."""

ITEMS_MAX = 10_000


def add(ground: Ground) -> None:
    """Add `GET …/state` and `GET …/diff`."""

    async def state(request: Request, key: str) -> dict[str, Any]:
        only(request, ("at", "items"))
        at = number(request, "at", VERSION_MAX, 1, VERSION_MAX)
        (found,) = await travelled(ground, request, key, [at])
        return found

    async def diff(request: Request, key: str) -> dict[str, Any]:
        only(request, ("before", "after", "items"))
        before = number(request, "before", 1, 1, VERSION_MAX)
        after = number(request, "after", VERSION_MAX, 1, VERSION_MAX)
        if before > after:
            raise Problem(
                400, "invalid_parameter", "`before` must not be above `after`: exchange them"
            )
        first, last = await travelled(ground, request, key, [before, after])
        versions = {"before": first["version"], "after": last["version"]}
        return {**difference(first, last), "versions": versions}

    items = query("items", "integer", "items shown of each port", minimum=0, maximum=ITEMS_MAX)
    ground.app.add_api_route(
        PREFIX + "/state",
        state,
        name="state",
        summary="Show an execution as it stood at a version of its stream",
        tags=tags("workflow_executions"),
        openapi_extra=reads(query("at", "integer", "the version; the last one if left out"), items),
    )
    ground.app.add_api_route(
        PREFIX + "/diff",
        diff,
        name="diff",
        summary="Show what changed between two versions of an execution's stream",
        tags=tags("workflow_executions"),
        openapi_extra=reads(query("before", "integer"), query("after", "integer"), items),
    )


async def travelled(ground: Ground, request: Request, key: str, versions: list[int]) -> list[Seen]:
    """Return an execution as it stood at each of some versions, which must not go back.

    Every event is folded again from the first one on: no snapshot is trusted.

    Raises:
        Problem: `execution_not_found`.
    """
    check_name(key)
    shown = number(request, "items", ITEMS_SHOWN, 0, ITEMS_MAX)
    tenant_id = ground.tenant(request)
    _, rows = (await ground.store.load({key: 0})).get(key, (None, ()))
    held = Held(None, None, 0, "")
    found: list[Seen] = []
    wanted = iter(versions)
    version = next(wanted)
    last: Any = None
    for count, row in enumerate([*rows, None]):
        while row is None or row.version > version:
            if not isinstance(held.state, Execution) or held.tenant_id != tenant_id:
                raise no_execution(key)
            workflow = await ground.workflow_of(tenant_id, held.state)
            head = {"version": held.version, "last_event": last.type, "at": last.recorded_at}
            found.append({**head, **seen(held.state, workflow, shown)})
            following = next(wanted, None)
            if following is None:
                return found
            version = following
        remake.replay(ground.registry, held, row)
        last = row
        if count % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return found
