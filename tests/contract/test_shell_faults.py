"""What goes wrong between two services, staged in memory: nothing is lost, nothing doubled."""

import asyncio
from contextlib import AsyncExitStack

from perdure_common.shell.ports import Outbound
from tally import LEDGER, TALLY, Add, Stage, in_memory, total

NOTES = "perdure.ledger.commands.v1"


async def entries(stage: Stage, count: int) -> list[int]:
    rows = await stage.until("ledger", "entries", count)
    await asyncio.sleep(0.05)  # a doubled one would come now
    rows = await stage.rows("ledger", "entries")
    return [row["amount"] for row in sorted(rows, key=lambda row: row["n"])]


async def test_a_record_lost_after_its_acknowledgement_is_asked_for_and_sent_again() -> None:
    memory = in_memory()
    stage = memory.stage()
    lost: list[Outbound] = []

    def lose_the_second(client: str, record: Outbound) -> int:
        if record.topic == NOTES and b'"amount":2' in record.value and not lost:
            lost.append(record)
            return 0
        return 1

    memory.broker.faults.copies = lose_the_second
    async with stage.running(TALLY), stage.running(LEDGER):
        for amount in (1, 2, 3):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
            await asyncio.sleep(0.05)
        assert await entries(stage, 3) == [1, 2, 3]
    assert lost


async def test_records_that_arrive_twice_are_applied_once() -> None:
    memory = in_memory()
    stage = memory.stage()
    memory.broker.faults.copies = lambda client, record: 2 if record.topic == NOTES else 1
    async with stage.running(TALLY), stage.running(LEDGER):
        for amount in (1, 2, 3):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        assert await entries(stage, 3) == [1, 2, 3]


async def test_what_was_committed_and_not_sent_is_sent_by_the_next_owner() -> None:
    memory = in_memory()
    stage = memory.stage()
    memory.broker.faults.fails = lambda client, record: (
        ConnectionError("no") if record.topic == NOTES else None
    )
    process = stage.process(TALLY)
    await stage.ask(Add(account="a", amount=1), id="1")
    await stage.ask(Add(account="a", amount=2), id="2")
    await stage.eventually(lambda: _total_is(stage, 3))
    await process.crash(memory)
    memory.broker.faults.fails = lambda client, record: None
    async with stage.running(TALLY), stage.running(LEDGER):
        assert await entries(stage, 2) == [1, 2]


async def _total_is(stage: Stage, wanted: int) -> bool:
    return total(await stage.rows("tally", "tallies"), "a") == wanted


async def test_a_send_that_fails_while_a_later_one_succeeds_keeps_the_order() -> None:
    memory = in_memory()
    stage = memory.stage()
    failures = iter([True, True, False, True])

    def sometimes(client: str, record: Outbound) -> BaseException | None:
        if record.topic == NOTES and next(failures, False):
            return ConnectionError("try again")
        return None

    memory.broker.faults.fails = sometimes
    async with stage.running(TALLY), stage.running(LEDGER):
        for amount in range(1, 9):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        assert await entries(stage, 8) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_an_owner_whose_shards_were_claimed_by_another_writes_nothing_more() -> None:
    memory = in_memory()
    stage = memory.stage()
    async with AsyncExitStack() as processes:
        first = await processes.enter_async_context(stage.running(TALLY))
        await stage.ask(Add(account="a", amount=1), id="1")
        await stage.eventually(lambda: _total_is(stage, 1))
        was = {shard.id: shard.epoch for shard in first.shards.values()}
        await memory.stores["tally"].claim(["0", "1"], "a thief")
        await stage.ask(Add(account="a", amount=2), id="2")
        await stage.eventually(lambda: _total_is(stage, 3))

        async def claimed_again() -> bool:
            return all(
                shard in first.shards and first.shards[shard].epoch >= epoch + 2
                for shard, epoch in was.items()
            )

        await stage.eventually(claimed_again)
        assert await _total_is(stage, 3)


async def test_a_commit_without_an_answer_is_not_applied_twice() -> None:
    memory = in_memory()
    stage = memory.stage()
    store = memory.stores["tally"]
    async with stage.running(TALLY), stage.running(LEDGER):
        await stage.ask(Add(account="a", amount=1), id="1")
        await stage.eventually(lambda: _total_is(stage, 1))
        store.lose_answer(written=True)
        await stage.ask(Add(account="a", amount=2), id="2")
        await stage.eventually(lambda: _total_is(stage, 3))
        store.lose_answer(written=False)
        await stage.ask(Add(account="a", amount=3), id="3")
        assert await entries(stage, 3) == [1, 2, 3]
        assert await _total_is(stage, 6)
