"""What calls depend on, how they went, and which of them must not be made now.

A dependency is named `kind:what`, as recovery and its breakers know it: `http:host`, `sql:host`,
`smtp:host`, `llm:provider:model`. Two names of the operator's for one host are one dependency:
when it is down, both are. Whoever calls asks `begin` first and tells `heard` afterwards, with what
it was given; what was heard is published, and recovery's breakers come back, in breakers.py.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import urlsplit

from perdure_common.breaking import OPEN_CODE, asked_nobody, breaker_of, is_over, passes, strikes
from perdure_common.run import utc_now
from perdure_contracts.breakers import BreakerTurned
from perdure_contracts.engine import ErrorFacts

from perdure_engine.runner.failures import Failed

KEPT_MAX = 10_000
"""Dependencies that are counted between two reports; a workflow may make up hosts without end."""

PROBE_S = 60.0
"""After which a probe that nothing is heard of counts as lost, and another call may be one."""

UNKNOWN_WAIT_S = 1.0
"""What whoever meets a half-open breaker is told to wait: the probe will have been answered."""


def of_address(kind: str, address: str, otherwise: str) -> str:
    """Return the dependency at an address; `otherwise` is its name where that has no host."""
    try:
        host = urlsplit(address).hostname
    except ValueError:
        host = None
    return f"{kind}:{host or otherwise}"


@dataclass(frozen=True, slots=True)
class Called:
    """Whom a call depends on; `credential` is the handle of what it showed, empty for none."""

    tenant_id: str
    dependency: str
    credential: str = ""

    @property
    def breakers(self) -> tuple["Called", ...]:
        """Everybody's breaker, and that of the credential."""
        return (Called(self.tenant_id, self.dependency), self) if self.credential else (self,)

    @property
    def breaker_id(self) -> str:
        """The id of the breaker of exactly this."""
        return _breaker(self.tenant_id, self.dependency, self.credential)


@lru_cache(4_096)
def _breaker(tenant_id: str, dependency: str, credential: str) -> str:
    return breaker_of(tenant_id, dependency, credential)


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that may be made.

    `sees` are the half-open breakers for which it goes to see: their ids, each with the instant at
    which the breaker was said to be half open. `opened` are those of its breakers that had opened
    before it began, each with the last instant at which it had.
    """

    called: Called
    sees: tuple[tuple[str, str], ...] = ()
    opened: tuple[tuple[str, str], ...] = ()

    def seen_at(self, breaker_id: str) -> str:
        """Return since when a breaker is half open for which the call sees, empty if for none."""
        return next((at for each, at in self.sees if each == breaker_id), "")

    def opened_at(self, breaker_id: str) -> str:
        """Return when a breaker had opened last before the call began, empty if it is not known."""
        return next((at for each, at in self.opened if each == breaker_id), "")


@dataclass(slots=True)
class Heard:
    """How calls went since the last report; `in_a_row` are the failures at its end.

    `probe_ok` and `probe_failed` are those of them that went to see, let go by the news of
    `probe_at`: only the newest.
    """

    ok: int = 0
    failed: int = 0
    in_a_row: int = 0
    probe_at: str = ""
    probe_ok: int = 0
    probe_failed: int = 0


@dataclass(frozen=True, slots=True)
class _News:
    """How a breaker stands, as it was heard at `heard_at`, when the time was `heard_s`."""

    turned: BreakerTurned
    heard_at: datetime
    heard_s: float

    def now(self, time_s: float) -> datetime:
        """Return the instant by the breaker's clock."""
        return self.heard_at + timedelta(seconds=time_s - self.heard_s)


@dataclass
class Dependencies:
    """What the calls of one process met. Nothing here waits.

    `runner` is the name under which breakers know the process. `hurry` is called when a probe
    was answered: everybody waits for what came of it. The clock of `now` may be set back, and may
    be behind recovery's: how long a breaker stands is counted by `time_s`, in seconds that only
    grow, and no wait is longer than the news says.
    """

    runner: str = ""
    now: Callable[[], datetime] = utc_now
    time_s: Callable[[], float] = time.monotonic
    hurry: Callable[[], None] = lambda: None
    dropped: int = 0
    _heard: dict[Called, Heard] = field(default_factory=dict[Called, Heard])
    _turned: dict[str, _News] = field(default_factory=dict[str, _News])
    _opened: dict[str, str] = field(default_factory=dict[str, str])
    _probing: dict[str, float] = field(default_factory=dict[str, float])

    def begin(self, called: Called) -> Begun | Failed:
        """Return why a call must not be made now; if it may be, it is made, and told of."""
        if not (self._turned or self._opened) or not called.dependency:
            return Begun(called)
        time_s = self.time_s()
        probes: list[str] = []
        sees: list[tuple[str, str]] = []
        for each in called.breakers:
            news = self._turned.get(each.breaker_id)
            if news is None:
                continue
            turned, now = news.turned, news.now(time_s)
            if not passes(turned, now, self.runner):
                return Failed(_held(turned, now))
            if turned.state == "half_open":
                sees.append((each.breaker_id, turned.turned_at))
                if is_over(turned, now):
                    continue
                if time_s < self._probing.get(each.breaker_id, time_s):
                    return Failed(_held(turned, now))  # one is under way, or was answered
                probes.append(each.breaker_id)
        for breaker_id in probes:
            self._probing[breaker_id] = time_s + PROBE_S
        ids = (each.breaker_id for each in called.breakers)
        opened = tuple((each, self._opened[each]) for each in ids if each in self._opened)
        return Begun(called, tuple(sees), opened)

    def heard(self, begun: Begun, error: ErrorFacts | None = None) -> None:
        """Count a call: it was answered, or failed by `error`."""
        called = begun.called
        if not called.dependency:
            return
        if error is not None and asked_nobody(error):
            for breaker_id, _ in begun.sees:  # it was to see, and has not: another one may
                self._probing.pop(breaker_id, None)
            return
        strike = strikes(error) if error is not None else None
        everybody = Called(called.tenant_id, called.dependency)
        self._count(begun, everybody, strike == "dependency")
        if called.credential and strike != "dependency":
            self._count(begun, called, strike == "credential")
        if begun.sees:
            self.hurry()

    def _count(self, begun: Begun, called: Called, failed: bool) -> None:
        """Count a call for one of its breakers, unless that has opened since the call began."""
        breaker_id = called.breaker_id if self._opened or begun.sees else ""
        if self._opened.get(breaker_id, "") > begun.opened_at(breaker_id):
            return  # it says how things stood before, and that is known
        seen_at = begun.seen_at(breaker_id)
        counts = self._heard.get(called)
        if counts is None:
            if len(self._heard) >= KEPT_MAX:
                self.dropped += 1
                return
            counts = self._heard[called] = Heard()
        if seen_at > counts.probe_at:
            counts.probe_at, counts.probe_ok, counts.probe_failed = seen_at, 0, 0
        if seen_at and seen_at == counts.probe_at:
            counts.probe_ok += not failed
            counts.probe_failed += failed
        if failed:
            counts.failed += 1
            counts.in_a_row += 1
        else:
            counts.ok += 1
            counts.in_a_row = 0

    def take(self) -> Sequence[tuple[Called, Heard]]:
        """Return what was heard since the last time, and begin anew."""
        taken, self._heard = self._heard, {}
        return tuple(taken.items())

    def turn(self, turned: BreakerTurned) -> None:
        """Note how a breaker stands from now on.

        Raises:
            ValueError: It turned at no instant.
        """
        heard_at = max(self.now(), datetime.fromisoformat(turned.turned_at))
        self._probing.pop(turned.breaker_id, None)
        if turned.state == "open":
            self._opened.pop(turned.breaker_id, None)
            self._opened[turned.breaker_id] = turned.turned_at
            if len(self._opened) > KEPT_MAX:  # who opened first of all is forgotten
                del self._opened[next(iter(self._opened))]
        if turned.state == "closed":
            self._turned.pop(turned.breaker_id, None)
        else:
            self._turned[turned.breaker_id] = _News(turned, heard_at, self.time_s())


def _held(turned: BreakerTurned, now: datetime) -> ErrorFacts:
    """Return the facts of a call that is not made."""
    whose = f" with credential {turned.credential!r}" if turned.credential else ""
    left_s, until = UNKNOWN_WAIT_S, "its next answer"
    if turned.state == "open" and turned.until is not None:
        left_s = (datetime.fromisoformat(turned.until) - now).total_seconds()
        left_s = max(UNKNOWN_WAIT_S, left_s)  # it was due already: the news is on its way
        until = turned.until
    return ErrorFacts(
        type=OPEN_CODE,
        message=f"{turned.dependency}{whose} is not called before {until}: {turned.reason}",
        retryable=True,
        retry_after_s=round(left_s, 3),
        stage="breaker",
        dependency=turned.dependency,
    )
