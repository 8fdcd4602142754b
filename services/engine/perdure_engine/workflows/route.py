"""Messages from events: none. Who wants to know of versions listens to the events."""

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.workflows import Event

from .state import Definition


def route(state: Definition, recorded: Recorded[Event]) -> tuple[Outgoing, ...]:
    """Return no message: the events themselves are published."""
    del state, recorded
    return ()
