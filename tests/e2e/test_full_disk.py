"""PostgreSQL cannot write: its disk is full, under load, and later there is room again.

The server first refuses what needs more room, then it cannot write its log either and ends itself,
and cannot start until there is room. Services wait for it and go on by themselves.
"""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

import pytest
import pytest_asyncio
from full_disk import Disk, Limit, SmallDisk, may_mount, mounted
from outside_world import World, outside_world
from platform_stage import PATIENT, Stage
from stage_ground import Ground, own_ground
from steady_load import holds_under_load, seeded, until_busy

pytestmark = pytest.mark.asyncio(loop_scope="module")

DISK_MB = 400
PAUSE_S = 2.0
FULL_S = 6.0


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=("limit", "disk") if may_mount() else ("limit",)
)
async def full(request: pytest.FixtureRequest) -> AsyncGenerator[tuple[Stage, World, Disk]]:
    """A platform on servers of its own, its outside world, and what PostgreSQL writes to."""
    small = partial(mounted, megabytes=DISK_MB) if request.param == "disk" else None
    with outside_world() as world:
        allow = (f"{world.host}:{world.port}",)
        async with (
            own_ground(small) as ground,
            Stage(ground, allow=allow, settings=PATIENT) as stage,
        ):
            yield stage, world, _disk_of(ground, request.param)


def _disk_of(ground: Ground, how: str) -> Disk:
    return SmallDisk(ground.folder / "servers" / "postgres") if how == "disk" else Limit()


async def test_a_full_disk_loses_and_doubles_nothing_and_needs_room_and_nobody(
    full: tuple[Stage, World, Disk],
) -> None:
    stage, world, disk = full

    async def refused() -> bool:
        log = (stage.ground.folder / "servers" / "logs" / "postgres.log").read_text("utf-8")
        return "No space left on device" in log or "File too large" in log

    async def fills() -> list[int]:
        """Fill the disk twice; the second time the platform has to be as it was before."""
        running: list[int] = []
        for _ in range(2):
            await asyncio.sleep(PAUSE_S)
            await until_busy(stage)
            running.append(await stage.open_executions())
            disk.fill(stage.ground)
            await stage.until(refused, "a write that is refused")
            await asyncio.sleep(FULL_S)
            disk.free(stage.ground)
            await stage.until_served("postgres")
            await stage.until_ready()
        return running

    assert min(await holds_under_load(stage, world, "full", seeded(), fills)) > 0
