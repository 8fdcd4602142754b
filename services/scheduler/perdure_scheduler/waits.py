"""Registers: where events meet the executions that wait for them, one for each name and key.

All that wait when an event comes get it. If none does, it is kept for a day, and the one that
comes next gets the oldest, which nobody else gets then. Pure; `RegisterWait` and `ForgetWait`
come from the engine, `OfferEvent` from our own ears, by way of the event's own stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from perdure_common.decider import Due, Facts, Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import derived, event_register
from perdure_contracts.flow import SignalExecution
from perdure_contracts.message import Json
from perdure_contracts.scheduler import (
    EventDelivered,
    EventKept,
    EventsExpired,
    EventTaken,
    ForgetWait,
    OfferEvent,
    ReceiveEvent,
    RegisterCommand,
    RegisterEvent,
    RegisterWait,
    WaitForgotten,
    WaitRegistered,
)

ENGINE = "perdure.engine.commands.v1"
OURS = "perdure.scheduler.commands.v1"

KEPT_FOR = timedelta(hours=24)
"""How long an event is kept that nobody waited for."""

KEPT_MAX = 100
"""Events that one register keeps; the oldest makes room."""

AT_ONCE = 500
"""Executions that one event of ours lets go on; below what the shell lets an event send."""


@dataclass(frozen=True)
class Wait:
    """An execution that waits; `until` is when it does no more."""

    execution_id: str
    until: datetime | None


@dataclass(frozen=True)
class Kept:
    """An event that nobody has taken yet."""

    payload: Json
    until: datetime


@dataclass(frozen=True)
class Register:
    """Who waits for events of a name and key, and which of them nobody waited for, by id."""

    name: str = ""
    key: str = ""
    waits: Mapping[str, Wait] = field(default_factory=dict[str, Wait])
    kept: Mapping[str, Kept] = field(default_factory=dict[str, Kept])


@dataclass(frozen=True)
class Taken:
    """Whether an event was taken before."""

    taken: bool = False


# Events as they come ------------------------------------------------------------------------


def stream_of_event(command: ReceiveEvent) -> str:
    """Return the stream of an event: a redelivery meets what the first one left."""
    return derived("event", command.tenant_id, command.source, command.event_id)


def decide_event(
    state: Taken, command: ReceiveEvent, facts: Facts, now: datetime
) -> tuple[EventTaken, ...] | Rejected:
    """Take an event once."""
    del facts, now
    if state.taken:
        return Rejected(
            f"event {command.event_id!r} of {command.source!r} came before; give a new event a new "
            "id",
            "duplicate_event",
        )
    return (
        EventTaken(
            event_id=stream_of_event(command),
            register_id=event_register(command.tenant_id, command.name, command.key),
            name=command.name,
            key=command.key,
            payload=command.payload,
        ),
    )


def evolve_event(state: Taken, event: EventTaken) -> Taken:
    """Return that the event was taken."""
    del state, event
    return Taken(True)


def route_event(state: Taken, recorded: Recorded[EventTaken]) -> tuple[Outgoing, ...]:
    """Return the offer of the event to its register."""
    del state
    event = recorded.event
    offer = OfferEvent(
        register_id=event.register_id,
        event_id=event.event_id,
        name=event.name,
        key=event.key,
        payload=event.payload,
    )
    return (Outgoing(OURS, event.register_id, offer),)


# Registers ----------------------------------------------------------------------------------


def stream_of_register(command: RegisterCommand) -> str:
    """Return the stream of a register."""
    return command.register_id


def decide_register(
    state: Register, command: RegisterCommand | Due, facts: Facts, now: datetime
) -> tuple[RegisterEvent, ...] | Rejected:
    """Return who gets which event, what is kept, and what is over."""
    del facts
    kept = {event_id: each for event_id, each in state.kept.items() if each.until > now}
    match command:
        case RegisterWait():
            return _registered(state, command, kept)
        case ForgetWait():
            if command.wait_id not in state.waits:
                return ()
            return (WaitForgotten(register_id=command.register_id, wait_id=command.wait_id),)
        case OfferEvent():
            return _offered(state, command, kept, now)
        case Due():
            return _expired(state, command.stream, now)
        case _:
            assert_never(command)


def _registered(
    state: Register, command: RegisterWait, kept: Mapping[str, Kept]
) -> tuple[RegisterEvent, ...]:
    if command.wait_id in state.waits:
        return ()
    if kept:
        event_id = next(iter(kept))
        delivered = EventDelivered(
            register_id=command.register_id,
            event_id=event_id,
            name=command.name,
            key=command.key,
            payload=kept[event_id].payload,
            waits=((command.wait_id, command.execution_id),),
        )
        return (delivered,)
    return (
        WaitRegistered(
            register_id=command.register_id,
            name=command.name,
            key=command.key,
            wait_id=command.wait_id,
            execution_id=command.execution_id,
            until=command.until,
        ),
    )


def _offered(
    state: Register, command: OfferEvent, kept: Mapping[str, Kept], now: datetime
) -> tuple[RegisterEvent, ...]:
    waits = [
        (wait_id, wait.execution_id)
        for wait_id, wait in state.waits.items()
        if wait.until is None or wait.until > now
    ]
    if waits:
        return tuple(
            EventDelivered(
                register_id=command.register_id,
                event_id=command.event_id,
                name=command.name,
                key=command.key,
                payload=command.payload,
                waits=tuple(waits[first : first + AT_ONCE]),
            )
            for first in range(0, len(waits), AT_ONCE)
        )
    return (
        EventKept(
            register_id=command.register_id,
            event_id=command.event_id,
            name=command.name,
            key=command.key,
            payload=command.payload,
            until=(now + KEPT_FOR).isoformat(),
            dropped=next(iter(kept)) if len(kept) >= KEPT_MAX else "",
        ),
    )


def _expired(state: Register, stream: str, now: datetime) -> tuple[RegisterEvent, ...]:
    events = tuple(event_id for event_id, each in state.kept.items() if each.until <= now)
    waits = tuple(w for w, each in state.waits.items() if each.until and each.until <= now)
    if not events and not waits:
        return ()
    return (EventsExpired(register_id=stream, event_ids=events, wait_ids=waits),)


def evolve_register(state: Register, event: RegisterEvent) -> Register:
    """Return the register as it stands after `event`."""
    match event:
        case WaitRegistered():
            until = None if event.until is None else datetime.fromisoformat(event.until)
            waits = {**state.waits, event.wait_id: Wait(event.execution_id, until)}
            return Register(event.name, event.key, waits, state.kept)
        case WaitForgotten():
            return replace(state, waits=_without(state.waits, [event.wait_id]))
        case EventKept():
            until = datetime.fromisoformat(event.until)
            kept = {
                **_without(state.kept, [event.dropped]),
                event.event_id: Kept(event.payload, until),
            }
            return Register(event.name, event.key, state.waits, kept)
        case EventDelivered():
            waits = _without(state.waits, [wait_id for wait_id, _ in event.waits])
            return Register(event.name, event.key, waits, _without(state.kept, [event.event_id]))
        case EventsExpired():
            waits = _without(state.waits, event.wait_ids)
            return replace(state, waits=waits, kept=_without(state.kept, event.event_ids))
        case _:
            assert_never(event)


def route_register(state: Register, recorded: Recorded[RegisterEvent]) -> tuple[Outgoing, ...]:
    """Return what executions are told."""
    del state
    event = recorded.event
    if not isinstance(event, EventDelivered):
        return ()
    return tuple(
        Outgoing(
            ENGINE,
            execution_id,
            SignalExecution(
                execution_id=execution_id,
                name=event.name,
                signal_id=derived("signal", event.event_id, wait_id),
                payload=event.payload,
                key=event.key,
                wait_id=wait_id,
                sent_by=f"event {event.event_id}",
            ),
        )
        for wait_id, execution_id in event.waits
    )


def wake_at(state: Register) -> datetime | None:
    """Return the earliest instant at which something in a register is over."""
    instants = [each.until for each in state.kept.values()]
    instants += [each.until for each in state.waits.values() if each.until is not None]
    return min(instants, default=None)


def no_rows(state: object, recorded: Recorded[Any]) -> tuple[Upsert, ...]:
    """Return nothing: why an execution waits is asked of the execution."""
    del state, recorded
    return ()


def _without(values: Mapping[str, Any], gone: tuple[str, ...] | list[str]) -> dict[str, Any]:
    return {name: each for name, each in values.items() if name not in gone}
