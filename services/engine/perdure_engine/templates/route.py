"""Messages from events: none. Who wants to know of templates listens to the events."""

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.templates import TemplateEvent

from .state import Template


def route(state: Template, recorded: Recorded[TemplateEvent]) -> tuple[Outgoing, ...]:
    """Return no message: the events themselves are published."""
    del state, recorded
    return ()
