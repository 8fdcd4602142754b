"""Reads the foreign topics that KAFKA triggers listen to, and hands their records on.

A record counts as read when its event is safely on the trigger topic; what is read twice after a
crash has the same id and starts nothing twice. A topic is read from the moment its first trigger is
deployed: the deployment waits until the position stands, so no record after it is missed. Each
topic begins by itself: one that does not answer keeps no other waiting.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from perdure_common.adapters.postgres_errors import FAILED
from perdure_common.adapters.postgres_queries import queries
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Unreachable

from perdure_scheduler.definition_edges import TRIGGERS
from perdure_scheduler.mail.mailboxes import open_pool
from perdure_scheduler.settling import Settling, Waiting

from .record import event_of, outbound_of

GROUP = "scheduler.ingress"
LOOK_S = 1.0
RECORDS_MAX = 500
WAIT_MS = 200
BACK_OFF_S = 2.0
BEGIN_S = 20.0
"""How long a topic is asked where reading begins, before it is asked anew."""

METADATA_MAX_AGE_MS = 10_000
"""How long a partition that a topic gets later is not seen at most; Kafka's own is five minutes."""

log = structlog.get_logger(__name__)

_SQL = queries(Path(__file__).with_name("topics.sql"))


@dataclass(frozen=True)
class Wanted:
    """The topics that triggers listen to, and deployments that wait for one, by its topic."""

    active: frozenset[str]
    pending: Mapping[str, Sequence[Waiting]]

    @property
    def topics(self) -> frozenset[str]:
        """All of them."""
        return self.active | self.pending.keys()


class Ingress(ConsumerRebalanceListener):
    """Reads foreign topics in this process, sharing them out with other schedulers."""

    def __init__(self, settings: Settings, owner: Owner, pool: Any) -> None:
        self._settings = settings
        self._owner = owner
        self._pool = pool
        self._settling = Settling(owner.bus, settings.partitions, "/scheduler/topics")
        self._wanted = Wanted(frozenset(), {})
        self._subscribed: frozenset[str] = frozenset()
        self._placed: set[str] = set()
        self._beginning: dict[str, asyncio.Task[None]] = {}
        """By topic: what finds out where reading begins, and begins there."""
        self._consumer: Any = None

    async def run(self, stop: asyncio.Event) -> None:
        """Read until told to stop; what fails is tried again."""
        looked_at = 0.0
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            try:
                if loop.time() - looked_at > LOOK_S:
                    looked_at = loop.time()
                    await self._look()
                if self._subscribed:
                    await self._hand_on()
                    continue
            except (KafkaError, Unreachable, *FAILED) as error:
                log.warning("ingress_failed", error=repr(error)[:500], again_in_s=BACK_OFF_S)
                await self.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), BACK_OFF_S if self._wanted.topics else LOOK_S)

    async def close(self) -> None:
        """Leave the group."""
        consumer, self._consumer = self._consumer, None
        self._subscribed = frozenset()
        self._placed.clear()
        await self._begin_no_more()
        if consumer is not None:
            with suppress(KafkaError, OSError):
                await consumer.stop()

    async def _look(self) -> None:
        """Find out which topics are needed, subscribe to them, and tell who waits."""
        self._wanted = await self._read_wanted()
        if not self._wanted.topics:
            if self._consumer is not None:
                await self.close()
            return
        consumer: Any = self._consumer or await self._opened()
        there: Any = await consumer.topics()
        await self._tell_missing(there)
        topics = frozenset(self._wanted.topics & there)
        if topics != self._subscribed:
            self._subscribed = topics
            self._placed &= topics
            if topics:
                consumer.subscribe(sorted(topics), listener=self)
            else:
                consumer.unsubscribe()
        for topic, waiting in self._wanted.pending.items():
            if topic in self._placed:
                for each in waiting:
                    await self._settling.settle(each, f"topic {topic} is being read")

    async def _opened(self) -> Any:
        prefix = self._settings.topic_prefix
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            group_id=f"{prefix}.{GROUP}",
            client_id=f"{prefix}-ingress",
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # of a place that is there no more: what is left
            max_poll_interval_ms=300_000,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        await self._consumer.start()
        return self._consumer

    async def _tell_missing(self, there: frozenset[str]) -> None:
        for topic, waiting in self._wanted.pending.items():
            if topic in there:
                continue
            for each in waiting:
                text = f"there is no topic {topic!r}; create it, and deploy again"
                await self._settling.fail(each, "topic_not_found", text)

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Let others have them: everything that was read is committed already."""
        del revoked
        await self._begin_no_more()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Find out where reading begins, and begin there, each topic by itself.

        Until that is known and written down nothing of a topic is read. The group is not kept
        waiting for it: a topic whose leader is away may take for ever.
        """
        consumer: Any = self._consumer
        await self._begin_no_more()
        places: dict[str, list[TopicPartition]] = {}
        for place in sorted(assigned):
            consumer.pause(place)
            places.setdefault(place.topic, []).append(place)
        for topic, own in places.items():
            self._beginning[topic] = asyncio.create_task(self._begin(consumer, topic, own))

    async def _begin(self, consumer: Any, topic: str, places: Sequence[TopicPartition]) -> None:
        """Begin to read a topic, as soon as it answers."""
        while True:
            try:
                async with asyncio.timeout(BEGIN_S):
                    begins = await self._begins(consumer, places)
                break
            except Exception as error:  # whatever it is, the others go on
                log.warning(
                    "topic_not_begun", topic=topic, error=repr(error)[:500], again_in_s=BACK_OFF_S
                )
            await asyncio.sleep(BACK_OFF_S)
        for place, offset in begins.items():
            consumer.seek(place, offset)
        consumer.resume(*places)
        # A process that got no partition of a topic leaves the telling to those that did.
        self._placed.add(topic)

    async def _begin_no_more(self) -> None:
        """Give up what has not begun: the partitions are another's, or are assigned anew."""
        given_up = [*self._beginning.values()]
        self._beginning.clear()
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)

    async def _begins(
        self, consumer: Any, places: Sequence[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return where reading begins: at the end of topics that nobody listened to so far."""
        # What was seen last may be older than the end of the deployment that a topic waited for.
        self._wanted = await self._read_wanted()
        firsts: Any = await consumer.beginning_offsets(places)
        ends: Any = await consumer.end_offsets(places)
        known: dict[TopicPartition, int] = {}
        new: dict[TopicPartition, int] = {}
        for place in places:
            offset = await consumer.committed(place)
            if place.topic not in self._wanted.active:
                new[place] = ends[place]
            elif offset is not None:
                known[place] = offset
            else:
                new[place] = (firsts if await self._is_new(consumer, place) else ends)[place]
        if new:
            await consumer.commit(new)
        return known | new

    async def _is_new(self, consumer: Any, place: TopicPartition) -> bool:
        """Tell whether a topic that is being read has got a partition more."""
        others: Any = consumer.partitions_for_topic(place.topic) or ()
        for each in others:
            if await consumer.committed(TopicPartition(place.topic, each)) is not None:
                return True
        log.warning("topic_position_lost", topic=place.topic, partition=place.partition)
        return False

    async def _read_wanted(self) -> Wanted:
        return _wanted(await self._pool.fetch(_SQL["wanted"], self._settings.tenant_id))

    async def _hand_on(self) -> None:
        """Send what was read to the trigger topic, then write down how far that was."""
        found: Any = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=RECORDS_MAX)
        if not found:
            return
        partitions = await self._owner.bus.partitions(TRIGGERS)
        records = [
            outbound_of(
                event_of(
                    record.topic, record.partition, record.offset, record.timestamp,
                    record.key, record.value, record.headers,
                ),
                f"{record.topic}/{record.partition}",
                partitions,
            )
            for batch in found.values()
            for record in batch
        ]  # fmt: skip
        for error in await self._owner.bus.send(records):
            if error is not None:
                raise Unreachable(f"Kafka did not take a record: {error!r}")
        await self._consumer.commit({place: batch[-1].offset + 1 for place, batch in found.items()})


def _wanted(rows: Sequence[Any]) -> Wanted:
    active: set[str] = set()
    pending: dict[str, list[Waiting]] = {}
    for row in rows:
        topic = str(row["topic"])
        if row["deployment_status"] == "active":
            active.add(topic)
        else:
            waits = Waiting(row["workflow_id"], row["deployment_version"], row["node_id"])
            pending.setdefault(topic, []).append(waits)
    return Wanted(frozenset(active), pending)


async def keep_ingress(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
    """Read foreign topics beside the owner until told to stop."""
    pool = await open_pool(settings.database_url)
    ingress = Ingress(settings, owner, pool)
    try:
        await ingress.run(stop)
    finally:
        await ingress.close()
        await pool.close()
