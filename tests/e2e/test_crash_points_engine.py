"""`kill -9` at every named point of the engine and the scheduler, under load.

The stack stays up; only the killed process is started again. `fault.PLACES` lists the points,
and tests/tidy compares it with the code. The other half is test_crash_points_recovery.py.
"""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from crash_stage import Crash, crash_stage
from outside_world import World
from perdure_common import fault
from perdure_common.embedded import Addresses
from platform_stage import Stage
from promises import broken_promises
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

POINTS = [
    (name, place)
    for name in ("engine", "scheduler")
    for place in fault.PLACES[name]
    if place not in fault.EDGES[name]
]
ACCEPTED: list[str] = []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """The platform with what it is to run; its processes are forked, for there are many."""
    async with (
        shared_ground(servers) as ground,
        crash_stage(ground, world) as stage,
    ):
        yield stage


@pytest.mark.parametrize(("victim", "place"), POINTS)
async def test_a_process_that_is_killed_there_loses_and_doubles_nothing(
    ready: Stage, world: World, victim: str, place: str
) -> None:
    crash = Crash(ready, world, victim, place)
    await crash.happens()
    ACCEPTED.extend(crash.accepted)
    assert ready.processes[victim].poll() is None


async def test_every_promise_holds_after_all_kills(ready: Stage, world: World) -> None:
    assert await broken_promises(ready, ACCEPTED, world) == []
