"""Which templates are taken. Pure: a definition is judged by what it says alone."""

from datetime import datetime
from typing import assert_never

from perdure_common.decider import Facts, Rejected
from perdure_contracts.templates import (
    RetireTemplate,
    SaveTemplate,
    TemplateCommand,
    TemplateEvent,
    TemplateRetired,
    TemplateSaved,
)

from perdure_engine.definition.parsing import UUID
from perdure_engine.definition.problems import told
from perdure_engine.definition.validation import validate

from .evolve import said
from .state import Template

NAME_MAX = 255
DESCRIPTION_MAX = 10_000


def decide(
    state: Template, command: TemplateCommand, facts: Facts, now: datetime
) -> tuple[TemplateEvent, ...] | Rejected:
    """Return what happened, or why nothing did; nothing at all if nothing changes."""
    del facts, now
    match command:
        case SaveTemplate():
            return _save(state, command)
        case RetireTemplate():
            return _retire(state, command)
        case _:
            assert_never(command)


def _save(state: Template, command: SaveTemplate) -> tuple[TemplateEvent, ...] | Rejected:
    refused = _refusal(command)
    if refused is not None:
        return refused
    validation = validate(command.definition)
    if validation.errors:
        return Rejected(told(validation.errors), "invalid_definition")
    saved = TemplateSaved(
        template_id=command.template_id,
        name=command.name,
        document_type=command.document_type,
        definition=command.definition,
        sha256=validation.sha256,
        description=command.description,
        saved_by=command.saved_by,
    )
    return () if state.active and said(saved) == state.sha256 else (saved,)


def _refusal(command: SaveTemplate) -> Rejected | None:
    if not UUID.fullmatch(command.template_id):
        return Rejected(
            f"{command.template_id[:100]!r} is no id of a template; use a UUID in small letters",
            "invalid_template",
        )
    for what, text in (("name", command.name), ("document_type", command.document_type)):
        if not 0 < len(text) <= NAME_MAX or "\0" in text:
            return Rejected(
                f"a template's {what} must have 1 to {NAME_MAX} characters and no NUL",
                "invalid_template",
            )
    description = command.description or ""
    if len(description) > DESCRIPTION_MAX or "\0" in description:
        return Rejected(
            f"a template's description must have at most {DESCRIPTION_MAX:,} characters and no NUL",
            "invalid_template",
        )
    return None


def _retire(state: Template, command: RetireTemplate) -> tuple[TemplateEvent, ...] | Rejected:
    if not state.sha256:
        return Rejected(
            f"there is no template {command.template_id!r}; `perdure template list` shows those "
            "there are",
            "template_not_found",
        )
    if not state.active:
        return ()
    return (TemplateRetired(template_id=command.template_id, asked_by=command.asked_by),)
