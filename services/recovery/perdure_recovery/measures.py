"""How well recovery does: rates with intervals, times to recovery, by type and dependency.

Pure, from counted episodes (episodes.py), so the figures of any period can be made again. The
definitions: success is recovered of the eligible episodes that are over, coverage eligible of
all; a false positive is an attempt that was wrong to make, missed is what people mended by an
unchanged retry; a few of what would be given up are tried by chance and counted apart. Shares have
Wilson's interval, quantiles are by nearest rank, and beside the
median of what was recovered stands the one that counts what was not (Kaplan and Meier 1958).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

Z: Final = 1.96
"""Of Wilson's interval: 95 %."""
PLACES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Episodes that are alike, and how many they are.

    `duration_s` runs to the recovery, to the end without one, or until now where it is open.
    What would have been given up and was tried all the same is `explored`, and not `eligible`
    for that.
    """

    failure_type: str
    dependency_class: str
    fallback: bool
    outcome: str
    eligible: bool
    false_positive: bool
    missed: bool
    duration_s: float
    explored: bool = False
    count: int = 1


@dataclass(frozen=True, slots=True)
class Share:
    """A share and its interval; all None of nothing."""

    of: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds to recovery. `censored_median_s` counts those that did not recover as longer.

    It is None where fewer than half recovered.
    """

    p50_s: float | None
    p90_s: float | None
    mean_s: float | None
    censored_median_s: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of some episodes.

    `explored` is the share that recovered of those that would have been given up, were tried all
    the same, and are over: an estimate of what giving up misses.
    """

    episodes: int
    eligible: int
    recovered: int
    handled: int
    open: int
    false_positives: int
    missed: int
    coverage: Share
    success: Share
    false_positive_rate: Share
    missed_rate: Share
    explored: Share
    time_to_recovery: Times


def wilson(successes: int, trials: int) -> Share:
    """Return a share with Wilson's interval (Wilson 1927, J. Am. Stat. Assoc. 22, 209)."""
    if trials == 0:
        return Share(0, None, None, None)
    share, square = successes / trials, Z * Z
    middle = share + square / (2 * trials)
    width = Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    below, above = ((middle - width), (middle + width))
    scale = 1 + square / trials
    low, high = max(0.0, below / scale), min(1.0, above / scale)
    return Share(trials, round(share, PLACES), round(low, PLACES), round(high, PLACES))


def nearest_rank(values: Sequence[tuple[float, int]], share: float) -> float | None:
    """Return the smallest value that at least `share` of them do not exceed; None of none.

    `values` are pairs of a value and how often it occurred.
    """
    total = sum(count for _, count in values)
    rank, seen = math.ceil(round(share * total, 9)), 0
    for value, count in sorted(values):
        seen += count
        if seen >= rank and count:
            return value
    return None


def censored_median(values: Iterable[tuple[float, bool, int]]) -> float | None:
    """Return the median by Kaplan and Meier; None if it lies beyond what was observed.

    `values` are (seconds, recovered, how many); what did not recover is censored then.
    """
    at: dict[float, list[int]] = {}
    for seconds, recovered, count in values:
        at.setdefault(seconds, [0, 0])[not recovered] += count
    left = sum(events + censored for events, censored in at.values())
    survival = 1.0
    for seconds in sorted(at):
        events, censored = at[seconds]
        if events:
            survival *= 1.0 - events / left
            if survival <= 0.5 + 1e-12:
                return seconds
        left -= events + censored
    return None


def measured(episodes: Sequence[Counted]) -> Group:
    """Return the figures of some episodes."""

    def number(test: Callable[[Counted], bool]) -> int:
        return sum(each.count for each in episodes if test(each))

    total = number(lambda e: True)
    eligible = number(lambda e: e.eligible)
    recovered = number(_recovered)
    over = number(lambda e: e.eligible and e.outcome != "open")
    wrong, missed = number(lambda e: e.false_positive), number(lambda e: e.missed)
    return Group(
        episodes=total,
        eligible=eligible,
        recovered=recovered,
        handled=number(lambda e: e.outcome == "handled"),
        open=number(lambda e: e.outcome == "open"),
        false_positives=wrong,
        missed=missed,
        coverage=wilson(eligible, total),
        success=wilson(recovered, over),
        false_positive_rate=wilson(wrong, total),
        missed_rate=wilson(missed, total),
        explored=wilson(
            number(lambda e: e.explored and e.outcome == "recovered"),
            number(lambda e: e.explored and e.outcome != "open"),
        ),
        time_to_recovery=_times(episodes),
    )


def kpis(episodes: Sequence[Counted]) -> dict[str, Any]:
    """Return all figures: over all, by type, by class of dependency, with and without fallback."""
    return {
        "all": asdict(measured(episodes)),
        "by_failure_type": _by(episodes, lambda e: e.failure_type),
        "by_dependency_class": _by(episodes, lambda e: e.dependency_class),
        "by_fallback": _by(episodes, lambda e: "with" if e.fallback else "without"),
    }


def _by(episodes: Sequence[Counted], key: Callable[[Counted], str]) -> dict[str, Any]:
    groups: dict[str, list[Counted]] = {}
    for each in episodes:
        groups.setdefault(key(each), []).append(each)
    return {name: asdict(measured(groups[name])) for name in sorted(groups)}


def _recovered(episode: Counted) -> bool:
    return episode.eligible and episode.outcome == "recovered"


def _times(episodes: Sequence[Counted]) -> Times:
    took = [(e.duration_s, e.count) for e in episodes if _recovered(e)]
    total = sum(count for _, count in took)
    mean = sum(seconds * count for seconds, count in took) / total if total else None
    return Times(
        p50_s=nearest_rank(took, 0.5),
        p90_s=nearest_rank(took, 0.9),
        mean_s=round(mean, 3) if mean is not None else None,
        censored_median_s=censored_median(
            (e.duration_s, _recovered(e), e.count) for e in episodes if e.eligible
        ),
    )
