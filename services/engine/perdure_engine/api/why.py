"""Why an execution waits, by HTTP: folded from the journal, so it is the truth of this moment."""

from dataclasses import asdict
from typing import Any

from fastapi import Request
from perdure_common.ids import partition_of

from perdure_engine.executions.why import why

from .ground import PREFIX, Ground, reads, tags


def add(ground: Ground) -> None:
    """Add `GET …/why`: what an open execution waits for. Any process of the service can say it."""

    async def waiting(request: Request, key: str) -> dict[str, Any]:
        state, _ = await ground.execution(request, key)
        workflow = await ground.workflow_of(ground.tenant(request), state)
        return {
            "execution_id": key,
            "status": state.status,
            "shard": partition_of(key, ground.settings.partitions),
            "waits_for": [asdict(each) for each in why(state, workflow)],
        }

    ground.app.add_api_route(
        PREFIX + "/why",
        waiting,
        name="why",
        summary="Say what an execution waits for",
        tags=tags("workflow_executions"),
        openapi_extra=reads(),
    )
