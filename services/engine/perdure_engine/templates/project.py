"""The row of a template from its events."""

from typing import assert_never

from perdure_common.decider import Recorded, Upsert
from perdure_contracts.templates import TemplateEvent, TemplateRetired, TemplateSaved

from .state import Template


def project(state: Template, recorded: Recorded[TemplateEvent]) -> tuple[Upsert, ...]:
    """Return the row that the event writes."""
    del state
    event = recorded.event
    row: dict[str, object] = {"updated_at": recorded.recorded_at}
    match event:
        case TemplateSaved():
            row |= {
                "tenant_id": recorded.tenant_id,
                "name": event.name,
                "description": event.description,
                "document_type": event.document_type,
                "workflow_definition": event.definition,
                "is_active": True,
                "saved_by": event.saved_by,
            }
            if recorded.version == 1:
                row["created_at"] = recorded.recorded_at
        case TemplateRetired():
            row["is_active"] = False
        case _:
            assert_never(event)
    return (Upsert("workflow_templates", {"id": event.template_id}, set=row),)
