"""New executions from old ones by HTTP: rerun an ended one, fork a running one."""

import uuid
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import tags, writes
from perdure_contracts.control import RerunExecution

from . import uploads
from .executions import Key
from .ground import PREFIX, Ground

Text = Annotated[str, msgspec.Meta(max_length=1_000)]


class Rerun(msgspec.Struct, forbid_unknown_fields=True):
    """From where an execution is run again, as a new one.

    `from` is its `start`, where it `failed`, or the `node` named by `node_id`; `version` is the
    old one's if it is left out. `overrides`, about `node_id`, are as in `retry`. `execution_id` is
    a key of the caller's for the new execution.
    """

    origin: Literal["start", "failed", "node"] = msgspec.field(default="failed", name="from")
    node_id: str = ""
    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    overrides: dict[str, Any] | None = None
    execution_id: Key | None = None
    asked_by: Text = ""


class Fork(msgspec.Struct, forbid_unknown_fields=True):
    """The node from which a new execution goes on, with what the old one has done until now.

    The old one goes on as it is. The other fields are as in `rerun`.
    """

    node_id: str
    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    overrides: dict[str, Any] | None = None
    execution_id: Key | None = None
    asked_by: Text = ""


class Begun(msgspec.Struct):
    """The new execution, and the one that it was begun from."""

    execution_id: str
    parent_execution_id: str
    events: list[str]
    settled: bool
    command: dict[str, str]


def add(ground: Ground) -> None:
    """Add the endpoints."""

    async def rerun(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Rerun)
        return await _begun(
            ground, request, key, body.origin, body.node_id, body.version, body.overrides,
            body.execution_id, body.asked_by, fork=False,
        )  # fmt: skip

    async def fork(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Fork)
        return await _begun(
            ground, request, key, "node", body.node_id, body.version, body.overrides,
            body.execution_id, body.asked_by, fork=True,
        )  # fmt: skip

    summaries = {
        "rerun": "Run an ended execution again, as a new one that adopts what was finished",
        "fork": "Begin a new execution that goes on from a node of this one",
    }
    for name, endpoint, body in (("rerun", rerun, Rerun), ("fork", fork, Fork)):
        ground.app.add_api_route(
            f"{PREFIX}/{name}",
            endpoint,
            methods=["POST"],
            name=f"{name}_execution",
            summary=summaries[name],
            tags=tags("workflow_executions"),
            openapi_extra=writes(body_schema(body)),
            responses=responses(200, Begun, "What was begun."),
        )


async def _begun(
    ground: Ground,
    request: Request,
    key: str,
    origin: Literal["start", "failed", "node"],
    node_id: str,
    version: int | None,
    overrides: dict[str, Any] | None,
    execution_id: str | None,
    asked_by: str,
    *,
    fork: bool,
) -> dict[str, Any]:
    await ground.execution(request, key)
    message = RerunExecution(
        execution_id=key,
        new_execution_id=execution_id or str(uuid.uuid4()),
        origin=origin,
        node_id=node_id,
        version=version,
        overrides=await uploads.in_overrides(ground, ground.tenant(request), overrides),
        fork=fork,
        asked_by=asked_by,
    )
    asked = await ground.asking.ask(request, key, message)
    return {
        "execution_id": message.new_execution_id,
        "parent_execution_id": key,
        "events": list(asked.events),
        **asked.accepted,
    }
