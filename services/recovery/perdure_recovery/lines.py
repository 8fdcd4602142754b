"""Lines in which held attempts wait until a breaker or an incident lets them go.

A stream of its own for each. Its gate is shut, lets one go to see, or is open; then all go, those
with the earliest deadline first, at a pace that what has just come back can bear.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from perdure_common.decider import Facts, Outgoing, Recorded, Upsert
from perdure_contracts.deciding import (
    Gate,
    GateSet,
    JoinLine,
    LeaveLine,
    LineCommand,
    LineEvent,
    LineJoined,
    LineLeft,
    ReleaseAttempt,
    SetGate,
    Waiter,
    WaitersReleased,
)

from .instants import parsed, seconds_between, written
from .waits import uniform

OWN: Final = "perdure.recovery.commands.v1"
PER_SECOND: Final = 20
"""Most attempts that an incident lets go in a second."""
AGAIN_S: Final = 1.0
AGAIN_MAX_S: Final = 4.0
"""How long the next one waits after one that was to see and did not, doubled each time; and the
longest. A breaker lets calls through a moment after its line has heard of it, or on one runner."""
BLIND_MAX: Final = 8
"""How many may go to a breaker in vain until it says anew how it stands, which it does within a
minute: two breakers of one call could otherwise send it to and fro for ever."""
LATE_S: Final = 1.0
"""How long who joins a line that is open already waits: news of it may be on their way."""
RELEASED_MAX: Final = 500
"""Attempts in one event."""

Pace = Literal["doubling", "even"]


@dataclass(frozen=True, slots=True)
class Line:
    """Who waits, by attempt and in the order in which they came, and how the gate stands.

    Thousands may wait, so what happens changes `waiting` in place. `probing` is who went to see,
    empty: nobody yet. `seen` is the execution that went last: it goes once more before others do,
    for its answer says most about what has changed, and behind them after that (`twice`), for its
    call may fail for a reason of its own. Since the gate was set, `blind` went to see and were held
    up before they could.
    """

    gate: Gate = "open"
    pace: Pace = "even"
    reason: str = ""
    waiting: dict[str, Waiter] = field(default_factory=dict[str, Waiter])
    probing: str = ""
    seen: str = ""
    twice: bool = False
    blind: int = 0


def stream_of(command: LineCommand) -> str:
    """Return the stream of a line."""
    return command.line


def decide(state: Line, command: LineCommand, facts: Facts, now: datetime) -> tuple[LineEvent, ...]:
    """Return who may go."""
    del facts  # a line knows only who waits in it
    match command:
        case SetGate():
            if command.gate == state.gate and command.gate != "probe":
                return ()
            gate = GateSet(
                line=command.line, gate=command.gate, pace=command.pace, reason=command.reason
            )
            return (gate, *_let_go(command.line, evolve(state, gate), now))
        case JoinLine():
            if command.waiter.attempt_id in state.waiting:
                return ()
            joined = LineJoined(line=command.line, waiter=command.waiter)
            if _stands(state):
                return (joined,)
            tried = replace(state, waiting=dict(state.waiting))
            return (joined, *_let_go(command.line, evolve(tried, joined), now))
        case LeaveLine():
            left = LineLeft(line=command.line, attempt_id=command.attempt_id)
            if command.attempt_id in state.waiting:
                return (left,)
            if not state.probing or command.attempt_id != state.probing:
                return ()
            left = replace(left, probe=True)
            return (left, *_let_go(command.line, evolve(state, left), now))


def evolve(state: Line, event: LineEvent) -> Line:
    """Return the line as it stands after `event`."""
    match event:
        case GateSet():
            return replace(
                state, gate=event.gate, pace=event.pace, reason=event.reason, probing="", blind=0
            )
        case LineJoined():
            waiting = state.waiting or {}  # an empty one may be that of all new lines
            waiting[event.waiter.attempt_id] = event.waiter
            return replace(state, waiting=waiting)
        case LineLeft(probe=True):  # others first, then: it may be held up where it is sent
            return replace(state, probing="", twice=True, blind=state.blind + 1)
        case LineLeft():
            state.waiting.pop(event.attempt_id, None)
            return state
        case WaitersReleased():
            first = event.released[0][0]
            for waiter, _ in event.released:
                state.waiting.pop(waiter.attempt_id, None)
            if not event.probe:
                return state
            return replace(
                state,
                probing=first.attempt_id,
                seen=first.execution_id,
                twice=state.seen == first.execution_id,
            )


def project(state: Line, recorded: Recorded[LineEvent]) -> tuple[Upsert, ...]:
    """Return nothing: an attempt's row says that it waits."""
    del state, recorded
    return ()


def route(state: Line, recorded: Recorded[LineEvent]) -> tuple[Outgoing, ...]:
    """Return what tells released attempts that it is their turn."""
    del state
    event = recorded.event
    if not isinstance(event, WaitersReleased):
        return ()
    return tuple(
        Outgoing(
            OWN,
            waiter.execution_id,
            ReleaseAttempt(
                execution_id=waiter.execution_id,
                attempt_id=waiter.attempt_id,
                line=event.line,
                reason=event.reason,
                not_before=not_before,
                probe=event.probe,
                wait_s=seconds_between(event.released_at, parsed(not_before)),
            ),
        )
        for waiter, not_before in event.released
    )


def offsets(count: int, pace: Pace) -> Iterator[float]:
    """Yield the seconds after which each of `count` attempts may begin.

    `doubling` lets 1, 2, 4 … begin in a second, `even` always as many.
    """
    for place in range(count):
        if pace == "even":
            yield place / PER_SECOND
        else:
            second = int(math.log2(place + 1))
            yield second + (place + 1 - 2**second) / 2**second


def _stands(state: Line) -> bool:
    """Return whether nobody may go, whoever waits."""
    if state.gate == "probe":
        return bool(state.probing) or (state.pace == "doubling" and state.blind >= BLIND_MAX)
    return state.gate == "shut"


def _let_go(line: str, state: Line, now: datetime) -> tuple[LineEvent, ...]:
    if _stands(state) or not state.waiting:
        return ()
    waiting = sorted(state.waiting.values(), key=_urgency)
    if state.gate == "probe":
        again = (w for w in waiting if (w.execution_id == state.seen) != state.twice)
        wait_s = min(AGAIN_MAX_S, AGAIN_S * 2.0 ** (state.blind - 1)) if state.blind else 0.0
        first = ((next(again, waiting[0]), written(now + timedelta(seconds=wait_s))),)
        return (_released(line, first, "one is tried to see", now, probe=True),)
    times = offsets(len(waiting), state.pace)
    shift_s = 0.0 if len(waiting) > 1 else LATE_S
    timed = [
        (waiter, written(now + timedelta(seconds=shift_s + each)))
        for waiter, each in zip(waiting, times, strict=True)
    ]
    return tuple(
        _released(line, timed[at : at + RELEASED_MAX], state.reason or "nothing is in the way", now)
        for at in range(0, len(timed), RELEASED_MAX)
    )


def _released(
    line: str,
    released: Sequence[tuple[Waiter, str]],
    reason: str,
    now: datetime,
    *,
    probe: bool = False,
) -> WaitersReleased:
    return WaitersReleased(
        line=line, released=tuple(released), reason=reason, released_at=written(now), probe=probe
    )


def _urgency(waiter: Waiter) -> tuple[bool, str, float]:
    """Order by deadline; who have none come last, in an order that follows from their ids."""
    return (not waiter.deadline, waiter.deadline, uniform(waiter.attempt_id, 1, "line"))
