"""Writes records: one idempotent producer, one batch for each partition at a time.

A producer that has failed once is replaced: aiokafka goes on counting sequence numbers
behind a batch that was refused, and everything after it would be refused as well.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from perdure_common import fault
from perdure_common.adapters.kafka_clients import Client, Names, reaching, settings
from perdure_common.shell.ports import NoSuchTopic, Outbound, TopicPartition, Unreachable

BATCH_BYTES = 512 * 1024
"""The largest batch of several records; a single larger record is a batch of its own."""

DELIVERY_S = 30.0
"""How long `send` may take before what is unanswered counts as failed."""

RETRY_MS = 50
STOP_S = 2.0

log = structlog.get_logger(__name__)


class Behind(RuntimeError):
    """The record was not written because one before it in its partition was not."""


class Sender:
    """The writing half of the bus."""

    def __init__(
        self, bootstrap: str, client_id: str, names: Names, delivery_s: float = DELIVERY_S
    ) -> None:
        self._settings = settings(bootstrap, client_id)
        self._names = names
        self._delivery_s = delivery_s
        self._producer: Client = None
        self._starting = asyncio.Lock()
        # aiokafka lets only one batch of a partition wait. Who comes meanwhile is called each time
        # one has gone, all of them, and each time uses up its patience from the beginning on.
        self._turns: defaultdict[TopicPartition, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def send(self, records: Sequence[Outbound]) -> Sequence[BaseException | None]:
        """See `Bus.send`.

        Raises:
            Unreachable: No producer could be started, or no broker answers; nothing was written.
        """
        if not records:
            return ()
        producer = await self._started()
        parts: dict[TopicPartition, list[int]] = {}
        for place, record in enumerate(records):
            parts.setdefault((record.topic, record.partition), []).append(place)
        results: list[BaseException | None] = [KafkaTimeoutError()] * len(records)
        for where in await self._missing(producer, parts):
            for place in parts.pop(where):
                results[place] = NoSuchTopic(f"there is no partition {where[1]} of {where[0]}")
        if not parts:
            return results
        tasks = [
            asyncio.create_task(self._send_part(producer, records, places, results))
            for places in parts.values()
        ]
        try:
            await asyncio.wait(tasks, timeout=self._delivery_s)
        finally:
            for task in tasks:
                task.cancel()
            if any(results[place] is not None for places in parts.values() for place in places):
                await self._replace(producer)
            await asyncio.gather(*tasks, return_exceptions=True)
        return results

    async def _missing(
        self, producer: Client, places: Iterable[TopicPartition]
    ) -> set[TopicPartition]:
        """Return the places that do not exist, as far as the brokers know now.

        aiokafka would wait for each a quarter of a minute, and all others with it.
        """
        client, names = producer.client, self._names.physical

        def known(topic: str) -> Collection[int]:
            return client.cluster.partitions_for_topic(names(topic)) or ()

        def unknown() -> set[TopicPartition]:
            return {(t, p) for t, p in places if p not in known(t)}

        missing = unknown()
        for topic, _ in missing:
            client.add_topic(names(topic))
        for _ in range(2):  # the first answer may be to a question of before we added ours
            if not missing:
                break
            async with reaching("the brokers' topics are unknown", self._delivery_s):
                updated = await client.force_metadata_update()
            if not updated:
                raise Unreachable("no broker says which topics there are")
            missing = {each for each in unknown() if not self._is_forbidden(client, each[0])}
        for topic, _ in missing:
            if not known(topic):  # else it is asked for, and complained about, for ever
                client._topics.discard(names(topic))
        return missing

    def _is_forbidden(self, client: Client, topic: str) -> bool:
        """Tell whether a topic is not shown to us: that is told when it is written to."""
        return self._names.physical(topic) in client.cluster.unauthorized_topics

    async def _send_part(
        self,
        producer: Client,
        records: Sequence[Outbound],
        places: Sequence[int],
        results: list[BaseException | None],
    ) -> None:
        """Write the records at `places`, all of one partition, batch after batch."""
        done = 0
        topic = self._names.physical(records[places[0]].topic)
        partition = records[places[0]].partition
        try:
            while done < len(places):
                batch = producer.create_batch()
                count = 0
                for place in places[done:]:
                    record = records[place]
                    added = batch.append(
                        timestamp=None,
                        key=record.key,
                        value=record.value,
                        headers=list(record.headers),
                    )
                    if added is None:
                        break
                    count += 1
                async with self._turns[topic, partition]:
                    written = await producer.send_batch(batch, topic, partition=partition)
                    fault.point("during_publish")
                    await written
                for place in places[done : done + count]:
                    results[place] = None
                done += count
        except (KafkaError, AssertionError, TypeError) as error:
            results[places[done]] = error
            for place in places[done + 1 :]:
                results[place] = Behind(f"a record before it was not written: {error!r}")

    async def _started(self) -> Client:
        async with self._starting:
            if self._producer is None:
                producer: Client = AIOKafkaProducer(
                    **self._settings,
                    acks="all",
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES,
                    retry_backoff_ms=RETRY_MS,
                )
                try:
                    async with reaching("the producer does not start", self._delivery_s):
                        await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def _replace(self, producer: Client) -> None:
        """Give a producer up; the next `send` starts another."""
        if self._producer is producer:
            self._producer = None
            await _abandon(producer)

    async def close(self) -> None:
        """Give the producer up; what was not acknowledged is not waited for."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _abandon(producer)


async def _abandon(producer: Client) -> None:
    """Stop a producer without waiting for what it still wants to send.

    `stop()` alone waits for ever when the broker is gone: idempotent batches never expire. Who
    waits for a batch is told that it failed; nobody waits for its turn to be sent any more, and
    asyncio would complain in the log that this failed unheard.
    """
    waiting = producer._message_accumulator
    batches = [batch for each in waiting._batches.values() for batch in each]
    waiting.fail_all(KafkaTimeoutError())
    for batch in batches:
        batch._drain_waiter.exception()
    for stop in (producer._sender.close, producer.stop):
        try:
            async with asyncio.timeout(STOP_S):
                await stop()
        except Exception as error:  # it is given up in any case
            log.info("producer_stopped_roughly", error=repr(error))
