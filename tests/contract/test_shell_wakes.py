"""Wakes: each fires once it may, whatever happens to the batch that it was to be part of."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from perdure_common.decider import Due, Facts
from perdure_common.service import Service
from perdure_common.shell import folding
from perdure_common.shell.ports import Claim, ShardCommit, TopicPartition
from perdure_common.shell.shard import Shard
from tally import TALLY, Add, Stage, Tally, decide, in_memory
from virtual_time import BEGIN, timeless


class Moody:
    """A tally whose core fails as long as `broken`."""

    def __init__(self) -> None:
        self.broken = True
        self.service: Service = replace(
            TALLY, deciders=(replace(TALLY.deciders[0], decide=self._decide),)
        )

    def _decide(self, state: Tally, command: Any, facts: Facts, now: Any) -> Any:
        if self.broken and (isinstance(command, Due) or command.amount == 13):
            raise ZeroDivisionError("not in the mood")
        amount = replace(command, amount=14) if getattr(command, "amount", 0) == 13 else command
        return decide(state, amount, facts, now)


async def rung(stage: Stage) -> list[str]:
    """Return the accounts that rang, from the journal's messages."""
    told = await stage.everything("perdure.tally.events.v1")
    return [(r.key or b"").decode() for r in told if b"tally.rang" in dict(r.headers)["ce_type"]]


async def rang(stage: Stage, count: int) -> list[str]:
    async def found() -> bool:
        return len(await rung(stage)) >= count

    await stage.eventually(found)
    return await rung(stage)


@timeless
async def test_wakes_that_a_batch_had_no_time_for_fire_with_the_next() -> None:
    stage = in_memory().stage()
    for i in range(12):
        await stage.ask(Add(account=f"a{i}", amount=1, after_s=5.0), id=f"{i}")
    async with stage.running(TALLY):
        await stage.until("tally", "tallies", 12)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(folding, "BATCH_S", -1.0)  # one item, then the time is over
            assert sorted(await rang(stage, 12)) == sorted(f"a{i}" for i in range(12))


@timeless
async def test_the_wake_of_a_parked_stream_waits_until_it_is_let_go() -> None:
    stage, moody = in_memory().stage(), Moody()
    async with stage.running(moody.service) as owner:
        bounds = owner.bus.bounds

        async def slow(places: Any) -> Any:
            await asyncio.sleep(3.0)
            return await bounds(places)

        await stage.ask(Add(account="a", amount=1, after_s=1.0), id="1")
        await stage.until("tally", "tallies", 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner.bus, "bounds", slow)
            await asyncio.sleep(2.0)
            await stage.ask(Add(account="a", amount=13), id="2")  # poison, while it is asked
            await stage.eventually(lambda: _letters(stage, 1))
            moody.broken = False
            await asyncio.sleep(10.0)
        assert await rung(stage) == []
        await stage.unpark("a")
        assert await rang(stage, 1) == ["a"]


async def _letters(stage: Stage, count: int) -> bool:
    return len(await stage.everything("perdure.tally.commands.v1.dlt")) >= count


@timeless
async def test_wakes_on_which_the_core_fails_park_their_streams_and_nothing_else() -> None:
    stage, moody = in_memory().stage(), Moody()
    async with stage.running(moody.service) as owner:
        for account in ("a", "b", "c"):
            await stage.ask(Add(account=account, amount=1, after_s=1.0), id=account)
        await stage.eventually(lambda: _letters(stage, 3))
        await stage.ask(Add(account="d", amount=4), id="d")
        await stage.until("tally", "tallies", 4)
        assert not owner.failed.done()
        moody.broken = False
        for account in ("a", "b", "c"):
            await stage.unpark(account)
        assert sorted(await rang(stage, 3)) == ["a", "b", "c"]


@timeless
async def test_a_question_about_ends_that_fails_is_asked_again() -> None:
    stage = in_memory().stage()
    async with stage.running(TALLY) as owner:
        await stage.ask(Add(account="a", amount=1, after_s=2.0), id="1")
        await stage.until("tally", "tallies", 1)
        bounds, asked = owner.bus.bounds, [0]

        async def fails_once(places: Any) -> Any:
            asked[0] += 1
            if asked[0] == 1:
                raise LookupError("the topic is not there, for a moment")
            return await bounds(places)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner.bus, "bounds", fails_once)
            assert await rang(stage, 1) == ["a"]
        assert asked[0] > 1


@timeless
async def test_thousands_of_wakes_at_once_are_taken_in_portions() -> None:
    memory = in_memory()
    stage, store = memory.stage(), memory.stores["tally"]
    process = stage.process(TALLY)
    for i in range(1_500):
        await stage.ask(Add(account=f"a{i}", amount=1, after_s=5.0), id=f"{i}")
    await stage.until("tally", "tallies", 1_500)
    await process.end()
    await asyncio.sleep(10.0)
    loaded: list[int] = []
    load = store.load

    async def counting(streams: Any) -> Any:
        loaded.append(len(streams))
        return await load(streams)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "load", counting)
        async with stage.running(TALLY):
            assert len(set(await rang(stage, 1_500))) == 1_500
    assert max(loaded) <= 500


def test_wakes_that_come_and_go_leave_no_trace_in_memory() -> None:
    place: dict[TopicPartition, int] = {}
    shard = Shard.of(Claim("0", 1, 1, 0, 0, 1, None, place, {}, place, {}, {}))
    for i in range(20_000):
        for at in (BEGIN + timedelta(days=1, seconds=i), None):
            shard.absorb(ShardCommit("0", 1, 1, 1, wakes={f"s{i}": at}), (), flushed=False)
    assert len(shard.heap) < 3_000


@timeless
async def test_a_start_that_comes_again_together_with_its_wake_does_not_end_the_waiting() -> None:
    """Found by simulation: the stream was taken for new, and what is new waits for nothing."""
    stage = in_memory().stage()
    starting = replace(TALLY, deciders=(replace(TALLY.deciders[0], creates=(Add,)),))
    first = Add(account="a", amount=1, after_s=5.0)
    await stage.ask(first, id="1")
    async with stage.running(starting):
        await stage.until("tally", "tallies", 1)
    async with stage.running(starting) as owner:  # the stream is not in memory
        bounds = owner.bus.bounds

        async def slow(places: Any) -> Any:
            found = await bounds(places)  # before the start came again
            await asyncio.sleep(1.0)
            return found

        await asyncio.sleep(4.0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner.bus, "bounds", slow)
            await asyncio.sleep(1.5)  # it fell due, and the ends are being asked for
            async with owner.lanes[0].turn, owner.lanes[1].turn:
                await stage.ask(first, id="1")
                await asyncio.sleep(2.0)
        assert await rang(stage, 1) == ["a"]
