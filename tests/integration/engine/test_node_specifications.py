"""The table node_specifications on a real PostgreSQL."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.settings import Settings
from perdure_engine import specifications
from perdure_engine.nodes.describe import all_described
from perdure_engine.specifications import fill, fill_at_start

TENANT = "t"


async def rows(url: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        sql = "SELECT * FROM engine.node_specifications ORDER BY node_type, node_subtype"
        return list(await connection.fetch(sql))
    finally:
        await connection.close()


async def test_the_table_is_what_the_nodes_say_and_stays_so(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate.up(database, "engine")
    nodes = all_described()
    assert sorted(await fill(database, TENANT)) == sorted(n["node_subtype"] for n in nodes)
    there = await rows(database)
    assert [json.loads(row["specification_data"]) for row in there] == sorted(
        nodes, key=lambda n: (n["node_type"], n["node_subtype"])
    )
    assert {(row["tenant_id"], row["is_active"], row["is_system_spec"]) for row in there} == {
        (TENANT, True, True)
    }
    assert await fill(database, TENANT) == []
    assert await rows(database) == there

    fewer = [{**n, "summary": "New."} if n["node_subtype"] == "IF" else n for n in nodes[:-1]]
    monkeypatch.setattr(specifications, "all_described", lambda: fewer)
    assert sorted(await fill(database, TENANT)) == sorted(["IF", nodes[-1]["node_subtype"]])
    inactive = [row["node_subtype"] for row in await rows(database) if not row["is_active"]]
    assert inactive == [nodes[-1]["node_subtype"]]
    monkeypatch.undo()
    await fill(database, TENANT)
    assert all(row["is_active"] for row in await rows(database))


async def test_an_engine_that_starts_before_its_database_writes_it_later(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specifications, "BACK_OFF_S", 0.05)
    settings = Settings(database_url=database, tenant_id=TENANT)
    owner: Any = None
    filling = asyncio.create_task(fill_at_start(settings, owner, asyncio.Event()))
    await asyncio.sleep(0.3)
    assert not filling.done()
    await migrate.up(database, "engine")
    await asyncio.wait_for(filling, 60)
    assert len(await rows(database)) == len(all_described())


async def test_an_engine_that_stops_meanwhile_gives_up(database: str) -> None:
    stop = asyncio.Event()
    owner: Any = None
    settings = Settings(database_url=database)
    filling = asyncio.create_task(fill_at_start(settings, owner, stop))
    stop.set()
    await asyncio.wait_for(filling, 60)
    assert filling.exception() is None
