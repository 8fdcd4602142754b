"""What a process tells about itself: its log, and every metric of the shell, defined once.

The shell counts as it goes and knows nothing of metrics; they are read off it when somebody
asks. Labels never name tenants, executions or streams: their number is not bounded.
"""

import logging
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

import orjson
import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    GCCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from perdure_common.scrub import scrub_text
from perdure_common.service import Service
from perdure_common.shell.codec import header
from perdure_common.shell.lane import Lane, Stats
from perdure_common.shell.ports import TopicPartition, Unreachable
from perdure_common.shell.pressure import Pressure
from perdure_common.shell.publisher import Publisher
from perdure_common.shell.shard import Shard

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The media type of `Metrics.text`."""

# Logs -------------------------------------------------------------------------------


def configure_logging(process: str, *, format: str = "json", level: str = "INFO") -> None:
    """Send everything that is logged in this process to stderr, one line each.

    `format` is `json` for machines or `console` for people. Lines of libraries have the
    same form. Texts are scrubbed of secrets.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.EventRenamer("event"),
        _named(process),
        structlog.processors.format_exc_info,
        _scrubbed,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if format == "console"
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _named(process: str) -> Any:
    def name(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        del logger, method
        return {"process": process, **event}

    return name


def _scrubbed(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    del logger, method
    return {k: scrub_text(v) if isinstance(v, str) else v for k, v in event.items()}


def _json(event: Any, **options: Any) -> str:
    return orjson.dumps(event, default=options.get("default", repr)).decode()


# Metrics ----------------------------------------------------------------------------

COUNTERS: tuple[tuple[str, str, Callable[[Stats], float]], ...] = (
    ("perdure_batches", "Batches written.", lambda s: s.batches),
    ("perdure_batch_commands", "Commands decided.", lambda s: s.commands),
    ("perdure_batch_events", "Events written to the journal.", lambda s: s.events),
    ("perdure_rejected", "Commands understood and refused.", lambda s: s.rejected),
    ("perdure_duplicates", "Messages that came again and were settled.", lambda s: s.duplicates),
    ("perdure_gaps", "Messages dropped because one before them is missing.", lambda s: s.gaps),
    ("perdure_dead_letters", "Records kept as dead letters.", lambda s: s.dead_letters),
    ("perdure_poisoned", "Messages on which the core failed.", lambda s: s.poisoned),
    ("perdure_wakes_fired", "Wakes of streams that came due.", lambda s: s.wakes),
    ("perdure_rows_refused", "Lazy rows that the database refused.", lambda s: s.rows_refused),
)
"""Counters of a service's lanes since the process began: (name, help, what to read)."""

Bounds: TypeAlias = Callable[
    [Sequence[TopicPartition]], Awaitable[Mapping[TopicPartition, tuple[int, int]]]
]
Figures: TypeAlias = Callable[[], Awaitable[Sequence[Metric]]]
Counts: TypeAlias = Callable[[str, str, Iterable[str]], Awaitable[Mapping[str, int]]]


class Observed(Protocol):
    """What is read off an owner of shards."""

    service: Service
    lanes: list[Lane]
    shards: dict[str, Shard]
    stopped: dict[str, str]
    publisher: Publisher
    pressure: Pressure


@dataclass(frozen=True)
class RowCount:
    """A gauge that counts rows of a table by a column, such as open executions by status.

    `values` are the ones that are counted; an index should find them.
    """

    metric: str
    about: str
    table: str
    column: str
    values: tuple[str, ...]


class Metrics:
    """The metrics of one process; `registry` takes what a service adds of its own.

    Args:
        service: the label of everything.
        owner: the shards of this process, None where there are none (a runner).
        bounds: asks Kafka how far topics go, for the lag (`Bus.bounds`).
        rows: what is counted in tables, by `counts` (`Reading.counts`).
        figures: what else the service finds out when it is asked.
    """

    def __init__(
        self,
        service: str,
        *,
        owner: Observed | None = None,
        bounds: Bounds | None = None,
        rows: Sequence[RowCount] = (),
        counts: Counts | None = None,
        figures: Figures | None = None,
    ) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self._owner = owner
        self._bounds = bounds
        self._counts = counts
        self._figures = figures
        self._found = FoundCollector()
        self.registry.register(self._found)
        self._rows = [
            (row, Gauge(row.metric, row.about, ["service", row.column], registry=self.registry))
            for row in rows
        ]
        of_shards = self.registry if owner is not None else None
        self._lag = Gauge(
            "perdure_consumer_lag",
            "Records of a topic that are not consumed yet, over this process's partitions.",
            ["service", "topic"],
            registry=of_shards,
        )
        self._shard_lag = Gauge(
            "perdure_shard_lag",
            "Records that a shard has not consumed yet, over all topics that it reads.",
            ["service", "shard"],
            registry=of_shards,
        )
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        if owner is not None:
            self.registry.register(ShellCollector(service, owner))

    async def text(self) -> bytes:
        """Return everything in the text format of Prometheus.

        What cannot be asked now (Kafka, PostgreSQL) is left out.
        """
        await self._measure_lag()
        for row, gauge in self._rows:
            await self._count(row, gauge)
        await self._find()
        return generate_latest(self.registry)

    async def _find(self) -> None:
        self._found.metrics = ()
        if self._figures is None:
            return
        try:
            self._found.metrics = await self._figures()
        except Exception as error:  # as with rows
            structlog.get_logger(__name__).warning("figures_not_found", error=repr(error))

    async def _measure_lag(self) -> None:
        self._lag.clear()
        self._shard_lag.clear()
        if self._owner is None or self._bounds is None:
            return
        consumed = positions(self._owner)
        try:
            bounds = await self._bounds(list(consumed))
        except (Unreachable, LookupError):
            return
        lag, by_shard = Counter[str](), Counter[str]()
        for place, (begin, end) in bounds.items():
            shard, offset = consumed[place]
            behind = max(0, end - max(begin, offset))
            lag[place[0]] += behind
            by_shard[shard] += behind
        for topic, behind in lag.items():
            self._lag.labels(self._service, topic).set(behind)
        for shard, behind in by_shard.items():
            self._shard_lag.labels(self._service, shard).set(behind)

    async def _count(self, row: RowCount, gauge: Gauge) -> None:
        gauge.clear()
        if self._counts is None:
            return
        try:
            found = await self._counts(row.table, row.column, row.values)
        except Exception as error:  # whatever it is, the other metrics are wanted all the more
            structlog.get_logger(__name__).warning(
                "rows_not_counted", table=row.table, error=repr(error)
            )
            return
        for value in row.values:
            gauge.labels(self._service, value).set(found.get(value, 0))


class FoundCollector(Collector):
    """Gives the metrics that were found last."""

    def __init__(self) -> None:
        self.metrics: Sequence[Metric] = ()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they were found."""
        return self.metrics


class ShellCollector(Collector):
    """Reads the figures off an owner when they are asked for."""

    def __init__(self, service: str, owner: Observed) -> None:
        self._labels = [service]
        self._owner = owner

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they stand now."""
        stats = [lane.stats for lane in self._owner.lanes]
        for name, about, read in COUNTERS:
            yield self._counter(name, about, sum(read(s) for s in stats))
        commits = SummaryMetricFamily(
            "perdure_commit_seconds", "Time that the commits of batches took.", labels=["service"]
        )
        commits.add_metric(
            self._labels, sum(s.batches for s in stats), sum(s.commit_s for s in stats)
        )
        yield commits
        publisher = self._owner.publisher
        yield self._counter("perdure_published", "Messages acknowledged.", publisher.sent)
        yield self._counter(
            "perdure_publish_failures", "Rounds of sending that failed.", publisher.failures
        )
        yield from self._gauges()

    def _gauges(self) -> Iterable[Metric]:
        shards = list(self._owner.shards.values())
        now = datetime.now(UTC)
        queued = sum(len(shard.inbox) + len(shard.waiting) for shard in shards)
        starts_bytes = sum(shard.waiting.bytes for shard in shards)
        queued_bytes = starts_bytes + sum(shard.inbox.bytes for shard in shards)
        gaps = sum(1 for shard in shards for heard in shard.heard.values() if heard.gap)
        oldest_s = max((unsent_s(shard, now) for shard in shards), default=0.0)
        for name, about, value in (
            ("perdure_shards_owned", "Shards that this process owns.", len(shards)),
            (
                "perdure_shards_stopped",
                "Shards that need a newer version of the service.",
                len(self._owner.stopped),
            ),
            (
                "perdure_unpublished",
                "Messages committed and not acknowledged by Kafka yet.",
                self._owner.publisher.unsent(),
            ),
            (
                "perdure_missing_topics",
                "Partitions that messages wait for because they do not exist.",
                len(self._owner.publisher.missing()),
            ),
            ("perdure_oldest_unsent_seconds", "Age of the oldest of them.", oldest_s),
            ("perdure_records_queued", "Records read and not folded yet.", queued),
            ("perdure_records_queued_bytes", "What they weigh.", queued_bytes),
            ("perdure_starts_queued_bytes", "What the new starts among them weigh.", starts_bytes),
            (
                "perdure_starts_paused",
                "1 while new starts wait in their topic, because too much waits here.",
                self._owner.pressure.behind,
            ),
            (
                "perdure_streams_bytes",
                "What the streams in memory weigh, by their events.",
                sum(shard.weight for shard in shards),
            ),
            (
                "perdure_parked_streams",
                "Streams that wait for a person.",
                sum(len(shard.parked) for shard in shards),
            ),
            ("perdure_gaps_open", "Sources of which a message is missing.", gaps),
            (
                "perdure_wakes_pending",
                "Streams that wait for an instant.",
                sum(len(shard.wakes) for shard in shards),
            ),
        ):
            family = GaugeMetricFamily(name, about, labels=["service"])
            family.add_metric(self._labels, value)
            yield family

    def _counter(self, name: str, about: str, value: float) -> Metric:
        family = CounterMetricFamily(name, about, labels=["service"])
        family.add_metric(self._labels, value)
        return family


def unsent_s(shard: Shard, now: datetime) -> float:
    """Return how long the shard's oldest unsent message has waited, 0 when none does."""
    if not shard.unsent:
        return 0.0
    written = header(shard.unsent[0].record.headers, "ce_time")
    if written is None:
        return 0.0
    return max(0.0, (now - datetime.fromisoformat(written.decode())).total_seconds())


def positions(owner: Observed) -> dict[TopicPartition, tuple[str, int]]:
    """Return who reads every topic's partition that the owner's shards read, and the next offset.

    The values are (shard, offset).
    """
    service = owner.service
    found: dict[TopicPartition, tuple[str, int]] = {}
    for shard in list(owner.shards.values()):
        kind, _, last = shard.id.rpartition("/")
        topics = (service.commands_topic, *service.hears, *service.pausable)
        if kind:
            topics = tuple(topic for topic in service.foreign if topic.split(".")[1] == kind)
        for topic in topics:
            place = (topic, int(last))
            found[place] = (shard.id, shard.consumed.get(place, 0))
    return found
