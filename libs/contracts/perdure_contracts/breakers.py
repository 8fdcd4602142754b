"""How calls of others' systems fare, and which of those systems are not to be called for now.

Runners tell what became of their calls (`DependencyCalls`, topic `perdure.engine.calls.v1`, by
breaker), recovery keeps a circuit breaker for each dependency and tells how it stands
(`BreakerTurned`, topic `perdure.recovery.breakers.v1`, by breaker). Runners look at that before
they send anything; `perdure_common.breaking` says how, and what counts as a failure.
"""

from typing import Literal, TypeAlias

from .message import message

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]
"""Calls go out; none does; one does, to see."""


@message("engine.dependency-calls.v1")
class DependencyCalls:
    """What became of one runner's calls of one dependency since it told last, some 5 s ago.

    `breaker_id` is `breaker_of(tenant_id, dependency, credential)`. Without a `credential` the
    calls of all of them are counted, and time-outs, network failures and a dependency that is down
    have `failed`; with one (its id, never a secret) those that were throttled or not let in. All
    other answers are `ok`. `in_a_row` are the failures since the last success, at the end.
    `probe_ok` and `probe_failed` are those of the calls that a half-open breaker let through: made
    after the news of the instant `probe_at` (its `turned_at`), which is empty if none were. Other
    calls began before and say nothing of now. (None is from runners that do not tell them apart.)
    `n` counts what `runner` has told since it started, from 1; the name is new at each start.
    An interval without calls is not told. It may be lost, and may come twice.
    """

    breaker_id: str
    dependency: str
    runner: str
    n: int
    ok: int
    failed: int
    told_at: str
    in_a_row: int = 0
    window_s: float = 5.0
    credential: str = ""
    probe_at: str | None = None
    probe_ok: int = 0
    probe_failed: int = 0


@message("recovery.breaker-turned.v1")
class BreakerTurned:
    """How a dependency's breaker stands from now on; the latest of a `breaker_id` counts.

    While it is `open`, nothing is sent before the instant `until`. `half_open` lets the runner
    `prober` (any, if it is empty) make one call until it has told of it or `until` has passed;
    the others wait. `closed` lets all call. `times` counts how often it opened in a row.
    """

    breaker_id: str
    dependency: str
    state: BreakerState
    reason: str
    turned_at: str
    credential: str = ""
    until: str | None = None
    prober: str = ""
    times: int = 0
