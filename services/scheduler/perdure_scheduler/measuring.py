"""What is counted of triggers: how late clocks fire, what they miss, what rests and what fails.

The figures are those of all schedulers together: the owner of the first shard reads them from the
index and the totals, which are projections, so a restart forgets none of them. Who owns it no more
tells none.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from perdure_common.adapters.postgres_errors import FAILED
from perdure_common.adapters.postgres_queries import queries
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from .cron_ids import fire_id, jitter
from .mail.mailboxes import open_pool

EVERY_S = 10.0
SHADOWED_EVERY = 6
"""Only so many looks apart it is asked whose path is another's: that compares all with all."""

log = structlog.get_logger(__name__)

_SQL = queries(Path(__file__).with_name("measuring.sql"))


class TriggerMetrics(Collector):
    """Gauges over the index; labels are subtypes, of which there are seven."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(name, about, labels, registry=self._gauges)

        self._gauges = CollectorRegistry()
        self._measured = False
        registry.register(self)

        self._serving = gauge("perdure_triggers_serving", "Triggers that serve.", "subtype")
        self._resting = gauge("perdure_triggers_paused", "Of these, paused ones.", "subtype")
        self._failing = gauge(
            "perdure_trigger_filter_errors", "Events that filters could not judge.", "subtype"
        )
        self._shadowed = gauge(
            "perdure_triggers_shadowed", "Triggers whose path another workflow had first."
        )
        self._troubled = gauge(
            "perdure_foreign_topics_failing",
            "Topics of KAFKA triggers that cannot be read now.",
        )
        self._looks = 0
        self._known: frozenset[tuple[str, str]] = frozenset()
        self._fired, self._missed = 0.0, 0.0
        self._late = gauge(
            "perdure_cron_late_seconds", "The longest from due to started of the last firings."
        )
        self._overdue = gauge(
            "perdure_cron_overdue_seconds", "How long the most overdue firing is due already."
        )

    async def look(self, pool: Any) -> None:
        """Read the index.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not answer.
        """
        subtypes = await pool.fetch(_SQL["subtypes"])
        for each in (self._serving, self._resting, self._failing):
            each.clear()  # the last trigger of a subtype may serve no more
        for row in subtypes:
            subtype = str(row["trigger_subtype"])
            self._serving.labels(subtype).set(row["serving"])
            self._resting.labels(subtype).set(row["paused"])
            self._failing.labels(subtype).set(row["filter_errors"])
        self._troubled.set(await pool.fetchval(_SQL["troubled"]))
        if self._looks % SHADOWED_EVERY == 0:
            self._tell_shadowed(await pool.fetch(_SQL["shadowed"]))
        self._looks += 1
        row = await pool.fetchrow(_SQL["clocks"])
        self._fired, self._missed = float(row["fired"]), float(row["missed"])
        self._late.set(row["late_s"])
        self._overdue.set(overdue_s(await pool.fetch(_SQL["due"])))
        self._measured = True

    def collect(self) -> Iterable[Metric]:
        """Return what was measured; nothing before the first look, and where another looks."""
        if not self._measured:
            return ()
        fired = CounterMetricFamily("perdure_cron_fired", "Firings of clocks.", self._fired)
        about = "Firings that came too late and were counted."
        missed = CounterMetricFamily("perdure_cron_missed", about, self._missed)
        return (*self._gauges.collect(), fired, missed)

    def forget(self) -> None:
        """Tell nothing until the next look: another process measures now."""
        self._measured, self._looks = False, 0

    def _tell_shadowed(self, rows: Sequence[Any]) -> None:
        """Count triggers that never fire, and leave a line in the log of each that is new."""
        found = frozenset((str(row["workflow_id"]), str(row["node_id"])) for row in rows)
        self._shadowed.set(len(found))
        for row in rows:
            if (row["workflow_id"], row["node_id"]) not in self._known:
                log.error(
                    "trigger_shadowed",
                    workflow=row["workflow_name"],
                    workflow_id=row["workflow_id"],
                    node=row["node_id"],
                    path=row["path"],
                    owner=row["owner"],
                    todo="from before paths were granted; give one another path",
                )
        self._known = found

    async def keep(self, settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
        """Read the index every few seconds beside the owner of the first shard."""
        pool = await open_pool(settings.database_url)
        try:
            while not stop.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), EVERY_S)
                if stop.is_set():
                    return
                if "0" not in owner.shards:
                    self.forget()
                    continue
                try:
                    await self.look(pool)
                except FAILED as error:
                    log.warning("triggers_not_measured", error=str(error), again_in_s=EVERY_S)
        finally:
            await pool.close()


def overdue_s(rows: Iterable[Any]) -> float:
    """Return for how many seconds the most overdue firing is due; jitter is no delay."""
    late = [
        row["now"] - row["next_fire_at"] - jitter(fire_id(*_named(row)), row["jitter_s"])
        for row in rows
    ]
    return max((each.total_seconds() for each in late if each > timedelta()), default=0.0)


def _named(row: Any) -> tuple[str, str, datetime]:
    return row["workflow_id"], row["node_id"], row["next_fire_at"]
