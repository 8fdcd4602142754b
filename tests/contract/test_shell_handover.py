"""Messages dealt with in the process itself: an answer settles them, a crash sends them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from perdure_common.shell import codec, folding, lane
from perdure_common.shell.ports import Outbound, Record
from perdure_contracts.message import NAMES
from tally import TALLY, Add, Stage, in_memory, total

NOTES = "perdure.ledger.commands.v1"
ANSWERED = replace(TALLY, by_token=(Add,), handed=(NOTES,))


class Taker:
    """Takes the notes of one amount, and answers each with an amount of 1 when it is let."""

    def __init__(self, amount: int) -> None:
        self.amount = amount
        self.taken: list[tuple[Outbound, Callable[[Record], None]]] = []

    def take(self, message: Outbound, answer: Callable[[Record], None]) -> bool:
        mine = message.topic == NOTES and f'"amount":{self.amount}'.encode() in message.value
        if mine:
            self.taken.append((message, answer))
        return mine

    def answer(self) -> None:
        message, answer = self.taken.pop(0)
        account = (message.key or b"").decode()
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", b"an answer"),
            ("ce_source", b"/here"),
            ("ce_type", NAMES[Add].encode()),
            ("content-type", b"application/json"),
        )
        body = codec.encode_body(Add(account=account, amount=1))
        topic = "perdure.tally.commands.v1"
        answer(Record(topic, message.partition, -1, body, message.key, headers))


async def sent(stage: Stage) -> list[int]:
    """Return the amounts of the notes that stand in the topic."""
    records = await stage.everything(NOTES)
    notes = [r for r in records if codec.header(r.headers, "ce_type") == b"ledger.note.v1"]
    return sorted(codec.decode_body("ledger.note.v1", note.value).amount for note in notes)


async def test_what_is_handed_over_counts_as_sent_when_its_answer_is_committed() -> None:
    stage = in_memory().stage()
    taker = Taker(5)
    async with stage.running(ANSWERED, hand_over=taker.take) as owner:
        await stage.ask(Add(account="a", amount=5), id="1")
        await stage.ask(Add(account="a", amount=7), id="2")
        await stage.eventually(lambda: _are(sent(stage), [7]))
        (shard,) = [s for s in owner.shards.values() if s.unsent]
        assert shard.acknowledged() < shard.next_seq - 1
        taker.answer()
        await stage.eventually(lambda: _are(sent(stage), [1, 7]))
        await stage.eventually(lambda: _none(owner.publisher.unsent))
        assert total(await stage.rows("tally", "tallies"), "a") == 13


async def _are(found: Awaitable[list[int]], wanted: list[int]) -> bool:
    return await found == wanted


async def _none(unsent: Callable[[], int]) -> bool:
    return unsent() == 0


async def _some(taker: Taker) -> bool:
    return bool(taker.taken)


async def test_what_had_no_answer_when_the_process_died_goes_by_its_topic() -> None:
    memory = in_memory()
    stage = memory.stage()
    taker = Taker(5)
    process = stage.process(ANSWERED, hand_over=taker.take)
    await stage.ask(Add(account="a", amount=5), id="1")
    await stage.eventually(lambda: _some(taker))
    await process.crash(memory)
    assert await sent(stage) == []
    async with stage.running(ANSWERED):
        await stage.eventually(lambda: _are(sent(stage), [5]))


async def test_in_a_rush_nothing_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = in_memory().stage()
    taker = Taker(5)
    account = "a"
    for n in range(2 * lane.RUSH):
        await stage.ask(Add(account=account, amount=5), id=str(n))
    monkeypatch.setattr(folding, "BATCH_S", 60.0)  # what was taken out is folded whole
    async with stage.running(ANSWERED, hand_over=taker.take):
        await stage.eventually(lambda: _are(sent(stage), [5] * 2 * lane.RUSH))
        assert taker.taken == []
        await stage.ask(Add(account=account, amount=5), id="alone")
        await stage.eventually(lambda: _some(taker))


async def test_a_process_that_stops_sends_what_has_no_answer() -> None:
    stage = in_memory().stage()
    taker = Taker(5)
    async with stage.running(ANSWERED, hand_over=taker.take):
        await stage.ask(Add(account="a", amount=5), id="1")
        await stage.eventually(lambda: _some(taker))
        assert await sent(stage) == []
    assert await sent(stage) == [5]


async def test_an_answer_waits_while_the_store_is_away() -> None:
    memory = in_memory()
    stage = memory.stage()
    taker = Taker(5)
    async with stage.running(ANSWERED, hand_over=taker.take) as owner:
        await stage.ask(Add(account="a", amount=5), id="1")
        await stage.eventually(lambda: _some(taker))
        memory.stores["tally"].down = True
        taker.answer()
        await asyncio.sleep(0.3)
        memory.stores["tally"].down = False
        await stage.eventually(lambda: _are(sent(stage), [1]))
        await stage.eventually(lambda: _none(owner.publisher.unsent))
        assert total(await stage.rows("tally", "tallies"), "a") == 6


async def test_what_the_process_declines_goes_by_its_topic() -> None:
    stage = in_memory().stage()
    async with stage.running(ANSWERED, hand_over=lambda message, answer: False):
        await stage.ask(Add(account="a", amount=5), id="1")
        await stage.eventually(lambda: _are(sent(stage), [5]))
        assert await sent(stage) == [5]
