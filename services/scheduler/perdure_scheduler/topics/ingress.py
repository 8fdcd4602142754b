"""Reads the foreign topics that KAFKA triggers listen to, and hands their records on.

A record counts as read when its event is safely on the trigger topic; what is read twice after a
crash has the same id and starts nothing twice. A topic is read from the moment its first trigger is
deployed: the deployment waits until the position stands, so no record after it is missed. Each
topic begins and fails by itself: one that does not answer, that may not be read or that has a
record which nobody can read keeps no other waiting, and is tried again (troubles.py).
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from perdure_common import fault
from perdure_common.adapters.postgres_errors import FAILED
from perdure_common.adapters.postgres_queries import queries
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Unreachable

from perdure_scheduler.definition_edges import TRIGGERS
from perdure_scheduler.hook_rules import own_topics
from perdure_scheduler.mail.mailboxes import open_pool
from perdure_scheduler.settling import Settling, Waiting

from .record import event_of, outbound_of
from .troubles import (
    FAILS_DEPLOYMENTS,
    NOT_FOUND,
    UNREADABLE,
    Troubles,
    described,
    is_of_one_topic,
    topics_in,
)

GROUP = "scheduler.ingress"
LOOK_S = 1.0
RECORDS_MAX = 500
WAIT_MS = 200
BACK_OFF_S = 2.0
BEGIN_S = 20.0
"""How long a topic is asked where reading begins, before it is asked anew."""

MISSING_S = 2.0
"""How long a topic is not there until that is said: it may just have been created."""

AGAIN_S = 10.0
"""How long a topic that could not be read rests; a deployment that waits for it has it tried at
once."""

PROVEN_S = 5.0
"""How long a topic is read one record at a time, after it rested, until its trouble is over."""

CAREFUL_MAX = 50
"""Records that are taken one by one before they are handed on."""

APART_S = 60.0
"""How long topics are read one by one after reading all of them has failed."""

METADATA_MAX_AGE_MS = 10_000
"""How long a partition that a topic gets later is not seen at most; Kafka's own is five minutes."""

log = structlog.get_logger(__name__)

_SQL = queries(Path(__file__).with_name("topics.sql"))


@dataclass(frozen=True)
class Wanted:
    """The topics that triggers listen to, and deployments that wait for one, by its topic.

    `own` are topics of perdure's that triggers listen to which a version before let serve.
    """

    active: frozenset[str]
    pending: Mapping[str, Sequence[Waiting]]
    own: frozenset[str] = frozenset()

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
        self._troubles = Troubles(pool, settings.tenant_id)
        self._resting: dict[str, asyncio.Event] = {}
        """By topic in trouble: set when it is to be tried again at once."""
        self._seen: dict[Waiting, float] = {}
        """Since when deployments are known to wait, on the loop's clock, in seconds."""
        self._missing: dict[str, float] = {}
        """Since when topics are not there, on the loop's clock, in seconds."""
        self._gone: set[str] = set()
        """Topics that were not there while triggers served: whatever is there then is new."""
        self._stood: set[TopicPartition] = set()
        """Whose position was written down here: if Kafka has none, it went with the topic."""
        self._apart_until = float("-inf")
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
            except Exception:  # a record's bytes may be anything; the scheduler goes on
                log.exception("ingress_failed", again_in_s=BACK_OFF_S)
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
        own = self._wanted.own
        if not self._wanted.topics:
            await self._troubles.sweep(own, frozenset(), own)
            if self._consumer is not None:
                await self.close()
            return
        consumer: Any = self._consumer or await self._opened()
        there: Any = await consumer.topics()
        missing = self._missing_for_long(frozenset(there))
        self._gone = {*self._gone, *self._wanted.active - there} & self._wanted.active
        await self._troubles.sweep(self._wanted.topics | own, missing, own)
        await self._tell_missing(missing)
        await self._tell_troubled()
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

    def _missing_for_long(self, there: frozenset[str]) -> frozenset[str]:
        """Return the topics that are not there; brokers hear of a new one one after the other."""
        now = asyncio.get_running_loop().time()
        gone = self._wanted.topics - there
        self._missing = {topic: self._missing.get(topic, now) for topic in gone}
        return frozenset(t for t, since in self._missing.items() if now - since >= MISSING_S)

    async def _tell_missing(self, missing: frozenset[str]) -> None:
        for topic, waiting in self._wanted.pending.items():
            if topic not in missing:
                continue
            for each in waiting:
                text = (
                    f"there is no topic {topic!r}, or Kafka does not let perdure see it; create "
                    "it, or allow READ and DESCRIBE there, and deploy again"
                )
                await self._settling.fail(each, NOT_FOUND, text)

    async def _tell_troubled(self) -> None:
        """Let deployments fail whose topic cannot be read, once it was tried since they wait."""
        now = asyncio.get_running_loop().time()
        waiting = {each: topic for topic, all_ in self._wanted.pending.items() for each in all_}
        self._seen = {each: self._seen.get(each, now) for each in waiting}
        for each, topic in waiting.items():
            trouble = self._troubles.of(topic)
            if trouble is None or trouble.code not in FAILS_DEPLOYMENTS:
                continue
            if trouble.at > self._seen[each]:
                await self._settling.fail(each, trouble.code, trouble.message)
            elif topic in self._resting:
                self._resting[topic].set()

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

    async def _begin(
        self, consumer: Any, topic: str, places: Sequence[TopicPartition], *, rests: bool = False
    ) -> None:
        """Begin to read a topic, as soon as it answers; one that `rests` had failed before."""
        while True:
            if rests:
                await self._rest(topic)
            try:
                async with asyncio.timeout(BEGIN_S):
                    begins = await self._begins(consumer, places)
                    trouble = self._troubles.of(topic)
                    if trouble is None or trouble.code != UNREADABLE:
                        await self._troubles.clear(topic, _numbers(places))
                break
            except Exception as error:  # whatever it is, the others go on
                log.warning("topic_not_begun", topic=topic, error=repr(error)[:500])
                await self._note(topic, places, error)
            rests = True
        for place, offset in begins.items():
            consumer.seek(place, offset)
        consumer.resume(*places)
        # A process that got no partition of a topic leaves the telling to those that did.
        self._placed.add(topic)
        self._gone.discard(topic)

    async def _rest(self, topic: str) -> None:
        """Wait until a topic is to be tried again."""
        trouble = self._troubles.of(topic)
        lasting = trouble is not None and trouble.code in FAILS_DEPLOYMENTS
        at_once = self._resting[topic] = asyncio.Event()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(at_once.wait(), AGAIN_S if lasting else BACK_OFF_S)
        finally:
            if self._resting.get(topic) is at_once:
                del self._resting[topic]

    async def _note(self, topic: str, places: Sequence[TopicPartition], error: Exception) -> None:
        """Note why a topic cannot be read; that this cannot be noted stops nothing."""
        try:
            await self._troubles.note(topic, _numbers(places), *described(topic, error))
        except FAILED as failure:
            log.warning("trouble_not_noted", topic=topic, error=repr(failure)[:500])

    async def _set_aside(self, topic: str, error: Exception) -> None:
        """Let a topic rest that could not be read; it goes on behind what was handed on."""
        consumer = self._consumer
        places = [each for each in sorted(consumer.assignment()) if each.topic == topic]
        if not places:
            return
        consumer.pause(*places)
        self._placed.discard(topic)
        await self._note(topic, places, error)
        before = self._beginning.pop(topic, None)
        if before is not None:
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)
        task = asyncio.create_task(self._begin(consumer, topic, places, rests=True))
        self._beginning[topic] = task

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
        """Return where reading begins: at the end of topics that nobody listened to so far.

        Kafka forgets positions with their topic: one that is made anew begins at its beginning.
        All is written down in any case: whoever may not read a topic is told so then.
        """
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
        begins = known | new
        await consumer.commit(begins)
        self._stood.update(begins)
        return begins

    async def _is_new(self, consumer: Any, place: TopicPartition) -> bool:
        """Tell whether a topic that is being read was made anew, or has got a partition more."""
        if place.topic in self._gone or place in self._stood:
            return True
        others: Any = consumer.partitions_for_topic(place.topic) or ()
        for each in others:
            if await consumer.committed(TopicPartition(place.topic, each)) is not None:
                return True
        log.warning("topic_position_lost", topic=place.topic, partition=place.partition)
        return False

    async def _read_wanted(self) -> Wanted:
        rows = await self._pool.fetch(_SQL["wanted"], self._settings.tenant_id)
        return _wanted(rows, own_topics(self._settings.topic_prefix))

    async def _hand_on(self) -> None:
        """Send what was read to the trigger topic, then write down how far that was."""
        found = await self._read()
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
        fault.point("after_record_before_offset")
        behind = {place: batch[-1].offset + 1 for place, batch in found.items()}
        try:
            await self._consumer.commit(behind)
        except TopicAuthorizationFailedError as error:  # those of other topics are written down
            for topic in topics_in(error):
                await self._set_aside(topic, error)

    async def _read(self) -> Mapping[TopicPartition, Sequence[Any]]:
        """Return what has come, or nothing after a moment.

        Raises:
            KafkaError: Of all topics; what was read and not handed on is read anew.
        """
        consumer = self._consumer
        loop = asyncio.get_running_loop()
        if loop.time() < self._apart_until or self._troubles.is_unreadable():
            return await self._read_apart()
        try:
            found: Any = await consumer.getmany(timeout_ms=WAIT_MS, max_records=RECORDS_MAX)
        except TopicAuthorizationFailedError as error:  # it comes alone: nothing was taken with it
            for topic in topics_in(error):
                await self._set_aside(topic, error)
            return {}
        except Exception:
            # Records of other topics may have been taken with it: all begin where they were.
            self._apart_until = loop.time() + APART_S
            raise
        return found

    async def _read_apart(self) -> Mapping[TopicPartition, Sequence[Any]]:
        """Read each topic by itself, so that one which fails takes nothing of others with it."""
        consumer = self._consumer
        own: dict[str, list[TopicPartition]] = {}
        for place in sorted(consumer.assignment()):
            own.setdefault(place.topic, []).append(place)
        found: dict[TopicPartition, Sequence[Any]] = {}
        taken: Mapping[TopicPartition, Sequence[Any]]
        for topic, places in own.items():
            trouble = self._troubles.of(topic)
            careful = trouble is not None and trouble.code == UNREADABLE
            try:
                if careful:
                    taken = await _taken_carefully(consumer, places)
                else:
                    taken = await consumer.getmany(*places, timeout_ms=0, max_records=RECORDS_MAX)
            except Exception as error:
                if not is_of_one_topic(error):
                    raise
                await self._set_aside(topic, error)
                continue
            found.update(taken)
            now = asyncio.get_running_loop().time()
            if trouble is not None and careful and now - trouble.at > AGAIN_S + PROVEN_S:
                await self._troubles.clear(topic, _numbers(places))
        if not found:
            await asyncio.sleep(WAIT_MS / 1000)
        return found


async def _taken_carefully(
    consumer: Any, places: Sequence[TopicPartition]
) -> Mapping[TopicPartition, Sequence[Any]]:
    """Take records one by one: those before one that cannot be read are not lost with it.

    Raises:
        Exception: The next record cannot be read, and nothing was taken.
    """
    found: dict[TopicPartition, list[Any]] = {}
    for _ in range(CAREFUL_MAX):
        try:
            taken: Any = await consumer.getmany(*places, timeout_ms=0, max_records=1)
        except Exception:
            if not found:
                raise
            break  # it comes again
        if not taken:
            break
        for place, records in taken.items():
            found.setdefault(place, []).extend(records)
    return found


def _numbers(places: Sequence[TopicPartition]) -> list[int]:
    return [place.partition for place in places]


def _wanted(rows: Sequence[Any], ours: frozenset[str]) -> Wanted:
    active: set[str] = set()
    own: set[str] = set()
    pending: dict[str, list[Waiting]] = {}
    for row in rows:
        topic = str(row["topic"])
        if topic in ours:
            own.add(topic)
        elif row["deployment_status"] == "active":
            active.add(topic)
        else:
            waits = Waiting(row["workflow_id"], row["deployment_version"], row["node_id"])
            pending.setdefault(topic, []).append(waits)
    return Wanted(frozenset(active), pending, frozenset(own))


async def keep_ingress(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
    """Read foreign topics beside the owner until told to stop."""
    pool = await open_pool(settings.database_url)
    ingress = Ingress(settings, owner, pool)
    try:
        await ingress.run(stop)
    finally:
        await ingress.close()
        await pool.close()
