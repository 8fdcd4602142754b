"""Two workflows that want one path in one instant, on real servers and in two schedulers."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from path_stage import hook
from perdure_cli import promises
from perdure_common.embedded import Addresses
from perdure_common.ids import partition_of, sha256_of_json
from perdure_common.settings import Settings
from perdure_contracts.scheduler import DeployWorkflow, UndeployWorkflow
from platform_stage import PARTITIONS, Stage
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUNDS = 25
ENDS = """
select workflow_id::text, deployment_action, coalesce(error_message, '') as error
  from scheduler.workflow_deployment_history
 where workflow_id = any ($1::uuid[]) and deployment_action in ('DEPLOY_COMPLETED', 'DEPLOY_FAILED')
"""
SERVING = """
select workflow_id::text, attempt from scheduler.trigger_index
 where path = $1 and deployment_status = 'active'
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    """Two schedulers that share their shards."""
    async with shared_ground(servers) as ground, Stage(ground, names=("scheduler",)) as made:
        made.begin("scheduler", beside="second")
        await made.until_ready(["second"])
        yield made


def deploy(path: str, number: int) -> DeployWorkflow:
    """Return a deployment of a new workflow; no two of one path are in the same shard."""
    while True:
        workflow_id = str(uuid.uuid4())
        if partition_of(workflow_id, PARTITIONS) == number % PARTITIONS:
            break
    definition = {"name": f"{path} {number}", "nodes": [hook(path)], "connections": []}
    sha256 = sha256_of_json(definition)
    return DeployWorkflow(workflow_id=workflow_id, version=1, sha256=sha256, definition=definition)


async def race(stage: Stage, path: str, count: int = 2) -> dict[str, tuple[str, str]]:
    """Deploy workflows under a path in one instant; return how each deployment has ended."""
    commands = [deploy(path, number) for number in range(count)]
    await asyncio.gather(*(stage.send("scheduler", each.workflow_id, each) for each in commands))
    ids = [each.workflow_id for each in commands]

    async def ended() -> list[Any]:
        rows = await stage.rows(ENDS, ids)
        return rows if len(rows) == count else []

    rows = await stage.until(ended, f"the ends of {count} deployments")
    return {row["workflow_id"]: (row["deployment_action"], row["error"]) for row in rows}


async def broken(stage: Stage) -> list[str]:
    """Return what `perdure verify` says of paths."""
    settings = Settings(
        database_url=stage.ground.database_url,
        kafka_bootstrap=stage.ground.kafka_bootstrap,
        topic_prefix=stage.ground.prefix,
        partitions=PARTITIONS,
    )
    found = await promises.verified(settings, rebuild=False)
    assert found.checked["paths"] > 0
    return [str(each) for each in found.violations if each.promise == "I14"]


async def test_of_deployments_in_one_instant_exactly_one_gets_the_path(stage: Stage) -> None:
    for number in range(ROUNDS):
        path = f"/race/{number}"
        ends = await race(stage, path, 2 + number % 3)
        won = [who for who, (action, _) in ends.items() if action == "DEPLOY_COMPLETED"]
        assert len(won) == 1, ends
        assert all(e.startswith("path_taken: ") for a, e in ends.values() if a == "DEPLOY_FAILED")
        assert [row["workflow_id"] for row in await stage.rows(SERVING, path)] == won
    assert await broken(stage) == []


async def test_a_path_that_is_given_back_goes_to_the_next(stage: Stage) -> None:
    first = deploy("/next", 0)
    await stage.ask("scheduler", first.workflow_id, first)
    for number in range(1, 6):

        async def serves(who: str = first.workflow_id) -> bool:
            return [row["workflow_id"] for row in await stage.rows(SERVING, "/next")] == [who]

        await stage.until(serves, "the path's owner")
        gone = UndeployWorkflow(workflow_id=first.workflow_id)
        await stage.ask("scheduler", first.workflow_id, gone)
        first = deploy("/next", number)
        await stage.ask("scheduler", first.workflow_id, first)
    assert await broken(stage) == []


async def test_verify_finds_a_path_that_was_not_granted_or_serves_two(stage: Stage) -> None:
    ends = await race(stage, "/planted", 2)
    owner = next(who for who, (action, _) in ends.items() if action == "DEPLOY_COMPLETED")
    loser = next(who for who in ends if who != owner)
    connection: Any = await asyncpg.connect(stage.ground.database_url)
    try:
        await connection.execute(
            "update scheduler.trigger_index set deployment_status = 'active' "
            "where workflow_id = $1", loser,
        )  # fmt: skip
        found = await broken(stage)
        assert len(found) == 2
        assert f"it serves workflows {', '.join(sorted([owner, loser]))}" in found[0]
        assert f"of workflow {loser}: it serves /planted, which deployment 1 was not" in found[1]
        await connection.execute(
            "update scheduler.trigger_index set deployment_status = 'failed' "
            "where workflow_id = $1", loser,
        )  # fmt: skip
        assert await broken(stage) == []
        await connection.execute(
            "update scheduler.path_grants set nodes = jsonb_set(nodes, '{0,methods}', '[\"PUT\"]') "
            "where workflow_id = $1", owner,
        )  # fmt: skip
        assert len(await broken(stage)) == 1
        await connection.execute(
            "update scheduler.path_grants set nodes = jsonb_set(nodes, '{0,methods}', "
            "'[\"PUT\", \"POST\"]') where workflow_id = $1", owner,
        )  # fmt: skip
        assert await broken(stage) == []
    finally:
        await connection.close()
