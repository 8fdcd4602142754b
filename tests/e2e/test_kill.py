"""`kill -9` under load: whatever is killed, nothing is lost and nothing is done twice.

PostgreSQL is also stopped as `pg_ctl stop -m immediate` does it: every connection is told, none
waited for, and the next start recovers from the log.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence

import pytest
import pytest_asyncio
from outside_world import World, outside_world
from platform_stage import Kill, Stage
from stage_ground import own_ground
from steady_load import holds_under_load, seeded, until_busy

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAUSE_S = (0.8, 1.8)
"""Between a victim's being ready and its end."""


def hits(evidence: Sequence[Kill]) -> int:
    """Print the kills, and return how many of them hit something at work."""
    for kill in evidence:
        print(kill)
    return sum(kill.hit and kill.open_executions > 0 for kill in evidence)


async def test_services_that_are_killed_lose_and_double_nothing(stage: Stage, world: World) -> None:
    chance = seeded()

    async def kills() -> list[Kill]:
        """Kill each service once and the two that run nodes once more, when they are ready."""
        victims = chance.sample(list(stage.names), 4) + chance.sample(["engine", "runner"], 2)
        evidence: list[Kill] = []
        for victim in victims:
            await stage.until_ready([victim])
            await asyncio.sleep(chance.uniform(*PAUSE_S))
            await until_busy(stage)
            evidence.append(await stage.kill(victim))
            stage.begin(victim)
        await stage.until_ready()
        return evidence

    assert hits(await holds_under_load(stage, world, "services", chance, kills)) >= 2


@pytest.fixture(scope="module")
def own_world() -> Generator[World]:
    """An outside world for the stage on servers of its own."""
    with outside_world() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_stage(own_world: World) -> AsyncGenerator[Stage]:
    """A platform on servers of its own."""
    async with (
        own_ground() as ground,
        Stage(ground, allow=(f"{own_world.host}:{own_world.port}",)) as made,
    ):
        yield made


@pytest.mark.parametrize("how", ["kafka", "postgres", "postgres immediate"])
async def test_a_server_that_is_killed_loses_and_doubles_nothing(
    own_stage: Stage, own_world: World, how: str
) -> None:
    chance = seeded()
    server, _, immediate = how.partition(" ")

    async def kills() -> list[Kill]:
        """Kill the server twice, the second time after it has served again for a while."""
        evidence: list[Kill] = []
        for _ in range(2):
            await asyncio.sleep(chance.uniform(*PAUSE_S))
            await until_busy(own_stage)
            evidence.append(await own_stage.kill_server(server, immediate=bool(immediate)))
            await own_stage.until_served(server)
            await own_stage.until_ready()
        return evidence

    prefix = how.replace(" ", "-")
    assert hits(await holds_under_load(own_stage, own_world, prefix, chance, kills)) >= 2
