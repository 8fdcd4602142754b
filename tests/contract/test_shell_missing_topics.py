"""Messages for a topic that does not exist: they wait for it, and nothing else waits with them."""

import asyncio
from dataclasses import replace
from typing import Any

import perdure_engine.app
import perdure_recovery.app
import perdure_scheduler.app
import pytest
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.decider import Outgoing, Recorded
from perdure_common.service import Service
from perdure_common.shell import codec, publisher
from perdure_common.shell.owner import Owner
from perdure_contracts.shell import DeadLettered
from perdure_contracts.topology import BY_NAME
from tally import (
    LEDGER,
    PARTITIONS,
    TALLY,
    TOPICS,
    Add,
    Memory,
    Stage,
    Tally,
    in_memory,
    sending,
)
from virtual_time import timeless

COMMANDS = "perdure.tally.commands.v1"
NOTES = "perdure.ledger.commands.v1"
NOWHERE = "perdure.nowhere.commands.v1"
ORDERS = "orders.v1"
SERVICES = (perdure_engine.app.service, perdure_recovery.app.service, perdure_scheduler.app.service)


async def said(stage: Stage, topic: str) -> list[bytes]:
    """Return the values in a topic, without what a shell says of its last number."""
    records = await stage.everything(topic)
    return [r.value for r in records if codec.header(r.headers, "ce_type") != b"shell.tail.v1"]


async def told(stage: Stage, topic: str, count: int) -> list[bytes]:
    """Return the values in a topic once there are `count`, and a while later."""

    async def there() -> bool:
        return len(await said(stage, topic)) >= count

    await stage.eventually(there)
    await asyncio.sleep(5.0)
    return await said(stage, topic)


def is_published(memory: Memory, owner: Owner) -> bool:
    """Tell whether the store says of everything that it is published."""
    marks = getattr(memory.stores["tally"], "_shards")  # noqa: B009
    return all(mark.published_seq == mark.next_seq - 1 for mark in marks.values()) and not any(
        shard.unsent for shard in owner.shards.values()
    )


@timeless
async def test_others_go_on_once_and_it_goes_when_its_topic_has_been_made() -> None:
    memory = in_memory()
    stage = memory.stage()
    async with stage.running(sending(NOWHERE)) as owner:
        await stage.ask(Add(account="b", amount=1), id="1")
        await stage.ask(Add(account="b", amount=2), id="2")
        for n in range(3, 9):
            await stage.ask(Add(account=f"a{n}", amount=n), id=f"{n}")
        assert len(await told(stage, NOTES, 6)) == 6
        assert {topic for topic, _ in owner.publisher.missing()} == {NOWHERE}
        await asyncio.sleep(60)
        assert len(await said(stage, NOTES)) == 6, "what was acknowledged is not sent again"
        assert not is_published(memory, owner)
        memory.broker.create(NOWHERE, PARTITIONS)
        values = await told(stage, NOWHERE, 2)
        assert [codec.decode_body("ledger.note.v1", value).amount for value in values] == [1, 2]
        assert is_published(memory, owner)
        assert owner.publisher.missing() == []


@timeless
async def test_a_partition_that_is_not_there_is_missed_too() -> None:
    memory = in_memory()
    memory.broker.create(ORDERS, 1)
    stage = memory.stage()

    def route(state: Tally, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
        return (Outgoing(ORDERS, "b", raw=(None, b"1", ()), partition=recorded.event.amount - 1),)

    service = replace(TALLY, deciders=(replace(TALLY.deciders[0], route=route),))
    async with stage.running(service) as owner:
        await stage.ask(Add(account="b", amount=8), id="8")
        await stage.ask(Add(account="b", amount=1), id="1")
        await stage.eventually(lambda: _count(memory.broker, ORDERS, 1))
        assert owner.publisher.missing() == [(ORDERS, 7)]


async def _count(broker: MemoryBroker, topic: str, count: int) -> bool:
    return len(broker.records(topic)) == count


@timeless
async def test_a_record_sent_on_as_it_was_becomes_a_dead_letter_with_its_bytes() -> None:
    memory = in_memory()
    stage = memory.stage()
    async with stage.running(sending(ORDERS, raw=b"as it was")) as owner:
        await stage.ask(Add(account="b", amount=1), id="1")
        await asyncio.sleep(publisher.MISSING_S + 10)
        (value,) = await told(stage, f"{COMMANDS}.dlt", 1)
        letter: DeadLettered = codec.decode_body("shell.dead-lettered.v1", value)
        assert (letter.code, letter.topic, letter.partition) == ("no_such_topic", ORDERS, 0)
        assert (letter.value, letter.key, letter.headers) == (b"as it was", b"key", (("x", b"1"),))
        assert is_published(memory, owner)
    async with stage.running(sending(ORDERS, raw=b"as it was")):
        await asyncio.sleep(publisher.MISSING_S + 10)
        assert len(await said(stage, f"{COMMANDS}.dlt")) == 1, "it was settled by that"


@timeless
async def test_a_numbered_message_reaches_a_topic_that_was_made_long_after() -> None:
    memory = in_memory()
    broker = MemoryBroker({t: PARTITIONS for t in TOPICS if not t.startswith("perdure.ledger")})
    memory.broker = broker
    stage = memory.stage()
    async with stage.running(TALLY) as owner:
        for n in range(1, 4):
            await stage.ask(Add(account="a", amount=n), id=f"{n}")
        await asyncio.sleep(publisher.MISSING_S + 10)
        assert is_published(memory, owner)
        for topic in TOPICS:
            broker.create(topic, PARTITIONS)
        async with stage.running(LEDGER):
            await asyncio.sleep(300)
            rows = await stage.until("ledger", "entries", 3)
            assert sorted(row["amount"] for row in rows) == [1, 2, 3]
    assert await said(stage, f"{COMMANDS}.dlt") == []


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_there_is_a_topic_for_the_dead_letters_of_each_topic_that_a_service_reads(
    service: Service,
) -> None:
    read = {service.commands_topic, *service.hears, *service.foreign, *service.pausable}
    for topic in sorted(read):
        assert topic.endswith(codec.DEAD_LETTERS) or f"{topic}{codec.DEAD_LETTERS}" in BY_NAME
