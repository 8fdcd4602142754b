"""Owning shards while the database or Kafka is away: nothing ends, nothing is skipped."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from perdure_common.decider import never
from perdure_common.ids import partition_of
from perdure_common.shell import snapshots
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import ShardCommit, Unreachable
from tally import LEDGER, TALLY, Add, Stage, Tally, evolve, in_memory, total
from virtual_time import timeless


async def counted(stage: Stage, wanted: int, account: str = "a") -> None:
    async def found() -> bool:
        return total(await stage.rows("tally", "tallies"), account) == wanted

    await stage.eventually(found)


@timeless
async def test_a_process_ends_in_bounded_time_while_the_database_is_away() -> None:
    memory = in_memory()
    stage = memory.stage()
    process = stage.process(TALLY)
    await stage.ask(Add(account="a", amount=1), id="1")
    await counted(stage, 1)
    memory.stores["tally"].down = True
    await stage.ask(Add(account="a", amount=2), id="2")
    await asyncio.sleep(3.0)
    async with asyncio.timeout(30):
        await process.end()
    memory.stores["tally"].down = False
    assert process.task.done()
    async with stage.running(TALLY):
        await counted(stage, 3)


@timeless
async def test_a_process_ends_in_bounded_time_while_a_commit_hangs() -> None:
    memory = in_memory()
    stage, store = memory.stage(), memory.stores["tally"]
    process = stage.process(TALLY)
    await stage.ask(Add(account="a", amount=1), id="1")
    await counted(stage, 1)

    async def hangs(batch: Sequence[ShardCommit]) -> None:
        await asyncio.sleep(3600)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "commit", hangs)
        await stage.ask(Add(account="a", amount=2), id="2")
        await asyncio.sleep(1.0)
        async with asyncio.timeout(60):
            await process.end()
    assert process.task.done()
    async with stage.running(TALLY):
        await counted(stage, 3)


@timeless
async def test_a_process_ends_in_bounded_time_while_the_bus_is_away() -> None:
    memory = in_memory()
    stage = memory.stage()
    process = stage.process(TALLY)
    await stage.ask(Add(account="a", amount=1), id="1")
    await counted(stage, 1)
    memory.broker.cut_off.add("tally-1")
    async with asyncio.timeout(60):
        await process.end()
    assert process.task.done()


@timeless
async def test_shards_lost_while_the_bus_is_away_are_read_again_afterwards() -> None:
    memory = in_memory()
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(TALLY) as owner:
        await asyncio.sleep(1.0)  # partitions are ours, and never consumed
        memory.broker.cut_off.add("tally-1")
        await store.claim(["0", "1"], "a thief")
        await asyncio.sleep(5.0)
        memory.broker.cut_off.clear()
        assert not owner.failed.done()
        await stage.ask(Add(account="a", amount=1), id="1")
        await counted(stage, 1)


@timeless
async def test_what_is_read_while_a_shard_is_away_is_not_skipped_when_it_comes_back() -> None:
    memory = in_memory()
    stage = memory.stage()
    async with stage.running(TALLY) as owner:
        await stage.ask(Add(account="a", amount=1), id="1")
        await counted(stage, 1)
        bounds = owner.bus.bounds

        async def away(places: Any) -> Any:
            raise Unreachable("for a moment")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner.bus, "bounds", away)
            second = stage.process(TALLY)  # takes its share, and gives it back
            await asyncio.sleep(0.01)
            for n in range(2, 6):
                await stage.ask(Add(account="a", amount=n), id=f"a{n}")
                await stage.ask(Add(account="b", amount=n), id=f"b{n}")
            await asyncio.sleep(2.0)
            await second.crash(memory)
            await asyncio.sleep(1.0)
        assert owner.bus.bounds == bounds
        await counted(stage, 15)
        await counted(stage, 14, "b")


@timeless
async def test_an_owner_that_must_join_again_waits_for_the_bus() -> None:
    memory = in_memory()
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(TALLY) as owner:
        await stage.ask(Add(account="a", amount=1), id="1")
        await counted(stage, 1)
        owner.failures.update({"0": 2, "1": 2})
        memory.broker.cut_off.add("tally-1")
        await store.claim(["0", "1"], "a thief")
        await asyncio.sleep(5.0)
        assert not owner.failed.done()
        memory.broker.cut_off.clear()
        await stage.ask(Add(account="a", amount=2), id="2")
        await counted(stage, 3)


@timeless
async def test_one_id_of_an_outsider_on_two_shards_is_one_message() -> None:
    stage = in_memory().stage()
    accounts = ("a", next(c for c in "bcdefg" if partition_of(c, 2) != partition_of("a", 2)))
    for account in accounts:
        await stage.ask(Add(account=account, amount=1), id="same")
    one_lane = stage.process(TALLY, lanes=1)
    await stage.until("tally", "tallies", 1)
    await stage.ask(Add(account="a", amount=5), id="another")

    async def went_on() -> bool:
        return total(await stage.rows("tally", "tallies"), "a") >= 5

    await stage.eventually(went_on)
    rows = await stage.rows("tally", "tallies")
    assert sum(row["total"] for row in rows) == 6
    await one_lane.end()


@timeless
async def test_a_shard_that_cannot_be_made_again_stops_and_the_others_go_on() -> None:
    memory = in_memory()
    stage = memory.stage()
    other = next(c for c in "bcdefg" if partition_of(c, 2) != partition_of("a", 2))

    def fails(state: Tally, event: Any) -> Tally:
        if event.account == "a":
            raise ZeroDivisionError("a new version with a mistake")
        return evolve(state, event)

    mistaken = replace(TALLY, deciders=(replace(TALLY.deciders[0], evolve=fails),))
    process = stage.process(TALLY)
    memory.broker.faults.fails = lambda client, record: (
        ConnectionError("no") if client != "outside" else None
    )
    await stage.ask(Add(account="a", amount=1), id="1")
    await counted(stage, 1)
    await process.crash(memory)
    memory.broker.faults.fails = lambda client, record: None
    async with stage.running(mistaken) as owner:
        await stage.ask(Add(account=other, amount=4), id="2")
        await counted(stage, 4, other)
        assert list(owner.stopped) == [str(partition_of("a", 2))]
        assert not owner.failed.done()
    async with stage.running(TALLY), stage.running(LEDGER):
        await stage.until("ledger", "entries", 2)


@timeless
async def test_an_owner_begins_when_the_bus_does() -> None:
    memory = in_memory()
    stage = memory.stage()
    memory.broker.cut_off.add("tally-1")
    async with stage.running(TALLY) as owner:
        await asyncio.sleep(5.0)
        assert isinstance(owner, Owner) and not owner.failed.done()
        memory.broker.cut_off.clear()
        await stage.ask(Add(account="a", amount=1), id="1")
        await counted(stage, 1)


@timeless
async def test_nothing_arrives_from_a_partition_that_is_not_read_any_more() -> None:
    memory = in_memory()
    stage = memory.stage()
    bus = memory.broker.client("reader")
    await stage.ask(Add(account="a", amount=1), id="1")
    bus.read({("perdure.tally.commands.v1", p): 0 for p in range(2)})
    fetching = asyncio.create_task(bus.fetch(10, 0.5))
    await asyncio.sleep(0)
    bus.read({})
    assert not await fetching


@timeless
async def test_a_state_that_cannot_be_written_down_is_only_not_written_down() -> None:
    memory = in_memory()
    stage = memory.stage()

    def odd(state: Any, event: Any) -> Any:
        tally = evolve(state, event)
        object.__setattr__(tally, "due", object())
        return tally

    decider = replace(TALLY.deciders[0], evolve=odd, wake_at=never)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "SNAPSHOT_EVERY", 2)
        async with stage.running(replace(TALLY, deciders=(decider,))) as owner:
            for n in range(1, 5):
                await stage.ask(Add(account="a", amount=n), id=f"{n}")
            await counted(stage, 10)
            assert not owner.failed.done()
