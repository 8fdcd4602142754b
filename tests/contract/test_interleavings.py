"""The interleavings that the protocol exists for, staged exactly, in memory and on real servers.

docs/interleavings.md lists all of them with the test that stages each.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from holding import HeldCommits, MuteBus
from perdure_common.ids import partition_of
from perdure_common.shell import codec, folding, owner, upkeep
from perdure_common.shell.gather import RECORDS_MAX
from tally import LEDGER, PARTITIONS, TALLY, Add, Noted, Process, Stage, total

NOTES = "perdure.ledger.commands.v1"
EVENTS = "perdure.tally.events.v1"
COMMANDS = "perdure.tally.commands.v1"
A = "a"
B = next(c for c in "bcdefg" if partition_of(c, PARTITIONS) != partition_of(A, PARTITIONS))
ALL = [str(shard) for shard in range(PARTITIONS)]


async def add(stage: Stage, *amounts: int, account: str = A) -> None:
    for amount in amounts:
        await stage.ask(Add(account=account, amount=amount), id=f"{account} {amount}")


async def must_count(stage: Stage, wanted: int, account: str = A) -> None:
    async def found() -> bool:
        return total(await stage.rows("tally", "tallies"), account) == wanted

    await stage.eventually(found)


async def must_note(stage: Stage, wanted: Sequence[int], account: str = A) -> None:
    """Wait until the other service has heard as much, and see that it is this, in this order."""

    async def amounts() -> list[int]:
        rows = [r for r in await stage.rows("ledger", "entries") if r["account"] == account]
        return [row["amount"] for row in sorted(rows, key=lambda row: row["n"])]

    async def found() -> bool:
        return len(await amounts()) >= len(wanted)

    await stage.eventually(found)
    assert await amounts() == list(wanted)


async def told(stage: Stage, account: str = A) -> list[str]:
    """Return what the tally has told about an account, as the journal has it."""
    records = [r for r in await stage.everything(EVENTS) if r.key == account.encode()]
    seen = {codec.header(r.headers, "ce_id"): codec.header(r.headers, "ce_type") for r in records}
    return [(name or b"").decode() for name in seen.values()]


async def of(process: Process) -> set[str]:
    """Return the shards that the group wants a process to have."""
    wanted: set[str] = getattr(process.owner, "_wanted")  # noqa: B009
    return set(wanted)


async def settled(*processes: Process) -> None:
    """Wait until processes have shared all the shards out, and own what they are to own."""

    async def shared() -> bool:
        each = [list(process.owner.shards) for process in processes]
        return sorted(shard for own in each for shard in own) == ALL

    async with asyncio.timeout(60):
        while not await shared():
            await asyncio.sleep(0.02)


async def test_a_rebalance_in_the_middle_of_a_batch_lets_it_end_first(stage: Stage) -> None:
    held = HeldCommits(stage.store("tally"))
    first = stage.process(TALLY, store=held.store)
    await add(stage, 1)
    await add(stage, 1, account=B)
    await must_count(stage, 1)
    await must_count(stage, 1, B)
    held.shut()
    await add(stage, 2, 3)
    await add(stage, 2, 3, account=B)
    await held.waiting.wait()
    second = stage.process(TALLY)

    async def taken_away() -> bool:
        return len(await of(first)) < PARTITIONS

    await stage.eventually(taken_away)
    held.open()
    async with stage.running(LEDGER):
        await must_note(stage, [1, 2, 3])
        await must_note(stage, [1, 2, 3], B)
        await settled(first, second)
    await second.end()
    await first.end()


async def test_a_paused_owner_that_wakes_up_after_its_shards_were_claimed_writes_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "FINISH_S", 0.2)  # the next owner does not wait for it
    held = HeldCommits(stage.store("tally"))
    first = stage.process(TALLY, store=held.store)
    await add(stage, 1)
    await must_count(stage, 1)
    held.shut()
    await add(stage, 2)
    await held.waiting.wait()
    second = stage.process(TALLY)
    await must_count(stage, 3)  # it was claimed, and read again
    late = [each for batch in held.batches[-1:] for each in batch]
    epochs = await second.store.epochs([each.shard for each in late])
    assert all(epochs[each.shard] > each.epoch for each in late)
    held.open()
    await add(stage, 4)
    async with stage.running(LEDGER):
        await must_note(stage, [1, 2, 4])
    await must_count(stage, 7)
    await second.end()
    await first.end()


async def test_what_was_committed_before_a_crash_and_not_sent_is_sent_by_the_next_owner(
    stage: Stage,
) -> None:
    mute = MuteBus(stage.bus("mute"))
    process = stage.process(TALLY, bus=mute.bus)
    await add(stage, 1, 2)
    await must_count(stage, 3)
    await mute.tried.wait()
    await process.crash()
    assert await stage.everything(EVENTS) == []
    async with stage.running(TALLY), stage.running(LEDGER):
        await add(stage, 4)
        await must_note(stage, [1, 2, 4])
        assert await told(stage) == ["tally.added.v1"] * 3


async def test_an_acknowledged_record_that_was_lost_is_missed_asked_for_and_sent_again(
    stage: Stage,
) -> None:
    async with stage.running(TALLY):
        await add(stage, 1, 2, 3)
        place = partition_of(A, PARTITIONS)

        async def all_there() -> bool:
            return len(await stage.everything(NOTES)) == 3

        await stage.eventually(all_there)
        await stage.expire(NOTES, place, 2)
        assert [b'"amount":3' in r.value for r in await stage.everything(NOTES)] == [True]
        async with stage.running(LEDGER):
            await must_note(stage, [1, 2, 3])
            again = [r.value for r in await stage.everything(COMMANDS) if b'"after":0' in r.value]
            assert again, "it was asked for"


async def test_a_lost_last_record_is_missed_when_its_source_says_how_far_it_is(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "TAIL_EVERY_S", 1.0)
    async with stage.running(TALLY):
        await add(stage, 1)

        async def there() -> bool:
            return len(await stage.everything(NOTES)) >= 1

        await stage.eventually(there)
        await stage.expire(NOTES, partition_of(A, PARTITIONS), 1)
        async with stage.running(LEDGER):
            await must_note(stage, [1])


async def test_an_answer_that_waits_in_the_topic_wins_over_a_time_out_that_is_due(
    stage: Stage,
) -> None:
    process = stage.process(TALLY)
    await stage.ask(Add(account=A, amount=1, after_s=0.5), id="1")
    await must_count(stage, 1)
    await process.end()
    await asyncio.sleep(0.6)  # it falls due while nobody is there: time is what is staged
    await add(stage, 2)
    process = stage.process(TALLY)

    async def rang() -> bool:
        return "tally.rang.v1" in await told(stage)

    await stage.eventually(rang)
    assert await told(stage) == ["tally.added.v1", "tally.added.v1", "tally.rang.v1"]
    await process.end()


async def test_a_stream_taken_for_new_that_is_there_already_goes_on_where_it_was(
    stage: Stage,
) -> None:
    creating = replace(TALLY, deciders=(replace(TALLY.deciders[0], creates=(Add,)),))
    first = stage.process(creating)
    await add(stage, 1)
    await must_count(stage, 1)
    await first.end()
    async with stage.running(creating) as owns, stage.running(LEDGER):
        assert not any(A in shard.streams for shard in owns.shards.values())
        await stage.ask(Add(account=A, amount=1), id="a 1")  # the same again
        await stage.ask(Add(account=A, amount=2), id="a 2")
        await must_note(stage, [1, 2])
        assert total(await stage.rows("tally", "tallies"), A) == 3


def alike(count: int) -> list[str]:
    """Return names of streams, as many of each shard, for batches are fair; one is `bad`."""
    found: dict[int, list[str]] = {each: [] for each in range(PARTITIONS)}
    for name in ("bad", *(f"c{n}" for n in range(4 * count))):
        found[partition_of(name, PARTITIONS)].append(name)
    names = [name for pair in zip(*found.values(), strict=False) for name in pair][:count]
    return [*names[count // 2 :], *names[: count // 2]]  # `bad` is in the middle


async def test_poison_in_a_batch_of_500_parks_its_stream_and_nothing_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "BATCH_S", 60.0)  # a slow machine must not make the batch smaller
    accounts = alike(RECORDS_MAX)
    held = HeldCommits(stage.store("tally"))
    process = stage.process(TALLY, lanes=1, store=held.store)
    await settled(process)
    held.shut()
    await add(stage, 1, account="first")
    await held.waiting.wait()
    # The lane is busy until all of them are there to be read at once.
    for n, account in enumerate(accounts):
        amount = 1 if account != "bad" else 13
        await stage.ask(Add(account=account, amount=amount), id=f"{n}")

    async def all_wait() -> bool:
        waiting = sum(len(shard.inbox) for shard in process.owner.shards.values())
        return waiting >= 1 + RECORDS_MAX

    await stage.eventually(all_wait)
    held.open()
    rows = await stage.until("tally", "tallies", RECORDS_MAX)
    assert {row["total"] for row in rows} == {1}
    # A batch goes again without its poison: what is written then is all that it had.
    written = [Counter(row.type for each in batch for row in each.rows) for batch in held.batches]
    others = {"tally.added.v1": RECORDS_MAX - 1, "shell.dead-lettered.v1": 1}
    assert written == [{"tally.added.v1": 1}, others]
    assert [each.stream for part in held.batches[1] for each in part.parked] == ["bad"]
    await stage.ask(Add(account="bad", amount=1), id="behind it")
    await stage.ask(Add(account="good", amount=1), id="beside it")
    rows = await stage.until("tally", "tallies", RECORDS_MAX + 1)
    assert {"good"} == {r["account"] for r in rows} & {"good", "bad"}
    letters = await stage.everything(f"{COMMANDS}.dlt")
    assert [codec.decode_body("shell.dead-lettered.v1", r.value).stream for r in letters] == ["bad"]
    await process.end()


async def test_when_one_shard_of_a_joint_batch_is_fenced_the_other_is_written(
    stage: Stage,
) -> None:
    held = HeldCommits(stage.store("tally"))
    process = stage.process(TALLY, lanes=1, store=held.store)
    await add(stage, 1)
    await add(stage, 1, account=B)
    await must_count(stage, 1)
    await must_count(stage, 1, B)
    thief = stage.store("tally")
    held.shut()
    # Both are there before either is read: the lane is busy with what waits for its commit.
    await add(stage, 2)
    await held.waiting.wait()
    await add(stage, 3)
    await add(stage, 3, account=B)

    async def both_wait() -> bool:
        return sum(len(s.inbox) for s in process.owner.shards.values()) >= 3

    await stage.eventually(both_wait)
    held.waiting.clear()
    held.open()
    held.shut()
    await held.waiting.wait()
    joint = {each.shard for each in held.batches[-1]}
    assert joint == {"0", "1"}
    await thief.claim([str(partition_of(A, PARTITIONS))], "a thief")
    await thief.close()
    held.open()
    await must_count(stage, 4, B)
    await must_count(stage, 6)
    async with stage.running(LEDGER):
        await must_note(stage, [1, 2, 3])
        await must_note(stage, [1, 3], B)
    await process.end()


async def test_a_version_that_hears_one_more_topic_takes_over_shard_by_shard(stage: Stage) -> None:
    def hear(message: Any, envelope: Any) -> Any:
        if envelope.topic == "perdure.ledger.events.v1":
            return Add(account=A, amount=100) if message == Noted(amount=1) else None
        return message

    more = replace(TALLY, hears=("perdure.ledger.events.v1",), hear=hear)
    async with stage.running(LEDGER):
        old = stage.process(TALLY)
        await add(stage, 1)
        await must_note(stage, [1])
        new = stage.process(more)
        await settled(old, new)
        await add(stage, 2, account=B)
        await must_count(stage, 2, B)
        await old.end()
        await settled(new)
        # What was said on the topic before it was heard is heard from its beginning.
        await must_count(stage, 101)
        assert new.owner.failures == {}, "two owners fence each other"
        await add(stage, 5, account=B)
        await must_note(stage, [2, 5], B)
        await new.end()
