"""Stages for the tests of this folder: each file has one platform for all of its tests."""

from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio
from outside_world import World, outside_world
from perdure_common.embedded import Addresses
from platform_stage import Stage
from stage_ground import shared_ground


@pytest.fixture(scope="module")
def world() -> Generator[World]:
    """An outside world that the platform may reach."""
    with outside_world() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """A platform on the servers of all tests."""
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=(f"{world.host}:{world.port}",)) as made,
    ):
        yield made
