"""Variables and static data by HTTP: set and take away, compare-and-set.

The lists, and one of them, are the tables' own endpoints (`/v1/variables`,
`/v1/workflow_static_data`).
"""

from typing import Annotated, Any

import msgspec
from fastapi import Request
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import tags, writes
from perdure_common.api.problem import Problem
from perdure_common.ids import static_data_stream, variables_stream
from perdure_common.settings import DEFAULT_WORKSPACE
from perdure_contracts.kept import DeleteVariable, SetVariable, UpdateStaticData

from .ground import Ground
from .workflows import UUID, workflow_row

By = Annotated[str, msgspec.Meta(max_length=255)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class NewValue(msgspec.Struct, forbid_unknown_fields=True):
    """A variable's value. With `expected` it must have been set so many times (0: not there)."""

    value: Any
    workspace_id: str = DEFAULT_WORKSPACE
    expected: Count | None = None
    asked_by: By = ""


class Gone(msgspec.Struct, forbid_unknown_fields=True):
    """Which variable is taken away, of which workspace."""

    workspace_id: str = DEFAULT_WORKSPACE
    expected: Count | None = None
    asked_by: By = ""


class NewData(msgspec.Struct, forbid_unknown_fields=True):
    """What the static data of a workflow is from now on; with `expected` as with variables."""

    data: dict[str, Any]
    expected: Count | None = None
    asked_by: By = ""


class Changed(msgspec.Struct):
    """What was changed."""

    name: str
    settled: bool
    command: dict[str, str]


def add(ground: Ground) -> None:
    """Add the endpoints."""

    async def put(request: Request, name: str) -> dict[str, Any]:
        body = await read_body(request, NewValue)
        stream = variables_stream(ground.tenant(request), _workspace(body.workspace_id))
        message = SetVariable(
            variables_id=stream,
            workspace_id=body.workspace_id,
            name=name,
            value=body.value,
            expected=body.expected,
            asked_by=body.asked_by,
        )
        asked = await ground.asking.ask(request, stream, message)
        return {"name": name, **asked.accepted}

    async def delete(request: Request, name: str) -> dict[str, Any]:
        body = await read_body(request, Gone)
        stream = variables_stream(ground.tenant(request), _workspace(body.workspace_id))
        message = DeleteVariable(
            variables_id=stream,
            workspace_id=body.workspace_id,
            name=name,
            expected=body.expected,
            asked_by=body.asked_by,
        )
        asked = await ground.asking.ask(request, stream, message)
        return {"name": name, **asked.accepted}

    async def replaced(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, NewData)
        row = await workflow_row(ground, request, key)
        stream = static_data_stream(key)
        message = UpdateStaticData(
            static_data_id=stream,
            workflow_id=key,
            values=body.data,
            replaces=True,
            expected=body.expected,
            asked_by=body.asked_by,
        )
        asked = await ground.asking.ask(request, stream, message)
        return {"name": str(row["name"]), **asked.accepted}

    for path, endpoint, name, summary, body, group in (
        ("/v1/variables/{name}/set", put, "set_variable", "Set a variable", NewValue, "variables"),
        (
            "/v1/variables/{name}/delete",
            delete,
            "delete_variable",
            "Take a variable away",
            Gone,
            "variables",
        ),
        (
            "/v1/workflow_static_data/{key}/replace",
            replaced,
            "replace_static_data",
            "Replace the static data of a workflow",
            NewData,
            "workflow_static_data",
        ),
    ):
        ground.app.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            name=name,
            summary=summary,
            tags=tags(group),
            openapi_extra=writes(body_schema(body)),
            responses=responses(200, Changed, "What was changed."),
        )


def _workspace(workspace_id: str) -> str:
    if not UUID.fullmatch(workspace_id):
        raise Problem(
            422, "invalid_workspace", f"{workspace_id[:100]!r} is no UUID in small letters"
        )
    return workspace_id
