"""A load above capacity, a slow PostgreSQL, a Kafka that stands still: on real servers.

What waits is bounded, in the memory of every process; new starts wait in their topic while
results and cancels come through; and in the end everything that was accepted was done, once.
`make chaos` does the same for longer, with kills.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Generator

import httpx
import pytest
import pytest_asyncio
from cutting_proxy import Proxy, proxy_to
from outside_world import World, outside_world
from overload import (
    MEMORY_MB,
    STARTS,
    Flood,
    Held,
    deploy_all,
    figures_of,
    flooded,
    not_once,
    starts_begun,
    until_drained,
    watched,
)
from platform_stage import PATIENT, Stage
from promises import broken_promises
from stage_ground import own_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOAD_S = 20.0
SLOW_FROM_S, SLOW_S, SLOW = 3.0, 5.0, 0.05
"""From when and how long PostgreSQL is slow until Kafka stops, and by how much its answers are."""

STILL_S = 5.0
"""How long Kafka stands still."""

HELD = 8
DRAIN_S = 150.0


@pytest.fixture(scope="module")
def own_world() -> Generator[World]:
    """An outside world for this file's platform."""
    with outside_world() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slowed(own_world: World) -> AsyncGenerator[tuple[Stage, Proxy]]:
    """A platform on servers of its own, with a way to PostgreSQL that can be made slow."""
    async with own_ground() as ground, proxy_to(ground.database_url) as proxy:
        settings = {
            **PATIENT,
            "PERDURE_DATABASE_URL": proxy.through(ground.database_url),
            "PERDURE_MEMORY_MB": str(MEMORY_MB),
            "PERDURE_CANCEL_GRACE_S": "0",  # whether a cancel overtakes is told by its end
        }
        allow = (f"{own_world.host}:{own_world.port}",)
        async with Stage(ground, allow=allow, settings=settings) as made:
            await deploy_all(made, own_world)
            yield made, proxy


async def test_above_capacity_memory_is_bounded_and_nothing_is_lost(
    slowed: tuple[Stage, Proxy], own_world: World
) -> None:
    stage, proxy = slowed
    held, flood = Held(stage, own_world), Flood(stage, random.Random(7))
    await held.begin(HELD)
    async with watched(stage) as watch:
        async with flooded(flood):
            await asyncio.sleep(SLOW_FROM_S)
            proxy.delay_s = SLOW
            await stage.until(lambda: _behind(stage), "starts that wait")
            before = len(flood.accepted) + HELD
            ends = await held.come_through()
            assert await starts_begun(stage) < before, "they overtook starts that came before"
            assert ends == {"CANCELED": HELD // 2, "SUCCESS": HELD // 2}
            await asyncio.sleep(SLOW_S)
            stage.stop_server("kafka")
            await asyncio.sleep(STILL_S)
            stage.let_server_go_on("kafka")
            proxy.delay_s = 0.0
            await asyncio.sleep(LOAD_S - SLOW_FROM_S - SLOW_S - STILL_S)
        took_s = await until_drained(stage, len(flood.accepted) + HELD, DRAIN_S)
    print(f"{len(flood.accepted):,} triggers, drained in {took_s:.1f} s; {watch}")
    assert watch.paused > 0
    assert watch.queued_bytes <= watch.queue_max()
    assert watch.too_large() == {}
    assert await not_once(stage, flood.accepted) == []
    assert await broken_promises(stage, [*flood.accepted, *held.accepted], own_world) == []


async def _behind(stage: Stage) -> bool:
    """Return whether starts wait in their topic because the engine lets them."""
    async with httpx.AsyncClient(timeout=5.0, trust_env=False) as client:
        figures = await figures_of(client, stage.ports["engine"])
    return figures.get("perdure_starts_paused") == 1.0 and figures.get(STARTS, 0.0) > 0
