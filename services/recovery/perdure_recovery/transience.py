"""How likely is it that the unchanged step succeeds if it is tried again after the wait?

A Beta distribution of that probability for each (signature, dependency): the prior of the
failure type, then what other workspaces saw (at most as much as `SHARED_MAX` trials), then
what this workspace saw. Counts fade with a half-life of 20 days; within five minutes all
trials of a pattern together are one observation, because an outage answers them all alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from perdure_contracts.patterns import FailureType

PRIOR_MEAN: Final[dict[FailureType, float]] = {
    "rate_limit": 0.90,
    "quota_exhausted": 0.05,
    "timeout": 0.75,
    "network": 0.85,
    "dependency_down": 0.60,
    "auth": 0.10,
    "permission": 0.02,
    "validation": 0.03,
    "context_length": 0.02,
    "model_refusal": 0.10,
    "output_invalid": 0.60,
    "tool_error": 0.30,
    "resource_exhausted": 0.40,
    "conflict": 0.95,
    "data_missing": 0.15,
    "worker_lost": 0.90,
    "code_bug": 0.02,
    "cancelled": 0.02,
    "unknown": 0.30,
}
"""Prior mean by failure type: judgement, to be replaced by counts as they come."""
PRIOR_WEIGHT: Final = 4.0
"""How many observations the prior is worth (kappa)."""
SHARED_MAX: Final = 8.0
"""How many observations other workspaces may be worth together."""
WORKSPACES_MIN: Final = 3
"""Fewest other workspaces whose counts are used, so that none can be made out."""
HALF_LIFE_S: Final = 20 * 86_400.0
WINDOW_S: Final = 300
CONFIDENCE_MIN: Final = 0.65
"""Below this, whether a failure is transient is not said."""
PLACES: Final = 6
"""Decimals to which tail probabilities are rounded, so that every machine agrees."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Faded successes and failures of unchanged retries, as of `at` (Unix seconds)."""

    successes: float = 0.0
    failures: float = 0.0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a pattern was taught: `closed` windows, and the trials of the `window` still open."""

    closed: Counts = field(default_factory=Counts)
    window: int = 0
    successes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Belief:
    """Beta(`alpha`, `beta`) and what follows from it.

    `transient` is P(theta >= 1/2) >= 1/2, None where `confidence` is below the minimum.
    `own` and `shared` are the observations behind it, in trials.
    """

    alpha: float
    beta: float
    mean: float
    transient: bool | None
    confidence: float
    own: float
    shared: float


def believe(failure_type: FailureType, own: Counts, others: Sequence[Counts], now: float) -> Belief:
    """Return what is believed of a failure now (Unix seconds).

    `own` are the counts of this workspace, `others` those of each other workspace.
    """
    mine = faded(own, now)
    theirs = [faded(counts, now) for counts in others] if len(others) >= WORKSPACES_MIN else []
    successes, failures = sum(c.successes for c in theirs), sum(c.failures for c in theirs)
    total = successes + failures
    share = min(1.0, SHARED_MAX / total) if total else 0.0
    mean = PRIOR_MEAN[failure_type]
    alpha = PRIOR_WEIGHT * mean + share * successes + mine.successes
    beta = PRIOR_WEIGHT * (1.0 - mean) + share * failures + mine.failures
    likely = _above_half(alpha, beta)
    confidence = max(likely, round(1.0 - likely, PLACES))
    return Belief(
        alpha=round(alpha, PLACES),
        beta=round(beta, PLACES),
        mean=round(alpha / (alpha + beta), PLACES),
        transient=likely >= 0.5 if confidence >= CONFIDENCE_MIN else None,
        confidence=confidence,
        own=round(mine.successes + mine.failures, PLACES),
        shared=round(share * total, PLACES),
    )


@lru_cache(1_000)  # most failures are believed by the prior alone
def _above_half(alpha: float, beta: float) -> float:
    """Return P(theta >= 1/2)."""
    return round(1.0 - beta_cdf(0.5, alpha, beta), PLACES)


def faded(counts: Counts, now: float) -> Counts:
    """Return the counts as they weigh now; the future weighs as much as the present."""
    weight = 0.5 ** (max(0.0, now - counts.at) / HALF_LIFE_S)
    return Counts(counts.successes * weight, counts.failures * weight, max(now, counts.at))


def taught(lessons: Lessons, *, succeeded: bool, at: float) -> Lessons:
    """Return the lessons after one more, learnt at `at` (Unix seconds).

    A lesson older than the open window counts in the open one.
    """
    window = max(int(at // WINDOW_S), lessons.window)
    if window != lessons.window:
        lessons = Lessons(closed=weights(lessons), window=window)
    if succeeded:
        return replace(lessons, successes=lessons.successes + 1)
    return replace(lessons, failures=lessons.failures + 1)


def weights(lessons: Lessons) -> Counts:
    """Return the counts of all windows; the trials of the open one share one observation."""
    start = float(lessons.window * WINDOW_S)
    closed = faded(lessons.closed, start)
    trials = lessons.successes + lessons.failures
    if trials == 0:
        return closed
    return Counts(
        closed.successes + lessons.successes / trials,
        closed.failures + lessons.failures / trials,
        start,
    )


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b), for a, b > 0.

    By the continued fraction DLMF 8.17.22 (https://dlmf.nist.gov/8.17.E22), evaluated with
    the modified Lentz method (Thompson and Barnett 1986, J. Comput. Phys. 64, 490), on the
    side of x where it converges fast: I_x(a, b) = 1 - I_(1-x)(b, a), DLMF 8.17.4. Accurate
    to about 1e-13.

    Raises:
        ValueError: x is outside [0, 1], or a or b is not positive.
    """
    if not 0.0 <= x <= 1.0 or a <= 0.0 or b <= 0.0:
        raise ValueError(f"I_x(a, b) needs 0 <= x <= 1 and a, b > 0, not {x}, {a}, {b}")
    if x in (0.0, 1.0):
        return x
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_cdf(1.0 - x, b, a)
    log_front = (
        a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    )
    return math.exp(log_front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    tiny, enough, steps_max = 1e-300, 1e-15, 10_000
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0), tiny)
    value = d
    for m in range(1, steps_max):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for numerator in (even, odd):
            d = 1.0 / _not_zero(1.0 + numerator * d, tiny)
            c = _not_zero(1.0 + numerator / c, tiny)
            value *= c * d
        if abs(c * d - 1.0) < enough:
            break
    return value


def _not_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
