"""CODE on a whole platform: code that runs wild beside neighbours, and a runner that is killed."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from definitions_for_tests import chain, node
from outside_world import World
from perdure_common.embedded import Addresses
from platform_stage import PATIENT, Stage
from promises import broken_promises
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCEPTED: list[str] = []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    """A platform that runs code in both languages."""
    settings = {**PATIENT, "PERDURE_CODE": "javascript python"}
    async with shared_ground(servers) as ground, Stage(ground, settings=settings) as made:
        yield made


def code(node_id: str, language: str, text: str, **more: Any) -> dict[str, Any]:
    return node(node_id, "ACTION.CODE", language=language, code=text, **more)


async def begun(stage: Stage, name: str, data: Any) -> str:
    event = await stage.trigger(name, data)
    ACCEPTED.append(event)
    return event


async def test_code_that_runs_wild_fails_by_type_and_its_neighbours_come_through(
    stage: Stage,
) -> None:
    eats = "const a = [];\nwhile (true) a.push(new Array(1000).fill(Math.random()));"
    wild = {
        "endless-js": (code("c", "javascript", "while (true) {}", timeout_s=1), "code_timeout"),
        "endless-py": (code("c", "python", "while True: pass", timeout_s=1), "code_timeout"),
        "eats-js": (code("c", "javascript", eats, memory_mb=64, timeout_s=20), "code_memory"),
        "eats-py": (
            code("c", "python", "a = []\nwhile True: a.append(bytearray(10**6))", memory_mb=64),
            "code_memory",
        ),
    }
    for name, (each, _) in wild.items():
        await stage.deploy(chain(name, each))
    await stage.deploy(
        chain(
            "tame",
            code("js", "javascript", "return {n: item.n + 1}"),
            code("py", "python", "return {'n': item['n'] * 2}"),
        )
    )
    await stage.deploy(chain("inline", node("set", "ACTION.SET", values={"a": 1})))
    events = {name: await begun(stage, name, {}) for name in wild}
    neighbours = [await begun(stage, "inline", {"n": n}) for n in range(10)]
    tame = [await begun(stage, "tame", {"n": n}) for n in range(5)]
    for event in neighbours:
        assert (await stage.ended(event))["status"] == "SUCCESS"
    for n, event in enumerate(tame):
        row = await stage.ended(event)
        assert row["status"] == "SUCCESS", row["error_message"]
        assert json.loads(row["run_data"])["result"] == [{"n": (n + 1) * 2}]
    for name, event in events.items():
        row = await stage.ended(event)
        assert row["status"] == "ERROR"
        assert json.loads(row["error_details"])["type"] == wild[name][1], name
    await stage.until_ready(["runner"])


async def test_code_whose_runner_is_killed_runs_again(stage: Stage) -> None:
    text = "import time\ntime.sleep(3)\nreturn {'ran': True}"
    await stage.deploy(chain("slow", code("c", "python", text, timeout_s=30)))
    event = await begun(stage, "slow", {})

    async def claimed() -> Any:
        return await stage.rows("select 1 from engine.node_claims where finished_at is null")

    await stage.until(claimed, "the code to begin")
    await asyncio.sleep(0.5)
    assert (await stage.kill("runner")).hit
    await stage.rows("update engine.node_claims set lease_until = now() where finished_at is null")
    stage.begin("runner")
    row = await stage.ended(event)
    assert row["status"] == "SUCCESS", row["error_message"]
    assert json.loads(row["run_data"])["result"] == [{"ran": True}]


async def test_every_promise_holds_after_all_of_it(stage: Stage, world: World) -> None:
    assert await broken_promises(stage, ACCEPTED, world) == []
