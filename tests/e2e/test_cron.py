"""Cron triggers on real servers: each firing starts one execution, whoever is killed when.

The workflow fires every second; what was missed while nobody ran is made up for, so every second
between the first and the last firing must have exactly one execution.
"""

import asyncio
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from command_line import Said, perdure
from definitions_for_tests import chain, edge, node
from outside_world import World
from perdure_contracts.cron import BackfillCron, PauseTrigger, ResumeTrigger
from perdure_contracts.scheduler import UndeployWorkflow
from platform_stage import ENDED, Refused, Stage
from promises import broken_promises
from turned_clock import TurnedClock

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLACES = (
    "before_wake",
    "before_commit",
    "after_commit_before_publish",
    "during_publish",
    "after_publish",
)
"""Where the scheduler dies: before a firing is written, between that and its leaving, after."""


async def typed(stage: Stage, *words: str) -> Said:
    """Type a command, pointed at a stage."""
    return await asyncio.to_thread(perdure, *words, env=stage.environment)


def clocked(name: str, expression: str, *nodes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a workflow that a clock starts."""
    steps = [*nodes] or [node("step", "ACTION.SET", values={"at": "{{ $json.scheduled_at }}"})]
    whole = [node("clock", "TRIGGER.CRON", expression=expression, **more), *steps]
    ids = [str(each["node_id"]) for each in whole]
    connections = [edge(a, b) for a, b in pairwise(ids)]
    return {"name": name, "nodes": whole, "connections": connections}


async def seconds_of(stage: Stage, workflow_id: str) -> list[int]:
    """Return the seconds for which executions were started, by the ids of these."""
    rows = await stage.rows(
        """
        select execution_id from engine.workflow_executions
         where workflow_id = $1 and triggered_by = 'CRON:clock' order by execution_id
        """,
        workflow_id,
    )
    return [int(row["execution_id"].replace("-", "")[:12], 16) // 1000 for row in rows]


async def fires(stage: Stage, workflow_id: str, more: int) -> None:
    """Wait until so many more executions have been started."""
    before = len(await seconds_of(stage, workflow_id))

    async def found() -> bool:
        return len(await seconds_of(stage, workflow_id)) >= before + more

    await stage.until(found, f"{more} more firings")


async def all_ended(stage: Stage, workflow_id: str) -> None:
    """Wait until every firing's execution has ended well."""

    async def found() -> bool:
        [row] = await stage.rows(
            """
            select count(*) as fired, count(*) filter (where x.status = any ($2)) as ended
              from scheduler.trigger_deliveries d
              left join engine.workflow_executions x on x.execution_id = d.executions->>0
             where d.subtype = 'CRON' and d.subject = $1
            """,
            f"{workflow_id}/clock",
            list(ENDED),
        )
        return row["fired"] > 0 and row["fired"] == row["ended"]

    await stage.until(found, "the end of what was fired")


async def undeploy(stage: Stage, workflow_id: str) -> None:
    await stage.ask("scheduler", workflow_id, UndeployWorkflow(workflow_id=workflow_id))

    async def retired() -> bool:
        return bool(
            await stage.rows(
                "select 1 from scheduler.journal "
                "where stream = $1 and type = 'scheduler.cron-retired.v1'",
                f"{workflow_id}/cron/clock",
            )
        )

    await stage.until(retired, "the clock's rest")


async def test_every_second_starts_one_execution_wherever_the_scheduler_is_killed(
    stage: Stage, world: World
) -> None:
    definition = clocked(
        "every second", "* * * * * *", misfire="fire_all", overlap="allow", timezone="Europe/Berlin"
    )
    workflow_id = await stage.deploy(definition)
    await fires(stage, workflow_id, 2)
    for place in PLACES:
        assert await stage.end("scheduler") == 0
        stage.begin("scheduler", f"scheduler.{place}:kill@3")
        await stage.until_killed("scheduler")
        stage.begin("scheduler")
        await stage.until_ready(["scheduler"])
        await fires(stage, workflow_id, 2)
    await undeploy(stage, workflow_id)
    await all_ended(stage, workflow_id)
    found = await seconds_of(stage, workflow_id)
    assert found == list(range(found[0], found[-1] + 1))
    fired = await stage.rows(
        "select id from scheduler.trigger_deliveries where subject = $1", f"{workflow_id}/clock"
    )
    assert len(fired) == len(found)
    assert await broken_promises(stage, [], world) == []


STARTED = "perdure_cron_start_delay_seconds_count"


async def test_three_schedulers_that_are_killed_in_turn_start_every_second_once(
    stage: Stage, world: World
) -> None:
    for n in (2, 3):
        stage.begin("scheduler", beside=f"scheduler-{n}")
    await stage.until_ready(["scheduler", "scheduler-2", "scheduler-3"])
    before = (await measured(stage, "engine"))[STARTED]  # of the tests before
    definition = clocked("three", "* * * * * *", misfire="fire_all", overlap="allow")
    workflow_id = await stage.deploy(definition)
    await fires(stage, workflow_id, 2)
    for name in ("scheduler", "scheduler-2", "scheduler-3"):
        await stage.kill(name)
        await fires(stage, workflow_id, 2)
        if name != "scheduler-3":
            stage.begin("scheduler", beside="" if name == "scheduler" else name)
            await stage.until_ready([name])
    await undeploy(stage, workflow_id)
    await all_ended(stage, workflow_id)
    found = await seconds_of(stage, workflow_id)
    assert found == list(range(found[0], found[-1] + 1))
    assert await stage.end("scheduler-2") == 0
    assert await broken_promises(stage, [], world) == []

    async def told() -> set[str]:  # by who owns the first shard, once it has looked
        return {name for name in await measured(stage) if name.startswith("perdure_cron_")}

    listed = await stage.until(told, "the metrics of the one that is left")
    counted = {"perdure_cron_fired_total", "perdure_cron_missed_total"}
    assert listed >= {*counted, "perdure_cron_late_seconds"}
    started = await measured(stage, "engine")
    assert started[STARTED] - before == len(found)


async def measured(stage: Stage, service: str = "scheduler") -> dict[str, float]:
    """Return a service's metrics by name."""
    url = f"http://127.0.0.1:{stage.ports[service]}/metrics"
    async with httpx.AsyncClient(trust_env=False) as client:
        lines = (await client.get(url)).text.splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name.partition("{")[0]: float(value) for name, _, value in pairs}


async def test_a_clock_that_was_set_back_is_told_by_the_status_page(stage: Stage) -> None:
    workflow_id = await stage.deploy(clocked("set back", "0 0 1 1 *"))
    await stage.until(lambda: _is_timed(stage, "set back"), "the clock")
    # What is settled lies ahead of the clock: so it looks after the clock has been set back.
    await stage.rows(
        "update scheduler.trigger_index set settled_until = now() + interval '1 hour' "
        "where workflow_id = $1",
        workflow_id,
    )
    said = await typed(stage, "status")
    assert "the clock was set back by" in " ".join(said.out.split()), said
    await undeploy(stage, workflow_id)


async def test_a_slow_execution_is_waited_for_and_its_end_starts_the_next(
    stage: Stage, world: World
) -> None:
    slow = node("ask", "EXTERNAL_ACTION.HTTP_REQUEST", method="GET", url=world.url("/slow/1500"))
    workflow_id = await stage.deploy(clocked("queued", "* * * * * *", slow, overlap="queue"))
    await fires(stage, workflow_id, 3)
    await undeploy(stage, workflow_id)
    await all_ended(stage, workflow_id)
    rows = await stage.rows(
        """
        select start_time, end_time from engine.workflow_executions
         where workflow_id = $1 order by start_time
        """,
        workflow_id,
    )
    for one, next_one in pairwise(rows):
        assert one["end_time"] <= next_one["start_time"]


async def test_a_pause_is_kept_and_a_backfill_does_the_past_once(stage: Stage) -> None:
    zone = ZoneInfo("Europe/Berlin")
    today = datetime.now(zone)
    hour = 18 if today.hour in (11, 12) else 12  # it is not due by itself while this runs
    expression = f"0 {hour} * * *"
    workflow_id = await stage.deploy(clocked("daily", expression, timezone="Europe/Berlin"))
    stream = f"{workflow_id}/cron/clock"

    async def served() -> list[Any]:
        return await stage.rows(
            "select 1 from scheduler.trigger_index "
            "where workflow_id = $1 and next_fire_at is not null",
            workflow_id,
        )

    await stage.until(served, "the clock")
    who: dict[str, Any] = {"workflow_id": workflow_id, "node_id": "clock"}
    await stage.ask("scheduler", stream, PauseTrigger(**who))
    until = today.replace(hour=0, minute=0, second=0, microsecond=0)
    past = BackfillCron(
        **who, first=(until - timedelta(days=3)).isoformat(), until=until.isoformat()
    )
    for _ in range(2):
        await stage.ask("scheduler", stream, past)
    await stage.until(lambda: _three(stage, workflow_id), "three days")
    found = [datetime.fromtimestamp(each, UTC) for each in await seconds_of(stage, workflow_id)]
    expected = [(until - timedelta(days=n)).replace(hour=hour) for n in (3, 2, 1)]
    assert found == [each.astimezone(UTC) for each in expected]
    older = (until - timedelta(days=40)).isoformat()
    with pytest.raises(Refused, match="is known for 30 days") as refused:
        await stage.ask("scheduler", stream, replace(past, first=older))
    assert refused.value.code == "backfill_too_old"
    await stage.ask("scheduler", stream, ResumeTrigger(**who))
    await stage.until(served, "the clock again")
    await all_ended(stage, workflow_id)


async def _three(stage: Stage, workflow_id: str) -> bool:
    return len(await seconds_of(stage, workflow_id)) >= 3


async def test_the_commands_of_the_page_work(stage: Stage) -> None:
    page = (ROOT / "docs" / "trigger-cron.md").read_text(encoding="utf-8")
    day = datetime.now(UTC).date()
    first, until = day - timedelta(days=21), day - timedelta(days=7)
    page = re.sub("--from [0-9-]+ --to [0-9-]+", f"--from {first} --to {until}", page)
    lines = re.findall(r"^perdure .*$", page, re.MULTILINE)
    deploys, shows = lines.pop().split(" && ")
    said = await typed(stage, *deploys.replace("examples/", f"{ROOT}/examples/").split()[1:])
    assert said.code == 0 and "serves now" in said.out, said
    await stage.until(lambda: _is_timed(stage, "clock"), "the clock")
    for line in [shows, *lines]:
        words = line.replace("NAME", "clock").split()[1:]
        said = await typed(stage, *words)
        assert said.code == 0, (line, said)
        if words[1] == "next":
            assert "local time (Europe/Berlin)" in said.out and "T02:30:00+0" in said.out
        elif words[1] == "list":
            assert "30 2 * * 1-5 Europe/Berlin" in said.out
        elif words[1] == "backfill":  # the weekdays of two weeks
            assert "10 firings happen now" in said.out
    words = lines[-1].replace("NAME", "clock").split()[1:]
    again = await typed(stage, *words)
    assert "0 firings happen now" in again.out
    forced = await typed(stage, *words, "--force", "--json")
    assert forced.json["fired"] == 10


async def test_what_is_asked_wrongly_is_told(stage: Stage) -> None:
    name = f"manual {uuid.uuid4().hex[:6]}"
    await stage.deploy(chain(name, node("step", "FLOW.NOOP")))
    said = await typed(stage, "triggers", "next", name, "--json")
    assert (said.code, said.json["error"]["code"]) == (2, "trigger_not_found")
    await stage.deploy(clocked("told", "0 0 1 1 *"))
    await stage.until(lambda: _is_timed(stage, "told"), "the clock")
    bad = ("triggers", "backfill", "told", "--from", "yesterday", "--to", "2026-01-01", "--json")
    said = await typed(stage, *bad)
    assert (said.code, said.json["error"]["code"]) == (2, "invalid_instant")
    ahead = ("triggers", "backfill", "told", "--from", "2098-01-01", "--to", "2099-01-01", "--json")
    said = await typed(stage, *ahead)
    assert (said.code, said.json["error"]["code"]) == (1, "backfill_in_future")


async def _is_timed(stage: Stage, name: str) -> list[Any]:
    return await stage.rows(
        """
        select 1 from scheduler.trigger_index t join engine.workflows w on w.id = t.workflow_id
         where t.workflow_name = $1 and t.next_fire_at is not null
        """,
        name,
    )


# The last one here: shards whose clock was ahead fire no new clocks until that has been reached.
async def test_a_clock_that_jumps_forward_and_back_starts_every_hour_once(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    clock, settings, zygote = TurnedClock(tmp_path / "clock"), stage.settings, stage.zygote
    assert await stage.end("scheduler") == 0
    stage.settings, stage.zygote = {**settings, **clock.environment}, None
    try:
        stage.begin("scheduler")
        await stage.until_ready(["scheduler"])
        begun = clock.now()
        definition = clocked("hourly", "0 * * * *", misfire="fire_all", overlap="allow")
        workflow_id = await stage.deploy(definition)

        async def every_hour_up_to_now() -> bool:
            first, last = _hour(begun), _hour(clock.now())
            return await seconds_of(stage, workflow_id) == list(range(first + 3600, last + 1, 3600))

        for hours in (3, 5):  # forward, and what lies between is made up for
            clock.turn(timedelta(hours=hours))
            await stage.until(every_hour_up_to_now, f"{hours} hours")
        furthest = await seconds_of(stage, workflow_id)
        for hours in (2, 4):  # back, and through hours that were
            clock.turn(timedelta(hours=hours))
            await stage.kill("scheduler")
            stage.begin("scheduler")
            await stage.until_ready(["scheduler"])
            await _works(stage)
            assert await seconds_of(stage, workflow_id) == furthest
        clock.turn(timedelta(hours=8))
        await stage.until(every_hour_up_to_now, "the clock has caught up")
        await undeploy(stage, workflow_id)
        await all_ended(stage, workflow_id)
        assert await broken_promises(stage, [], world) == []
    finally:
        await stage.end("scheduler")
        stage.settings, stage.zygote = settings, zygote
        stage.begin("scheduler")
        await stage.until_ready(["scheduler"])


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // 3600 * 3600


async def _works(stage: Stage) -> None:
    """Wait until the scheduler has done something after its start, its clocks among it."""
    name = f"by hand {uuid.uuid4().hex[:6]}"
    workflow_id = await stage.deploy(chain(name, node("step", "FLOW.NOOP")))
    await stage.trigger(workflow_id, {})

    async def started() -> list[Any]:
        sql = "select 1 from engine.workflow_executions where workflow_id = $1"
        return await stage.rows(sql, workflow_id)

    await stage.until(started, "an execution")
