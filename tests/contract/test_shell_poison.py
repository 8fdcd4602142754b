"""Poison: one stream waits for a person, in order; nothing else does, and nothing spins."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.decider import Facts, Outgoing, Recorded, Rejected
from perdure_common.ids import partition_of
from perdure_common.service import Service
from perdure_common.shell import codec, folding, gather
from perdure_common.shell.intake import Taken
from perdure_common.shell.ports import Claim, Record, Refused, ShardCommit, Unreachable
from perdure_common.shell.shard import Shard
from perdure_contracts.message import Envelope
from perdure_contracts.shell import DeadLettered, Unpark
from tally import TALLY, Add, Stage, Tally, decide, evolve, in_memory, total
from virtual_time import timeless

COMMANDS = "perdure.tally.commands.v1"
MARKS = "perdure.marks.v1"


@dataclass
class Mood:
    """What a tally does not like: amounts on which it fails, or which it does not hear."""

    bad: set[int] = field(default_factory=lambda: {13})
    unheard: set[int] = field(default_factory=set)
    unfoldable: set[int] = field(default_factory=set)

    @property
    def service(self) -> Service:
        decider = replace(TALLY.deciders[0], decide=self._decide, evolve=self._evolve)
        return replace(TALLY, deciders=(decider,), hear=self._hear)

    def _hear(self, message: Any, envelope: Envelope) -> Any:
        if getattr(message, "amount", 0) in self.unheard:
            return Rejected("this amount is not heard any more", "unheard")
        return message

    def _decide(self, state: Tally, command: Any, facts: Facts, now: Any) -> Any:
        amount = getattr(command, "amount", 1)
        if amount in self.bad:
            raise ZeroDivisionError(f"{amount} is bad")
        return decide(state, replace(command, amount=14) if amount == 13 else command, facts, now)

    def _evolve(self, state: Tally, event: Any) -> Tally:
        amount = getattr(event, "amount", 1)
        if amount in self.unfoldable:
            raise ZeroDivisionError(f"{amount} cannot be folded")
        return evolve(state, event)


async def letters(stage: Stage, count: int) -> list[DeadLettered]:
    """Return the dead letters once there are `count`, and a second later."""

    async def there() -> bool:
        return len(await stage.everything(f"{COMMANDS}.dlt")) >= count

    await stage.eventually(there)
    await asyncio.sleep(1.0)
    told = await stage.everything(f"{COMMANDS}.dlt")
    return [codec.decode_body("shell.dead-lettered.v1", r.value) for r in told]


def amounts(store: MemoryStore, account: str = "a") -> list[int]:
    """Return what was added to an account, in order."""
    rows = [codec.event_of(row) for row in store.streams.get(account, ())]
    return [event.amount for event in rows if hasattr(event, "amount")]


async def added(stage: Stage, store: MemoryStore, wanted: Sequence[int]) -> None:
    async def there() -> bool:
        return len(amounts(store)) >= len(wanted)

    await stage.eventually(there)
    await asyncio.sleep(1.0)
    assert amounts(store) == list(wanted)


@timeless
async def test_an_outsiders_message_that_comes_twice_behind_poison_is_applied_once() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(mood.service):
        for amount in (1, 13, 13, 2, 2, 3):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        assert len(await letters(stage, 1)) == 1
        mood.bad.clear()
        await stage.unpark("a")
        await added(stage, store, [1, 14, 2, 3])


@timeless
async def test_behind_a_message_that_is_still_poison_nothing_is_let_go() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(mood.service):
        for amount in (13, 2, 3):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        await letters(stage, 1)
        await stage.unpark("a")
        await asyncio.sleep(3.0)
        assert amounts(store) == []
        await stage.ask(Add(account="a", amount=4), id="4")
        await asyncio.sleep(1.0)
        mood.bad.clear()
        await stage.put(COMMANDS, "a", b'{"stream":"a"}', "again", kind="shell.unpark.v1")
        await added(stage, store, [14, 2, 3, 4])
        assert len(await letters(stage, 2)) == 2


def places(told: Sequence[DeadLettered]) -> list[tuple[str, int, int]]:
    """Return which records dead letters are about."""
    return [(letter.topic, letter.partition, letter.offset) for letter in told]


@timeless
async def test_each_message_that_stops_a_stream_is_told_each_time_that_it_does() -> None:
    memory, mood = in_memory(), Mood(bad={13, 21})
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(mood.service):
        for amount in (13, 2, 21, 3):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        await letters(stage, 1)
        await stage.unpark("a")
        told = await letters(stage, 2)
        assert places(told[1:]) == places(told[:1]), "13 is bad still"
        mood.bad.remove(13)
        await stage.unpark("a")
        told = await letters(stage, 3)
        await added(stage, store, [14, 2])
        assert [letter.stream for letter in told] == ["a"] * 3
        assert b'"amount":21' in told[2].value
        await stage.unpark("a", "drop", of=places(told)[0])
        await asyncio.sleep(2.0)
        assert len(await store.parked("a", 9)) == 2, "13 was meant, which has gone on"
        await stage.unpark("a", "drop", of=places(told)[2])
        await added(stage, store, [14, 2, 3])
        assert len(await letters(stage, 3)) == 3
        assert await store.parked("a", 9) == []


@timeless
async def test_who_lets_a_stream_go_in_the_moment_in_which_it_is_parked_means_its_message() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    await stage.ask(Add(account="a", amount=13), id="13")
    await stage.ask(Add(account="a", amount=2), id="2")
    for n in range(2):
        place = (COMMANDS, partition_of("a", 2), n)
        unpark = codec.encode_body(Unpark(stream="a", action="drop", of=place))
        await stage.put(COMMANDS, "a", unpark, f"drop {n}", kind="shell.unpark.v1")
    async with stage.running(mood.service):
        await added(stage, store, [2])
        assert await store.parked("a", 9) == []


@timeless
async def test_a_wake_that_fails_again_after_it_was_let_go_is_told_again() -> None:
    memory, mood = in_memory(), Mood()
    stage = memory.stage()
    async with stage.running(mood.service):
        await stage.ask(Add(account="a", amount=5, after_s=3.0), id="5")
        mood.bad.add(1)  # a wake has no amount, and counts as 1
        (first,) = await letters(stage, 1)
        await stage.unpark("a")
        told = await letters(stage, 2)
        assert places(told) == places([first, first])
        mood.bad.clear()
        await stage.unpark("a")
        await stage.until("tally", "tallies", 1)
        assert len(await letters(stage, 2)) == 2


def test_parked_messages_that_lie_in_no_topic_are_told_apart() -> None:
    shard = Shard.of(Claim("0", 1, 1, 0, 0, 1, None, {}, {}, {}, {}, {}))
    answer = Record(COMMANDS, 0, -1, b"")
    found = [
        gather.Item(shard, Taken(answer, stream=stream, parked=n))
        for stream, n in (("a", 1), ("a", 2), ("b", 1))
    ]
    assert len({item.place for item in found}) == 3


@timeless
async def test_poison_that_is_dropped_is_dropped_even_if_its_batch_goes_twice() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    commit, failed = store.commit, [False]

    async def fails_once(batch: Sequence[ShardCommit]) -> None:
        if not failed[0] and any(c.unparked for c in batch):
            failed[0] = True
            raise Unreachable("for a moment")
        await commit(batch)

    async with stage.running(mood.service):
        for amount in (13, 2, 3):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        await letters(stage, 1)
        mood.bad.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "commit", fails_once)
            await stage.unpark("a", "drop")
            await added(stage, store, [2, 3])
    assert failed[0]


@timeless
async def test_a_parked_message_that_is_refused_by_now_holds_nothing_up() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(mood.service):
        for amount in (13, 2, 3):
            await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        await letters(stage, 1)
        mood.bad.clear()
        mood.unheard.add(2)
        await stage.unpark("a")
        await added(stage, store, [14, 3])
        assert [letter.code for letter in await letters(stage, 2)] == ["poison", "unheard"]
        await stage.ask(Add(account="a", amount=5), id="5")
        await added(stage, store, [14, 3, 5])


@timeless
async def test_a_stream_that_was_let_go_goes_on_after_a_crash() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    process = stage.process(mood.service)
    for amount in (13, 2, 3):
        await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
    await letters(stage, 1)
    mood.bad.clear()
    commit = store.commit

    async def crashes(batch: Sequence[ShardCommit]) -> None:
        if any(c.unparked for c in batch):
            await asyncio.sleep(3600)
        await commit(batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "commit", crashes)
        await stage.unpark("a", "drop")
        await asyncio.sleep(3.0)
        await process.crash(memory)
    assert amounts(store) == []
    async with stage.running(mood.service):
        await added(stage, store, [2, 3])


@timeless
async def test_two_bad_records_at_one_offset_of_a_topic_made_anew_are_two_letters() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    for n in range(2):
        async with stage.running(mood.service) as owner:
            await asyncio.sleep(2.0)  # it sees that the topic is empty
            await stage.put(COMMANDS, "a", b"{not json", f"bad {n}")
            assert len(await letters(stage, n + 1)) == n + 1
            assert not owner.failed.done()
        for partition in range(2):
            memory.broker.lose_tail(COMMANDS, partition, 10)
    assert amounts(store) == []


@timeless
async def test_a_bad_record_larger_than_a_dead_letter_is_kept_in_part() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(mood.service):
        await stage.put(COMMANDS, "a", b"x" * 3_000_000, "large")
        await stage.ask(Add(account="a", amount=1), id="1")
        await added(stage, store, [1])
        (letter,) = await letters(stage, 1)
        assert 100_000 < len(letter.value) < 1_400_000
        assert "of its 3,000," in letter.reason


@timeless
async def test_what_the_store_refuses_is_found_and_the_rest_stays_in_order() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    commit = store.commit
    for amount in (1, 2, 3, 4, 5, 77, 6, 7, 8, 9):
        await stage.ask(Add(account="ab"[amount == 77], amount=amount), id=f"{amount}")
    with pytest.MonkeyPatch.context() as patch:

        async def refuses(batch: Sequence[ShardCommit]) -> None:
            if any('"amount":77' in row.data for c in batch for row in c.rows):
                patch.setattr(folding, "BATCH_S", -1.0)  # from now on there is time for one
                raise Refused("not this one")
            await commit(batch)

        patch.setattr(store, "commit", refuses)
        async with stage.running(mood.service):
            await added(stage, store, [1, 2, 3, 4, 5, 6, 7, 8, 9])
            assert [letter.code for letter in await letters(stage, 1)] == ["data_refused"]


@timeless
async def test_a_store_that_refuses_even_the_dead_letter_ends_the_process_loudly() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]

    async def refuses(batch: Sequence[ShardCommit]) -> None:
        raise Refused("nothing at all")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "commit", refuses)
        process = stage.process(mood.service)
        await stage.ask(Add(account="a", amount=1), id="1")
        with pytest.raises(Refused):
            async with asyncio.timeout(60):
                await process.task


@timeless
async def test_a_stream_that_cannot_be_folded_is_parked_and_the_others_go_on() -> None:
    memory, mood = in_memory(), Mood()
    stage, store = memory.stage(), memory.stores["tally"]
    async with stage.running(mood.service):
        await stage.ask(Add(account="a", amount=6), id="6")
        await stage.ask(Add(account="b", amount=1), id="b1")
        await stage.until("tally", "tallies", 2)
        await asyncio.sleep(2.0)
    await memory.stores["tally"].claim(["0", "1"], "somebody else")  # no memory is kept
    mood.unfoldable.add(6)
    async with stage.running(mood.service):
        for n in (1, 2):
            await stage.ask(Add(account="a", amount=n), id=f"a{n} later")
            await stage.ask(Add(account="b", amount=n), id=f"b{n} later")

        async def others_went_on() -> bool:
            return total(await stage.rows("tally", "tallies"), "b") == 4

        await stage.eventually(others_went_on)
        assert len(await letters(stage, 1)) == 1
        mood.unfoldable.clear()
        await stage.unpark("a")
        await added(stage, store, [6, 1, 2])


@timeless
async def test_a_foreign_record_too_large_to_be_sent_on_parks_its_stream_before_the_commit() -> (
    None
):
    memory = in_memory()
    stage, store = memory.stage(), memory.stores["tally"]

    def route(state: Tally, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
        size = 1_100_000 if recorded.event.amount == 7 else 10
        return (Outgoing(COMMANDS + ".dlt", "a", raw=(None, b"x" * size, ()), partition=0),)

    service = replace(TALLY, deciders=(replace(TALLY.deciders[0], route=route),))
    async with stage.running(service):
        await stage.ask(Add(account="b", amount=7), id="7")
        await stage.ask(Add(account="a", amount=1), id="1")
        await added(stage, store, [1])
        assert amounts(store, "b") == []
        told = [bytes(r.value) for r in await stage.everything(f"{COMMANDS}.dlt")]
        assert sorted(b"too_large" in value for value in told) == [False, True]


@timeless
async def test_a_stream_parked_in_the_shard_of_a_foreign_topic_is_let_go_through_the_commands() -> (
    None
):
    memory, mood = in_memory(), Mood()
    memory.broker.create(MARKS, 3)
    stage, store = memory.stage(), memory.stores["tally"]

    def hear(message: Any, envelope: Envelope) -> Any:
        if envelope.topic == MARKS:
            return codec.decode_body(message.type, message.data)
        return message

    service = replace(mood.service, foreign=(MARKS,), hear=hear)
    processes = [stage.process(service) for _ in range(2)]
    for n, amount in enumerate((1, 13, 2)):
        body = codec.encode_body(Add(account="a", amount=amount))
        await stage.put(MARKS, "a", body, f"{n}", partition=2)

    async def parked() -> bool:
        return len(await store.parked("a", 9)) == 2

    await stage.eventually(parked)
    assert amounts(store) == [1]
    mood.bad.clear()
    await stage.unpark("nobody")  # a stream that waits for nobody is not parked by it
    for _ in range(2):
        await stage.unpark("a")
    await added(stage, store, [1, 14, 2])
    assert await store.parked("nobody", 1) == []
    assert await store.parked("a", 1) == []
    for process in processes:
        await process.end()


@timeless
async def test_a_message_that_was_had_before_and_is_poison_by_now_is_a_duplicate() -> None:
    mood, memory = Mood(bad=set()), in_memory()
    stage = memory.stage()
    async with stage.running(mood.service):
        await stage.ask(Add(account="a", amount=3), id="one")
        await added(stage, memory.stores["tally"], [3])
    mood.bad.add(3)
    async with stage.running(mood.service) as owner:
        await stage.ask(Add(account="a", amount=3), id="one")
        await stage.ask(Add(account="a", amount=4), id="two")
        await added(stage, memory.stores["tally"], [3, 4])
        assert not any(shard.parked for shard in owner.shards.values())
    assert await stage.everything(f"{COMMANDS}.dlt") == []
