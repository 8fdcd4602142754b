"""Hearing each other: gaps close, words between shells stay few, and forgeries do no harm."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from perdure_common.shell import codec, upkeep
from perdure_common.shell.ports import Outbound
from perdure_contracts.shell import Resend
from tally import LEDGER, TALLY, Add, Stage, in_memory, total
from virtual_time import timeless

NOTES = "perdure.ledger.commands.v1"
COMMANDS = "perdure.tally.commands.v1"


async def entries(stage: Stage, count: int) -> list[int]:
    await stage.until("ledger", "entries", count)
    await asyncio.sleep(3.0)  # a doubled one would come now
    rows = await stage.rows("ledger", "entries")
    return [row["amount"] for row in sorted(rows, key=lambda row: row["n"])]


@timeless
async def test_the_first_message_ever_is_asked_for_when_it_is_lost() -> None:
    memory = in_memory()
    stage = memory.stage()
    lost: list[Outbound] = []

    def lose_the_first(client: str, record: Outbound) -> int:
        if record.topic == NOTES and not lost:
            lost.append(record)
            return 0
        return 1

    memory.broker.faults.copies = lose_the_first
    async with stage.running(TALLY), stage.running(LEDGER):
        for amount in (1, 2, 3):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
            await asyncio.sleep(0.1)
        assert await entries(stage, 3) == [1, 2, 3]


@timeless
async def test_a_message_on_which_hearing_fails_is_a_dead_letter_once_and_the_next_goes_on() -> (
    None
):
    memory = in_memory()
    stage = memory.stage()

    def hear(message: Any, envelope: Any) -> Any:
        if message.amount == 2:
            raise ZeroDivisionError("a mistake")
        return message

    async with stage.running(TALLY), stage.running(replace(LEDGER, hear=hear)):
        for amount in (1, 2, 3):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        assert await entries(stage, 2) == [1, 3]
        await asyncio.sleep(10.0)
        assert len(await stage.everything(f"{NOTES}.dlt")) == 1


@pytest.mark.parametrize(
    ("source", "id"),
    [("/x/y/z", "x/y/z/5.0"), ("/nobody/none", "nobody/none/5.0"), ("/tally/0", "other/0/5.0")],
)
def test_an_outsider_that_looks_like_a_shard_is_an_outsider(source: str, id: str) -> None:
    @timeless
    async def scenario() -> None:
        stage = in_memory().stage()
        async with stage.running(TALLY) as owner:
            body = codec.encode_body(Add(account="a", amount=5))
            await stage.put(COMMANDS, "a", body, id, source=source, more=(("x-prev", b"4"),))
            await asyncio.sleep(5.0)
            assert not owner.failed.done()
            assert total(await stage.rows("tally", "tallies"), "a") == 5

    scenario()


@timeless
async def test_words_between_shells_do_not_heap_up_while_the_bus_is_away() -> None:
    memory = in_memory()
    stage = memory.stage()
    memory.broker.faults.copies = lambda client, record: (
        0 if record.topic == NOTES and b'"amount":1' in record.value else 1
    )
    async with stage.running(TALLY), stage.running(LEDGER) as ledger:
        for amount in (1, 2):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
            await asyncio.sleep(0.1)
        memory.broker.cut_off.add("ledger-2")
        await asyncio.sleep(600.0)
        assert sum(len(shard.extra) for shard in ledger.shards.values()) <= 4
        memory.broker.cut_off.clear()
        memory.broker.faults.copies = lambda client, record: 1
        assert await entries(stage, 2) == [1, 2]


@timeless
async def test_a_long_gap_is_sent_again_in_portions() -> None:
    memory = in_memory()
    stage = memory.stage()
    memory.broker.faults.copies = lambda client, record: 0 if record.topic == NOTES else 1
    async with stage.running(TALLY) as tally:
        for n in range(300):
            await stage.ask(Add(account="a", amount=1), id=f"{n}")

        async def all_sent() -> bool:
            return total(await stage.rows("tally", "tallies"), "a") == 300

        await stage.eventually(all_sent)
        await asyncio.sleep(1.0)
        memory.broker.faults.copies = lambda client, record: 1
        portions: list[int] = []

        def counted(client: str, record: Outbound) -> BaseException | None:
            if record.topic == NOTES:
                portions.append(max(len(shard.extra) for shard in tally.shards.values()))
            return None

        memory.broker.faults.fails = counted
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(upkeep, "RESEND_MAX", 50)
            async with stage.running(LEDGER):
                await asyncio.sleep(80.0)  # by then the source has said how far it is
                assert len(await entries(stage, 300)) == 300
        assert max(portions) <= 60


@timeless
async def test_a_resend_that_is_asked_for_while_one_is_made_is_made_once() -> None:
    memory = in_memory()
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(TALLY):
        await stage.ask(Add(account="a", amount=1), id="1")
        await stage.until("tally", "tallies", 1)
        journal, asked = store.journal, [0]

        async def slow(*arguments: Any) -> Any:
            asked[0] += 1
            await asyncio.sleep(30.0)
            return await journal(*arguments)

        body = codec.encode_body(Resend(shard="0", topic=NOTES, partition=0, after=0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "journal", slow)
            for n in range(20):
                await stage.put(COMMANDS, "a", body, f"{n}", kind="shell.resend.v1")
                await asyncio.sleep(1.0)
        assert asked[0] == 1


@timeless
async def test_a_resend_is_made_while_a_word_or_two_wait_to_leave() -> None:
    """A shard that asks itself hears its question before it knows that it has left."""
    memory = in_memory()
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(TALLY) as tally:
        await stage.ask(Add(account="a", amount=1), id="1")
        await stage.until("tally", "tallies", 1)
        journal, asked = store.journal, [0]

        async def counted(*arguments: Any) -> Any:
            asked[0] += 1
            return await journal(*arguments)

        body = codec.encode_body(Resend(shard="0", topic=NOTES, partition=0, after=0))
        memory.broker.faults.fails = lambda client, record: ConnectionError("not now")
        word = Outbound(NOTES, 0, b"{}", None, ())
        for shard in tally.shards.values():
            shard.extra.append(word)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "journal", counted)
            await tally._upkeep.resend(  # pyright: ignore[reportPrivateUsage]
                codec.decode_body("shell.resend.v1", body)
            )
        memory.broker.faults.fails = lambda client, record: None
        assert asked[0] >= 1


@timeless
async def test_a_topic_that_lost_its_end_is_read_on_from_there_by_every_owner() -> None:
    memory = in_memory()
    stage = memory.stage()
    process = stage.process(TALLY)
    for n in range(10):
        await stage.ask(Add(account="a", amount=1), id=f"{n}")
    await stage.until("tally", "tallies", 1)
    await asyncio.sleep(2.0)
    for partition in range(2):
        memory.broker.lose_tail(COMMANDS, partition, 9)
    await asyncio.sleep(2.0)
    await stage.ask(Add(account="a", amount=1), id="10")
    await asyncio.sleep(2.0)
    await process.crash(memory)
    for n in range(11, 22):  # beyond the offset that was consumed before
        await stage.ask(Add(account="a", amount=1), id=f"{n}")
    async with stage.running(TALLY):

        async def all_counted() -> bool:
            return total(await stage.rows("tally", "tallies"), "a") == 22

        await stage.eventually(all_counted)
        assert total(await stage.rows("tally", "tallies"), "a") == 22
