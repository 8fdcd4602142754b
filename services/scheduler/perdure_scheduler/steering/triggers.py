"""Triggers by HTTP: let one rest and fire again, and try one out before it serves."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

import msgspec
from fastapi import Request
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import tags, writes
from perdure_common.api.problem import Problem
from perdure_contracts.cron import PauseTrigger, ResumeTrigger
from perdure_contracts.deployments import PauseEventTrigger, ResumeEventTrigger
from perdure_contracts.message import Json

from perdure_scheduler.cron_decide import stream_of
from perdure_scheduler.hooks.serve import TrialWanted

from .deployments import Version
from .ground import TRIGGER, Ground

Text = Annotated[str, msgspec.Meta(max_length=255)]


class Pause(msgspec.Struct, forbid_unknown_fields=True):
    """Let a trigger rest: what falls due or comes meanwhile starts nothing."""

    asked_by: Text = ""


class Resume(msgspec.Struct, forbid_unknown_fields=True):
    """Let a trigger fire again, from now on.

    With `forget_open` a CRON trigger waits no more for executions that never ended.
    """

    asked_by: Text = ""
    forget_open: bool = False


class Rests(msgspec.Struct):
    """Whether the trigger fires now; `changed` is False if that was so before."""

    workflow_id: str
    node_id: str
    is_active: bool
    changed: bool
    settled: bool
    command: dict[str, str]


class Test(msgspec.Struct, forbid_unknown_fields=True):
    """Which version is to be tried; the newest if none is named. It need not serve."""

    version: Version | None = None


class Opened(msgspec.Struct):
    """A test URL: one request to `url` before `expires_at` starts the version.

    `GET /v1/trigger_tests/{id}` says which execution that was.
    """

    id: str
    url: str
    expires_at: str


def add(ground: Ground) -> None:
    """Add the endpoints."""

    async def paused(request: Request, key: str, node_id: str) -> dict[str, Any]:
        body = await read_body(request, Pause)
        row = await ground.trigger(key, node_id)
        kind = PauseTrigger if row["trigger_subtype"] == "CRON" else PauseEventTrigger
        message = kind(workflow_id=key, node_id=node_id, asked_by=body.asked_by)
        return await _steered(ground, request, row, message, is_active=False)

    async def resumed(request: Request, key: str, node_id: str) -> dict[str, Any]:
        body = await read_body(request, Resume)
        row = await ground.trigger(key, node_id)
        message: object
        if row["trigger_subtype"] == "CRON":
            message = ResumeTrigger(
                workflow_id=key,
                node_id=node_id,
                asked_by=body.asked_by,
                forget_open=body.forget_open,
            )
        elif body.forget_open:
            text = "`forget_open` is for CRON triggers: others do not wait for executions"
            raise Problem(409, "wrong_trigger", text)
        else:
            message = ResumeEventTrigger(workflow_id=key, node_id=node_id, asked_by=body.asked_by)
        return await _steered(ground, request, row, message, is_active=True)

    async def tried(request: Request, key: str, node_id: str) -> dict[str, Any]:
        body = await read_body(request, Test)
        ground.asking.check_tenant(request)
        frozen = await ground.versions.of(key, body.version)
        node = _node(frozen.definition, node_id)
        if node is None:
            raise Problem(
                404,
                "node_not_found",
                f"version {frozen.version} of workflow {key} has no node {node_id[:100]!r} of "
                "type TRIGGER",
            )
        return await ground.open_trial(
            TrialWanted(
                workflow_id=key,
                workflow_name=frozen.name,
                version=frozen.version,
                node=node,
            )
        )

    for path, endpoint, kind, answer, about in (
        ("/pause", paused, Pause, Rests, "Let a trigger rest"),
        ("/resume", resumed, Resume, Rests, "Let a trigger fire again"),
        ("/test", tried, Test, Opened, "Open a test URL for a trigger of HTTP"),
    ):
        ground.app.add_api_route(
            TRIGGER + path,
            endpoint,
            methods=["POST"],
            name=f"{path[1:]}_trigger",
            summary=about,
            tags=tags("triggers"),
            openapi_extra=writes(body_schema(kind)),
            responses=responses(200, answer, "What came of it."),
        )


async def _steered(
    ground: Ground, request: Request, row: Mapping[str, Any], message: object, *, is_active: bool
) -> dict[str, Any]:
    workflow_id, node_id = str(row["workflow_id"]), str(row["node_id"])
    is_clock = row["trigger_subtype"] == "CRON"
    stream = stream_of(workflow_id, node_id) if is_clock else workflow_id
    asked = await ground.asking.ask(request, stream, message)
    return {
        "workflow_id": workflow_id,
        "node_id": node_id,
        "is_active": is_active if asked.answer is not None else bool(row["is_active"]),
        "changed": bool(asked.events),
        **asked.accepted,
    }


def _node(definition: Json, node_id: str) -> dict[str, Json] | None:
    """Return a trigger node of a frozen definition."""
    fields = cast("dict[str, Any]", definition if isinstance(definition, dict) else {})
    nodes: list[dict[str, Json]] = fields.get("nodes", [])
    for node in nodes:
        if node.get("node_id") == node_id and node.get("node_type") == "TRIGGER":
            return node
    return None
