"""What is past its retention is found among the old, and goes a slice at a time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson
import pytest
import pytest_asyncio
from perdure_common import migrate
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.api.reading import Reading
from perdure_common.ids import time_ordered
from perdure_engine import retention
from perdure_engine.app import service
from perdure_engine.retention import Keep, Purger, sweep

NOW = datetime(2026, 6, 1, tzinfo=UTC)
OWN = "00000000-0000-7000-8000-000000000009"
OTHER = "00000000-0000-7000-8000-000000000001"
FILL = """
insert into engine.workflow_executions
       (id, tenant_id, execution_id, workspace_id, workflow_id, workflow_version, status,
        parent_execution_id, start_time, end_time, metadata)
values ($1::text::uuid, $2, $3, $4::text::uuid, gen_random_uuid(), 1, $5, $6, $7, $7, '{}')
"""


@dataclass
class Ground:
    """A database with executions, and a bus that takes what is asked of them."""

    url: str
    connection: Any
    reading: Reading
    broker: MemoryBroker = field(default_factory=MemoryBroker)

    async def add(self, key: str, days: float, tenant: str = "a", **more: Any) -> None:
        at = int((NOW - timedelta(days=days)).timestamp() * 1000)
        status, parent = more.get("status", "SUCCESS"), more.get("parent")
        workspace = more.get("workspace", OTHER)
        id = time_ordered(at, "execution", key)
        await self.connection.execute(FILL, id, tenant, key, workspace, status, parent, at)

    async def walk(self, keep: Keep) -> tuple[list[str], int]:
        """Return what was asked to go, and how many looks that took."""
        self.broker.create(service.commands_topic, 1)
        purger = Purger(service, self.reading, self.broker.client("engine"), 1, keep)
        looks = 0
        while looks == 0 or purger.under_way:
            await purger.look(NOW)
            looks += 1
        records = self.broker.records(service.commands_topic)
        return [orjson.loads(record.value or b"")["execution_id"] for record in records], looks


@pytest_asyncio.fixture(loop_scope="function")
async def ground(database: str) -> AsyncIterator[Ground]:
    await migrate.up(database, "engine")
    connection: Any = await asyncpg.connect(database)
    reading = Reading(database, "engine", connections=1)
    yield Ground(database, connection, reading)
    await reading.close()
    await connection.close()


async def add_all(ground: Ground, keys: Sequence[str], days: float, **more: Any) -> None:
    for key in keys:
        await ground.add(key, days, **more)


async def test_the_old_of_every_tenant_are_asked_to_go_and_nobody_looks_at_the_young(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_MAX", 2)
    await add_all(ground, ["a1", "a2", "a3"], 31)
    await add_all(ground, [f"young{n}" for n in range(20)], 29)
    await ground.add("b1", 40, "b")
    gone, looks = await ground.walk(Keep(30))
    assert sorted(gone) == ["a1", "a2", "a3", "b1"]
    assert looks == 4, "two for a, one for b, and one that finds no other tenant"


async def test_what_is_open_what_waits_for_its_parent_and_what_is_kept_longer_stays(
    ground: Ground,
) -> None:
    await ground.add("open", 50, status="RUNNING")
    await ground.add("child", 50, parent="open")
    await ground.add("orphan", 50, parent="long gone")
    await ground.add("kept", 50, workspace=OWN)
    await ground.add("early", 10)
    assert (await ground.walk(Keep(30, {OWN: 90})))[0] == ["orphan"]
    ground.broker = MemoryBroker()
    assert sorted((await ground.walk(Keep(0, {OWN: 40})))[0]) == ["kept"]


async def test_a_sweep_goes_on_until_nothing_is_left_and_stops_between_slices(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SWEPT_AT_ONCE", 2)
    monkeypatch.setattr(retention, "PAUSE_S", 0.0)
    await ground.connection.execute(
        "insert into engine.execution_purges select 'x' || n, 't', 1, $1::timestamptz, "
        "$1::timestamptz from generate_series(1, 7) n",
        NOW - timedelta(days=60),
    )
    stop = asyncio.Event()
    stop.set()
    assert await sweep(ground.url, NOW, stop=stop) == (0, 2)
    assert await sweep(ground.url, NOW) == (0, 5)


async def test_nothing_is_swept_while_a_table_is_rebuilt_and_that_is_not_waited_for(
    ground: Ground,
) -> None:
    async with ground.connection.transaction():
        await ground.connection.execute("lock table engine.shard in share mode")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await sweep(ground.url, NOW)
    assert await sweep(ground.url, NOW) == (0, 0)
