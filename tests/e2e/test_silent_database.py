"""A PostgreSQL that says nothing: connections stay open and carry no word more, under load.

So it looks where a firewall has forgotten a connection, or the server's machine went without a
word. The server knows nothing of it: what it was told to keep locked, it keeps.
"""

import asyncio
from collections.abc import AsyncGenerator

import httpx
import pytest
import pytest_asyncio
from cutting_proxy import Proxy, proxy_to
from outside_world import World
from perdure_common.embedded import Addresses
from platform_stage import ENDED, PATIENT, Stage
from stage_ground import shared_ground
from steady_load import holds_under_load, seeded, until_busy

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_S = 2.0
"""How long the services wait for an answer: the default would be a long test."""

PAUSE_S = 1.5
DEAF_S = 6.0
MORE = 10
"""Executions that have to end after a silence, before it counts as over."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxied(servers: Addresses, world: World) -> AsyncGenerator[tuple[Stage, Proxy]]:
    """A platform whose way to PostgreSQL can fall silent."""
    async with shared_ground(servers) as ground, proxy_to(ground.database_url) as proxy:
        settings = {
            **PATIENT,
            "PERDURE_DATABASE_URL": proxy.through(ground.database_url),
            "PERDURE_DATABASE_WAIT_S": str(WAIT_S),
        }
        allow = (f"{world.host}:{world.port}",)
        async with Stage(ground, allow=allow, settings=settings) as made:
            yield made, proxy


async def goes_on(stage: Stage) -> None:
    """Wait until executions end again."""
    sql = "select count(*) as n from engine.workflow_executions where status = any ($1)"
    before = (await stage.rows(sql, list(ENDED)))[0]["n"]

    async def more() -> bool:
        return (await stage.rows(sql, list(ENDED)))[0]["n"] >= before + MORE

    await stage.until(more, "executions that end after the silence")


async def test_connections_that_were_forgotten_are_given_up(
    proxied: tuple[Stage, Proxy], world: World
) -> None:
    stage, proxy = proxied

    async def silences() -> list[int]:
        """Let every connection fall silent, twice; new ones work."""
        hushed: list[int] = []
        for _ in range(2):
            await asyncio.sleep(PAUSE_S)
            await until_busy(stage)
            before = proxy.hushed
            proxy.hush()
            hushed.append(proxy.hushed - before)
            await goes_on(stage)
            await stage.until_ready()
        return hushed

    hushed = await holds_under_load(stage, world, "forgotten", seeded(), silences)
    print(f"connections that fell silent: {hushed}")
    assert min(hushed) >= len(stage.names), "every service had one"


async def test_a_server_that_answers_nobody_is_waited_for(
    proxied: tuple[Stage, Proxy], world: World
) -> None:
    stage, proxy = proxied

    async def ready(name: str) -> int:
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            url = f"http://127.0.0.1:{stage.ports[name]}/readyz"
            return (await client.get(url)).status_code

    async def silence() -> int:
        """Let nobody be answered for a while, neither on old connections nor on new ones."""
        await asyncio.sleep(PAUSE_S)
        await until_busy(stage)
        proxy.deaf = True
        proxy.hush()

        async def told() -> bool:
            return await ready("engine") == 503

        await stage.until(told, "an engine that says that it cannot work")
        await asyncio.sleep(DEAF_S)
        running = await stage.open_executions()
        proxy.deaf = False
        await goes_on(stage)
        await stage.until_ready()
        return running

    assert await holds_under_load(stage, world, "deaf", seeded(), silence) > 0
