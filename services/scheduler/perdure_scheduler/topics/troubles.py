"""Why foreign topics cannot be read now: kept where people, metrics and deployments find it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    KafkaError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)
from perdure_common.adapters.postgres_queries import queries
from perdure_common.scrub import scrub_text

NOT_ALLOWED = "topic_not_allowed"
NOT_FOUND = "topic_not_found"
NOT_ANSWERING = "topic_not_answering"
UNREADABLE = "topic_unreadable"
OWN = "own_topic"

FAILS_DEPLOYMENTS = frozenset({NOT_ALLOWED, UNREADABLE})
"""Those that waiting alone does not mend."""

NO_PARTITION = -1

OF_ONE_TOPIC = (
    TopicAuthorizationFailedError,
    CorruptRecordException,
    RecordTooLargeError,
    UnsupportedCodecError,
)
"""Errors of reading that are a topic's own; others of Kafka's concern the whole reader."""

log = structlog.get_logger(__name__)

_SQL = queries(Path(__file__).with_name("topics.sql"))


@dataclass(frozen=True)
class Trouble:
    """Why a topic cannot be read; `at` is when that was found, on the loop's clock, in seconds."""

    code: str
    message: str
    at: float


def is_of_one_topic(error: Exception) -> bool:
    """Return whether an error that came of reading one topic says nothing of the others."""
    if isinstance(error, ConsumerStoppedError):
        return False
    return isinstance(error, OF_ONE_TOPIC) or not isinstance(error, KafkaError)


def topics_in(error: TopicAuthorizationFailedError) -> frozenset[str]:
    """Return the topics that may not be read: a fetch names one, a commit has a set."""
    named: Any = error.args[0] if error.args else ()
    return frozenset([named]) if isinstance(named, str) else frozenset(map(str, named))


def described(topic: str, error: Exception) -> tuple[str, str]:
    """Return the code and the text of an error, which says what to do."""
    if isinstance(error, TopicAuthorizationFailedError):
        return NOT_ALLOWED, (
            f"Kafka does not let perdure read topic {topic!r}; allow READ and DESCRIBE there to "
            "the scheduler's user. It is tried again by itself"
        )
    if isinstance(error, TimeoutError | KafkaError) and not isinstance(error, OF_ONE_TOPIC):
        return NOT_ANSWERING, (
            f"topic {topic!r} does not answer ({type(error).__name__}); is the leader of each of "
            "its partitions there? It is tried again by itself"
        )
    reason = scrub_text(f"{type(error).__name__}: {error}")[:300]
    return UNREADABLE, (
        f"a record of topic {topic!r} cannot be read ({reason}); those before it were taken. "
        "Delete it with `kafka-delete-records`, or recreate the topic. It is tried again by itself"
    )


class Troubles:
    """What is in trouble here, in memory and in the table that everybody reads."""

    def __init__(self, pool: Any, tenant_id: str) -> None:
        self._pool = pool
        self._tenant_id = tenant_id
        self._known: dict[str, Trouble] = {}
        self._swept: tuple[frozenset[str], frozenset[str]] | None = None
        """What was swept last: the topics that are wanted, and those that are not read."""

    def of(self, topic: str) -> Trouble | None:
        """Return why a topic cannot be read here, None if it can."""
        return self._known.get(topic)

    def is_unreadable(self) -> bool:
        """Return whether there is a topic of which a record could not be read."""
        return any(each.code == UNREADABLE for each in self._known.values())

    async def note(self, topic: str, partitions: Iterable[int], code: str, message: str) -> None:
        """Note why a topic cannot be read.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not answer.
        """
        before = self._known.get(topic)
        self._known[topic] = Trouble(code, message, asyncio.get_running_loop().time())
        if before is None or before.code != code:
            log.warning("topic_in_trouble", topic=topic, code=code, reason=message)
        for partition in partitions:
            await self._pool.execute(
                _SQL["note_trouble"], self._tenant_id, topic, partition, code, message
            )

    async def clear(self, topic: str, partitions: Iterable[int]) -> None:
        """Note that a topic can be read (again): also what another process has noted before.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not answer.
        """
        if self._known.pop(topic, None) is not None:
            log.info("topic_out_of_trouble", topic=topic)
        for partition in partitions:
            await self._pool.execute(_SQL["forget_trouble"], self._tenant_id, topic, partition)

    async def sweep(
        self, wanted: frozenset[str], missing: frozenset[str], own: frozenset[str]
    ) -> None:
        """Forget troubles of topics that nobody wants, and note which ones are not there, or ours.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not answer.
        """
        if (wanted, missing | own) == self._swept:
            return
        there = wanted - missing - own
        for topic, trouble in list(self._known.items()):
            if topic not in wanted or (trouble.code == NOT_FOUND and topic in there):
                del self._known[topic]
        await self._pool.execute(
            _SQL["forget_old_troubles"], self._tenant_id, sorted(wanted), sorted(there)
        )
        for topic in own:
            text = (
                f"topic {topic!r} is one of perdure's own in this installation: what is read there "
                "comes there again, so nothing of it is read; deploy a version with a topic of "
                "yours, or undeploy the workflow"
            )
            await self.note(topic, (NO_PARTITION,), OWN, text)
        for topic in missing:
            text = (
                f"there is no topic {topic!r}, or Kafka does not let perdure see it; create it, "
                "or allow READ and DESCRIBE there to the scheduler's user"
            )
            await self.note(topic, (NO_PARTITION,), NOT_FOUND, text)
        self._swept = wanted, missing | own
