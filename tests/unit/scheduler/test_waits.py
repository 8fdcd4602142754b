"""Registers of events: all that wait get one, else it is kept a day for the one that comes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common.decider import Due, Outgoing, Recorded, Rejected
from perdure_common.ids import event_register
from perdure_contracts.cloudevents import CloudEvent
from perdure_contracts.flow import SignalExecution
from perdure_contracts.message import Envelope
from perdure_contracts.scheduler import (
    EventKept,
    ForgetWait,
    OfferEvent,
    ReceiveEvent,
    RegisterWait,
)
from perdure_scheduler.app import events, registers
from perdure_scheduler.hear import hear
from perdure_scheduler.waits import KEPT_MAX, Register, Taken, stream_of_event, wake_at

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
REGISTER = event_register("tenant", "paid", "7")


@dataclass
class Kept:
    """A register, with what it sent."""

    state: Register = field(default_factory=Register)
    now: datetime = BEGAN
    sent: list[SignalExecution] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)

    def give(self, command: Any) -> Sequence[Any]:
        made = registers.decide(self.state, command, {}, self.now)
        assert not isinstance(made, Rejected)
        for event in made:
            self.state = registers.evolve(self.state, event)
            self.events.append(event)
            recorded = Recorded(event, "tenant", REGISTER, len(self.events), self.now)
            for each in registers.route(self.state, recorded):
                assert isinstance(each.message, SignalExecution)
                self.sent.append(each.message)
        return made

    def wait(self, name: str, until_s: float | None = None) -> Sequence[Any]:
        until = None if until_s is None else (self.now + timedelta(seconds=until_s)).isoformat()
        return self.give(
            RegisterWait(
                register_id=REGISTER,
                name="paid",
                key="7",
                wait_id=f"wait {name}",
                execution_id=name,
                until=until,
            )
        )

    def offer(self, name: str) -> Sequence[Any]:
        payload = {"event": name}
        return self.give(
            OfferEvent(register_id=REGISTER, event_id=name, name="paid", key="7", payload=payload)
        )

    def told(self) -> list[tuple[str, str]]:
        """Return who was told what."""
        return [(each.execution_id, each.payload["event"]) for each in self.sent]


def test_all_that_wait_when_an_event_comes_get_it() -> None:
    kept = Kept()
    kept.wait("x")
    kept.wait("y")
    kept.offer("e1")
    assert kept.told() == [("x", "e1"), ("y", "e1")]
    assert {each.wait_id for each in kept.sent} == {"wait x", "wait y"}
    assert len({each.signal_id for each in kept.sent}) == 2
    assert kept.state.waits == {} and kept.state.kept == {}


def test_an_event_that_finds_nobody_goes_to_the_next_that_comes_and_to_nobody_else() -> None:
    kept = Kept()
    kept.offer("e1")
    kept.offer("e2")
    kept.wait("x")
    kept.wait("y")
    kept.wait("z")
    assert kept.told() == [("x", "e1"), ("y", "e2")]
    kept.offer("e3")
    assert kept.told()[2:] == [("z", "e3")]


def test_an_event_is_kept_for_a_day() -> None:
    kept = Kept()
    kept.offer("e1")
    assert wake_at(kept.state) == BEGAN + timedelta(hours=24)
    kept.now += timedelta(hours=24)
    kept.give(Due(REGISTER))
    assert kept.state.kept == {} and wake_at(kept.state) is None
    kept.wait("x")
    assert kept.told() == []


def test_an_event_whose_time_is_over_is_not_given_even_before_the_wake() -> None:
    kept = Kept()
    kept.offer("e1")
    kept.now += timedelta(hours=25)
    kept.wait("x")
    assert kept.told() == []


def test_a_register_keeps_so_many_events_and_drops_the_oldest() -> None:
    kept = Kept()
    for n in range(KEPT_MAX + 1):
        kept.offer(f"e{n}")
    assert len(kept.state.kept) == KEPT_MAX
    assert isinstance(kept.events[-1], EventKept) and kept.events[-1].dropped == "e0"


def test_who_waits_no_more_is_told_nothing() -> None:
    kept = Kept()
    kept.wait("x", until_s=10)
    kept.wait("y")
    kept.give(ForgetWait(register_id=REGISTER, wait_id="wait y"))
    assert kept.give(ForgetWait(register_id=REGISTER, wait_id="wait y")) == ()
    kept.now += timedelta(seconds=11)
    kept.offer("e1")
    assert kept.told() == [] and list(kept.state.kept) == ["e1"]


def test_a_wait_that_is_registered_twice_is_one() -> None:
    kept = Kept()
    kept.wait("x")
    assert kept.wait("x") == ()
    kept.offer("e1")
    assert kept.told() == [("x", "e1")]


# Events from the topic ------------------------------------------------------------------


def heard(type: str, subject: str | None, data: bytes = b'{"a":1}', id: str = "e1") -> Any:
    event = CloudEvent(id=id, source="/me", type=type, subject=subject, time=None, data=data)
    envelope = Envelope(id=id, source="/me", type=type, tenant_id="tenant", topic="t")
    return hear(event, envelope)


def test_an_event_is_taken_once_and_offered_to_the_register_of_its_name() -> None:
    command = heard("perdure.event.order.paid", "7")
    assert isinstance(command, ReceiveEvent)
    assert (command.name, command.key, command.payload) == ("order.paid", "7", {"a": 1})
    made = events.decide(Taken(), command, {}, BEGAN)
    assert not isinstance(made, Rejected)
    [taken] = made
    state = events.evolve(Taken(), taken)
    stream = stream_of_event(command)
    [sent] = events.route(state, Recorded(taken, "tenant", stream, 1, BEGAN))
    register = event_register("tenant", "order.paid", "7")
    assert isinstance(sent, Outgoing) and sent.stream == register
    assert sent.message == OfferEvent(
        register_id=register, event_id=stream, name="order.paid", key="7", payload={"a": 1}
    )
    again = events.decide(state, command, {}, BEGAN)
    assert isinstance(again, Rejected) and again.code == "duplicate_event"


def test_an_event_that_cannot_be_kept_becomes_a_dead_letter_with_a_reason() -> None:
    for refused, code in (
        (heard("perdure.event.", "7"), "bad_event"),
        (heard("perdure.event." + "x" * 256, None), "bad_event"),
        (heard("perdure.event.paid", "k" * 256), "bad_event"),
        (heard("perdure.event.paid", None, b'"' + b"x" * 300_000 + b'"'), "payload_too_large"),
    ):
        assert isinstance(refused, Rejected) and refused.dead_letter
        assert refused.code == code
