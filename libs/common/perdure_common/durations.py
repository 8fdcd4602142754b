"""A histogram of durations that costs next to nothing where it is kept: a search and a sum.

`prometheus_client`'s own takes a lock for each of its parts, which shows where there are thousands
of steps a second. This one is kept by one thread, and read by the same.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS_S = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    3600.0,
)
"""Upper bounds in seconds; the last bucket has what took longer."""


class Durations(Collector):
    """Counts durations by labels.

    Args:
        metric: its name, which ends with `_seconds`.
        about: what it says, in a sentence.
        labels: the names of its labels.
    """

    def __init__(self, metric: str, about: str, labels: Sequence[str] = ()) -> None:
        self._metric, self._about, self._labels = metric, about, labels
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def see(self, seconds: float, *labels: str) -> None:
        """Count a duration in seconds."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(BUCKETS_S) + 1)
            self._sums[labels] = 0.0
        counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sums[labels] += seconds

    def collect(self) -> Iterable[Metric]:
        """Return the histogram as it stands."""
        family = HistogramMetricFamily(self._metric, self._about, labels=self._labels)
        bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
        for labels, counts in self._counts.items():
            so_far, buckets = 0, list[tuple[str, float]]()
            for bound, count in zip(bounds, counts, strict=True):
                so_far += count
                buckets.append((bound, so_far))
            family.add_metric(labels, buckets, self._sums[labels])
        yield family
