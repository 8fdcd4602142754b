"""A runner's metrics: its counts, what it runs now, and how long tasks waited in their topic."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from .work import Work


class WorkCollector(Collector):
    """Reads the figures off a runner when they are asked for."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they stand now."""
        counts = self._work.counts
        for name, about, value in (
            ("perdure_tasks", "Tasks that were read.", counts.tasks),
            ("perdure_task_answers", "Answers that are safely in the log.", counts.answers),
            ("perdure_tasks_late", "Tasks that were read after their deadline.", counts.late),
            ("perdure_tasks_lost", "Attempts whose lease ran out.", counts.lost),
            ("perdure_tasks_unreadable", "Records that are no tasks.", counts.unreadable),
        ):
            yield CounterMetricFamily(name, about, value=value)
        yield GaugeMetricFamily(
            "perdure_tasks_running", "Tasks under way here.", value=len(self._work.runs)
        )
        yield from self._work.delays.collect()
