"""The decider of gates, put together for the shell."""

from perdure_common.decider import Decider
from perdure_contracts.admission import (
    GateCommand,
    GateEvent,
    ReleaseSlot,
    RequestSlot,
    SlotAwaited,
    SlotEvicted,
    SlotLeft,
    SlotRefused,
    SlotTaken,
)

from .decide import act, decide
from .evolve import evolve
from .project import project
from .route import route
from .state import Gate

EVENTS = (SlotTaken, SlotAwaited, SlotRefused, SlotEvicted, SlotLeft)


def stream_of(command: GateCommand) -> str:
    """Return the stream of a gate."""
    return command.gate_id


decider: Decider[Gate, GateCommand, GateEvent] = Decider(
    name="gate",
    initial=Gate(),
    commands=(RequestSlot, ReleaseSlot),
    events=EVENTS,
    stream_of=stream_of,
    decide=decide,
    act=act,
    evolve=evolve,
    project=project,
    route=route,
    private=EVENTS,
)
