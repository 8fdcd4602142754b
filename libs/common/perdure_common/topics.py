"""Makes the topics that perdure needs, and checks the ones that are there.

Run again it changes nothing. The number of partitions is fixed at installation: a topic
with another one would send streams to the wrong shards, so that is an error, not a repair.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code
from perdure_contracts.topology import TOPICS, Topic, physical

from perdure_common.errors import Told
from perdure_common.shell.ports import Unreachable

READY_S = 30.0
"""How long new topics may take until each partition has a leader."""

PROBE_S = 0.1
"""The time between two looks."""

BROKER_DEFAULT = -1
"""The replication factor: as the cluster is configured (Kafka 2.4 and later)."""


class TopicError(Told):
    """A topic cannot be used. `code` is `wrong_partitions`, `refused` or `not_ready`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


async def create_topics(bootstrap: str, prefix: str, partitions: int) -> tuple[str, ...]:
    """Make the topics that are missing and return their names.

    `partitions` is N. Returns when every partition of every topic has a leader.

    Raises:
        TopicError: An internal topic has another number of partitions, the cluster
            refuses a topic, or a topic has no leaders after `READY_S`.
        Unreachable: No broker answers.
    """
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="perdure-topics")
    try:
        async with asyncio.timeout(READY_S):
            await admin.start()
            counts = await _counts(admin)
            missing = [topic for topic in TOPICS if physical(topic.name, prefix) not in counts]
            if missing:
                await _create(admin, missing, prefix, partitions)
            await await_leaders(admin, [physical(topic.name, prefix) for topic in TOPICS])
            check(await _counts(admin), prefix, partitions)
    except TimeoutError as error:
        raise TopicError(
            "not_ready", f"the topics had no leaders after {READY_S:.0f} s; look at the brokers"
        ) from error
    except KafkaError as error:
        raise Unreachable(f"no answer from Kafka at {bootstrap}: {error!r}") from error
    finally:
        await admin.close()
    return tuple(physical(topic.name, prefix) for topic in missing)


def check(counts: Mapping[str, int], prefix: str, partitions: int) -> None:
    """Check that each internal topic has N partitions; `counts` has those of the cluster.

    Raises:
        TopicError: One has another number.
    """
    wrong = {
        physical(topic.name, prefix): counts[physical(topic.name, prefix)]
        for topic in TOPICS
        if topic.internal and counts.get(physical(topic.name, prefix), partitions) != partitions
    }
    if wrong:
        found = ", ".join(f"{name} has {count}" for name, count in sorted(wrong.items())[:3])
        raise TopicError(
            "wrong_partitions",
            f"internal topics must all have {partitions} partitions, but {len(wrong)} have not "
            f"({found}); "
            "set PERDURE_PARTITIONS to the number at installation, or delete these topics "
            "(what is on them is lost)",
        )


async def _described(admin: Any) -> list[dict[str, Any]]:
    # Asking for all topics: asking for one by name can create it (auto.create.topics.enable).
    topics: list[dict[str, Any]] = await admin.describe_topics(None)
    return topics


async def _counts(admin: Any) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await _described(admin)}


async def _create(admin: Any, topics: Sequence[Topic], prefix: str, partitions: int) -> None:
    wanted = [
        NewTopic(
            physical(topic.name, prefix),
            topic.partitions or partitions,
            BROKER_DEFAULT,
            replica_assignments={},
            topic_configs={
                "cleanup.policy": "delete",
                "retention.ms": str(topic.retention_s * 1000),
                "max.message.bytes": str(topic.bytes_max),
                # Kafka refuses records of a clock that is an hour fast, and forgets those of one
                # that is slow too early: its own clock counts.
                "message.timestamp.type": "LogAppendTime",
            },
        )
        for topic in topics
    ]
    response = await admin.create_topics(wanted)
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if error not in (NoError, TopicAlreadyExistsError):
            detail = next((text for text in rest if text), error.__name__)
            raise TopicError("refused", f"Kafka does not make topic {name}: {detail}")


async def await_leaders(admin: Any, names: Sequence[str]) -> None:
    """Wait until every partition of the topics has a leader; the caller bounds the time."""
    waiting = set(names)
    while True:
        for topic in await _described(admin):
            leaders = [partition["leader"] for partition in topic["partitions"]]
            if leaders and min(leaders) >= 0:
                waiting.discard(topic["topic"])
        if not waiting:
            return
        await asyncio.sleep(PROBE_S)
