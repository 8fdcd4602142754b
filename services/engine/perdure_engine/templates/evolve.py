"""State from events. Pure; a released arm is never edited, only joined by a new one."""

from dataclasses import replace
from typing import assert_never

from perdure_common.ids import sha256_of_json
from perdure_contracts.templates import TemplateEvent, TemplateRetired, TemplateSaved

from .state import Template


def evolve(state: Template, event: TemplateEvent) -> Template:
    """Return `state` as it stands after `event`."""
    match event:
        case TemplateSaved():
            return Template(said(event), event.name, active=True)
        case TemplateRetired():
            return replace(state, active=False)
        case _:
            assert_never(event)


def said(event: TemplateSaved) -> str:
    """Return the hash of all that a template says of itself."""
    return sha256_of_json([event.name, event.document_type, event.description, event.sha256])
