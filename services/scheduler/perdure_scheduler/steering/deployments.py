"""Deployments by HTTP: let a version serve, go back to one that served, let none serve."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import orjson
from fastapi import Request
from perdure_common.api.asking import Asked
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import tags, writes
from perdure_common.api.problem import Problem
from perdure_contracts.deployments import RollbackWorkflow
from perdure_contracts.message import NAMES, Json
from perdure_contracts.scheduler import DeploymentStarted, DeployWorkflow, UndeployWorkflow

from perdure_scheduler.definition import UUID

from .ground import SQL, WORKFLOW, Ground

DEPLOYED_S = 10.0
"""How long a deployment that has begun may take before the caller is told to look for its end."""

LOOK_S = (0.02, 0.25)
"""How long to wait between two looks for its end: at first, and at most."""

VERSION_MAX = 2**31 - 1

Version = Annotated[int, msgspec.Meta(ge=1, le=VERSION_MAX)]
Expected = Annotated[int, msgspec.Meta(ge=0, le=VERSION_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=255)]


class Deploy(msgspec.Struct, forbid_unknown_fields=True):
    """Which version is to serve; the newest if none is named.

    `expected_version` is the one that must serve now (0: none), else it is a `conflict`.
    `deployment_config` is written down with the deployment.
    """

    version: Version | None = None
    expected_version: Expected | None = None
    deployment_config: dict[str, Json] | None = None
    deployed_by: Text = ""


class Rollback(msgspec.Struct, forbid_unknown_fields=True):
    """To which version that served; the one before if none is named. The rest as in a deploy."""

    to_version: Version | None = None
    expected_version: Expected | None = None
    deployment_config: dict[str, Json] | None = None
    asked_by: Text = ""


class Undeploy(msgspec.Struct, forbid_unknown_fields=True):
    """Let nothing serve; with `cancel_running` what runs is stopped, else it finishes."""

    cancel_running: bool = False
    undeployed_by: Text = ""


class Deployed(msgspec.Struct):
    """How a deployment stands.

    `changed` is False if the version serves already, `settled` False if the deployment still goes
    on: then `deployment_status` is DEPLOYING, and its end a row of
    `/v1/workflow_deployment_history`. `version` is null while the engine has not numbered it.
    """

    workflow_id: str
    version: int | None
    deployment_status: str
    deployment_config: Json
    changed: bool
    settled: bool
    command: dict[str, str]


class Undeployed(msgspec.Struct):
    """What serves no more."""

    workflow_id: str
    deployment_status: str
    settled: bool
    command: dict[str, str]


def add(ground: Ground) -> None:
    """Add the endpoints."""

    async def deployed(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Deploy)
        ground.asking.check_tenant(request)
        frozen = await ground.versions.of(key, body.version)
        message = DeployWorkflow(
            workflow_id=key,
            version=frozen.version,
            sha256=frozen.sha256,
            definition=frozen.definition,
            deployed_by=body.deployed_by,
            expected_version=body.expected_version,
            config=body.deployment_config,
            credentials=await ground.versions.fields_there(frozen.definition),
        )
        asked = await ground.asking.ask(request, key, message)
        return await _became(ground, key, asked, frozen.version)

    async def rolled_back(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Rollback)
        ground.asking.check_tenant(request)
        definitions = await ground.versions.that_served(key, body.to_version)
        message = RollbackWorkflow(
            workflow_id=key,
            to_version=body.to_version,
            asked_by=body.asked_by,
            expected_version=body.expected_version,
            config=body.deployment_config,
            credentials=await ground.versions.fields_there(*definitions),
        )
        asked = await ground.asking.ask(request, key, message)
        return await _became(ground, key, asked, None)

    async def undeployed(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Undeploy)
        if not UUID.fullmatch(key):
            text = f"{key[:100]!r} is no workflow id; it is a UUID in lower case"
            raise Problem(422, "invalid_workflow_id", text)
        message = UndeployWorkflow(
            workflow_id=key,
            undeployed_by=body.undeployed_by,
            cancel_running=body.cancel_running,
        )
        asked = await ground.asking.ask(request, key, message)
        status = "IDLE" if asked.answer is not None else "ACTIVE"
        return {"workflow_id": key, "deployment_status": status, **asked.accepted}

    for path, endpoint, kind, answer, about in (
        ("/deploy", deployed, Deploy, Deployed, "Let a version serve instead of what serves"),
        ("/rollback", rolled_back, Rollback, Deployed, "Let a version serve again that served"),
        ("/undeploy", undeployed, Undeploy, Undeployed, "Let no version serve any more"),
    ):
        ground.app.add_api_route(
            WORKFLOW + path,
            endpoint,
            methods=["POST"],
            name=f"{path[1:]}_workflow",
            summary=about,
            tags=tags("deployments"),
            openapi_extra=writes(body_schema(kind)),
            responses=responses(200, answer, "What came of it."),
        )


async def _became(ground: Ground, key: str, asked: Asked, version: int | None) -> dict[str, Any]:
    """Return how the deployment stands that a command asked for; waits for its end.

    Raises:
        Problem: `deployment_failed`, with the `cause`, the `version` and the `deployment_logs`.
    """
    found: dict[str, Any] = {
        "workflow_id": key,
        "version": version,
        "deployment_status": "DEPLOYING",
        "deployment_config": {},
        "changed": asked.answer is None or bool(asked.events),
        **asked.accepted,
        "settled": False,
    }
    if asked.answer is None:
        return found  # nothing is known of it yet
    if NAMES[DeploymentStarted] not in asked.events:
        serves = version or await _serving(ground, key)
        return {**found, "version": serves, "deployment_status": "ACTIVE", "settled": True}
    row = await _outcome(ground, key, asked.id)
    if row is None:
        return found
    if row["deployment_action"] == "DEPLOY_FAILED":
        raise _failed(row)
    return {
        **found,
        "version": row["deployment_version"],
        "deployment_status": "ACTIVE",
        "deployment_config": row["deployment_config"],
        "settled": True,
    }


async def _serving(ground: Ground, key: str) -> int | None:
    rows = await ground.reading.rows(SQL["serving"], ground.asking.tenant_id, key)
    return int(rows[0]["deployment_version"]) if rows else None


async def _outcome(ground: Ground, key: str, command_id: str) -> Mapping[str, Any] | None:
    """Return the row with which a deployment ended, None if it still goes on after a while."""
    loop = asyncio.get_running_loop()
    limit = loop.time() + DEPLOYED_S
    pause_s = LOOK_S[0]
    while True:
        rows = await ground.reading.rows(SQL["outcome"], ground.asking.tenant_id, key, command_id)
        if rows:
            found: Mapping[str, Any] = orjson.loads(rows[0]["found"])
            return found
        if loop.time() > limit:
            return None
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.4, LOOK_S[1])


def _failed(row: Mapping[str, Any]) -> Problem:
    code, _, reason = str(row["error_message"]).partition(": ")
    version = row["deployment_version"]
    text = f"version {version} cannot be deployed: {reason}"
    if row["to_status"] == "ACTIVE":
        text += "; what served before goes on serving"
    more = {"cause": code, "version": version, "deployment_logs": row["deployment_logs"]}
    return Problem(422, "deployment_failed", text, more=more)
