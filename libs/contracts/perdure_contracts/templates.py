"""What the engine says and hears about templates: definitions that workflows begin from.

Owner: services/engine. Stream: the template id.
"""

from typing import TypeAlias

from .message import Json, message

# Commands ---------------------------------------------------------------------------


@message("engine.save-template.v1")
class SaveTemplate:
    """Make a template, or change it; one that was retired is offered again.

    `document_type` is what it is for, such as `invoice`. The definition must be valid.
    """

    template_id: str
    name: str
    document_type: str
    definition: Json
    description: str | None = None
    saved_by: str = ""


@message("engine.retire-template.v1")
class RetireTemplate:
    """Offer a template no more; workflows that were made from it stay as they are."""

    template_id: str
    asked_by: str = ""


# Events -----------------------------------------------------------------------------


@message("engine.template-saved.v1")
class TemplateSaved:
    """A template is there, as it says. `sha256` is of the definition's canonical JSON."""

    template_id: str
    name: str
    document_type: str
    definition: Json
    sha256: str
    description: str | None = None
    saved_by: str = ""


@message("engine.template-retired.v1")
class TemplateRetired:
    """A template is offered no more."""

    template_id: str
    asked_by: str = ""


TemplateCommand: TypeAlias = SaveTemplate | RetireTemplate
TemplateEvent: TypeAlias = TemplateSaved | TemplateRetired
