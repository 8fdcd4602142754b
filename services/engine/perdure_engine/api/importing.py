"""Importing by HTTP: a workflow of n8n as a definition, with what is not as it was."""

import asyncio
from dataclasses import asdict
from typing import Any

import msgspec
from fastapi import Request
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import tags

from perdure_engine.importing import import_n8n

from .ground import Ground
from .workflows import Found


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """A workflow as n8n exports it."""

    document: dict[str, Any]


class Why(msgspec.Struct):
    """Something that is not as it was, by a code; `node` is n8n's name of it."""

    code: str
    message: str
    node: str


class Imports(msgspec.Struct):
    """The definition (none if it is no workflow of n8n), and what is to be seen to."""

    valid: bool
    definition: dict[str, Any] | None
    reasons: list[Why]
    problems: list[Found]


def add(ground: Ground) -> None:
    """Add `POST /v1/workflows/import`."""

    async def imported(request: Request) -> dict[str, Any]:
        body = await read_body(request, Document)
        made = await asyncio.to_thread(import_n8n, body.document)  # the shards are not held up
        return {
            "valid": made.valid,
            "definition": made.definition,
            "reasons": [asdict(each) for each in made.reasons],
            "problems": [asdict(each) for each in made.problems],
        }

    ground.app.add_api_route(
        "/v1/workflows/import",
        imported,
        methods=["POST"],
        name="import_workflow",
        summary="Make a definition of a workflow of n8n; nothing is saved",
        tags=tags("workflows"),
        openapi_extra={"requestBody": body_schema(Document)},
        responses=responses(200, Imports, "The definition, and what is not as it was."),
    )
