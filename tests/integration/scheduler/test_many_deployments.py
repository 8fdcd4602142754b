"""Many deployments of one workflow in one instant: each is answered, and one version serves."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from path_stage import hook
from perdure_common.embedded import Addresses
from perdure_common.ids import sha256_of_json
from perdure_contracts.scheduler import DeployWorkflow
from platform_stage import Stage
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

COUNT = 200
AT_ONCE = 20
"""How many are sent side by side: a moment of Kafka's, so that several are decided in one batch."""

SERVING = """
select deployment_version from scheduler.trigger_index
 where workflow_id = $1 and deployment_status = 'active'
"""
LEFT = """
select count(*) as n from scheduler.trigger_index
 where workflow_id = $1 and deployment_status = 'pending'
"""
ENDS = """
select deployment_version, deployment_action from scheduler.workflow_deployment_history
 where workflow_id = $1 and deployment_action in ('DEPLOY_COMPLETED', 'DEPLOY_FAILED')
 order by stream_version
"""

GRANTS = """
select count(*) as n from scheduler.path_grants where workflow_id = $1 and released_at is null
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    """A scheduler."""
    async with shared_ground(servers) as ground, Stage(ground, names=("scheduler",)) as made:
        yield made


async def deployed_at_once(
    stage: Stage, workflow_id: str, trigger: Any, expected: int | None
) -> list[str]:
    """Deploy versions from 1 on in one instant; return what each was refused for, "" for not."""
    commands: list[DeployWorkflow] = []
    for version in range(1, COUNT + 1):
        definition = {"name": f"many {version}", "nodes": [trigger], "connections": []}
        commands.append(
            DeployWorkflow(
                workflow_id=workflow_id,
                version=version,
                sha256=sha256_of_json(definition),
                definition=definition,
                expected_version=expected,
            )
        )
    sent: list[str] = []
    for first in range(0, COUNT, AT_ONCE):
        sending = (
            stage.send("scheduler", workflow_id, each) for each in commands[first : first + AT_ONCE]
        )
        sent += await asyncio.gather(*sending)
    codes: list[str] = []
    for each in sent:
        rejected: Any = (await stage.answer("scheduler", each)).get("rejected")
        codes.append("" if rejected is None else rejected["code"])
    return codes


async def serving(stage: Stage, workflow_id: str) -> list[int]:
    """Return the versions that serve."""
    return [row["deployment_version"] for row in await stage.rows(SERVING, workflow_id)]


async def test_of_those_that_expect_nothing_to_serve_one_does_and_all_others_are_told(
    stage: Stage,
) -> None:
    workflow_id = str(uuid.uuid4())
    start = {"node_id": "s", "node_type": "TRIGGER", "node_subtype": "MANUAL"}
    codes = await deployed_at_once(stage, workflow_id, start, 0)
    assert sorted(codes) == ["", *["conflict"] * (COUNT - 1)]
    assert await serving(stage, workflow_id) == [codes.index("") + 1]


async def test_while_one_waits_for_its_path_the_others_are_told_that_it_is_busy(
    stage: Stage,
) -> None:
    workflow_id = str(uuid.uuid4())
    codes = await deployed_at_once(stage, workflow_id, hook("/many"), None)
    assert set(codes) <= {"", "conflict"} and "" in codes
    taken = [version for version, code in enumerate(codes, 1) if not code]

    async def ended() -> list[Any]:
        rows = await stage.rows(ENDS, workflow_id)
        return rows if len(rows) == len(taken) else []

    ends = await stage.until(ended, "the ends of all that began")
    assert {row["deployment_action"] for row in ends} == {"DEPLOY_COMPLETED"}
    assert sorted(row["deployment_version"] for row in ends) == taken
    assert await serving(stage, workflow_id) == [ends[-1]["deployment_version"]]
    assert [row["n"] for row in await stage.rows(LEFT, workflow_id)] == [0]

    async def granted() -> bool:
        return [row["n"] for row in await stage.rows(GRANTS, workflow_id)] == [1]

    await stage.until(granted, "the path to be given back by all but one")
