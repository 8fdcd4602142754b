"""What the engine says and hears of admission: executions that wait for their turn, and gates.

Owner: services/engine. Streams: the execution id, and the id of a gate. A gate has so many slots;
who holds one may run. Gates are streams of their own, wherever their shard is: executions ask by
command and are answered by command.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .engine import ErrorFacts, StartExecution
from .message import Json, message

GateKind: TypeAlias = Literal["key", "tenant", "shard"]
"""A concurrency key of a workflow; all executions of a tenant; all of a shard."""

Policy: TypeAlias = Literal["queue", "cancel_oldest", "reject"]
"""What becomes of one more than there are slots: it waits, the oldest one is cancelled for it, or
it is refused."""

PRIORITIES = ("low", "normal", "high", "critical")
"""The priorities by their names; their numbers are their places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A gate that an execution must pass: `limit` slots, and what becomes of who finds none.

    `key` tells gates of one kind apart, `about` is how people know it. At most `waiting_max` wait.
    """

    kind: GateKind
    key: str
    limit: int
    about: str
    policy: Policy = "queue"
    waiting_max: int | None = None


# Commands to gates -------------------------------------------------------------------


@message("engine.request-slot.v1")
class RequestSlot:
    """Let an execution have a slot of a gate; the answer is `engine.note-slot.v1`.

    Who waits is let in by priority, then lane by lane in turn, then in order. `forced` takes a
    slot whether there is one or not: an execution that was revived goes on at once.
    """

    gate_id: str
    execution_id: str
    gate: Gate
    priority: int = 1
    lane: str = ""
    forced: bool = False


@message("engine.release-slot.v1")
class ReleaseSlot:
    """An execution wants no slot any more: it has ended, or waits no longer."""

    gate_id: str
    execution_id: str


# Events of a gate --------------------------------------------------------------------


@message("engine.slot-taken.v1")
class SlotTaken:
    """An execution has a slot; `gate` is there where it has not waited.

    With `again` it had it already, and has forgotten so in a restore.
    """

    gate_id: str
    execution_id: str
    kind: GateKind
    gate: Gate | None = None
    lane: str = ""
    forced: bool = False
    again: bool = False


@message("engine.slot-awaited.v1")
class SlotAwaited:
    """An execution waits for a slot."""

    gate_id: str
    execution_id: str
    gate: Gate
    priority: int
    lane: str


@message("engine.slot-refused.v1")
class SlotRefused:
    """An execution does not get a slot, and does not wait for one."""

    gate_id: str
    execution_id: str
    gate: Gate
    reason: str


@message("engine.slot-evicted.v1")
class SlotEvicted:
    """An execution is to be cancelled so that a newer one can have its slot."""

    gate_id: str
    execution_id: str
    by: str


@message("engine.slot-left.v1")
class SlotLeft:
    """An execution holds no slot any more, nor waits for one."""

    gate_id: str
    execution_id: str


# Executions --------------------------------------------------------------------------


@message("engine.note-slot.v1")
class NoteSlot:
    """What a gate says to an execution that asked it."""

    execution_id: str
    kind: GateKind
    outcome: Literal["granted", "refused"]
    reason: str = ""


@message("engine.execution-queued.v1")
class ExecutionQueued:
    """An execution is there, but does not run yet: gates let it in, one after the other.

    Without gates it begins with the next wake; then it `reads` what is frozen for it. At the
    instant `until` it has waited too long. `start` is what it begins with, but for what may be
    large: `data`, `pin_data` and `rerun`.
    """

    execution_id: str
    workflow_id: str
    workflow_name: str
    workspace_id: str
    sha256: str
    start: StartExecution
    queued_at: str
    gates: tuple[Gate, ...] = ()
    priority: int = 1
    reads: tuple[Literal["vars", "static_data"], ...] = ()
    until: str | None = None
    data: Json = None
    pin_data: Json = None
    rerun: Json = None


@message("engine.gate-passed.v1")
class GatePassed:
    """A gate has let an execution in."""

    execution_id: str
    kind: GateKind


@message("engine.execution-refused.v1")
class ExecutionRefused:
    """An execution that waited for its turn does not begin."""

    execution_id: str
    workflow_id: str
    error: ErrorFacts


GateCommand: TypeAlias = RequestSlot | ReleaseSlot
GateEvent: TypeAlias = SlotTaken | SlotAwaited | SlotRefused | SlotEvicted | SlotLeft
AdmissionEvent: TypeAlias = ExecutionQueued | GatePassed | ExecutionRefused
