"""More comes than can be taken: new starts wait in their topic, everything else goes on."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.decider import Due, Facts
from perdure_common.service import Service
from perdure_common.shell import codec, owner, pressure
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import ShardCommit
from perdure_common.shell.pressure import MEMORY_MB, Limits
from perdure_common.shell.shard import Shard
from tally import PARTITIONS, TABLES, TALLY, TOPICS, Add, Memory, Stage, Tally, decide, in_memory
from virtual_time import timeless

STARTS = "perdure.tally.starts.v1"
BUSY = replace(TALLY, pausable=(STARTS,))
COUNT = 4_000
COMMIT_S = 0.5


class Slow(MemoryStore):
    """A store whose commits take long."""

    async def commit(self, batch: Sequence[ShardCommit]) -> None:
        """Take a while, then write."""
        await asyncio.sleep(COMMIT_S)
        await super().commit(batch)


@dataclass
class Seen:
    """The most that waited in memory, and whether starts were ever paused."""

    records: int = 0
    bytes: int = 0
    pauses: list[tuple[str, ...]] = field(default_factory=list)


def busy_stage() -> Stage:
    broker = MemoryBroker(dict.fromkeys((*TOPICS, STARTS), PARTITIONS))
    return Memory(broker, {name: Slow(name) for name in TABLES}).stage()


async def flood(stage: Stage, count: int, memo: str = "") -> None:
    for i in range(count):
        body = codec.encode_body(Add(account=f"s{i}", amount=1))
        body = body[:-1] + b',"memo":"%s"}' % memo.encode()
        await stage.put(STARTS, f"s{i}", body, f"start {i}")


@asynccontextmanager
async def watched(running: Owner) -> AsyncGenerator[Seen]:
    """Watch what waits in an owner's memory, and what it pauses."""
    seen = Seen()
    pause = running.bus.pause

    def noted(topics: Sequence[str]) -> None:
        seen.pauses.append(tuple(topics))
        pause(topics)

    async def watch() -> None:
        while True:
            queues = [q for s in running.shards.values() for q in (s.inbox, s.waiting)]
            seen.records = max(seen.records, sum(len(queue) for queue in queues))
            seen.bytes = max(seen.bytes, sum(queue.bytes for queue in queues))
            await asyncio.sleep(0.05)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running.bus, "pause", noted)
        task = asyncio.create_task(watch())
        try:
            yield seen
        finally:
            task.cancel()


@timeless
async def test_starts_wait_in_their_topic_while_commands_are_applied_and_all_of_it_drains() -> None:
    stage = busy_stage()
    await flood(stage, COUNT)
    async with stage.running(BUSY) as running, watched(running) as seen:

        async def paused() -> bool:
            return (STARTS,) in seen.pauses

        await stage.eventually(paused)
        await stage.ask(Add(account="urgent", amount=7), id="urgent")

        async def urgent() -> bool:
            rows = await stage.rows("tally", "tallies")
            return any(row["account"] == "urgent" for row in rows)

        await stage.eventually(urgent)
        assert len(await stage.rows("tally", "tallies")) < COUNT
        rows = await stage.until("tally", "tallies", COUNT + 1)
        assert {row["total"] for row in rows if row["account"] != "urgent"} == {1}
        assert seen.pauses[-1] == ()
        assert seen.records <= pressure.WAITING_MAX + pressure.FETCH_MAX + 1
        assert all(weighed(shard) for shard in running.shards.values())


def weighed(shard: Shard) -> bool:
    """Return whether a shard knows what its streams weigh."""
    return shard.weight == sum(held.weight for held in shard.streams.values()) > 0


@timeless
async def test_the_streams_in_memory_are_bounded_by_their_weight() -> None:
    stage = in_memory().stage()
    small = replace(Limits.of(MEMORY_MB), streams=PARTITIONS * 1_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pressure.Limits, "of", lambda _: small)  # pyright: ignore
        async with stage.running(TALLY) as running:
            for n in range(200):
                await stage.ask(Add(account=f"a{n}", amount=1), id=str(n))
            await stage.until("tally", "tallies", 200)
            shards = running.shards.values()
            assert all(weighed(shard) and shard.weight <= 1_000 for shard in shards)
            assert 0 < sum(len(shard.streams) for shard in shards) < 200
            await stage.ask(Add(account="a0", amount=2), id="again")

            async def added() -> bool:
                rows = await stage.rows("tally", "tallies")
                return any(row["account"] == "a0" and row["total"] == 3 for row in rows)

            await stage.eventually(added)


@timeless
async def test_what_waits_in_memory_is_bounded_by_its_weight_too() -> None:
    stage = busy_stage()
    await flood(stage, 60, "x" * 1_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, "FETCH_MAX", 4)
        async with stage.running(BUSY) as running, watched(running) as seen:
            await stage.until("tally", "tallies", 60)
            assert (STARTS,) in seen.pauses
            assert seen.records < 60
            assert seen.bytes <= pressure.Limits.of(pressure.MEMORY_MB).waiting + 5 * 1_000_500
            assert all(s.inbox.bytes == s.waiting.bytes == 0 for s in running.shards.values())


@timeless
async def test_a_wake_that_changes_nothing_does_not_spin() -> None:
    fired: list[Any] = []

    def stubborn(state: Tally, command: Any, facts: Facts, now: Any) -> Any:
        if isinstance(command, Due):
            fired.append(now)
            return ()
        return decide(state, command, facts, now)

    service: Service = replace(TALLY, deciders=(replace(TALLY.deciders[0], decide=stubborn),))
    stage = in_memory().stage()
    async with stage.running(service):
        await stage.ask(Add(account="a", amount=1, after_s=1.0), id="1")
        await asyncio.sleep(61.0)
        assert 10 <= len(fired) <= 61
        await stage.ask(Add(account="a", amount=2), id="2")

        async def added() -> bool:
            return (await stage.rows("tally", "tallies"))[0]["total"] == 3

        await stage.eventually(added)
