"""What is shown of committed events: each new one once, what is made again never."""

import asyncio
from typing import Any

from tally import TALLY, Add, Added, Stage, in_memory, total


class Seer:
    """Notes the amounts that it is shown."""

    def __init__(self) -> None:
        self.amounts: list[int] = []

    def see(self, event: Added) -> None:
        self.amounts.append(event.amount)


async def _total_is(stage: Stage, wanted: int) -> bool:
    return total(await stage.rows("tally", "tallies"), "a") == wanted


async def test_new_events_of_a_type_are_shown_once_when_they_are_committed() -> None:
    memory = in_memory()
    stage, seer = memory.stage(), Seer()
    process = stage.process(TALLY, seers={Added: seer.see})
    await stage.ask(Add(account="a", amount=1), id="1")
    await stage.eventually(lambda: _total_is(stage, 1))
    memory.stores["tally"].down = True
    await stage.ask(Add(account="a", amount=2), id="2")
    await asyncio.sleep(0.5)
    assert seer.amounts == [1], "folded several times, and not committed"
    memory.stores["tally"].down = False
    await stage.ask(Add(account="a", amount=2), id="2")
    await stage.ask(Add(account="a", amount=0), id="refused")
    await stage.ask(Add(account="a", amount=4), id="3")
    await stage.eventually(lambda: _total_is(stage, 7))
    await process.end()
    assert seer.amounts == [1, 2, 4]


async def test_what_is_made_again_from_the_journal_is_not_shown() -> None:
    memory = in_memory()
    stage, first, second = memory.stage(), Seer(), Seer()
    memory.broker.faults.fails = lambda client, record: (
        ConnectionError("no") if record.topic.startswith("perdure.ledger") else None
    )
    process = stage.process(TALLY, seers={Added: first.see})
    await stage.ask(Add(account="a", amount=1), id="1")
    await stage.eventually(lambda: _total_is(stage, 1))
    await process.crash(memory)
    memory.broker.faults.fails = lambda client, record: None
    process = stage.process(TALLY, seers={Added: second.see})
    await stage.ask(Add(account="a", amount=2), id="2")
    await stage.eventually(lambda: _total_is(stage, 3))
    await process.end()
    assert (first.amounts, second.amounts) == ([1], [2])


async def test_who_fails_to_look_keeps_nothing_from_happening() -> None:
    memory = in_memory()
    stage = memory.stage()

    def fails(event: Any) -> None:
        raise ZeroDivisionError(event)

    process = stage.process(TALLY, seers={Added: fails})
    for amount in (1, 2):
        await stage.ask(Add(account="a", amount=amount), id=f"{amount}")
        await stage.eventually(lambda amount=amount: _total_is(stage, amount * (amount + 1) // 2))
    assert process.owner.failures == {}
    await process.end()
