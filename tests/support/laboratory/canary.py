"""Secrets that servers repeat in their errors, and where they might have been kept.

Each stands in the error of some scenario beside a word that is no secret, by which is seen that the
text itself came through.
"""

import asyncio
import time
from dataclasses import dataclass

import asyncpg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from platform_stage import Stage


@dataclass(frozen=True)
class Canary:
    """A secret, and the word beside it."""

    word: str
    secret: str

    @property
    def text(self) -> str:
        """What a server says."""
        return f"{self.word}: {self.secret}"


KEY = Canary("kestrel-key", "sk-proj-4Xk9TqLw27RmZ8vB3nYc6JhD5gFpS1aEuWoQ0iKxCtVbMz")
TOKEN = Canary("merlin-token", "ghp_9fK2LmQ7xW4ZrT8vB3nYc6JhD5gFpS1aEuWo")
PASSWORD = Canary("osprey-url", "postgresql://shop:h7Gf9Qx2Lm4Kz@db.internal/shop")
CANARIES = (KEY, TOKEN, PASSWORD)

TABLES = """
    select table_schema, table_name from information_schema.tables
     where table_schema in ('engine', 'recovery', 'scheduler') and table_type = 'BASE TABLE'
"""


async def places_with(stage: Stage, text: str) -> list[str]:
    """Return the tables, topics and logs in which a text stands."""
    return [
        *await _tables_with(stage, text),
        *await asyncio.to_thread(_topics_with, stage, text.encode()),
        *(
            f"log of {name}"
            for name in stage.names
            if text in stage.log_of(name).read_text(encoding="utf-8", errors="replace")
        ),
    ]


async def _tables_with(stage: Stage, text: str) -> list[str]:
    connection = await asyncpg.connect(stage.ground.database_url)
    try:
        found: list[str] = []
        for schema, table in await connection.fetch(TABLES):
            sql = f'select count(*) from {schema}."{table}" as t where strpos(t::text, $1) > 0'
            if await connection.fetchval(sql, text):
                found.append(f"{schema}.{table}")
        return found
    finally:
        await connection.close()


def _topics_with(stage: Stage, text: bytes) -> list[str]:
    consumer = Consumer(
        {
            "bootstrap.servers": stage.ground.kafka_bootstrap,
            "group.id": stage.ground.prefix,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        left = {
            (name, partition): None
            for name, topic in consumer.list_topics(timeout=10.0).topics.items()
            if name.startswith(stage.ground.prefix)
            for partition in topic.partitions
        }
        consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in left])
        assert left, "there are topics"
        found: dict[str, None] = {}
        limit = time.monotonic() + 60.0
        while left and time.monotonic() < limit:
            for message in consumer.consume(1_000, timeout=0.5):
                place = (str(message.topic()), message.partition() or 0)
                if message.error() is not None:  # its end
                    left.pop(place, None)
                elif text in (message.value() or b""):
                    found[f"topic {place[0]}"] = None
        assert not left, f"these were not read to their end: {list(left)}"
        return list(found)
    finally:
        consumer.close()
