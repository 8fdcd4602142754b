"""Messages of others as commands of ours, for both kinds of stream. Pure.

The engine's own commands are taken as they are, whichever decider they belong to; of what
the scheduler says, the engine notes where deployments stand.
"""

from perdure_contracts.message import NAMES, Envelope

from .workflows.hear import noted

OURS = "engine."


def hear(message: object, envelope: Envelope) -> object | None:
    """Return what `message` asks of the engine; None is passed over."""
    del envelope  # who says it changes nothing
    if NAMES.get(type(message), "").startswith(OURS):
        return message
    return noted(message)
