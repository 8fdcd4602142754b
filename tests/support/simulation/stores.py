"""PostgreSQL in memory as a process sees it: slow, away, or silent after a commit.

`SimStore` is one process's way to a service's tables; `SimClaims` a runner's to the leases.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.decider import Lookup, Row
from perdure_common.shell.payloads import PayloadStore
from perdure_common.shell.ports import (
    Claim,
    Fenced,
    JournalRow,
    ParkedMessage,
    Refused,
    Repeated,
    ShardCommit,
    Snapshot,
    Unanswered,
    Unreachable,
)
from perdure_engine.runner.claims import Lost, MemoryClaims, Owner

from simulation.loop import Process


@dataclass
class Trouble:
    """How likely each thing is to go wrong with one call."""

    slow: float = 0.0
    unreachable: float = 0.0
    unwritten: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0


@dataclass
class Database:
    """One service's tables and what goes wrong on the way to them."""

    store: MemoryStore
    chance: random.Random
    fault: Callable[[str], None]
    committing: Callable[[MemoryStore, Sequence[ShardCommit]], None]
    committed: Callable[[MemoryStore, Sequence[ShardCommit], str], None]
    claimed: Callable[[MemoryStore, Sequence[Claim], str], None]
    trouble: Trouble = field(default_factory=Trouble)
    context: Context = field(default_factory=copy_context)
    landing: "set[asyncio.Task[None]]" = field(default_factory=set)

    def happens(self, what: str, probability: float) -> bool:
        """Return whether something goes wrong now, and count it."""
        if probability and self.chance.random() < probability:
            self.fault(what)
            return True
        return False

    async def travel(self) -> None:
        """Spend the time of a request, unless the server is away.

        Raises:
            Unreachable: It is.
        """
        if getattr(asyncio.get_running_loop(), "over", False):
            raise asyncio.CancelledError
        slow = self.happens("database slow", self.trouble.slow)
        await asyncio.sleep(self.chance.uniform(0.05, 0.8) if slow else 0.001)
        if self.store.down or self.happens("database unreachable", self.trouble.unreachable):
            raise Unreachable("the database in memory is away")


class SimStore:
    """A process's `Store`."""

    def __init__(self, database: Database, process: Process) -> None:
        self._database = database
        self._process = process

    @property
    def payloads(self) -> PayloadStore:
        """See `Store.payloads`."""
        return self._database.store.payloads

    async def claim(self, shards: Sequence[str], owner: str) -> Sequence[Claim]:
        """See `Store.claim`."""
        await self._database.travel()
        claims = await self._database.store.claim(shards, owner)
        self._database.claimed(self._database.store, claims, self._process.name)
        await asyncio.sleep(0.001)
        return claims

    async def epochs(self, shards: Sequence[str]) -> Mapping[str, int]:
        """See `Store.epochs`."""
        await self._database.travel()
        return await self._database.store.epochs(shards)

    async def commit(self, batch: Sequence[ShardCommit]) -> None:
        """See `Store.commit`."""
        here = self._database
        await here.travel()
        if here.happens("commit not written, no answer", here.trouble.unwritten):
            raise Unanswered("the connection broke before the batch came there")
        if here.happens("commit lands late, no answer", here.trouble.late):
            loop = asyncio.get_running_loop()
            landing = self._land(batch, here.chance.uniform(0.05, 2.0))
            here.landing.add(task := loop.create_task(landing, context=here.context))
            task.add_done_callback(here.landing.discard)
            raise Unanswered("the connection broke while the server wrote")
        await self._write(batch)
        await asyncio.sleep(0.001)
        if here.happens("commit written, no answer", here.trouble.unanswered):
            raise Unanswered("the batch was written, its answer was lost")

    async def _write(self, batch: Sequence[ShardCommit]) -> None:
        self._database.committing(self._database.store, batch)
        await self._database.store.commit(batch)
        self._database.committed(self._database.store, batch, self._process.name)

    async def _land(self, batch: Sequence[ShardCommit], after_s: float) -> None:
        """Write a batch of which nobody waits to hear."""
        await asyncio.sleep(after_s)
        try:
            await self._write(batch)
        except (Fenced, Repeated, Refused, Unreachable):
            self._database.fault("late commit fenced")

    async def load(
        self, streams: Mapping[str, int]
    ) -> Mapping[str, tuple[Snapshot | None, Sequence[JournalRow]]]:
        """See `Store.load`."""
        await self._database.travel()
        return await self._database.store.load(streams)

    async def journal(self, shard: str, after: int, limit: int) -> Sequence[JournalRow]:
        """See `Store.journal`."""
        await self._database.travel()
        return await self._database.store.journal(shard, after, limit)

    async def look_up(self, tenant_id: str, lookups: Sequence[Lookup]) -> Sequence[Sequence[Row]]:
        """See `Store.look_up`."""
        await self._database.travel()
        return await self._database.store.look_up(tenant_id, lookups)

    async def deliveries(
        self, keys: Sequence[tuple[str, str, str]]
    ) -> Mapping[tuple[str, str, str], str]:
        """See `Store.deliveries`."""
        await self._database.travel()
        return await self._database.store.deliveries(keys)

    async def parked(self, stream: str, limit: int) -> Sequence[ParkedMessage]:
        """See `Store.parked`."""
        await self._database.travel()
        return await self._database.store.parked(stream, limit)

    async def close(self) -> None:
        """See `Store.close`. What was written stays."""


class SimClaims:
    """A runner's leases. They stand in a table of the engine, which cancels attempts there.

    `broken` hears of a lease that is kept although it was lost; `told_lost` has the tokens
    of which this runner knows that they are its own no more.
    """

    def __init__(
        self, leases: MemoryClaims, database: Database, broken: Callable[[str, str], None]
    ) -> None:
        self._leases = leases
        self._database = database
        self._broken = broken
        self.told_lost: set[str] = set()
        self.away_until_s = 0.0

    async def _come(self) -> MemoryClaims:
        await self._database.travel()
        if asyncio.get_running_loop().time() < self.away_until_s:
            raise Unreachable("this runner is cut off from its leases")
        self._leases.now_s = asyncio.get_running_loop().time()
        for row in self._database.store.tables.get("node_claims", ()):
            if row.get("canceled"):
                self._leases.cancel(str(row["token"]), str(row["execution_id"]))
        return self._leases

    async def claim(self, runner: str, tasks: Mapping[str, Owner]) -> frozenset[str]:
        """See `Claims.claim`."""
        leases = await self._come()
        before = set(leases.leases)
        won = await leases.claim(runner, tasks)
        for token in sorted(won & before):
            self._broken("lease", f"{runner} claimed {token}, which was claimed before")
        return won

    async def mine(self, runner: str, tokens: Sequence[str]) -> frozenset[str]:
        """See `Claims.mine`."""
        return await (await self._come()).mine(runner, tokens)

    async def renew(self, runner: str, tokens: Sequence[str]) -> Mapping[str, bool]:
        """See `Claims.renew`."""
        leases = await self._come()
        before = {token: leases.holder(token) for token in tokens}
        held = await leases.renew(runner, tokens)
        for token in tokens:
            if token in self.told_lost:
                self._broken("lease", f"{runner} works on at {token} after it knew the loss")
            owner, until = before[token]
            if token in held and (owner != runner or until <= leases.now_s):
                self._broken("lease", f"{runner} renewed {token} after it had lost it")
            if token not in held and owner != runner:
                self.told_lost.add(token)
        return held

    async def finish(self, runner: str, tokens: Sequence[str]) -> None:
        """See `Claims.finish`."""
        await (await self._come()).finish(runner, tokens)

    async def recall(self, tokens: Sequence[str]) -> None:
        """See `Claims.recall`."""
        await (await self._come()).recall(tokens)

    async def expired(self) -> Sequence[Lost]:
        """See `Claims.expired`."""
        lost = await (await self._come()).expired()
        for _ in lost:
            self._database.fault("lease expired")
        return lost

    async def forget(self) -> None:
        """See `Claims.forget`."""
        await (await self._come()).forget()
