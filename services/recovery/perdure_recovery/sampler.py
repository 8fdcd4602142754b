"""Thompson sampling among the strategies that are allowed and can be carried out. Pure.

Each strategy has a Beta distribution of the probability that it helps, by failure type and
workspace; one value is drawn from each, and the largest wins. The draws follow from the failure and
the attempt: who decides the same again draws the same. How often this strategy would have won is
counted over `DRAWS` more draws and told, so that what is learnt from choices can be weighed.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from .cases import Case, Plan, Record
from .waits import uniform

OUTCOMES_MIN: Final = 30
"""Outcomes of a type in a workspace before the sampler has a say."""
PRIOR_MEANS: Final = (0.7, 0.5, 0.35, 0.25)
"""What the first, the second … strategy is believed to be worth before anything was seen."""
PRIOR_WEIGHT: Final = 4.0
DRAWS: Final = 1_000
PLACES: Final = 6

_MASK: Final = 2**64 - 1


def sampled(case: Case, plans: Sequence[Plan], among: Sequence[int]) -> Plan:
    """Return the plan to take, with a word of how it was chosen; `among` has the places of those.

    Where it does not draw it is the first: nothing else could have been taken.
    """
    seen = sum(record.tried for record in case.records.values())
    if case.sampler != "bandit" or seen < OUTCOMES_MIN or len(among) < 2:
        return plans[among[0]]
    shapes = [_shape(case.records.get(plans[at].strategy, Record()), at) for at in among]
    numbers = _numbers(int(uniform(case.failure_id, case.attempt, "sampler") * 2**56))
    first = [_beta(numbers, *shape) for shape in shapes]
    chosen = _largest(first)
    won = sum(_largest([_beta(numbers, *s) for s in shapes]) == chosen for _ in range(DRAWS))
    return replace(
        plans[among[chosen]],
        scores={
            plans[at].strategy: round(value, PLACES) for at, value in zip(among, first, strict=True)
        },
        propensity=won / DRAWS,
    )


def _largest(drawn: Sequence[float]) -> int:
    return max(range(len(drawn)), key=drawn.__getitem__)


def expected(record: Record, place: int) -> float:
    """Return P(a strategy helps): the mean of the distribution that it is drawn from.

    `place` counts those that the rules prefer to it.
    """
    alpha, beta = _shape(record, place)
    return round(alpha / (alpha + beta), PLACES)


def _shape(record: Record, place: int) -> tuple[float, float]:
    mean = PRIOR_MEANS[min(place, len(PRIOR_MEANS) - 1)]
    failed = record.tried - record.recovered
    return PRIOR_WEIGHT * mean + record.recovered, PRIOR_WEIGHT * (1 - mean) + failed


def _numbers(seed: int) -> Iterator[float]:
    """Yield numbers in (0, 1) by SplitMix64 (Steele, Lea and Flood 2014)."""
    state = seed & _MASK
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        mixed = state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        yield ((mixed ^ (mixed >> 31)) + 1) / (2**64 + 1)


def _beta(numbers: Iterator[float], alpha: float, beta: float) -> float:
    one, other = _gamma(numbers, alpha), _gamma(numbers, beta)
    return one / (one + other)


def _gamma(numbers: Iterator[float], shape: float) -> float:
    """Draw from Gamma(shape, 1) as Marsaglia and Tsang (2000, ACM TOMS 26, 363) do."""
    if shape < 1.0:
        return _gamma(numbers, shape + 1.0) * next(numbers) ** (1.0 / shape)
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        normal = math.sqrt(-2.0 * math.log(next(numbers))) * math.cos(math.tau * next(numbers))
        v = (1.0 + c * normal) ** 3
        if v > 0.0 and math.log(next(numbers)) < 0.5 * normal**2 + d - d * v + d * math.log(v):
            return d * v
