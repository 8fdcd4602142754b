"""Engines that come and go all the time, and clocks that jump: under load, on real servers."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from outside_world import World, outside_world
from perdure_common.embedded import Addresses
from platform_stage import ENDED, PATIENT, Stage
from stage_ground import shared_ground
from steady_load import holds_under_load, seeded, until_busy
from turned_clock import TurnedClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORM_S = 20.0
BETWEEN_S = 1.0

JUMP_S = 8.0
"""How far clocks jump that shards are told by: no step may time out by it alone."""

JUMP_OF_RUNNERS_S = 3_600.0
PAUSE_S = 1.5


async def test_engines_that_come_and_go_every_second_lose_and_double_nothing(
    stage: Stage, world: World
) -> None:
    ended = "select count(*) as n from engine.workflow_executions where status = any ($1)"

    async def storm() -> tuple[int, int]:
        """Let one more engine join or one of them leave, again and again."""
        await until_busy(stage)
        before = (await stage.rows(ended, list(ENDED)))[0]["n"]
        came, here, until = 0, list[str](), time.monotonic() + STORM_S
        while time.monotonic() < until:
            came += 1
            here.append(f"engine-{came}")
            stage.begin("engine", beside=here[-1])
            await asyncio.sleep(BETWEEN_S)
            if len(here) > 1:
                stage.processes[here.pop(0)].terminate()
        after = (await stage.rows(ended, list(ENDED)))[0]["n"]
        for name in here:
            assert await stage.end(name) == 0
        await stage.until_ready()
        return came, after - before

    came, done = await holds_under_load(stage, world, "storm", seeded(), storm)
    print(f"{came} engines came and went, {done} executions ended meanwhile")
    assert came >= STORM_S / BETWEEN_S / 2
    assert done > 0, "a storm slows executions down, it does not stop them"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def turned(
    servers: Addresses, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[Stage, World, dict[str, TurnedClock]]]:
    """A platform in which each service has a clock of its own, and its outside world."""
    folder: Path = tmp_path_factory.mktemp("clocks")
    async with AsyncExitStack() as stack:
        world = stack.enter_context(outside_world())
        ground = await stack.enter_async_context(shared_ground(servers))
        allow = (f"{world.host}:{world.port}",)
        stage = await stack.enter_async_context(Stage(ground, allow=allow, settings=PATIENT))
        clocks = {name: TurnedClock(folder / name) for name in stage.names}
        stage.zygote = None  # the clock has to be there before anything else is loaded
        for name, clock in clocks.items():
            assert await stage.end(name) == 0
            stage.settings = {**PATIENT, **clock.environment}
            stage.begin(name)
        await stage.until_ready()
        yield stage, world, clocks


async def test_clocks_that_jump_forward_and_back_lose_and_double_nothing(
    turned: tuple[Stage, World, dict[str, TurnedClock]],
) -> None:
    stage, world, clocks = turned

    async def jumps() -> int:
        """Let one clock after the other jump forward and back, and then below what it was."""
        count = 0
        for name, clock in clocks.items():
            far = JUMP_OF_RUNNERS_S if name == "runner" else JUMP_S
            for ahead in (far, 0.0, -far, 0.0):
                await until_busy(stage)
                clock.turn(timedelta(seconds=ahead))
                count += 1
                await asyncio.sleep(PAUSE_S)
        return count

    assert await holds_under_load(stage, world, "clocks", seeded(), jumps) == 4 * len(clocks)
    assert all(process.poll() is None for process in stage.processes.values())
