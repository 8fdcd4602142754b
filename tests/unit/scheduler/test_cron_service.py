"""Two schedulers in memory, in virtual time: whoever owns the shard fires, and each firing once."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import virtual_time
from cron_oracle import expected
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.ids import sha256_of_json
from perdure_common.shell.codec import encode_body, header
from perdure_contracts.cron import NoteExecutionEnd
from perdure_contracts.engine import StartExecution
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import DeployWorkflow, UndeployWorkflow
from perdure_scheduler.app import service
from tally import PARTITIONS, Memory, Process, Stage
from virtual_time import timeless

WORKFLOW = "0190f3c0-0000-7000-8000-000000000001"
STREAM = f"{WORKFLOW}/cron/clock"
COMMANDS, STARTS = "perdure.scheduler.commands.v1", "perdure.engine.starts.v1"


def ground() -> Memory:
    topics = (
        COMMANDS,
        f"{COMMANDS}.dlt",
        "perdure.scheduler.events.v1",
        STARTS,
        "perdure.engine.commands.v1",
        "perdure.triggers.v1",
        "perdure.triggers.v1.dlt",
    )
    broker = MemoryBroker(dict.fromkeys(topics, PARTITIONS))
    return Memory(broker, {"scheduler": MemoryStore("scheduler")})


def definition(**parameters: Any) -> dict[str, Any]:
    clock = {"node_id": "clock", "node_type": "TRIGGER", "node_subtype": "CRON"}
    return {"name": "clocked", "nodes": [{**clock, "parameters": parameters}]}


async def ask(stage: Stage, message: object, id: str, stream: str = WORKFLOW) -> None:
    kind = NAMES[type(message)]
    await stage.put(COMMANDS, stream, encode_body(message), id, kind=kind)


async def deploy(stage: Stage, version: int, **parameters: Any) -> None:
    whole = definition(**parameters)
    message = DeployWorkflow(
        workflow_id=WORKFLOW, version=version, sha256=sha256_of_json(whole), definition=whole
    )
    await ask(stage, message, f"deploy {version}")


def starts(memory: Memory) -> list[dict[str, Any]]:
    """Return what was asked of the engine, a start that came twice once: it is told by its id."""
    found: dict[str, dict[str, Any]] = {}
    for record in memory.broker.records(STARTS):
        if header(record.headers, "ce_type") != NAMES[StartExecution].encode():
            continue  # the shell says how far it has got
        start = json.loads(record.value)
        assert found.setdefault(start["execution_id"], start) == start
    return sorted(found.values(), key=lambda start: start["data"]["scheduled_at"])


def scheduled(memory: Memory) -> list[datetime]:
    return [datetime.fromisoformat(each["data"]["scheduled_at"]) for each in starts(memory)]


async def row(stage: Stage) -> dict[str, Any]:
    (found,) = [
        each
        for each in await stage.rows("scheduler", "trigger_index")
        if each["deployment_status"] == "active"
    ]
    return found


@timeless
async def test_two_owners_that_are_killed_in_turn_fire_each_minute_once() -> None:
    memory = ground()
    stage = memory.stage()
    processes: list[Process] = [stage.process(service), stage.process(service)]
    await deploy(stage, 1, expression="* * * * *", overlap="allow", misfire="fire_all")
    async with asyncio.timeout(60):
        while not (await stage.rows("scheduler", "trigger_index")):
            await asyncio.sleep(0.1)
    begin = virtual_time.now()
    for k in range(24):
        await asyncio.sleep(131 + 7 * k)
        await processes.pop(0).crash(memory)
        if k % 4 == 3:  # for a while there is nobody
            await processes.pop(0).crash(memory)
            await asyncio.sleep(200)
            processes.append(stage.process(service))
        processes.append(stage.process(service))
    await asyncio.sleep(120)
    await ask(stage, UndeployWorkflow(workflow_id=WORKFLOW), "undeploy")
    await asyncio.sleep(30)
    until = virtual_time.now()
    await asyncio.sleep(300)  # nothing fires any more
    for process in processes:
        await process.end()
    found = scheduled(memory)
    wanted = expected("* * * * *", "UTC", begin, until)
    assert found == [at for at in wanted if at <= found[-1]]
    assert until - found[-1] < timedelta(seconds=100)
    deliveries = await stage.rows("scheduler", "trigger_deliveries")
    assert {each["executions"][0] for each in deliveries} == {
        each["execution_id"] for each in starts(memory)
    }


@timeless
async def test_an_end_that_the_engine_tells_lets_the_next_one_start() -> None:
    memory = ground()
    stage = memory.stage()
    async with stage.running(service):
        await deploy(stage, 1, expression="* * * * *", overlap="queue")
        await asyncio.sleep(200)
        (first,) = starts(memory)
        assert first["watched_by"] == STREAM
        ended = NoteExecutionEnd(
            watcher=STREAM, execution_id=first["execution_id"], status="SUCCESS"
        )
        await ask(stage, ended, "end", STREAM)
        await asyncio.sleep(5)
    first_at, next_at = scheduled(memory)
    assert next_at - first_at >= timedelta(minutes=2)  # the newest of those that had to wait


@timeless
async def test_a_swap_of_versions_leaves_no_firing_out_and_makes_none_twice() -> None:
    memory = ground()
    stage = memory.stage()
    async with stage.running(service):
        await deploy(stage, 1, expression="* * * * *", overlap="allow")
        await asyncio.sleep(150)
        await deploy(stage, 2, expression="* * * * *", overlap="allow", timezone="UTC")
        await asyncio.sleep(120)
        await deploy(stage, 3, expression="*/2 * * * *", overlap="allow")
        await asyncio.sleep(300)
        shown = await row(stage)
        assert (shown["deployment_version"], shown["index_key"]) == (3, "*/2 * * * *")
        assert datetime.fromisoformat(shown["next_fire_at"]) > virtual_time.now()
    found = [(at.minute, each["version"]) for at, each in zip(
        scheduled(memory), starts(memory), strict=True)]  # fmt: skip
    assert [minute for minute, _ in found] == [1, 2, 3, 4, 6, 8]
    assert [version for _, version in found] == [1, 1, 2, 2, 3, 3]
