"""Executions by HTTP: start one, look at it with its node runs, cancel it, retry a node.

The list and the search are the table's own endpoint (`/v1/workflow_executions`).
"""

import uuid
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Request
from perdure_common.api.asking import KEY_HEADER
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import number, only, query, reads, tags, writes
from perdure_common.api.problem import Problem
from perdure_common.ids import derived
from perdure_contracts.engine import (
    CancelExecution,
    ExecutionStarted,
    RetryNode,
    StartExecution,
)
from perdure_contracts.message import NAMES
from starlette.responses import Response

from perdure_engine.definition import Node, load
from perdure_engine.runner.files import Uploaded

from . import uploads
from .ground import PREFIX, SQL, Ground, no_execution
from .workflows import workflow_row

STARTS = "perdure.engine.starts.v1"
NODES_MAX = 10_000
"""Node runs that are shown with an execution; `/v1/node_executions` pages through all."""

NODES_DEFAULT = 1_000

Text = Annotated[str, msgspec.Meta(max_length=1_000)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^/\x00-\x1f]+$")]
"""A caller's own id of an execution: without slashes, for it is part of paths and of streams."""


class Start(msgspec.Struct, forbid_unknown_fields=True):
    """What to start. Without `version` the deployed one; without `node_id` its MANUAL trigger.

    `execution_id` is the caller's own key: a second start with it answers with the first.
    `data` is what the trigger emits; `files` are those of its items, by their places and names, as
    `POST /v1/files` has answered. `pin_data` makes it a test run: what nodes emit instead of
    running, by node id, beside the data pinned in the definition.
    """

    workflow_id: str
    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    node_id: str | None = None
    data: Any = msgspec.field(default_factory=dict)
    execution_id: Key | None = None
    mode: Literal["MANUAL", "TRIGGER"] = "MANUAL"
    pin_data: dict[str, Any] | None = None
    files: dict[str, dict[str, Uploaded]] | None = None


class Started(msgspec.Struct):
    """An execution that was started; `is_new` is False if the key had started it before."""

    execution_id: str
    workflow_id: str
    version: int
    is_new: bool
    settled: bool
    command: dict[str, str]


class Cancel(msgspec.Struct, forbid_unknown_fields=True):
    """Why, and by whom, an execution is stopped."""

    reason: Text = ""
    asked_by: Text = ""


class Retry(msgspec.Struct, forbid_unknown_fields=True):
    """Which node of an ended execution runs once more; without `node_id` the one that failed.

    `scope` has the (region, iteration)s around it. `overrides` may have `parameters` ({name:
    value}), `model`, `credentials` ({"credential": name}, in place of the one that the node names)
    and `input` (a list of data to take instead of what arrived, with `files` beside it as in a
    start).
    """

    node_id: str = ""
    scope: list[tuple[str, int]] = []
    overrides: dict[str, Any] | None = None
    asked_by: Text = ""
    delay_s: float = 0.0


class Accepted(msgspec.Struct):
    """What was accepted: the events that the command led to, and the status after them."""

    execution_id: str
    status: str
    events: list[str]
    settled: bool
    command: dict[str, str]


def add(ground: Ground) -> None:
    """Add the endpoints."""
    _add_start(ground)
    _add_show(ground)
    _add_cancel(ground)
    _add_retry(ground)


def _add_start(ground: Ground) -> None:
    async def started(request: Request) -> dict[str, Any]:
        ground.asking.check_tenant(request)
        body = await read_body(request, Start)
        version, trigger = await _what(ground, request, body)
        files = await uploads.given(ground, ground.tenant(request), body.files)
        execution_id = body.execution_id or _id_for(request, ground.tenant(request))
        message = StartExecution(
            execution_id=execution_id,
            workflow_id=body.workflow_id,
            version=version,
            node_id=trigger.node_id,
            mode=body.mode,
            triggered_by=f"{trigger.node_subtype}:{trigger.node_id}",
            trigger={"type": "perdure.api.start", "source": "/api/engine"},
            data=body.data,
            pin_data=await uploads.in_pins(ground, ground.tenant(request), body.pin_data),
            files=files,
        )
        asked = await ground.asking.ask(request, execution_id, message, topic=STARTS)
        if asked.answer is not None and NAMES[ExecutionStarted] not in asked.events:
            return await _first(ground, request, execution_id)
        return {
            "execution_id": execution_id,
            "workflow_id": body.workflow_id,
            "version": version,
            "is_new": True,
            **asked.accepted,
        }

    ground.app.add_api_route(
        "/v1/workflow_executions",
        started,
        methods=["POST"],
        name="start_execution",
        summary="Start an execution of a version at one of its triggers",
        tags=tags("workflow_executions"),
        openapi_extra=writes(body_schema(Start)),
        responses=responses(200, Started, "The execution."),
    )


async def _what(ground: Ground, request: Request, body: Start) -> tuple[int, Node]:
    """Return the version and the trigger that are meant.

    Raises:
        Problem: `workflow_not_found`, `version_not_found`, `not_deployed`, `trigger_not_found`.
    """
    row = await workflow_row(ground, request, body.workflow_id)
    version = body.version or row["deployment_version"]
    if version is None or (body.version is None and row["deployment_status"] != "ACTIVE"):
        raise Problem(
            409,
            "not_deployed",
            f"no version of {row['name']!r} is deployed; deploy one, or name a `version` "
            f"(the newest is {row['newest_version']})",
        )
    frozen = await ground.version(ground.tenant(request), body.workflow_id, int(version))
    workflow = load(frozen["definition"], frozen["sha256"])
    manual = [node for node in workflow.triggers if node.node_subtype == "MANUAL"]
    candidates = manual if len(manual) == 1 else list(workflow.triggers)
    if body.node_id is not None:
        candidates = [node for node in workflow.triggers if node.node_id == body.node_id]
    if not candidates:
        known = ", ".join(repr(node.node_id) for node in workflow.triggers) or "none"
        raise Problem(
            422,
            "trigger_not_found",
            f"{body.node_id!r} is no trigger that can fire; there are: {known}",
        )
    return int(version), candidates[0]


def _id_for(request: Request, tenant_id: str) -> str:
    """Return the id of an execution that begins: with one key it is one, however often asked."""
    key = request.headers.get(KEY_HEADER)
    return str(uuid.uuid4()) if key is None else derived("start by key", tenant_id, key)


async def _first(ground: Ground, request: Request, execution_id: str) -> dict[str, Any]:
    """Return the execution that a caller's key has started before."""
    state, _ = await ground.execution(request, execution_id)
    return {
        "execution_id": execution_id,
        "workflow_id": state.workflow_id,
        "version": state.workflow_version,
        "is_new": False,
        "settled": True,
        "command": None,
    }


def _add_show(ground: Ground) -> None:
    async def shown(request: Request, key: str) -> Response:
        only(request, ("nodes",))
        most = number(request, "nodes", NODES_DEFAULT, 0, NODES_MAX)
        rows = await ground.reading.rows(SQL["execution"], ground.tenant(request), key, most)
        if not rows:
            raise no_execution(key)
        return Response(rows[0]["execution"], media_type="application/json")

    about = "how many node runs are shown at most"
    ground.app.add_api_route(
        PREFIX + "/details",
        shown,
        name="show_execution_with_nodes",
        summary="Show an execution with its node runs",
        tags=tags("workflow_executions"),
        openapi_extra=reads(query("nodes", "integer", about, maximum=NODES_MAX)),
    )


def _add_cancel(ground: Ground) -> None:
    async def canceled(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Cancel)
        message = CancelExecution(execution_id=key, reason=body.reason, asked_by=body.asked_by)
        return await accepted(ground, request, key, message)

    ground.app.add_api_route(
        PREFIX + "/cancel",
        canceled,
        methods=["POST"],
        name="cancel_execution",
        summary="Stop an execution: nothing new begins, what runs is told to stop",
        tags=tags("workflow_executions"),
        openapi_extra=writes(body_schema(Cancel)),
        responses=responses(200, Accepted, "What was accepted."),
    )


def _add_retry(ground: Ground) -> None:
    async def retried(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Retry)
        message = RetryNode(
            execution_id=key,
            node_id=body.node_id,
            scope=tuple(body.scope),
            overrides=await uploads.in_overrides(ground, ground.tenant(request), body.overrides),
            asked_by=body.asked_by,
            delay_s=body.delay_s,
        )
        return await accepted(ground, request, key, message)

    ground.app.add_api_route(
        PREFIX + "/retry",
        retried,
        methods=["POST"],
        name="retry_node",
        summary="Run a node of an ended execution once more, and go on from there",
        tags=tags("workflow_executions"),
        openapi_extra=writes(body_schema(Retry)),
        responses=responses(200, Accepted, "What was accepted."),
    )


async def accepted(ground: Ground, request: Request, key: str, message: object) -> dict[str, Any]:
    """Send a command to an execution; return what was accepted, and how it stands after it.

    Raises:
        Problem: See `Asking.ask`; `execution_not_found`.
    """
    state, _ = await ground.execution(request, key)
    asked = await ground.asking.ask(request, key, message)
    if asked.answer is not None:
        state, _ = await ground.execution(request, key)
    return {
        "execution_id": key,
        "status": state.status,
        "events": list(asked.events),
        **asked.accepted,
    }
