"""Who may run, who waits, and who goes for another one. Pure."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias, assert_never

from perdure_common.decider import Facts, Rejected
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

from .evolve import evolve
from .state import Gate, next_one

Happen: TypeAlias = Callable[[GateEvent], Gate]


def decide(
    state: Gate, command: GateCommand, facts: Facts, now: datetime
) -> tuple[GateEvent, ...] | Rejected:
    """Return what follows from `command`, or why nothing does."""
    events: list[GateEvent] = []
    tried = state.scratch()

    def happen(event: GateEvent) -> Gate:
        nonlocal tried
        events.append(event)
        tried = evolve(tried, event)
        return tried

    refused = act(tried, command, facts, now, happen)
    return tuple(events) if refused is None else refused


def act(
    state: Gate, command: GateCommand, facts: Facts, now: datetime, happen: Happen
) -> Rejected | None:
    """Let what follows from `command` happen, or return why nothing does."""
    del facts, now
    there = command.execution_id in state.holders or command.execution_id in state.waiting
    match command:
        case RequestSlot():
            if command.execution_id in state.holders and not command.forced:
                has = SlotTaken(
                    gate_id=command.gate_id,
                    execution_id=command.execution_id,
                    kind=command.gate.kind,
                    lane=command.lane,
                    again=True,
                )
                happen(has)
                return None
            if there:
                return Rejected(
                    f"execution {command.execution_id!r} holds a slot, or waits for one, already",
                    "duplicate",
                )
            _request(state, command, happen)
        case ReleaseSlot():
            if not there:
                return Rejected(
                    f"execution {command.execution_id!r} has no slot here, nor waits for one",
                    "stale_release",
                )
            gone = SlotLeft(gate_id=command.gate_id, execution_id=command.execution_id)
            _let_in(happen(gone), happen)
        case _:
            assert_never(command)
    return None


def _request(state: Gate, command: RequestSlot, happen: Happen) -> None:
    wanted, who = command.gate, command.execution_id
    free = len(state.holders) < wanted.limit and not state.waiting
    if free or command.forced:
        taken = SlotTaken(
            gate_id=command.gate_id,
            execution_id=who,
            kind=wanted.kind,
            gate=wanted,
            lane=command.lane,
            forced=not free,
        )
        happen(taken)
        return
    reason = _refusal(state, command)
    if reason:
        happen(SlotRefused(gate_id=command.gate_id, execution_id=who, gate=wanted, reason=reason))
        return
    after = happen(
        SlotAwaited(
            gate_id=command.gate_id,
            execution_id=who,
            gate=wanted,
            priority=command.priority,
            lane=command.lane,
        )
    )
    if wanted.policy == "cancel_oldest":
        _evict(after, who, happen)
    _let_in(after, happen)  # the limit may be higher than it was


def _refusal(state: Gate, command: RequestSlot) -> str:
    """Return why an execution may not even wait, empty if it may."""
    wanted = command.gate
    if wanted.policy == "reject":
        return f"{wanted.about}: {wanted.limit} run already, and one more is not to wait"
    if wanted.waiting_max is not None and len(state.waiting) >= wanted.waiting_max:
        return (
            f"{wanted.about}: {wanted.limit} run already and {len(state.waiting)} wait, no more "
            "may; try again later"
        )
    return ""


def _evict(state: Gate, newest: str, happen: Happen) -> None:
    """Let the oldest ones be cancelled, so that those that stay are no more than the slots."""
    stay = [who for who in (*state.holders, *state.waiting) if who not in state.evicted]
    for who in stay[: max(0, len(stay) - state.limit)]:
        if who != newest:
            happen(SlotEvicted(gate_id=state.gate_id, execution_id=who, by=newest))


def _let_in(state: Gate, happen: Happen) -> None:
    """Give free slots to those that wait, whose turn it is."""
    while len(state.holders) < state.limit:
        who = next_one(state)
        if who is None:
            return
        lane = state.waiting[who].partition("|")[2]
        state = happen(
            SlotTaken(gate_id=state.gate_id, execution_id=who, kind=state.kind, lane=lane)
        )
