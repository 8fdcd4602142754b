"""A foreign topic that cannot be read stops no other one, says why, and is taken up again."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from guarded_kafka import GuardedKafka, guarded_kafka
from ingress_ground import Ground, ground
from perdure_common.embedded import Addresses
from perdure_contracts.topology import physical
from perdure_scheduler.definition_edges import TRIGGERS
from perdure_scheduler.topics import ingress as ingress_module

COMMANDS = "perdure.scheduler.commands.v1"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingress_module, "AGAIN_S", 1.0)
    monkeypatch.setattr(ingress_module, "PROVEN_S", 2.0)


@pytest.fixture
async def kafka(tmp_path: Path) -> AsyncGenerator[GuardedKafka]:
    async with guarded_kafka(tmp_path) as made:
        yield made


async def until(found: Callable[[], Awaitable[object]], wanted: object) -> None:
    async with asyncio.timeout(60):
        while await found() != wanted:
            await asyncio.sleep(0.1)


async def serving(it: Ground, *topics: str) -> None:
    """Wait until topics are read, and let their deployments be over."""
    for topic in topics:
        await it.position_stands(topic)
        await it.serves(topic)


async def test_a_topic_that_may_not_be_read_any_more_stops_no_other(
    kafka: GuardedKafka, servers: Addresses, database: str
) -> None:
    async with ground(kafka.bootstrap, database, "guarded") as it:
        closed = "guarded-closed"
        await it.add(closed)
        async with it.reading():
            await serving(it, it.topic, closed)
            await it.send(b'"open"', topic=closed)
            assert await it.told(TRIGGERS, 1) == [b'"open"']
            await kafka.forbid_reading(closed)
            await until(it.troubles, {closed: "topic_not_allowed"})
            await it.send(b'"behind the door"', topic=closed)
            began = time.monotonic()
            for n in range(20):
                await it.send(b'"%d"' % n)
                await it.told(TRIGGERS, 1, b'"%d"' % n)
            assert time.monotonic() - began < 20, "each restart of a reader takes two seconds"
            assert await it.troubles() == {closed: "topic_not_allowed"}
            await kafka.allow(closed)
            await it.told(TRIGGERS, 1, b'"behind the door"')
            await until(it.troubles, {})


async def test_a_deployment_for_a_topic_that_may_not_be_read_fails_and_says_so(
    kafka: GuardedKafka, servers: Addresses, database: str
) -> None:
    async with ground(kafka.bootstrap, database, "guarded") as it:
        closed = "guarded-closed"
        await it.add(closed)
        await kafka.forbid_reading(closed)
        async with it.reading():
            (failed,) = await it.told(COMMANDS, 1, b"allow READ and DESCRIBE")
            assert b'"code":"topic_not_allowed"' in failed and b'"ok":false' in failed
            await serving(it, it.topic)
            await it.send(b'"one"')
            assert await it.told(TRIGGERS, 1) == [b'"one"']
            await kafka.allow(closed)
            await it.position_stands(closed)
            await until(it.troubles, {})


async def test_a_record_that_a_dying_disk_has_changed_stops_its_own_topic_alone(
    kafka: GuardedKafka, servers: Addresses, database: str
) -> None:
    async with ground(kafka.bootstrap, database, "guarded") as it:
        broken = "guarded-broken"
        await it.add(broken)
        async with it.reading():
            await serving(it, it.topic, broken)
        for text in (b'"before"', b'"spoiled"', b'"after"'):
            await it.send(text, topic=broken)
        kafka.spoil(broken, b'"spoiled"')
        async with it.reading():
            await until(it.troubles, {broken: "topic_unreadable"})
            assert await it.told(TRIGGERS, 1) == [b'"before"']
            for n in range(5):
                await it.send(b'"%d"' % n)
                await it.told(TRIGGERS, 1, b'"%d"' % n)
            assert await it.troubles() == {broken: "topic_unreadable"}
            await it.delete_records(broken, 2)  # what a person does with it
            await it.told(TRIGGERS, 1, b'"after"')
            await until(it.troubles, {})


async def test_a_topic_that_is_deleted_is_told_of_and_forgotten_when_nobody_wants_it(
    servers: Addresses, database: str, topic_prefix: str
) -> None:
    async with ground(servers.kafka_bootstrap, database, topic_prefix) as it:
        gone = f"{topic_prefix}-gone"
        await it.wait_for(gone)
        async with it.reading():
            await serving(it, it.topic)
            await it.serves(gone)
            await until(it.troubles, {gone: "topic_not_found"})
            await it.execute(
                "DELETE FROM scheduler.trigger_index WHERE index_key = $1", f"{gone}/*"
            )
            await until(it.troubles, {})
            await it.send(b'"on"')
            assert await it.told(TRIGGERS, 1) == [b'"on"']


@pytest.mark.parametrize("packed", ["gzip", "lz4", "snappy", "zstd"])
async def test_records_are_read_however_they_are_packed(
    servers: Addresses, database: str, topic_prefix: str, packed: str
) -> None:
    async with ground(servers.kafka_bootstrap, database, topic_prefix) as it, it.reading():
        await serving(it, it.topic)
        producer: Any = Producer({"bootstrap.servers": it.bootstrap, "compression.type": packed})
        for n in range(3):
            producer.produce(it.topic, b'{"n": %d, "text": "%s"}' % (n, b"x" * 500))
        assert await asyncio.to_thread(producer.flush, 30) == 0
        assert len(await it.told(TRIGGERS, 3)) == 3


async def test_a_topic_that_is_made_anew_is_read_from_its_beginning_and_nothing_is_taken_for_old(
    servers: Addresses, database: str, topic_prefix: str
) -> None:
    async with ground(servers.kafka_bootstrap, database, topic_prefix) as it:
        anew = f"{topic_prefix}-anew"
        await it.add(anew)
        async with it.reading():
            await serving(it, it.topic, anew)
            for text in (b'"one"', b'"two"'):
                await it.send(text, topic=anew)
            await it.told(TRIGGERS, 2)
            await it.delete(anew)
            await until(it.troubles, {anew: "topic_not_found"})
            await it.make(anew)
            for text in (b'"three"', b'"four"', b'"five"'):
                await it.send(text, topic=anew)
            events = await it.events(TRIGGERS, 5)
            await until(it.troubles, {})
    assert [event.data for event in events] == [
        *(b'"one"', b'"two"', b'"three"', b'"four"', b'"five"')
    ]
    assert len({(event.source, event.id) for event in events}) == 5, "the places are the same"


async def test_a_topic_that_is_made_anew_in_a_moment_is_read_from_its_beginning_too(
    servers: Addresses, database: str, topic_prefix: str
) -> None:
    async with ground(servers.kafka_bootstrap, database, topic_prefix) as it, it.reading():
        await serving(it, it.topic)
        for text in (b'"one"', b'"two"'):
            await it.send(text)
        await it.told(TRIGGERS, 2)
        await it.delete(it.topic)
        await it.make(it.topic)
        await it.send(b'"three"')
        events = await it.events(TRIGGERS, 3)
    assert [event.data for event in events] == [b'"one"', b'"two"', b'"three"']
    assert len({event.id for event in events}) == 3


async def test_a_trigger_on_a_topic_of_ours_that_served_before_is_told_of_and_not_read(
    servers: Addresses, database: str, topic_prefix: str
) -> None:
    """What is read there would come there again, without end; a deployment of it is refused."""
    async with ground(servers.kafka_bootstrap, database, topic_prefix) as it:
        own = physical(TRIGGERS, topic_prefix)
        await it.wait_for(own)
        await it.serves(own)
        async with it.reading():
            await serving(it, it.topic)
            await until(it.troubles, {own: "own_topic"})
            await it.send(b'"one"')
            await it.told(TRIGGERS, 1, b'"one"')
            await it.send(b'"two"')
            assert await it.told(TRIGGERS, 2) == [b'"one"', b'"two"'], "each once"
            await it.execute("DELETE FROM scheduler.trigger_index WHERE index_key = $1", f"{own}/*")
            await until(it.troubles, {})
    async with ground(servers.kafka_bootstrap, database, f"{topic_prefix}b") as it:
        own = physical(TRIGGERS, it.prefix)
        await it.execute("DELETE FROM scheduler.trigger_index")
        await it.wait_for(own)
        await it.serves(own)
        async with it.reading():  # where it is the only one there is
            await until(it.troubles, {own: "own_topic"})
