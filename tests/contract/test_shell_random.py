"""Two services under random faults: every amount counts once in both, numbers are dense.

A seed decides everything, time is virtual: a seed that fails fails again.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
import virtual_time
from perdure_common.service import Service
from perdure_common.shell.ports import Outbound
from tally import LEDGER, TALLY, Add, Memory, Process, Stage, in_memory

SEEDS = 30
ASKED = 60
ACCOUNTS = ("a", "b", "c", "d", "e")


@dataclass
class Run:
    """One seed's run: what was asked, and who is alive."""

    chance: random.Random
    memory: Memory
    stage: Stage
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    alive: list[tuple[Service, Process]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def happens(self, what: str, probability: float) -> bool:
        if self.chance.random() >= probability:
            return False
        self.faults[what] += 1
        return True

    def start(self, service: Service) -> None:
        self.alive.append((service, self.stage.process(service)))

    def break_the_bus(self) -> None:
        def fails(client: str, record: Outbound) -> BaseException | None:
            ours = client != "outside" and self.happens("failed", 0.05)
            return ConnectionError("not written") if ours else None

        def unanswered(client: str, record: Outbound) -> BaseException | None:
            ours = client != "outside" and self.happens("unanswered", 0.05)
            return ConnectionError("written, but who knows") if ours else None

        def copies(client: str, record: Outbound) -> int:
            if client != "outside" and self.happens("lost", 0.05):
                return 0
            return 2 if self.happens("doubled", 0.1) else 1

        faults = self.memory.broker.faults
        faults.fails, faults.unanswered, faults.copies = fails, unanswered, copies
        faults.delay_s = lambda client, record: self.chance.choice((0.0, 0.0, 0.003, 0.05))

    def mend_the_bus(self) -> None:
        self.memory.broker.faults = type(self.memory.broker.faults)()

    async def trouble(self) -> None:
        """Let one bad thing happen to somebody, or nothing."""
        service, process = self.chance.choice(self.alive)
        store = self.memory.stores[service.name]
        if self.happens("crash", 0.12):
            self.alive.remove((service, process))
            await process.crash(self.memory)
            self.start(service)
        elif self.happens("end", 0.06):
            self.alive.remove((service, process))
            await process.end()
            self.start(service)
        elif self.happens("second process", 0.06) and len(self.alive) < 5:
            self.start(service)
        elif self.happens("commit without answer", 0.1):
            store.lose_answer(written=self.chance.random() < 0.5)
        elif self.happens("thief", 0.08):
            await store.claim([self.chance.choice(("0", "1"))], "a thief")
        elif self.happens("store down", 0.06):
            store.down = True
            await asyncio.sleep(self.chance.random())
            store.down = False

    async def ask(self, n: int) -> None:
        account, amount = self.chance.choice(ACCOUNTS), self.chance.randint(1, 9)
        after_s = self.chance.choice((None, None, 0.3))
        self.asked[account, amount] += 1
        for _ in range(self.chance.choice((1, 1, 2))):
            await self.stage.ask(Add(account=account, amount=amount, after_s=after_s), id=f"{n}")

    async def counted(self) -> bool:
        entries = await self.stage.rows("ledger", "entries")
        return sum(self.asked.values()) == len(entries)

    async def check(self) -> None:
        entries = await self.stage.rows("ledger", "entries")
        assert Counter((e["account"], e["amount"]) for e in entries) == self.asked
        sums: Counter[str] = Counter()
        asked_for: Counter[str] = Counter()
        for (account, amount), count in self.asked.items():
            sums[account] += amount * count
            asked_for[account] += count
        totals = {r["account"]: r["total"] for r in await self.stage.rows("tally", "tallies")}
        assert totals == dict(sums)
        for name, store in self.memory.stores.items():
            for shard in ("0", "1"):
                rows = await store.journal(shard, 0, 100_000)
                assert [row.seq for row in rows] == list(range(1, len(rows) + 1)), name
            for stream, rows in store.streams.items():
                assert [row.version for row in rows] == list(range(1, len(rows) + 1)), stream
        seen = {r["account"]: r["times"] for r in await self.stage.rows("tally", "tallies_seen")}
        assert seen == dict(asked_for)


async def scenario(seed: int) -> Counter[str]:
    memory = in_memory()
    run = Run(random.Random(seed), memory, memory.stage())
    run.start(TALLY)
    run.start(LEDGER)
    run.break_the_bus()
    for n in range(ASKED):
        await run.ask(n)
        await asyncio.sleep(run.chance.choice((0.0, 0.002, 0.02, 0.2)))
        await run.trouble()
    run.mend_the_bus()
    for store in memory.stores.values():
        vars(store)["_lost"].clear()
    async with asyncio.timeout(300):
        while not await run.counted():
            await asyncio.sleep(0.1)
    await asyncio.sleep(5)  # what comes twice would come now, and lazy rows
    for _, process in run.alive:
        assert not process.task.done(), process.task
    await run.check()
    for _, process in run.alive:
        await process.end()
    return run.faults


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_fails_every_amount_counts_once(seed: int) -> None:
    faults = virtual_time.run(scenario(seed))
    assert sum(faults.values()) >= 2, "a run without faults proves nothing"
