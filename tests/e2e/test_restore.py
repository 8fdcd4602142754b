"""A restore from a backup while Kafka lives on: what was forgotten is done again, once.

The backup is taken by pg_dump under load; more is done after it; then the tables go back to the
backup, of all services or of one while the others go on. `perdure fence --after-restore` and a
start: everything that was ever accepted reaches its end, and every promise holds.
"""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from crash_stage import WORKFLOWS, deploy_all
from definitions_for_tests import chain, request
from outside_world import World
from perdure_common import migrate
from perdure_common.embedded import Phase
from perdure_common.embedded.postgres import program_dir
from perdure_contracts.engine import CancelExecution
from platform_stage import ENDED, Stage
from promises import broken_promises
from stage_ground import own_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEFORE, AFTER = 24, 24
"""Triggers before and after the backup."""

HISTORY: dict[str, str] = {}
"""Every trigger that was accepted in this file, with the mark that it carries."""


@dataclass
class Load:
    """Triggers workflows one after the other, until it has done `count`."""

    stage: Stage
    accepted: dict[str, str] = field(default_factory=dict)

    async def run(self, count: int) -> None:
        for n in range(count):
            mark = str(uuid.uuid4())
            data = {"amount": 150, "customer": "gold", "mark": mark}
            name = WORKFLOWS[n % len(WORKFLOWS)]
            self.accepted[await self.stage.trigger(name, data)] = mark
            await asyncio.sleep(0.02)


async def program(*words: str | Path) -> None:
    """Run a program of PostgreSQL's."""
    done = await asyncio.to_thread(
        subprocess.run, [str(word) for word in words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def fence(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `perdure fence`."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PERDURE_")}
    env |= stage.environment
    command = [sys.executable, "-m", "perdure_cli.main", "fence", *words]
    return await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, check=False
    )


async def back_up(stage: Stage, service: str) -> Path:
    """Write down the tables of one service, or of all, as they stand at this moment."""
    backup = stage.ground.folder / f"{service or 'all'}.dump"
    schema = [f"--schema={service}"] if service else []
    url = stage.ground.database_url
    await program(program_dir() / "pg_dump", "--format=custom", *schema, f"--file={backup}", url)
    return backup


async def go_back(stage: Stage, service: str, backup: Path) -> None:
    """Put the tables back to how the backup has them."""
    url = stage.ground.database_url
    if service:
        connection = await asyncpg.connect(url)
        await connection.execute(f"drop schema {service} cascade")
        await connection.close()
    else:
        name = urlsplit(url).path[1:]
        connection = await asyncpg.connect(urlsplit(url)._replace(path="/postgres").geturl())
        await connection.execute(f'drop database "{name}" with (force)')
        await connection.execute(f'create database "{name}"')
        await connection.close()
    await program(program_dir() / "pg_restore", "--exit-on-error", f"--dbname={url}", backup)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready(stage: Stage, world: World) -> AsyncGenerator[Stage]:
    """The platform with what it is to run."""
    await deploy_all(stage, world)
    yield stage


def of(service: str, stage: Stage) -> Sequence[str]:
    """Return the processes that work on a service's tables."""
    if not service:
        return stage.names
    return ("engine", "runner") if service == "engine" else (service,)


@pytest.mark.parametrize("service", ["engine", "scheduler", "recovery", ""])
async def test_what_was_done_after_the_backup_is_done_again_once(
    ready: Stage, world: World, service: str
) -> None:
    load = Load(ready)
    await load.run(BEFORE)
    backup = await back_up(ready, service)
    await load.run(AFTER)
    words = [f"--service={service}"] if service else []
    refused = await fence(ready, "--after-restore", *words)
    assert refused.returncode == 1 and "services still run" in refused.stderr
    for name in of(service, ready):
        assert (await ready.kill(name)).hit
    before = await numbers(ready, service)
    await go_back(ready, service, backup)
    forgot = await numbers(ready, service)
    assert sum(forgot.values()) < sum(before.values()), "nothing was done after the backup"
    fenced = await fence(ready, "--after-restore", *words)
    assert fenced.returncode == 0, fenced.stderr
    assert "fenced" in fenced.stdout
    for name in of(service, ready):
        ready.begin(name)
    await ready.until_ready()
    HISTORY.update(load.accepted)
    await all_ended(ready)
    judge(await executions(ready), world)
    assert await broken_promises(ready, list(HISTORY), world) == []


async def restored(stage: Stage, backup: Path) -> None:
    """Put the engine's tables back, and let it go on."""
    for name in of("engine", stage):
        assert (await stage.kill(name)).hit
    await go_back(stage, "engine", backup)
    fenced = await fence(stage, "--after-restore", "--service=engine")
    assert fenced.returncode == 0, fenced.stderr
    for name in of("engine", stage):
        stage.begin(name)
    await stage.until_ready()


async def test_what_was_done_after_the_backup_is_known_again_from_the_topics(
    ready: Stage, world: World
) -> None:
    backup = await back_up(ready, "engine")
    once = request("post", world.url("/ok?unsafe"), json="{{ {mark: $json.mark} }}")
    del once["parameters"]["idempotency_header"]
    await ready.deploy(chain("late", once))
    await ready.deploy(chain("held", request("wait", world.url("/gate"))))
    marks = {name: [str(uuid.uuid4()) for _ in range(10)] for name in ("unsafe", "late")}
    ids = {
        await ready.trigger(name, {"mark": mark}): mark
        for name, each in marks.items()
        for mark in each
    }
    canceled = await ready.trigger("held", {})
    for event_id in ids:
        assert (await ready.ended(event_id))["status"] == "SUCCESS"
    [row] = await ready.until(lambda: ready.executions_of(canceled), "an execution that waits")
    cancel = CancelExecution(execution_id=row["execution_id"])
    await ready.send("engine", row["execution_id"], cancel)
    assert (await ready.ended(canceled))["status"] == "CANCELED"
    await restored(ready, backup)
    for event_id in ids:
        row = await ready.ended(event_id)
        assert row["status"] == "SUCCESS", dict(row)
    assert (await ready.ended(canceled))["status"] == "CANCELED"
    calls = Counter(call.body["mark"] for call in world.to("/ok?unsafe"))
    assert {calls[mark] for mark in ids.values()} == {1}, "nothing of it was done again"
    HISTORY.update(ids)
    world.gate.set()
    accepted = [*HISTORY, canceled]
    assert await broken_promises(ready, accepted, world) == []


async def numbers(stage: Stage, service: str) -> dict[str, int]:
    """Return the next number of each shard."""
    rows = await stage.rows(f"select id, next_seq from {service or 'engine'}.shard")
    return {row["id"]: row["next_seq"] for row in rows}


async def all_ended(stage: Stage) -> None:
    async def found() -> bool:
        rows = await executions(stage)
        return len(rows) == len(HISTORY) and all(row["status"] in ENDED for row in rows)

    await stage.until(found, f"the end of {len(HISTORY)} executions", 180.0)


async def executions(stage: Stage) -> list[Any]:
    return await stage.rows(
        """
        select d.id, x.status, x.error_message, w.name
          from scheduler.trigger_deliveries d,
               jsonb_array_elements_text(d.executions) as started (id)
          join engine.workflow_executions x on x.execution_id = started.id
          join engine.workflows w on w.id = x.workflow_id
         where d.id = any ($1)
        """,
        list(HISTORY),
    )


def judge(rows: list[Any], world: World) -> None:
    """What may be done twice is done; what may not was done once at most."""
    failed = [dict(r) for r in rows if r["status"] != "SUCCESS" and r["name"] != "unsafe"]
    assert failed == []
    calls = Counter(call.body["mark"] for call in world.to("/ok?unsafe"))
    assert [mark for mark, count in calls.items() if count > 1] == []
    print(Counter((row["name"], row["status"]) for row in rows))


async def test_a_platform_that_is_down_is_fenced_on_servers_that_start_for_it() -> None:
    async with own_ground() as ground:
        embedded = ground.embedded
        assert embedded is not None
        for name in ("engine", "recovery", "scheduler"):
            await migrate.up(ground.database_url, name)
        await asyncio.to_thread(embedded.stop)
        env = {key: value for key, value in os.environ.items() if not key.startswith("PERDURE_")}
        env["PERDURE_HOME"] = str(ground.folder / "servers")
        command = [sys.executable, "-m", "perdure_cli.main", "fence", "--after-restore", "--json"]
        done = await asyncio.to_thread(
            subprocess.run, command, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        reports = json.loads(done.stdout)
        assert [each["service"] for each in reports] == ["engine", "recovery", "scheduler"]
        shards = {fence["shard"] for each in reports for fence in each["shards"]}
        assert {"0", "7", "triggers/0"} <= shards
        assert all(fence["epoch"] > 10**15 for each in reports for fence in each["shards"])
        assert embedded.status().phase is not Phase.READY, "the servers end with it"


async def test_a_fence_without_a_reason_or_for_an_unknown_service_is_refused(ready: Stage) -> None:
    nothing = await fence(ready)
    assert nothing.returncode == 2 and "--after-restore" in nothing.stderr
    unknown = await fence(ready, "--after-restore", "--service=nobody")
    assert unknown.returncode == 2 and "'nobody'" in unknown.stderr
