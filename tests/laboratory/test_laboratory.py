"""Every scenario of the failure laboratory, on one platform, all at the same time."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from laboratory.catalogue import KILLED, SCENARIOS
from laboratory.running import Laboratory, Seen, laboratory_stage
from perdure_common.embedded import Addresses

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def seen(servers: Addresses) -> AsyncGenerator[dict[str, Seen]]:
    async with laboratory_stage(servers) as stage:
        found = await Laboratory(stage).run(SCENARIOS, KILLED)
        yield {each.scenario.name: each for each in found}


@pytest.mark.parametrize("name", [each.name for each in (*KILLED, *SCENARIOS)])
async def test_what_must_become_of_it_does(seen: dict[str, Seen], name: str) -> None:
    assert seen[name].problems == [], "\n".join(seen[name].problems)
