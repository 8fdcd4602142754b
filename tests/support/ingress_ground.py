"""A foreign topic, a trigger whose deployment waits for it, and readers in this process."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from perdure_common import migrate
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.settings import DEFAULT_TENANT, Settings
from perdure_common.topics import create_topics
from perdure_contracts.cloudevents import CloudEvent, decode
from perdure_contracts.topology import physical
from perdure_scheduler.mail.mailboxes import open_pool
from perdure_scheduler.topics.ingress import Ingress

INSERT = """
    INSERT INTO scheduler.trigger_index (
        id, tenant_id, workflow_id, deployment_version, node_id, trigger_type, trigger_subtype,
        index_key, deployment_status
    ) VALUES (gen_random_uuid(), $1, gen_random_uuid(), 1, 'k', 'TRIGGER', 'KAFKA', $2, 'pending')
"""


class Failing:
    """A pool that fails so many times, each time after it has answered once."""

    def __init__(self, pool: Any, failures: int) -> None:
        self._pool, self._failures, self._asked = pool, failures, 0

    async def fetch(self, *asked: Any) -> Any:
        self._asked += 1
        if self._asked % 2 == 0 and self._failures > 0:
            self._failures -= 1
            raise asyncpg.ConnectionDoesNotExistError("the server went away")
        return await self._pool.fetch(*asked)


class Silent:
    """A topic that does not answer where it begins and ends, as when its leader is away."""

    def __init__(self, topic: str) -> None:
        self.topic, self.asked, self.answers = topic, 0, asyncio.Event()

    def keep(self, ingress: Ingress) -> None:
        """Let the topic be silent to a reader."""
        opened: Any = ingress._opened  # pyright: ignore[reportPrivateUsage]

        async def opened_so() -> Any:
            consumer = await opened()
            for name in ("beginning_offsets", "end_offsets"):
                setattr(consumer, name, self._slow(getattr(consumer, name)))
            return consumer

        ingress._opened = opened_so  # pyright: ignore[reportPrivateUsage]

    def _slow(self, ask: Any) -> Any:
        async def asked(places: Any) -> Any:
            if any(place.topic == self.topic for place in places):
                self.asked += 1
                await self.answers.wait()
            return await ask(places)

        return asked


class Ground:
    """A foreign topic with one partition, a trigger whose deployment waits for it, and readers."""

    def __init__(self, url: str, bootstrap: str, prefix: str) -> None:
        self.url, self.bootstrap, self.prefix = url, bootstrap, prefix
        self.topic = f"{prefix}-foreign"
        self.topics: list[str] = []
        self.settings = Settings.read(
            "scheduler",
            {
                "PERDURE_DATABASE_URL": url,
                "PERDURE_KAFKA_BOOTSTRAP": bootstrap,
                "PERDURE_TOPIC_PREFIX": prefix,
                "PERDURE_PARTITIONS": "1",
            },
        )

    async def prepare(self) -> None:
        await migrate.up(self.url, "scheduler")
        await create_topics(self.bootstrap, self.prefix, 1)
        await self.add(self.topic)

    async def add(self, topic: str) -> None:
        """Add a topic, and a trigger whose deployment waits for it."""
        await self.make(topic)
        self.topics.append(topic)
        await self.wait_for(topic)

    async def make(self, topic: str) -> None:
        """Make a topic, again if it was deleted."""
        async with self._admin() as admin:
            await admin.create_topics([NewTopic(topic, 1, 1)])

    async def delete(self, topic: str) -> None:
        """Delete a topic."""
        async with self._admin() as admin:
            await admin.delete_topics([topic])

    async def wait_for(self, topic: str) -> None:
        """Add a trigger whose deployment waits for a topic."""
        await self.execute(INSERT, DEFAULT_TENANT, f"{topic}/*")

    async def delete_records(self, topic: str, before: int) -> None:
        """Delete the records of a topic below an offset."""
        async with self._admin() as admin:
            place = TopicPartition(topic, 0)
            await admin.delete_records({place: RecordsToDelete(before)})

    async def grow(self) -> None:
        async with self._admin() as admin:
            await admin.create_partitions({self.topic: NewPartitions(total_count=2)})

    @contextlib.asynccontextmanager
    async def _admin(self) -> AsyncGenerator[Any]:
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    async def execute(self, sql: str, *arguments: object) -> None:
        connection: Any = await asyncpg.connect(self.url)
        try:
            await connection.execute(sql, *arguments)
        finally:
            await connection.close()

    async def serves(self, topic: str = "") -> None:
        """Let the deployment of a topic's trigger be over."""
        sql = "UPDATE scheduler.trigger_index SET deployment_status = 'active' WHERE index_key = $1"
        await self.execute(sql, f"{topic or self.topic}/*")

    async def troubles(self) -> dict[str, str]:
        """Return the codes of what cannot be read, by topic."""
        connection: Any = await asyncpg.connect(self.url)
        try:
            rows = await connection.fetch("SELECT topic, code FROM scheduler.topic_troubles")
        finally:
            await connection.close()
        return {row["topic"]: row["code"] for row in rows}

    async def send(self, value: bytes, partition: int = 0, topic: str = "") -> None:
        producer: Any = AIOKafkaProducer(bootstrap_servers=self.bootstrap)
        await producer.start()
        try:
            await producer.send_and_wait(topic or self.topic, value, partition=partition)
        finally:
            await producer.stop()

    @contextlib.asynccontextmanager
    async def ingress(self) -> AsyncGenerator[Ingress]:
        bus = KafkaBus(self.bootstrap, "tests", self.prefix)
        pool = await open_pool(self.url)
        owner: Any = SimpleNamespace(bus=bus, shards={})
        made = Ingress(self.settings, owner, pool)
        try:
            yield made
        finally:
            await made.close()
            await pool.close()
            await bus.close()

    @contextlib.asynccontextmanager
    async def reading(
        self, failures: int = 0, silent: Silent | None = None
    ) -> AsyncGenerator[None]:
        """Read; in vain is so often asked who listens when partitions are assigned."""
        async with self.ingress() as ingress:
            if silent is not None:
                silent.keep(ingress)
            ingress._pool = Failing(ingress._pool, failures)  # pyright: ignore[reportPrivateUsage]
            stop = asyncio.Event()
            running = asyncio.create_task(ingress.run(stop))
            try:
                yield
            finally:
                stop.set()
                await running

    async def told(self, topic: str, count: int, about: bytes = b"") -> list[bytes]:
        """Return what was said on a topic of ours `about` something, once there is so much."""
        return [event.data for event in await self.events(topic, count, about)]

    async def events(self, topic: str, count: int, about: bytes = b"") -> list[CloudEvent]:
        """Return as `told`, but the whole events."""
        consumer: Any = AIOKafkaConsumer(
            physical(topic, self.prefix),
            bootstrap_servers=self.bootstrap,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        found: list[CloudEvent] = []
        try:
            async with asyncio.timeout(60):
                while len(found) < count:
                    record = await consumer.getone()
                    event = decode(record.headers, record.value)
                    found += [event] if about in event.data else []
        finally:
            await consumer.stop()
        return found

    async def position_stands(self, topic: str = "") -> None:
        """Wait until the deployment is told that the topic is being read."""
        about = f"{topic or self.topic} is being read".encode()
        await self.told("perdure.scheduler.commands.v1", 1, about)


@contextlib.asynccontextmanager
async def ground(bootstrap: str, database: str, prefix: str) -> AsyncGenerator[Ground]:
    """A ground of a test's own; its foreign topics are deleted at the end."""
    made = Ground(database, bootstrap, prefix)
    await made.prepare()
    try:
        yield made
    finally:
        async with made._admin() as admin:  # pyright: ignore[reportPrivateUsage]
            await admin.delete_topics(made.topics)
