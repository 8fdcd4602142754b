"""Executions that ended long ago are purged on real servers, and every promise still holds."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from command_line import Said, perdure
from definitions_for_tests import chain, node
from perdure_common import replay
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.embedded import Addresses
from perdure_common.settings import DEFAULT_TENANT
from perdure_contracts.engine import StartExecution
from perdure_engine.app import service
from perdure_engine.retention import sweep
from platform_stage import PATIENT, Refused, Stage
from promises import until_settled, what_verify_finds
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLES = (
    "workflow_executions", "node_executions", "workflow_execution_logs",
    "workflow_execution_pauses", "substeps",
)  # fmt: skip
SWEPT_S = 180.0
"""How long sweeping is waited for, in seconds: on a machine with other work it has taken a minute
until everything of an execution counted as published."""

TEN_DAYS = 864_000_000
AGED = """
update engine.workflow_executions
   set end_time = end_time - $1,
       id = (lpad(to_hex(
               ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint - $1), 12, '0')
             || right(replace(id::text, '-', ''), 20))::uuid
 where end_time is not null
"""
"""Lets time pass for the rows that a purge takes away."""

LAST = """
select p.execution_id
  from engine.execution_purges p
  join engine.journal j on j.stream = p.execution_id
  join engine.shard s on s.id = j.shard
 group by p.execution_id
having max(j.seq) >= max(s.next_seq) - 1
"""
"""Purged executions that have the last row of a shard."""

WITH_ENTRIES = """
select shard from engine.journal_entry where shard in (select shard from engine.journal_purged)
 group by shard having count(*) > 2
"""
"""Shards of purged executions in which something stands between a first and a last entry."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    async with (
        shared_ground(servers) as ground,
        Stage(ground, settings=PATIENT) as made,
    ):
        yield made


async def purge(stage: Stage, *words: str) -> Said:
    words = ("executions", "purge", *words, "--json")
    return await asyncio.to_thread(perdure, *words, env=stage.environment)


async def ended(stage: Stage, name: str, data: Any) -> str:
    return str((await stage.ended(await stage.trigger(name, data)))["execution_id"])


async def rows_of(stage: Stage, execution_id: str) -> dict[str, int]:
    """Return how many rows each table has of an execution, the journal included."""
    found: dict[str, int] = {}
    for table in TABLES:
        sql = f"select 1 from engine.{table} where execution_id = $1"
        found[table] = len(await stage.rows(sql, execution_id))
    sql = "select 1 from engine.journal where stream = $1"
    found["journal"] = len(await stage.rows(sql, execution_id))
    return found


async def steady(stage: Stage, execution_id: str) -> dict[str, int]:
    """Return how many rows there are, but for the log's, which may still be written."""
    found = await rows_of(stage, execution_id)
    return {name: found[name] for name in ("workflow_executions", "node_executions", "journal")}


async def sweep_all(stage: Stage, executions: int, *, tombstones: bool = False) -> None:
    """Sweep as if all of it were long ago; what is not yet published is waited for."""
    swept, days = 0, 0.0 if tombstones else 30.0

    async def done() -> bool:
        nonlocal swept
        counts = await sweep(stage.ground.database_url, datetime.now(UTC), 0.0, days)
        swept += counts[1] if tombstones else counts[0]
        return swept >= executions

    await stage.until(done, f"{executions} executions to be swept", SWEPT_S)
    assert swept == executions


async def nothing_differs(stage: Stage) -> None:
    assert await what_verify_finds(stage) == []
    report = await replay.check(service, stage.ground.database_url)
    assert report.differences == []


async def test_what_is_purged_goes_and_nothing_else_does(stage: Stage) -> None:
    large = chain(
        "large", node("copied", "ACTION.SET", values={"copy": "{{ $json.text.repeat(40) }}"})
    )
    await stage.deploy(large)
    await stage.deploy(chain("waits", node("wait", "FLOW.WAIT", seconds=86_400)))
    text = "x" * 10_000
    first, second, latest = [await ended(stage, "large", {"text": text}) for _ in range(3)]
    event = await stage.trigger("waits", {})
    await stage.until(lambda: stage.executions_of(event), "the open one to begin")
    (waiting,) = await stage.executions_of(event)
    assert await stage.rows("select 1 from engine.payloads")
    shown = "select 1 from engine.workflows where latest_execution_id = $1"
    await stage.until(lambda: stage.rows(shown, latest), "the latest one to be shown")
    waits = "select 1 from engine.node_executions where execution_id = $1 and node_id = 'wait'"
    await stage.until(lambda: stage.rows(waits, waiting["execution_id"]), "its lazy row")
    await stage.rows(AGED, TEN_DAYS)

    young = await purge(stage, "--older-than", "6")
    assert (young.code, young.json["error"]["code"]) != (0, "")
    assert "7 or more" in young.json["error"]["message"]
    dry = await purge(stage, "--older-than", "7", "--dry-run")
    assert [row["execution_id"] for row in dry.json["executions"]] == [first, second]
    assert not any(row["sent"] for row in dry.json["executions"])
    assert (await purge(stage, waiting["execution_id"])).json["matched"] == 0
    assert (await purge(stage, latest)).json["matched"] == 0

    untouched = (latest, waiting["execution_id"])
    before = [await steady(stage, key) for key in untouched]
    done = await purge(stage, "--older-than", "7", "--workflow", "large")
    assert (done.code, done.json["accepted"]) == (0, 2)
    again = await purge(stage, "--older-than", "7", "--workflow", "large")
    assert again.json["matched"] == 0
    await sweep_all(stage, 2)
    for key in (first, second):
        assert await rows_of(stage, key) == {**dict.fromkeys(TABLES, 0), "journal": 1}
    assert before == [await steady(stage, key) for key in untouched]
    await stage.rows(AGED, -TEN_DAYS)
    await nothing_differs(stage)


async def test_a_purged_execution_takes_nothing_even_when_the_engine_was_killed(
    stage: Stage,
) -> None:
    (swept,) = await stage.rows("select execution_id, version from engine.execution_purges limit 1")
    key = swept["execution_id"]
    await stage.kill("engine")
    stage.begin("engine")
    await stage.until_ready(["engine"])
    (workflow,) = await stage.rows("select id::text from engine.workflows where name = 'large'")
    start = StartExecution(
        execution_id=key, workflow_id=workflow["id"], version=1, node_id="start", mode="MANUAL",
        triggered_by="tests", trigger={"id": "e"}, data={"text": "again"},
    )  # fmt: skip
    with pytest.raises(Refused, match="was purged") as refused:
        await stage.ask("engine", key, start)
    assert refused.value.code == "execution_purged"
    assert (await rows_of(stage, key))["workflow_executions"] == 0
    await nothing_differs(stage)


async def test_payloads_of_what_was_purged_are_forgotten_and_tombstones_go_last(
    stage: Stage,
) -> None:
    store = PostgresStore(stage.ground.database_url, "engine")
    try:
        used = "select distinct stream from engine.payload_uses"
        assert not {row["stream"] for row in await stage.rows(used)} & {
            row["execution_id"]
            for row in await stage.rows("select execution_id from engine.execution_purges")
        }
        await store.payloads.put([])
        await store.payloads.sweep(0.0, 100)
        kept = await stage.rows(
            "select tenant_id from engine.payloads p where not exists (select from"
            " engine.payload_uses u where u.tenant_id = p.tenant_id and u.sha256 = p.sha256)"
        )
        assert kept == []
        assert {row["tenant_id"] for row in await stage.rows("select * from engine.payloads")} <= {
            DEFAULT_TENANT
        }
    finally:
        await store.close()
    # The last row of a shard stays, whatever it is: another execution follows in each.
    while await stage.rows(LAST):
        await ended(stage, "large", {"text": "small"})
    await until_settled(stage)
    count = len(await stage.rows("select 1 from engine.execution_purges"))
    await sweep_all(stage, count, tombstones=True)
    assert await stage.rows("select 1 from engine.execution_purges") == []
    await nothing_differs(stage)


async def test_verify_still_misses_a_row_that_nobody_purged(stage: Stage) -> None:
    while not (shards := await stage.rows(WITH_ENTRIES)):
        await ended(stage, "large", {"text": "small"})
    await until_settled(stage)
    (row,) = await stage.rows(
        "delete from engine.journal_entry j where seq = (select k.seq from engine.journal_entry k"
        "   where k.shard = j.shard order by k.seq offset 1 limit 1)"
        " and shard = $1 returning shard, seq",
        shards[0]["shard"],
    )
    found = await what_verify_finds(stage)
    assert any("numbers are missing" in each and row["shard"] in each for each in found)


async def test_verify_goes_on_where_streams_have_lost_their_beginning(stage: Stage) -> None:
    lost = await stage.rows(
        "delete from engine.journal_entry where version = 1 and stream in"
        " (select stream from engine.journal where type = 'engine.workflow-saved.v1')"
        " returning stream"
    )
    assert lost
    found = await what_verify_finds(stage)
    assert any("I3" in each and "engine.workflows" in each for each in found), found
    assert any("numbers are missing" in each for each in found)
