"""How long it takes from the instant at which a clock is due to the start of its execution.

The engine tells the start, with the firing that it is of. Every process reads the partitions of
the engine's events with the numbers of its own shards, so all of them together see each start
once; while no clock serves nothing is read. What is told while partitions change hands is missed:
this measures, it does not count.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from perdure_common.adapters.postgres_errors import FAILED
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_contracts.engine import ExecutionStarted
from perdure_contracts.message import NAMES
from perdure_contracts.topology import physical
from prometheus_client import CollectorRegistry, Histogram

from .mail.mailboxes import open_pool

EVENTS = "perdure.engine.events.v1"
STARTED = NAMES[ExecutionStarted].encode()
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

LOOK_S = 10.0
WAIT_MS = 1_000
RECORDS_MAX = 2_000
CLOCKS = """
SELECT EXISTS (SELECT FROM scheduler.trigger_index
                WHERE trigger_subtype = 'CRON' AND deployment_status = 'active' AND is_active)
"""

log = structlog.get_logger(__name__)


class _Trigger(msgspec.Struct):
    due: str = ""


class _Started(msgspec.Struct):
    """What is looked at of `ExecutionStarted`."""

    triggered_by: str
    started_at: str
    trigger: msgspec.Raw


_decode = msgspec.json.Decoder(_Started).decode
_trigger = msgspec.json.Decoder(_Trigger).decode


def delay_of(headers: Iterable[tuple[str, bytes | None]], value: bytes | None) -> float | None:
    """Return how many seconds after it was due an execution began; None if no clock fired it.

    Firings that were queued behind another execution, or are of a backfill, are due at no instant.
    """
    if value is None or not any(n == "ce_type" and raw == STARTED for n, raw in headers):
        return None
    try:
        event = _decode(value)
        if not event.triggered_by.startswith("CRON:"):
            return None
        due = _trigger(event.trigger).due
        if not due:
            return None
        began, wanted = datetime.fromisoformat(event.started_at), datetime.fromisoformat(due)
        return max(0.0, (began - wanted).total_seconds())
    except (msgspec.DecodeError, ValueError, TypeError):
        return None  # written by another version


class StartDelays:
    """The histogram, and the reader that fills it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._delay = Histogram(
            "perdure_cron_start_delay_seconds",
            "From when a clock was due to the start of its execution, as the engine tells it.",
            buckets=BUCKETS,
            registry=registry,
        )
        self._consumer: Any = None
        self._places: list[TopicPartition] = []

    async def keep(self, settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
        """Listen beside the owner until told to stop; what fails is tried again."""
        pool: Any = await open_pool(settings.database_url)
        looked_at, loop = float("-inf"), asyncio.get_running_loop()
        try:
            while not stop.is_set():
                try:
                    if loop.time() - looked_at >= LOOK_S:
                        looked_at = loop.time()
                        clocks = await pool.fetchval(CLOCKS)
                        await self.listen_to(settings, _numbers(owner.shards) if clocks else ())
                    if self._places:
                        await self.hear()
                        continue
                except (KafkaError, *FAILED) as error:
                    log.warning("starts_not_heard", error=repr(error)[:500], again_in_s=LOOK_S)
                    await self.close()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), LOOK_S)
        finally:
            await self.close()
            await pool.close()

    async def listen_to(self, settings: Settings, partitions: Sequence[int]) -> None:
        """Read these partitions, those that are new from their ends on.

        Raises:
            OSError, KafkaError: Kafka does not answer.
        """
        topic = physical(EVENTS, settings.topic_prefix)
        places = [TopicPartition(topic, partition) for partition in partitions]
        if places == self._places:
            return
        if not places:
            await self.close()
            return
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                bootstrap_servers=settings.kafka_bootstrap,
                client_id=f"{settings.topic_prefix}-starts",
                enable_auto_commit=False,
                auto_offset_reset="latest",
            )
            await self._consumer.start()
        new = [place for place in places if place not in self._places]
        kept = {place: await self._consumer.position(place)
                for place in self._places if place in places}  # fmt: skip
        self._consumer.assign(places)
        for place, offset in kept.items():
            self._consumer.seek(place, offset)
        if new:
            await self._consumer.seek_to_end(*new)
        self._places = places

    async def hear(self) -> None:
        """Take what has come, or wait a moment.

        Raises:
            KafkaError: Kafka does not answer.
        """
        found: Any = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=RECORDS_MAX)
        for records in found.values():
            for record in records:
                delay = delay_of(record.headers, record.value)
                if delay is not None:
                    self._delay.observe(delay)

    async def close(self) -> None:
        """Read no more."""
        consumer, self._consumer, self._places = self._consumer, None, []
        if consumer is not None:
            with suppress(KafkaError, OSError):
                await consumer.stop()


def _numbers(shards: Iterable[str]) -> tuple[int, ...]:
    """Return the partitions with the numbers of shards; those of foreign topics have names."""
    return tuple(sorted(int(each) for each in shards if each.isdigit()))
