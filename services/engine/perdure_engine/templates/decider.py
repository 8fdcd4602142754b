"""The decider of templates, put together for the shell."""

from perdure_common.decider import Decider
from perdure_contracts.templates import (
    RetireTemplate,
    SaveTemplate,
    TemplateCommand,
    TemplateEvent,
    TemplateRetired,
    TemplateSaved,
)

from .decide import decide
from .evolve import evolve
from .project import project
from .route import route
from .state import Template


def stream_of(command: TemplateCommand) -> str:
    """Return the stream of a template."""
    return command.template_id


decider: Decider[Template, TemplateCommand, TemplateEvent] = Decider(
    name="template",
    initial=Template(),
    commands=(SaveTemplate, RetireTemplate),
    events=(TemplateSaved, TemplateRetired),
    stream_of=stream_of,
    decide=decide,
    evolve=evolve,
    project=project,
    route=route,
)
