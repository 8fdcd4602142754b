"""Why an execution waits, by HTTP: folded from the journal, so it is the truth of this moment."""

from dataclasses import asdict
from typing import Any

from fastapi import Request
from perdure_common.api.endpoints import reads, tags
from perdure_common.ids import partition_of
from perdure_common.shell import remake

from perdure_engine.executions.queueing import admission_of, gate_asked
from perdure_engine.executions.route_queueing import gate_id
from perdure_engine.executions.state import Execution
from perdure_engine.executions.why import why
from perdure_engine.gates.state import Gate, place_in_queue

from .ground import PREFIX, Ground
from .workers import with_workers


def add(ground: Ground) -> None:
    """Add `GET …/why`: what an open execution waits for. Any process of the service can say it."""

    async def waiting(request: Request, key: str) -> dict[str, Any]:
        state, _ = await ground.execution(request, key)
        workflow = await ground.workflow_of(ground.tenant(request), state)
        waits = [asdict(each) for each in why(state, workflow)]
        for each in waits:
            if each["waits_for"] == "turn":
                each["what"] += await _place(ground, request, state)
        return {
            "execution_id": key,
            "status": state.status,
            "shard": partition_of(key, ground.settings.partitions),
            "waits_for": await with_workers(ground, request, waits),
        }

    ground.app.add_api_route(
        PREFIX + "/why",
        waiting,
        name="why",
        summary="Say what an execution waits for",
        tags=tags("workflow_executions"),
        openapi_extra=reads(),
    )


async def _place(ground: Ground, request: Request, state: Execution) -> str:
    """Return the place of an execution in the queue of the gate that it waits at, in words."""
    admission = admission_of(state)
    asked = None if admission is None else gate_asked(admission)
    if asked is None:
        return ""
    stream = gate_id(ground.tenant(request), asked)
    gate = (await remake.load(ground.registry, ground.store, {stream: -1}))[stream].state
    place = place_in_queue(gate, state.execution_id) if isinstance(gate, Gate) else None
    if place is None or not isinstance(gate, Gate):
        return ""  # the gate has not heard of it yet, or has let it in a moment ago
    return f", place {place} of {len(gate.waiting)} that wait; {len(gate.holders)} run"
