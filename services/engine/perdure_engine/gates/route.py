"""Messages from events: to the executions that asked, and to those that are to go."""

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.admission import (
    GateEvent,
    NoteSlot,
    SlotEvicted,
    SlotRefused,
    SlotTaken,
)
from perdure_contracts.engine import CancelExecution

from .state import Gate

COMMANDS = "perdure.engine.commands.v1"


def route(state: Gate, recorded: Recorded[GateEvent]) -> tuple[Outgoing, ...]:
    """Return what an event of a gate says to executions."""
    event = recorded.event
    match event:
        case SlotTaken(forced=False):
            told: object = NoteSlot(
                execution_id=event.execution_id, kind=event.kind, outcome="granted"
            )
        case SlotRefused():
            told = NoteSlot(
                execution_id=event.execution_id,
                kind=event.gate.kind,
                outcome="refused",
                reason=event.reason,
            )
        case SlotEvicted():
            told = CancelExecution(
                execution_id=event.execution_id,
                reason=f"execution {event.by} takes its place: {state.about}",
                asked_by="engine",
            )
        case _:
            return ()
    return (Outgoing(COMMANDS, event.execution_id, told),)
