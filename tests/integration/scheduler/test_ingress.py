"""Where reading of a foreign topic begins: at the deployment, whoever reads, whenever it joins."""

import asyncio
from typing import Any

import pytest
from ingress_ground import Silent, ground
from perdure_common.embedded import Addresses
from perdure_scheduler.definition_edges import TRIGGERS
from perdure_scheduler.topics import ingress as ingress_module


async def test_a_reader_that_joins_while_a_deployment_ends_goes_on_where_it_began(
    servers: Addresses, database: str, topic_prefix: str
) -> None:
    async with ground(servers.kafka_bootstrap, database, topic_prefix) as it:
        await it.send(b'"before"')
        async with it.reading():
            await it.position_stands()
        async with it.ingress() as late:
            await late._look()  # pyright: ignore[reportPrivateUsage]
            async with asyncio.timeout(60):
                while not late._placed:  # pyright: ignore[reportPrivateUsage]
                    await late._hand_on()  # pyright: ignore[reportPrivateUsage]
            await it.serves()  # what it has seen is not true any more
            await it.send(b'"first"')
            consumer: Any = late._consumer  # pyright: ignore[reportPrivateUsage]
            await late.on_partitions_assigned(consumer.assignment())  # as when one more joins
            await late._beginning[it.topic]  # pyright: ignore[reportPrivateUsage]
        async with it.reading():
            await it.send(b'"second"')
            assert await it.told(TRIGGERS, 2) == [b'"first"', b'"second"']


@pytest.mark.parametrize("failures", [0, 1])
async def test_a_partition_that_a_topic_gets_later_is_read_from_its_beginning(
    servers: Addresses, database: str, topic_prefix: str, failures: int
) -> None:
    async with ground(servers.kafka_bootstrap, database, topic_prefix) as it:
        async with it.reading():
            await it.position_stands()
            await it.serves()
        await it.grow()
        await it.send(b'"of the new one"', partition=1)
        async with it.reading(failures):
            assert await it.told(TRIGGERS, 1) == [b'"of the new one"']


async def test_a_topic_that_does_not_answer_keeps_no_other_waiting(
    servers: Addresses, database: str, topic_prefix: str
) -> None:
    async with ground(servers.kafka_bootstrap, database, topic_prefix) as it:
        broken = f"{it.prefix}-broken"
        await it.add(broken)
        silent = Silent(broken)
        async with it.reading(silent=silent):
            await it.position_stands()
            await it.serves()
            await it.send(b'"early"', topic=broken)  # its position does not stand yet
            await it.send(b'"one"')
            assert await it.told(TRIGGERS, 1) == [b'"one"']
            assert silent.asked and not silent.answers.is_set()
            silent.answers.set()
            await it.position_stands(broken)
            await it.send(b'"two"', topic=broken)
            await it.send(b'"three"')
            assert sorted(await it.told(TRIGGERS, 3)) == [b'"one"', b'"three"', b'"two"']


async def test_a_topic_that_does_not_answer_in_time_is_asked_again(
    servers: Addresses, database: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress_module, "BEGIN_S", 0.2)
    monkeypatch.setattr(ingress_module, "BACK_OFF_S", 0.1)
    async with ground(servers.kafka_bootstrap, database, topic_prefix) as it:
        silent = Silent(it.topic)
        async with it.reading(silent=silent):
            async with asyncio.timeout(60):
                while silent.asked < 3:
                    await asyncio.sleep(0.05)
            monkeypatch.setattr(ingress_module, "BEGIN_S", 20.0)
            silent.answers.set()
            await it.position_stands()
            await it.send(b'"now"')
            assert await it.told(TRIGGERS, 1) == [b'"now"']
