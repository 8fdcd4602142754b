"""What the laboratory measures: how much was mended, how soon, what was tried in vain or missed.

The unit is the episode: what became of one node of one execution. Intervals are Wilson's for a
share (E. B. Wilson, 1927) with z = 1.96, quantiles by nearest rank.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from laboratory.running import Seen
from laboratory.scenario import Expected

Z = 1.96
UNCHANGED = ("retry_now", "backoff", "wait_until", "reassign")
COLUMNS = (
    "failure_summary",
    "root_cause",
    "retry_decision",
    "confidence_explanation",
    "user_action_required",
    "estimated_resolution_time",
    "severity_level",
    "display_category",
    "error_pattern_matched",
    "failure_category",
    "recovery_strategy",
    "explanation_source",
)
"""Columns of an explanation that must say something."""

SLOT = re.compile(r"\{[a-z_]+\}|\bNone\b|<missing>")
"""What stands in a text whose template was not filled."""


@dataclass(frozen=True)
class Share:
    """How many of how many."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        """The share, 0 of nothing."""
        return self.part / self.whole if self.whole else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval: between which values the true share lies, 19 times of 20."""
        n = self.whole
        if n == 0:
            return 0.0, 1.0
        middle = (self.value + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = (
            Z / (1 + Z * Z / n) * math.sqrt(self.value * (1 - self.value) / n + Z * Z / (4 * n * n))
        )
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        """Return `0.95 (19 of 20, .76 to .99)`."""
        low, high = self.interval
        return f"{self.value:.3f} ({self.part} of {self.whole}, {low:.2f} to {high:.2f})"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value at a share of all, by nearest rank; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def expected_of(seen: Seen) -> Expected:
    """Return what was expected and came true, else the first that was expected."""
    return seen.expected or seen.scenario.expected[0]


def recovered(seen: Seen) -> bool:
    """Tell whether the node was mended by recovery and the execution went on to its end."""
    return seen.status == "SUCCESS" and seen.outcome == "recovered"


def mended_after_s(seen: Seen) -> float:
    """Return the seconds from the first failure until the node was done."""
    return (
        seen.decisions[-1]["completed_at"] - seen.explanations[0]["failure_time"]
    ).total_seconds()


def tried_in_vain(seen: Seen) -> bool:
    """Tell whether unchanged tries were really made, and none of them ever helped."""
    tried = [
        each
        for each in seen.decisions
        if each["recovery_strategy"] in UNCHANGED and each["status"] in ("failed", "succeeded")
    ]
    return bool(tried) and not recovered(seen)


def missed(seen: Seen) -> bool:
    """Tell whether it was left to people though an unchanged try would have helped."""
    return expected_of(seen).curable and not recovered(seen) and not tried_in_vain(seen)


def holes(explanation: Mapping[str, Any]) -> list[str]:
    """Return the columns that say nothing, or whose template was left with a hole."""
    texts = {name: str(explanation[name] or "") for name in COLUMNS}
    return [name for name, text in texts.items() if not text or SLOT.search(text)]


def is_complete(explanation: Mapping[str, Any]) -> bool:
    """Tell whether every column says something."""
    return not holes(explanation)


@dataclass(frozen=True)
class Measures:
    """The sums over all scenarios."""

    scenarios: int
    as_expected: int
    success: Share
    mttr_s: Sequence[float]
    false_positives: Share
    missed: Share
    complete: Share
    faithfulness: Sequence[float]
    by_type: Mapping[str, "Measures"] = field(default_factory=dict[str, "Measures"])


def measured(seen: Sequence[Seen]) -> Measures:
    """Return the sums over what was seen, and those of each failure type."""
    types = sorted({each.types[0] for each in seen if each.decisions})
    by_type = {
        name: _sums([each for each in seen if each.decisions and each.types[0] == name])
        for name in types
    }
    return replace(_sums(seen), by_type=by_type)


def _sums(seen: Sequence[Seen]) -> Measures:
    episodes = [each for each in seen if each.decisions]
    curable = [each for each in episodes if expected_of(each).curable]
    explanations = [one for each in episodes for one in each.explanations]
    return Measures(
        scenarios=len(seen),
        as_expected=sum(not each.problems for each in seen),
        success=Share(sum(map(recovered, curable)), len(curable)),
        mttr_s=[mended_after_s(each) for each in curable if recovered(each)],
        false_positives=Share(sum(map(tried_in_vain, episodes)), len(episodes)),
        missed=Share(sum(map(missed, curable)), len(curable)),
        complete=Share(sum(map(is_complete, explanations)), len(explanations)),
        faithfulness=[float(one["faithfulness"]) for one in explanations if "faithfulness" in one],
    )


def lines(found: Measures) -> list[str]:
    """Return the sums as people read them, and all of them for each failure type."""
    made = [
        f"scenarios            {found.as_expected} of {found.scenarios} as they must be",
        f"recovered            {found.success} of what can be mended (target > .90)",
        f"time to recovery     {_times(found)} (target < 300 s)",
        f"false positives      {found.false_positives} (target < .05)",
        f"missed               {found.missed}",
        f"explanations         complete {found.complete} (target > .95), faithful "
        f"{_faithful(found):.3f}",
    ]
    for name, of in found.by_type.items():
        made += [
            f"  {name}",
            f"    recovered        {of.success}, {_times(of)}",
            f"    false positives  {of.false_positives}, missed {of.missed}",
            f"    explanations     complete {of.complete}, faithful {_faithful(of):.3f}",
        ]
    return made


def _times(of: Measures) -> str:
    return f"median {quantile(of.mttr_s, 0.5):.1f} s, 90 % {quantile(of.mttr_s, 0.9):.1f} s"


def _faithful(of: Measures) -> float:
    return sum(of.faithfulness) / len(of.faithfulness) if of.faithfulness else math.nan
