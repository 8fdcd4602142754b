"""Leases on the real table and the real topics: who lost one does no more, and it is told once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Addresses
from perdure_common.ids import partition_of
from perdure_common.service import Restored
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_common.topics import create_topics
from perdure_contracts.engine import NodeResult, NodeTask
from perdure_contracts.message import NAMES
from perdure_engine.runner.answers import RESULTS
from perdure_engine.runner.claims import BEFORE_RESTORE, Owner, PostgresClaims
from perdure_engine.runner.restore import claims_again
from perdure_engine.runner.work import TASKS, Work

PARTITIONS = 2
Perform = Callable[[NodeTask], Awaitable[NodeResult]]


def task(token: str, effect: str = "unsafe") -> NodeTask:
    fields: dict[str, Any] = {
        "token": token,
        "execution_id": f"execution of {token}",
        "workflow_id": "w",
        "node_id": "n",
        "node_type": "EXTERNAL_ACTION",
        "node_subtype": "HTTP_REQUEST",
        "parameters": [{}],
        "items": [{}],
        "effect": effect,
        "length": "short",
        "deadline": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        "idempotency_key": "key",
    }
    return NodeTask(**fields)


@dataclass
class Ground:
    """Real claims, real topics, and runners on them."""

    database: str
    bootstrap: str
    prefix: str
    connection: Any
    outside: KafkaBus
    ran: list[str] = field(default_factory=list)

    async def perform(self, task: NodeTask) -> NodeResult:
        self.ran.append(task.token)
        return NodeResult(execution_id=task.execution_id, token=task.token, outcome="completed")

    @asynccontextmanager
    async def runner(self, name: str, perform: Perform | None = None) -> AsyncGenerator[Work]:
        bus, claims = KafkaBus(self.bootstrap, name, self.prefix), PostgresClaims(self.database)
        work = Work(
            bus, claims, perform or self.perform, name, PARTITIONS, lambda: datetime.now(UTC)
        )
        stop = asyncio.Event()
        running = asyncio.create_task(work.run(stop))
        try:
            yield work
        finally:
            stop.set()
            await running
            await bus.close()
            await claims.close()

    async def give(self, *tasks: NodeTask) -> None:
        records = [
            Outbound(
                TASKS,
                partition_of(each.execution_id, PARTITIONS),
                codec.encode_body(each),
                None,
                (("ce_type", NAMES[NodeTask].encode()),),
            )
            for each in tasks
        ]
        assert not any(await self.outside.send(records))

    async def answers(self) -> list[NodeResult]:
        """Return every answer that is in the log by now."""
        places = [(RESULTS, n) for n in range(PARTITIONS)]
        bounds = await self.outside.bounds(places)
        self.outside.read({place: begin for place, (begin, _) in bounds.items()})
        found: list[NodeResult] = []
        while len(found) < sum(end - begin for begin, end in bounds.values()):
            found += [
                codec.decode_body("engine.node-result.v1", record.value)
                for record in await self.outside.fetch(100, 1.0)
            ]
        self.outside.read({})
        return found

    async def claim(self, token: str) -> Any:
        return await self.connection.fetchrow(
            "select * from engine.node_claims where token = $1", token
        )

    async def run_out(self, token: str) -> None:
        """Let a lease end: its time is moved, not waited for."""
        await self.connection.execute(
            "update engine.node_claims set lease_until = now() - interval '1 s' where token = $1",
            token,
        )

    async def until(self, found: Callable[[], Awaitable[Any]]) -> None:
        async with asyncio.timeout(60):
            while not await found():
                await asyncio.sleep(0.02)


@pytest.fixture
async def ground(database: str, topic_prefix: str, servers: Addresses) -> AsyncIterator[Ground]:
    await migrate.up(database, "engine")
    await create_topics(servers.kafka_bootstrap, topic_prefix, PARTITIONS)
    connection = await asyncpg.connect(database)
    outside = KafkaBus(servers.kafka_bootstrap, "outside", topic_prefix)
    yield Ground(database, servers.kafka_bootstrap, topic_prefix, connection, outside)
    await outside.close()
    await connection.close()


async def test_a_runner_that_lost_its_lease_stops_before_its_next_effect_and_renews_nothing(
    ground: Ground,
) -> None:
    effects: list[str] = []
    stopped = asyncio.Event()

    async def two_effects(task: NodeTask) -> NodeResult:
        effects.append("first")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        effects.append("second")
        return await ground.perform(task)

    async with ground.runner("r1", two_effects):
        await ground.give(task("a"))

        async def begun() -> bool:
            return effects == ["first"]

        await ground.until(begun)
        lost = (await ground.claim("a"))["lease_until"]
        await ground.connection.execute(
            "update engine.node_claims set runner = 'another', lease_until = $1", lost
        )
        await asyncio.wait_for(stopped.wait(), 60)
        assert (await ground.claim("a"))["lease_until"] == lost
        assert effects == ["first"]
    assert await ground.answers() == []


async def test_a_cancelled_attempt_is_told_how_long_it_may_go_on(ground: Ground) -> None:
    claims = PostgresClaims(ground.database)
    await claims.claim("r1", {"a": Owner("t", "e")})

    async def left_s(changed: str) -> float | None:
        await ground.connection.execute(f"update engine.node_claims set {changed}")
        return (await claims.renew("r1", ["a"]))["a"]

    assert await left_s("canceled = false") is None
    soon = await left_s("canceled = true, stop_at = now() + interval '5 s'")
    assert soon is not None and 0 < soon <= 5
    assert await left_s("stop_at = now() - interval '5 s'") == 0
    assert await left_s("stop_at = null") == 0
    await claims.close()


async def test_a_lost_attempt_is_reported_once_and_then_settled(ground: Ground) -> None:
    async with ground.runner("r1") as work:
        await ground.give(task("a"))

        async def answered() -> bool:
            return len(await ground.answers()) == 1

        await ground.until(answered)
        await ground.connection.execute(
            "update engine.node_claims set finished_at = null, runner = 'gone'"
        )
        await ground.run_out("a")

        async def reported() -> bool:
            return (await ground.claim("a"))["finished_at"] is not None

        await ground.until(reported)
        await ground.run_out("a")
        beats = work.counts.lost
        await ground.give(task("b"))  # a heartbeat later nothing more is lost

        async def another() -> bool:
            return len(await ground.answers()) >= 3

        await ground.until(another)
        assert work.counts.lost == beats == 1
    outcomes = [(each.token, each.outcome) for each in await ground.answers()]
    assert sorted(outcomes) == [("a", "completed"), ("a", "failed"), ("b", "completed")]
    assert ground.ran == ["a", "b"]


async def test_what_may_have_run_before_a_restore_is_lost_when_it_comes_again_and_not_before(
    ground: Ground,
) -> None:
    async with ground.runner("r1"):
        await ground.give(task("unsafe"), task("other"), task("keyed", effect="keyed"))

        async def answered() -> bool:
            return len(await ground.answers()) == 3

        await ground.until(answered)
    await ground.connection.execute("delete from engine.node_claims")  # the backup is older
    bus = KafkaBus(ground.bootstrap, "fence", ground.prefix)
    told = await claims_again(Restored(ground.database, bus, PARTITIONS))
    assert told.startswith("3 tasks are in the topic; 2 of them must not run twice")
    again = await claims_again(Restored(ground.database, bus, PARTITIONS))
    assert again.startswith("3 tasks are in the topic; 0 of them")
    await bus.close()
    async with ground.runner("r2"):
        await ground.give(task("unsafe"), task("keyed", effect="keyed"))

        async def reported() -> bool:
            lost = [a for a in await ground.answers() if a.error is not None]
            return [each.token for each in lost] == ["unsafe"]

        await ground.until(reported)
    assert ground.ran.count("unsafe") == 1, "it may have happened: it is not done again"
    assert ground.ran.count("keyed") == 2
    (waits,) = await ground.connection.fetch(
        "select token from engine.node_claims where runner = $1", BEFORE_RESTORE
    )
    assert waits["token"] == "other", "nobody asks for it again, so nobody hears that it is lost"
