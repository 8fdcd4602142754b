"""Circuit breakers: what a dependency's calls say about it, and who may call it meanwhile.

A stream of its own for each dependency, and for each of its credentials. It opens when half of five
calls or more in a minute have failed, or five in a row; after a while one call is let through, and
what comes of that, not of those that began before, closes it or opens it for longer. Runners obey
what it says (`BreakerTurned`).

One call of all: it is the runner that called last which may make it. Only if that one has no call
to make within `PROBER_S`, so that few are made anywhere, may each runner make one.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from perdure_common.decider import Due, Facts, Outgoing, Recorded, Upsert
from perdure_contracts.breakers import BreakerState, BreakerTurned, DependencyCalls
from perdure_contracts.deciding import BreakerEvent, CallsNoted, Gate, SetGate

from .experience import line_of
from .instants import parsed, written
from .retention import FOREVER, SHORT

TABLE: Final = "recovery_breakers"
TOPIC: Final = "perdure.recovery.breakers.v1"
OWN: Final = "perdure.recovery.commands.v1"

WINDOW_S: Final = 60.0
CALLS_MIN: Final = 5
SHARE: Final = 0.5
"""Half of this many calls in this many seconds open a breaker when another one fails …"""
ROW: Final = 5
ROW_S: Final = 600.0
"""… and so do this many in a row within this time."""
OPEN_S: Final = 30.0
OPEN_MAX_S: Final = 600.0
"""How long a breaker is open, times how often it opened; and the longest."""
PROBER_S: Final = 15.0
"""How long only one runner may make the call: several times as long as runners take between two
reports, so that a call which takes its time is not joined by those of all others."""
PROBE_S: Final = 60.0
"""After which a call that was let through is taken for lost."""
UNCALLED_S: Final = 1_800.0
"""After which one that is half open and that nobody has called closes: there are hosts that one
workflow called once, and each would turn every minute for ever. Longer than `OPEN_MAX_S`, so that
whoever waits for another breaker of the same call has called by then."""
FORGIVEN_S: Final = 600.0
"""How long a breaker must be closed until it begins to count anew how often it opened."""
RUNNERS_MAX: Final = 50
"""Runners whose last message is remembered, so that none counts twice."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """How a breaker stands. `calls` are (instant, ok, failed) of the last minute.

    `row` counts failures in a row, since `row_at`; `heard` has the number of each runner's last
    message, who told last at the end. `closed_at` is when it closed last, `prober` who alone may
    call now. `half_open_at` is when it became half open, since it was open last.
    """

    breaker_id: str = ""
    dependency: str = ""
    credential: str = ""
    state: BreakerState = "closed"
    until: datetime | None = None
    times: int = 0
    closed_at: datetime | None = None
    calls: tuple[tuple[datetime, int, int], ...] = ()
    row: int = 0
    row_at: datetime | None = None
    heard: dict[str, int] = field(default_factory=dict[str, int])
    prober: str = ""
    half_open_at: datetime | None = None


def stream_of(command: DependencyCalls) -> str:
    """Return the stream of a breaker."""
    return f"{command.breaker_id}/breaker"


def wake_at(state: Breaker) -> datetime | None:
    """Return when a breaker that is not closed lets the next call through."""
    if state.state == "closed" or state.until is None:
        return None
    return state.until - timedelta(seconds=PROBE_S - PROBER_S) if state.prober else state.until


def decide(
    state: Breaker, command: DependencyCalls | Due, facts: Facts, now: datetime
) -> tuple[BreakerEvent, ...]:
    """Return what is noted, and whether the breaker turns."""
    del facts  # a breaker knows only its calls
    if isinstance(command, Due):
        due = wake_at(state)
        if due is None or due > now:
            return ()
        if state.state == "open":
            return (_half_open(state, "it was open long enough", now, prober=_caller(state)),)
        since = state.half_open_at
        if since is not None and now - since >= timedelta(seconds=UNCALLED_S):
            return (_closed(state, f"nobody has called for {UNCALLED_S / 60:.0f} minutes", now),)
        lost = "the runner that was to call did not" if state.prober else "the call was lost"
        return (_half_open(state, lost, now),)
    if command.n <= state.heard.get(command.runner, 0) or not _matters(state, command, now):
        return ()
    noted = CallsNoted(
        breaker_id=command.breaker_id,
        dependency=command.dependency,
        runner=command.runner,
        n=command.n,
        ok=command.ok,
        failed=command.failed,
        in_a_row=command.in_a_row,
        noted_at=written(now),
        credential=command.credential,
    )
    return (noted, *_turns(evolve(state, noted), command, now))


def evolve(state: Breaker, event: BreakerEvent) -> Breaker:
    """Return the breaker as it stands after `event`."""
    if isinstance(event, BreakerTurned):
        closes = event.state == "closed"
        half_open_at = state.half_open_at if state.state == "half_open" else parsed(event.turned_at)
        return replace(
            state,
            state=event.state,
            until=parsed(event.until) if event.until else None,
            times=event.times,
            closed_at=parsed(event.turned_at) if closes else state.closed_at,
            calls=() if closes else state.calls,
            row=0 if closes else state.row,
            row_at=None if closes else state.row_at,
            prober=event.prober,
            half_open_at=half_open_at if event.state == "half_open" else None,
        )
    at = parsed(event.noted_at)
    since = at - timedelta(seconds=WINDOW_S)
    recent = tuple(each for each in state.calls if each[0] > since)
    fresh = event.ok > 0 or state.row == 0
    row = event.in_a_row if event.ok else state.row + event.failed
    heard = {name: n for name, n in state.heard.items() if name != event.runner}
    heard[event.runner] = event.n
    return replace(
        state,
        breaker_id=event.breaker_id,
        dependency=event.dependency,
        credential=event.credential,
        calls=(*recent, (at, event.ok, event.failed)),
        row=row,
        row_at=at if fresh else state.row_at,
        heard=dict(list(heard.items())[-RUNNERS_MAX:]),
    )


def project(state: Breaker, recorded: Recorded[BreakerEvent]) -> tuple[Upsert, ...]:
    """Return the breaker's row, when it turns; one at rest may be forgotten."""
    del state  # the event says everything
    event, at = recorded.event, recorded.recorded_at
    if isinstance(event, CallsNoted):
        return ()
    key = {"tenant_id": recorded.tenant_id, "breaker_id": event.breaker_id}
    row = {
        "dependency": event.dependency,
        "credential": event.credential,
        "state": event.state,
        "until": event.until,
        "times": event.times,
        "reason": event.reason,
        "kept_until": at + SHORT if event.state == "closed" else FOREVER,
        "updated_at": at,
    }
    return (Upsert(TABLE, key, row),)


GATES: Final[dict[BreakerState, Gate]] = {"closed": "open", "open": "shut", "half_open": "probe"}


def route(state: Breaker, recorded: Recorded[BreakerEvent]) -> tuple[Outgoing, ...]:
    """Return what tells the runners, and the line of those who wait."""
    del state
    event = recorded.event
    if isinstance(event, CallsNoted):
        return ()
    line = line_of(event.breaker_id)
    reason = f"the breaker of {event.dependency} is {event.state.replace('_', ' ')}"
    gate = SetGate(line=line, gate=GATES[event.state], pace="doubling", reason=reason)
    return Outgoing(TOPIC, event.breaker_id, event), Outgoing(OWN, line, gate)


def _matters(state: Breaker, command: DependencyCalls, now: datetime) -> bool:
    """Return whether calls can change anything: not those of a dependency without trouble."""
    since = now - timedelta(seconds=WINDOW_S)
    trouble = state.row > 0 or any(at > since and failed for at, _, failed in state.calls)
    return command.failed > 0 or state.state != "closed" or trouble


def _turns(state: Breaker, command: DependencyCalls, now: datetime) -> tuple[BreakerTurned, ...]:
    if state.state == "half_open":
        ok, failed = _seen(state, command)
        if failed:
            return (_open(state, "the call that was let through failed", now),)
        return (_closed(state, "a call was answered", now),) if ok else ()
    if state.state == "open" or not command.failed:
        return ()  # answers to what was sent before, or good news, which stops nobody
    since = now - timedelta(seconds=WINDOW_S)
    calls = [(ok, failed) for at, ok, failed in state.calls if at > since]
    failed = sum(each for _, each in calls)
    total = failed + sum(each for each, _ in calls)
    if total >= CALLS_MIN and failed >= SHARE * total:
        return (_open(state, f"{failed} of {total} calls failed in {WINDOW_S:.0f} s", now),)
    lately = state.row_at is not None and now - state.row_at <= timedelta(seconds=ROW_S)
    if state.row >= ROW and lately:
        return (_open(state, f"{state.row} calls failed in a row", now),)
    return ()


def _seen(state: Breaker, command: DependencyCalls) -> tuple[int, int]:
    """Return how many of the calls that a half-open breaker let through were answered and failed.

    One that was let through a while ago, when the breaker was half open already, is one of them: a
    call may take longer than it is waited for. What began before says how it was then.
    """
    if command.probe_at is None:
        return command.ok, command.failed
    since = state.half_open_at
    if not command.probe_at or (since is not None and command.probe_at < written(since)):
        return 0, 0
    return command.probe_ok, command.probe_failed


def _open(state: Breaker, reason: str, now: datetime) -> BreakerTurned:
    closed = state.closed_at
    forgiven = (
        state.state == "closed"
        and closed is not None
        and now - closed >= timedelta(seconds=FORGIVEN_S)
    )
    times = 1 if forgiven else state.times + 1
    until = now + timedelta(seconds=min(OPEN_MAX_S, OPEN_S * times))
    return _turned(state, "open", reason, now, times=times, until=until)


def _half_open(state: Breaker, reason: str, now: datetime, prober: str = "") -> BreakerTurned:
    until = now + timedelta(seconds=PROBE_S)
    return _turned(state, "half_open", reason, now, times=state.times, until=until, prober=prober)


def _closed(state: Breaker, reason: str, now: datetime) -> BreakerTurned:
    return _turned(state, "closed", reason, now, times=state.times)


def _caller(state: Breaker) -> str:
    """Return the runner that told last of calls."""
    return next(reversed(state.heard), "")


def _turned(
    breaker: Breaker,
    state: BreakerState,
    reason: str,
    now: datetime,
    *,
    times: int,
    until: datetime | None = None,
    prober: str = "",
) -> BreakerTurned:
    return BreakerTurned(
        breaker_id=breaker.breaker_id,
        dependency=breaker.dependency,
        credential=breaker.credential,
        state=state,
        reason=reason,
        turned_at=written(now),
        until=None if until is None else written(until),
        times=times,
        prober=prober,
    )
