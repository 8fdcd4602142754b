"""Workflows by HTTP: validate a definition, save it as a version, deploy it, look at versions.

Reading the list and one of them is the table's own endpoint (`/v1/workflows`).
"""

import asyncio
import re
import uuid
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import Request
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import reads, tags, writes
from perdure_common.api.problem import Problem
from perdure_common.credentials import named_by_triggers
from perdure_contracts.engine import SaveWorkflow
from perdure_contracts.scheduler import DeployWorkflow

from perdure_engine.definition.validation import Validation, validate

from .ground import SQL, Ground

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DEPLOYED_S = 10.0
"""How long a deployment may take before the caller is told to look at the workflow's row."""


class Definition(msgspec.Struct, forbid_unknown_fields=True):
    """A definition, as in a workflow file. `saved_by` is written down with the version."""

    definition: dict[str, Any]
    saved_by: Annotated[str, msgspec.Meta(max_length=255)] = ""


class NewWorkflow(Definition, forbid_unknown_fields=True):
    """A definition for a workflow that may be new; without an id it gets one."""

    workflow_id: str | None = None


class Deployment(msgspec.Struct, forbid_unknown_fields=True):
    """Which version is to serve; the newest if none is named.

    `deployment_config` is written down with the deployment.
    """

    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    deployment_config: dict[str, Any] | None = None
    deployed_by: Annotated[str, msgspec.Meta(max_length=255)] = ""


class Found(msgspec.Struct):
    """A thing that is wrong with a definition, or worth a warning."""

    code: str
    severity: str
    path: str
    message: str
    node_id: str | None


class Validated(msgspec.Struct):
    """What was found in a definition."""

    valid: bool
    sha256: str
    problems: list[Found]


class Saved(msgspec.Struct):
    """A version that is there now. `is_new` is False if it was there already."""

    workflow_id: str
    version: int
    is_new: bool
    settled: bool
    command: dict[str, str]


class Deployed(msgspec.Struct):
    """How a deployment stands: `settled` is False if it is still under way."""

    workflow_id: str
    version: int
    deployment_status: str
    settled: bool
    command: dict[str, str] | None


def add(ground: Ground) -> None:
    """Add the endpoints."""
    add_validate(ground)
    add_save(ground)
    add_versions(ground)
    add_deploy(ground)


async def validated(definition: Any) -> Validation:
    """Return what is wrong with a definition, without holding the shards up."""
    return await asyncio.to_thread(validate, definition, remember=False)


def add_validate(ground: Ground) -> None:
    """Add `POST /v1/workflows/validate`."""

    async def checked(request: Request) -> dict[str, Any]:
        body = await read_body(request, Definition)
        found = await validated(body.definition)
        return {
            "valid": not found.errors,
            "sha256": found.sha256,
            "problems": [asdict(problem) for problem in found.problems],
        }

    ground.app.add_api_route(
        "/v1/workflows/validate",
        checked,
        methods=["POST"],
        name="validate_workflow",
        summary="Say everything that is wrong with a definition; nothing is saved",
        tags=tags("workflows"),
        openapi_extra={"requestBody": body_schema(Definition)},
        responses=responses(200, Validated, "What was found."),
    )


def add_save(ground: Ground) -> None:
    """Add `POST /v1/workflows` and `PUT /v1/workflows/{key}`."""

    async def created(request: Request) -> dict[str, Any]:
        body = await read_body(request, NewWorkflow)
        return await save(ground, request, body.workflow_id or str(uuid.uuid4()), body)

    async def changed(request: Request, key: str) -> dict[str, Any]:
        return await save(ground, request, key, await read_body(request, Definition))

    for method, path, endpoint, name, kind, about in (
        ("POST", "/v1/workflows", created, "create_workflow", NewWorkflow, "Save a workflow"),
        ("PUT", "/v1/workflows/{key}", changed, "save_workflow", Definition, "Save a version"),
    ):
        ground.app.add_api_route(
            path,
            endpoint,
            methods=[method],
            name=name,
            summary=f"{about}: it is validated and frozen as the next version, not deployed",
            tags=tags("workflows"),
            openapi_extra=writes(body_schema(kind)),
            responses=responses(200, Saved, "The version."),
        )


async def save(
    ground: Ground, request: Request, workflow_id: str, body: Definition
) -> dict[str, Any]:
    """Save a definition as the newest version of a workflow.

    Raises:
        Problem: `invalid_definition`, with `problems`; whatever else the engine refuses.
    """
    found = await validated(body.definition)
    if found.errors:
        raise Problem(
            422,
            "invalid_definition",
            f"the definition is refused for {len(found.errors)} errors; nothing was saved",
            more={"problems": [asdict(problem) for problem in found.problems]},
        )
    message = SaveWorkflow(
        workflow_id=workflow_id, definition=body.definition, saved_by=body.saved_by
    )
    asked = await ground.asking.ask(request, workflow_id, message)
    version = 0
    if asked.answer is not None:
        row = await workflow_row(ground, request, workflow_id)
        version = row["newest_version"]
    return {
        "workflow_id": workflow_id,
        "version": version,
        "is_new": bool(asked.events),
        **asked.accepted,
    }


async def workflow_row(ground: Ground, request: Request, key: str) -> dict[str, Any]:
    """Return a workflow's row: versions and deployment.

    Raises:
        Problem: `workflow_not_found`.
    """
    rows: list[dict[str, Any]] = []
    if UUID.fullmatch(key):
        rows = await ground.reading.rows(SQL["workflow"], ground.tenant(request), key)
    if not rows:
        raise Problem(
            404,
            "workflow_not_found",
            f"there is no workflow {key[:100]!r}; /v1/workflows lists those there are",
        )
    return rows[0]


def add_versions(ground: Ground) -> None:
    """Add `GET /v1/workflows/{key}/versions/{version}`."""

    async def shown(request: Request, key: str, version: int) -> dict[str, Any]:
        await workflow_row(ground, request, key)
        row = await ground.version(ground.tenant(request), key, version)
        return {"workflow_id": key, "version": version, **row}

    ground.app.add_api_route(
        "/v1/workflows/{key}/versions/{version}",
        shown,
        name="show_version",
        summary="Show a frozen version; `/v1/workflow_versions?workflow_id=` lists them",
        tags=tags("workflows"),
        openapi_extra=reads(),
    )


def add_deploy(ground: Ground) -> None:
    """Add `POST /v1/workflows/{key}/deploy`."""

    async def deployed(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Deployment)
        row = await workflow_row(ground, request, key)
        version = body.version or int(row["newest_version"])
        frozen = await ground.version(ground.tenant(request), key, version)
        message = DeployWorkflow(
            workflow_id=key,
            version=version,
            sha256=frozen["sha256"],
            definition=frozen["definition"],
            deployed_by=body.deployed_by,
            config=body.deployment_config,
            credentials=await _fields_there(ground, request, frozen["definition"]),
        )
        if (row["deployment_status"], row["deployment_version"]) == ("ACTIVE", version):
            ground.asking.check_tenant(request)
            return _deployment(key, version, "ACTIVE", settled=True)
        command = await ground.asking.send(request, "scheduler", key, message)
        status = await _noted(ground, request, row, version)
        return _deployment(key, version, status or "DEPLOYING", settled=bool(status)) | {
            "command": command
        }

    ground.app.add_api_route(
        "/v1/workflows/{key}/deploy",
        deployed,
        methods=["POST"],
        name="deploy_workflow",
        summary="Let a version serve: its triggers start executions from now on",
        tags=tags("workflows"),
        openapi_extra=writes(body_schema(Deployment)),
        responses=responses(200, Deployed, "How the deployment stands."),
    )


async def _fields_there(
    ground: Ground, request: Request, definition: Any
) -> dict[str, tuple[str, ...]]:
    """Return what the credentials have that trigger nodes name: names of fields, no values."""
    named = named_by_triggers(definition)
    if not named:
        return {}
    rows = await ground.reading.rows(SQL["credential_fields"], ground.tenant(request), list(named))
    return {row["handle"]: tuple(row["fields"]) for row in rows}


def _deployment(key: str, version: int, status: str, *, settled: bool) -> dict[str, Any]:
    return {
        "workflow_id": key,
        "version": version,
        "deployment_status": status,
        "settled": settled,
        "command": None,
    }


async def _noted(
    ground: Ground, request: Request, before: dict[str, Any], version: int
) -> str | None:
    """Wait until the engine has heard how a deployment went; None if it has not in time.

    Raises:
        Problem: `deployment_failed`.
    """
    loop = asyncio.get_running_loop()
    limit = loop.time() + DEPLOYED_S
    while loop.time() < limit:
        noted = await ground.reading.rows(
            SQL["deployments_noted"],
            ground.tenant(request),
            before["stream"],
            before["stream_version"],
        )
        for row in noted:
            status, serves = str(row["status"]), row["version"]
            if status == "ACTIVE" and serves == version:
                return status
            if status in ("ACTIVE", "FAILED"):
                raise Problem(
                    422,
                    "deployment_failed",
                    f"version {version} cannot be deployed; the scheduler's "
                    "/v1/workflow_deployment_history says why",
                )
        await asyncio.sleep(0.05)
    return None
