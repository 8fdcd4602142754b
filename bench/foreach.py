"""Large executions: many items, many branches, many node runs, many nodes.

On a platform of its own in a folder that is removed at the end: real PostgreSQL (fsync on) and
Kafka, all services, every table written, the load on the same machine. Times are wall time, from
the moment a command is sent until its last row is there; the least of a few rounds is told. What
the engine's core takes of it, without shell and servers, is told beside it (`core_…`, CPU time).

    QUICK=1 python -m bench.foreach
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from perdure_cli import deploying, platform
from perdure_cli.client import Client
from perdure_common.cycles import freeze
from perdure_contracts.engine import SaveWorkflow, StartExecution
from perdure_contracts.flow import SignalExecution

from bench import large_core, machine, stack
from bench.large_core import BRANCHES, ITEMS, NODES, edge, fan, foreach, long, node
from bench.stack import QUICK

ROUNDS = 1 if QUICK else 3
LOOK_S = 0.003
LIMIT_S = 120.0

MEANING = {
    "items_per_s": f"items a second of a FOREACH over {ITEMS:,} with an inline body, on the whole "
    "platform (target 5,000)",
    "fanout_1000_s": "seconds for 1,000 dispatched steps side by side and their join, on the whole "
    "platform (target 1.5)",
    "resume_10000_s": "seconds until an execution of 10,000 node runs ends that a signal wakes, "
    "after its engine was killed and is back: snapshot, fold, the last steps (target 1)",
    "resume_10000_mb": "MB that the state of 10,000 runs takes in the core (target 60)",
    "deploy_1000_ms": "ms to save and deploy a workflow of 1,000 nodes, on the whole platform "
    "(target 300)",
    "core_items_per_s": "the same FOREACH in the engine's core alone, CPU time",
    "core_fanout_1000_s": "the same fan-out in the engine's core alone, CPU time",
    "core_resume_10000_s": "seconds to fold 10,000 runs again by the newest snapshot, CPU time",
    "core_deploy_1000_ms": "ms to validate, freeze and project 1,000 nodes, CPU time",
}


@dataclass
class Stand:
    """The running platform, as the measurements use it."""

    running: platform.Running
    client: Client
    database: Any

    async def save(self, definition: dict[str, Any]) -> str:
        """Save a workflow and return its id."""
        workflow_id = str(uuid.uuid4())
        message = SaveWorkflow(workflow_id=workflow_id, definition=definition, saved_by="bench")
        await self.client.command("engine", workflow_id, message)
        return workflow_id

    async def start(self, workflow_id: str, data: Any) -> str:
        """Start an execution and return its id; it has begun when this returns."""
        execution_id = str(uuid.uuid4())
        start = StartExecution(
            execution_id=execution_id, workflow_id=workflow_id, version=1, node_id="start",
            mode="MANUAL", triggered_by="MANUAL:start", trigger={"id": "bench"}, data=data,
        )  # fmt: skip
        await self.client.command("engine", execution_id, start)
        return execution_id

    async def ended(self, execution_id: str) -> None:
        """Wait for the row that says that an execution has ended well."""
        sql = "select status from engine.workflow_executions where execution_id = $1"
        status = await self.until(sql, execution_id, lambda each: each not in (None, "RUNNING"))
        assert status == "SUCCESS", status

    async def until(self, sql: str, key: str, done: Callable[[Any], bool]) -> Any:
        """Ask the database until the answer is what is waited for."""
        limit = time.monotonic() + LIMIT_S
        while True:
            found = await self.database.fetchval(sql, key)
            if done(found):
                return found
            assert time.monotonic() < limit, f"in vain for {sql}: {found}"
            await asyncio.sleep(LOOK_S)


async def best(measure: Callable[[], Awaitable[float]]) -> float:
    """Return the least of some rounds; the first one of all is for warming up."""
    found = [await measure() for _ in range(ROUNDS + 1)]
    return min(found[1:])


async def items(stand: Stand) -> float:
    """Return the items of a FOREACH that are done in a second."""
    workflow_id = await stand.save(foreach())
    data = [{"n": n} for n in range(ITEMS)]

    async def once() -> float:
        began = time.perf_counter()
        execution_id = await stand.start(workflow_id, data)
        await stand.ended(execution_id)
        taken = time.perf_counter() - began
        sql = "select count(*) from engine.node_executions where execution_id = $1"
        assert await stand.database.fetchval(sql, execution_id) == ITEMS + 2
        return taken

    return ITEMS / await best(once)


async def fanout(stand: Stand) -> float:
    """Return the seconds that dispatched steps side by side and their join take."""
    workflow_id = await stand.save(fan(BRANCHES, dispatched=True))

    async def once() -> float:
        began = time.perf_counter()
        await stand.ended(await stand.start(workflow_id, {"n": 1}))
        return time.perf_counter() - began

    return await best(once)


def waiting() -> dict[str, Any]:
    """Return a workflow that makes two runs of each item and then waits to be told to go on."""
    made = foreach()
    made["name"] = "waiting"
    made["nodes"] += [
        node("second", "FLOW.NOOP"),
        node("wait", "FLOW.WAIT", parameters={"event": {"name": "go", "key": "on"}}),
    ]
    made["connections"] = [
        edge("start", "each"),
        edge("each", "body", "item"),
        edge("body", "second"),
        edge("second", "each"),
        edge("each", "wait", "done"),
    ]
    return made


async def resume(stand: Stand) -> float:
    """Return how long an execution of 10,000 runs takes to go on in engines that know nothing."""
    workflow_id = await stand.save(waiting())
    execution_id = await stand.start(workflow_id, [{"n": n} for n in range(ITEMS // 2)])
    runs = "select count(*) from engine.node_executions where execution_id = $1"
    await stand.until(runs, execution_id, lambda count: count > ITEMS)
    before = await stand.database.fetchval("select sum(epoch) from engine.shard")
    for name, process in machine.processes(stand.running).items():
        if name.startswith("engine"):
            process.kill()
    shards = stand.client.settings.partitions
    claimed = f"select sum(epoch) >= {before + shards} from engine.shard where $1 <> ''"
    await stand.until(claimed, "-", bool)
    await asyncio.sleep(2.0)  # until nobody claims any more
    began = time.perf_counter()
    signalled = SignalExecution(
        execution_id=execution_id, signal_id=str(uuid.uuid4()), name="go", payload={}
    )
    await stand.client.command("engine", execution_id, signalled)
    await stand.ended(execution_id)
    return time.perf_counter() - began


async def deploy(stand: Stand) -> float:
    """Return the milliseconds until a workflow of many nodes is a version that serves."""
    count = 0

    async def once() -> float:
        nonlocal count
        count += 1
        loaded = deploying.Loaded(Path(), {**long(NODES), "name": f"long {count}"}, None)
        began = time.perf_counter()
        await deploying.apply_and_deploy(stand.client, loaded)
        return time.perf_counter() - began

    return 1e3 * await best(once)


async def measured(running: platform.Running) -> dict[str, float]:
    """Return what the whole platform gives."""
    database: Any = await asyncpg.connect(running.database_url)
    try:
        async with Client(running) as client:
            stand = Stand(running, client, database)
            return {
                "items_per_s": round(await items(stand)),
                "fanout_1000_s": round(await fanout(stand), 2),
                "deploy_1000_ms": round(await deploy(stand)),
                "resume_10000_s": round(await resume(stand), 3),
            }
    finally:
        await database.close()


def main() -> int:
    """Measure, and say what the targets are."""
    with stack.whole() as running:
        time.sleep(1.0)
        result = asyncio.run(measured(running))
    freeze()
    resume_s, resume_mb = large_core.resume()
    result |= {
        "resume_10000_mb": round(resume_mb, 1),
        "core_items_per_s": round(large_core.items()),
        "core_fanout_1000_s": round(large_core.fanout(), 2),
        "core_resume_10000_s": round(resume_s, 3),
        "core_deploy_1000_ms": round(large_core.deploy()),
    }
    for key, value in result.items():
        print(f"{key:<20} {value:>10}  {MEANING[key]}")
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
