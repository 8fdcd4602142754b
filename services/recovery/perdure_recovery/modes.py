"""Modes: what recovery may do in a workspace, set by people. A stream of its own for each.

The workspace `*` is the switch above all of them: `off` there is the kill switch.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from perdure_common.decider import Facts, Outgoing, Recorded, Rejected, Upsert
from perdure_common.scrub import scrub_text
from perdure_contracts.failures import People, RecoveryMode, Sampler
from perdure_contracts.recovery import ModeSet, SetMode

from .experience import PEOPLE, SAMPLER

TABLE = "recovery_modes"


@dataclass(frozen=True, slots=True)
class Mode:
    """What recovery may do in a workspace, who chooses, and what an escalation does.

    What is None nobody has set here: it is as in the workspace `*`.
    """

    mode: RecoveryMode = "auto"
    sampler: Sampler | None = "rules"
    people: People | None = "tell"


UNSET = Mode(sampler=None, people=None)
"""What holds where nobody has set anything."""


def stream_of(command: SetMode) -> str:
    """Return the stream of a workspace's mode."""
    return f"{command.workspace_id}/mode"


def decide(
    state: Mode, command: SetMode, facts: Facts, now: datetime
) -> tuple[ModeSet, ...] | Rejected:
    """Return that the mode was set, unless it was so already."""
    del facts, now  # people decide, whenever they like
    sampler = command.sampler or state.sampler
    people = command.people or state.people
    if Mode(command.mode, sampler, people) == state:
        return Rejected(
            f"recovery is in mode {state.mode!r} already for {command.workspace_id!r}", "unchanged"
        )
    return (
        ModeSet(
            workspace_id=command.workspace_id,
            mode=command.mode,
            set_by=command.set_by,
            reason=scrub_text(command.reason),
            sampler=sampler or SAMPLER,
            people=people or PEOPLE,
            inherits=_unset(sampler, people),
        ),
    )


def evolve(state: Mode, event: ModeSet) -> Mode:
    """Return the mode after `event`."""
    del state
    return Mode(
        event.mode,
        None if "sampler" in event.inherits else event.sampler,
        None if "people" in event.inherits else event.people,
    )


def _unset(
    sampler: Sampler | None, people: People | None
) -> tuple[Literal["sampler", "people"], ...]:
    none_chooses: tuple[Literal["sampler"], ...] = ("sampler",) if sampler is None else ()
    nobody_told: tuple[Literal["people"], ...] = ("people",) if people is None else ()
    return (*none_chooses, *nobody_told)


def project(state: Mode, recorded: Recorded[ModeSet]) -> tuple[Upsert, ...]:
    """Return the workspace's row."""
    event = recorded.event
    row = {
        "mode": event.mode,
        "sampler": state.sampler,
        "people": state.people,
        "set_by": event.set_by,
        "reason": event.reason,
        "updated_at": recorded.recorded_at,
    }
    key = {"tenant_id": recorded.tenant_id, "workspace_id": event.workspace_id}
    return (Upsert(TABLE, key, row),)


def route(state: Mode, recorded: Recorded[ModeSet]) -> tuple[Outgoing, ...]:
    """Return nothing: modes are read as facts."""
    del state, recorded
    return ()
