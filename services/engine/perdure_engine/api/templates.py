"""Templates by HTTP: make one, offer it no more, begin a workflow from it.

The list and one of them are the table's own endpoints (`/v1/workflow_templates`).
"""

import uuid
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import Request
from perdure_common.api.bodies import body_schema, read_body, responses
from perdure_common.api.endpoints import tags, writes
from perdure_common.api.problem import Problem
from perdure_contracts.templates import RetireTemplate, SaveTemplate

from .ground import SQL, Ground
from .workflows import UUID, Definition, Saved, save, validated

PATH = "/v1/workflow_templates"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class NewTemplate(msgspec.Struct, forbid_unknown_fields=True):
    """A template; without an id it gets one."""

    name: Name
    document_type: Name
    definition: dict[str, Any]
    description: Annotated[str, msgspec.Meta(max_length=10_000)] | None = None
    saved_by: Annotated[str, msgspec.Meta(max_length=255)] = ""
    template_id: str | None = None


class Retire(msgspec.Struct, forbid_unknown_fields=True):
    """Who offers the template no more."""

    asked_by: Annotated[str, msgspec.Meta(max_length=255)] = ""


class Use(msgspec.Struct, forbid_unknown_fields=True):
    """How the workflow that begins from the template is called."""

    name: Name | None = None
    saved_by: Annotated[str, msgspec.Meta(max_length=255)] = ""


class SavedTemplate(msgspec.Struct):
    """A template that is there now; `changed` is False if it was there already as it is."""

    template_id: str
    changed: bool
    settled: bool
    command: dict[str, str]


def add(ground: Ground) -> None:
    """Add the endpoints."""

    async def saved(request: Request) -> dict[str, Any]:
        body = await read_body(request, NewTemplate)
        found = await validated(body.definition)
        if found.errors:
            raise Problem(
                422,
                "invalid_definition",
                f"the definition is refused for {len(found.errors)} errors; nothing was saved",
                more={"problems": [asdict(problem) for problem in found.problems]},
            )
        template_id = body.template_id or str(uuid.uuid4())
        message = SaveTemplate(
            template_id=template_id,
            name=body.name,
            document_type=body.document_type,
            definition=body.definition,
            description=body.description,
            saved_by=body.saved_by,
        )
        asked = await ground.asking.ask(request, template_id, message)
        return {"template_id": template_id, "changed": bool(asked.events), **asked.accepted}

    async def retired(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Retire)
        message = RetireTemplate(template_id=key, asked_by=body.asked_by)
        asked = await ground.asking.ask(request, key, message)
        return {"template_id": key, "changed": bool(asked.events), **asked.accepted}

    async def used(request: Request, key: str) -> dict[str, Any]:
        body = await read_body(request, Use)
        rows = []
        if UUID.fullmatch(key):
            rows = await ground.reading.rows(SQL["template"], ground.tenant(request), key)
        if not rows:
            raise Problem(
                404,
                "template_not_found",
                f"no template {key[:100]!r} is offered; {PATH} lists those there are",
            )
        definition = msgspec.json.decode(rows[0]["definition"])
        definition["name"] = body.name or definition["name"]
        made = Definition(definition=definition, saved_by=body.saved_by)
        return await save(ground, request, str(uuid.uuid4()), made)

    kinds = (
        (PATH, saved, "save_template", "Save a template", NewTemplate, SavedTemplate),
        (
            PATH + "/{key}/retire",
            retired,
            "retire_template",
            "Offer a template no more",
            Retire,
            SavedTemplate,
        ),
        (
            PATH + "/{key}/workflows",
            used,
            "use_template",
            "Make a workflow from a template",
            Use,
            Saved,
        ),
    )
    for path, endpoint, name, summary, body, answer in kinds:
        ground.app.add_api_route(
            path,
            endpoint,
            methods=["POST"],
            name=name,
            summary=summary,
            tags=tags("workflow_templates"),
            openapi_extra=writes(body_schema(body)),
            responses=responses(200, answer, "What is there now."),
        )
