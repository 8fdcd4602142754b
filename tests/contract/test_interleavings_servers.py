"""Interleavings that only real servers can bring about: connections cut, records refused.

In memory the same is staged in test_shell_faults.py, by faults of the broker and the store.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import (  # pyright: ignore[reportMissingTypeStubs]
    ConfigResource,
    ConfigResourceType,
)
from cutting_proxy import Proxy, proxy_to
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.embedded import Addresses
from perdure_common.ids import partition_of
from perdure_common.shell.ports import Outbound
from perdure_contracts.topology import physical
from tally import LEDGER, PARTITIONS, TALLY, Add, Stage, real_stage, sending, total

NOTES = "perdure.ledger.commands.v1"
A = "a"


@pytest.fixture
async def real(database: str, topic_prefix: str, servers: Addresses) -> AsyncIterator[Stage]:
    async for made in real_stage(database, topic_prefix, servers.kafka_bootstrap):
        yield made


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    async with proxy_to(database) as made:
        yield made


async def amounts(stage: Stage) -> list[int]:
    rows = await stage.rows("ledger", "entries")
    return [row["amount"] for row in sorted(rows, key=lambda row: row["n"])]


async def must_note(stage: Stage, *wanted: int) -> None:
    async def found() -> bool:
        return len(await amounts(stage)) >= len(wanted)

    await stage.eventually(found)
    assert await amounts(stage) == list(wanted)


@pytest.mark.parametrize("written", [True, False])
async def test_a_commit_whose_answer_is_lost_is_applied_once_whether_or_not_it_was_written(
    real: Stage, proxy: Proxy, database: str, written: bool
) -> None:
    store = PostgresStore(proxy.through(database), "tally")
    process = real.process(TALLY, store=store)
    async with real.running(LEDGER):
        await real.ask(Add(account=A, amount=1), id="1")
        await must_note(real, 1)
        epochs = {shard.id: shard.epoch for shard in process.owner.shards.values()}
        cut = proxy.cut_after(b'"amount":4242', passed_on=written)
        await real.ask(Add(account=A, amount=4242), id="2")
        await cut.met.wait()
        if written:  # the server has done it, and says so to nobody

            async def there() -> bool:
                return total(await real.rows("tally", "tallies"), A) == 4243

            await real.eventually(there)
        cut.now.set()
        await real.ask(Add(account=A, amount=3), id="3")
        await must_note(real, 1, 4242, 3)
        assert total(await real.rows("tally", "tallies"), A) == 4246
        claimed = {shard.id: shard.epoch for shard in process.owner.shards.values()}
        assert claimed[str(partition_of(A, PARTITIONS))] > epochs[str(partition_of(A, PARTITIONS))]
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("select version from tally.journal where stream = $1", A)
    await connection.close()
    assert sorted(row["version"] for row in rows) == [1, 2, 3]
    await process.end()


async def test_a_message_that_kafka_refuses_holds_back_its_place_and_keeps_the_order(
    real: Stage, topic_prefix: str, servers: Addresses
) -> None:
    async with real.running(TALLY) as owner, real.running(LEDGER):
        await real.ask(Add(account=A, amount=1), id="1")
        await must_note(real, 1)
        await limit_notes(real, topic_prefix, servers, 100)
        for n in (2, 3, 4):
            await real.ask(Add(account=A, amount=n), id=f"{n}")

        async def later_ones_are_out() -> bool:
            told = await real.everything("perdure.tally.events.v1")
            return owner.publisher.failures > 0 and len(told) >= 4

        await real.eventually(later_ones_are_out)
        assert await amounts(real) == [1]
        await limit_notes(real, topic_prefix, servers, 1_000_000)
        await must_note(real, 1, 2, 3, 4)


async def limit_notes(stage: Stage, prefix: str, servers: Addresses, most: int) -> None:
    """Let the broker take no records above `most` bytes for the notes, and wait until it does so.

    What is sent to try it out is passed over by whoever reads it.
    """
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=servers.kafka_bootstrap)
    await admin.start()
    try:
        name = NOTES.replace("perdure", prefix, 1)
        config = {"max.message.bytes": str(most)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, config)])
    finally:
        await admin.close()
    outside = stage.bus("probe")
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"probe"),
        ("ce_source", b"/nobody"),
        ("ce_type", b"shell.tail.v1"),
        ("content-type", b"application/json"),
    )
    body = b'{"last": 1, "pad": "' + b"x" * 200 + b'"}'
    place = partition_of(A, PARTITIONS)

    async def in_force() -> bool:
        (refused,) = await outside.send([Outbound(NOTES, place, body, None, headers)])
        return (refused is not None) == (most < 300)

    async with asyncio.timeout(30):
        while not await in_force():
            await asyncio.sleep(0.05)


async def test_messages_for_a_topic_that_is_missing_wait_for_it_and_hold_no_others_back(
    real: Stage, topic_prefix: str, servers: Addresses
) -> None:
    late = "perdure.late.commands.v1"
    async with real.running(sending(late)) as owner, real.running(LEDGER):
        await real.ask(Add(account="b", amount=1), id="1")
        await real.ask(Add(account="b", amount=2), id="2")
        for amount in (3, 4, 5):
            await real.ask(Add(account=A, amount=amount), id=f"{amount}")
        await must_note(real, 3, 4, 5)
        assert {topic for topic, _ in owner.publisher.missing()} == {late}
        admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka_bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(physical(late, topic_prefix), PARTITIONS, 1)])
        finally:
            await admin.close()

        async def sent() -> bool:
            return owner.publisher.unsent() == 0

        await real.eventually(sent)
        assert [
            b'"amount":%d' % n in r.value for n, r in enumerate(await real.everything(late), 1)
        ] == [True] * 2
        assert await amounts(real) == [3, 4, 5]
