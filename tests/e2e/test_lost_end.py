"""A topic that lost its end on a real Kafka: what was read from there is written over by others.

A broker that dies may lose what it had acknowledged, where its disk did. Here its files are cut
while it is down, in the middle of a batch; it starts again with fewer records than were read.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from definitions_for_tests import chain, node, request
from outside_world import World, outside_world
from platform_stage import ENDED, Stage
from promises import broken_promises
from stage_ground import own_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRIGGERS = 40
LOST = ("engine.starts.v1", "engine.commands.v1", "engine.results.v1", "scheduler.commands.v1")


@pytest.fixture(scope="module")
def world() -> Generator[World]:
    """What the workflows call."""
    with outside_world() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(world: World) -> AsyncGenerator[Stage]:
    """A platform on servers of its own."""
    async with (
        own_ground() as ground,
        Stage(ground, allow=(f"{world.host}:{world.port}",)) as made,
    ):
        yield made


def cut(data: Path) -> dict[str, int]:
    """Cut the last third off what partitions hold; return how many bytes each has lost."""
    lost: dict[str, int] = {}
    for log in data.rglob("*.log"):
        topic = log.parent.name.rpartition("-")[0].removeprefix("perdure.")
        size = log.stat().st_size
        if topic in LOST and size:
            with log.open("r+b") as file:
                file.truncate(size * 2 // 3)
            lost[log.parent.name] = size - size * 2 // 3
    return lost


async def run(stage: Stage, name: str) -> list[str]:
    """Trigger executions and wait for their ends; return the events' ids."""
    accepted = [await stage.trigger(name, {"n": n}) for n in range(TRIGGERS)]

    async def ended() -> bool:
        [row] = await stage.rows(
            """
            select count(*) as count
              from scheduler.trigger_deliveries d,
                   jsonb_array_elements_text(d.executions) as started (id)
              join engine.workflow_executions x on x.execution_id = started.id
             where d.id = any ($1) and x.status = any ($2)
            """,
            accepted,
            list(ENDED),
        )
        return row["count"] == TRIGGERS

    await stage.until(ended, f"the end of {TRIGGERS} executions", 90.0)
    return accepted


async def test_what_a_real_topic_lost_is_written_over_and_read_by_its_owner(
    stage: Stage, world: World
) -> None:
    steps = [
        request("ask", world.url("/ok"), json="{{ $json }}"),
        node("note", "ACTION.SET", values={"done": True}),
    ]
    await stage.deploy(chain("cut", *steps))
    accepted = await run(stage, "cut")

    assert stage.ground.embedded is not None
    keeper = psutil.Process((await asyncio.to_thread(stage.ground.embedded.status)).keeper_pid)
    keeper.suspend()  # it would start Kafka again before the files are cut
    try:
        broker = psutil.Process(stage.ground.server_pid("kafka"))
        broker.kill()
        while broker.status() != psutil.STATUS_ZOMBIE:  # its keeper sleeps, and buries nobody
            await asyncio.sleep(0.01)
        lost = await asyncio.to_thread(cut, stage.ground.folder)
    finally:
        keeper.resume()
    for topic in ("starts", "commands"):  # how many results went by Kafka is left to chance
        assert any(name.startswith(f"perdure.engine.{topic}.v1-") for name in lost), lost
    print(f"lost: {lost}")
    await stage.until_served("kafka")
    await stage.until_ready()

    accepted += await run(stage, "cut")
    for victim in ("engine", "scheduler"):  # and whoever comes after knows where to read on
        assert (await stage.kill(victim)).hit
        stage.begin(victim)
    await stage.until_ready()
    accepted += await run(stage, "cut")

    # Every promise holds but that about the topics themselves, which says what they lost.
    broken = await broken_promises(stage, accepted, world)
    assert broken, "verify is to see that a topic has lost records"
    for finding in broken:
        assert finding.startswith("I5 ") and "not there" in finding, broken
        assert any(f"perdure.{topic}/" in finding for topic in LOST), broken
    rows = await stage.rows(
        "select status from engine.workflow_executions where status <> $1", "SUCCESS"
    )
    assert rows == []
