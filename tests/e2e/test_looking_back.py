"""Looking at executions from outside: live events by the command line, time travel, rebuilding."""

import asyncio
import json
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from command_line import Said, perdure
from definitions_for_tests import chain, edge, node, request
from outside_world import World
from platform_stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def typed(stage: Stage, *words: object) -> Said:
    return await asyncio.to_thread(perdure, *words, env=stage.environment)


async def running(stage: Stage, event_id: str) -> str:
    async def begun() -> Any:
        rows = await stage.executions_of(event_id)
        return rows and rows[0]["execution_id"]

    return str(await stage.until(begun, "the execution"))


async def test_watch_prints_each_event_once_though_the_engine_is_killed_meanwhile(
    stage: Stage, world: World
) -> None:
    name = f"watched-{uuid.uuid4().hex[:8]}"
    await stage.deploy(chain(name, *(request(f"n{n}", world.url("/slow/500")) for n in range(6))))
    event_id = await stage.trigger(name, {})
    execution_id = await running(stage, event_id)
    watching = asyncio.create_task(
        typed(stage, "executions", "watch", execution_id, "--events", "--json")
    )
    await asyncio.sleep(1.0)
    kill = await stage.kill("engine")
    assert kill.hit
    stage.begin("engine")
    row = await stage.ended(event_id)
    assert row["status"] == "SUCCESS", row["error_message"]
    said = await watching
    assert said.code == 0, said.err
    told = [json.loads(line) for line in said.out.splitlines()]
    journal = await stage.rows(
        "select version, type from engine.journal where stream = $1 order by version", execution_id
    )
    assert [(each["version"], each["type"]) for each in told] == [
        (each["version"], each["type"]) for each in journal
    ]
    rest = await typed(
        stage, "executions", "watch", execution_id, "--events", "--after", told[-3]["version"]
    )
    assert [int(line.split()[0]) for line in rest.out.splitlines()] == [
        each["version"] for each in told[-2:]
    ]


def branches(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "nodes": [
            node("start", "TRIGGER.MANUAL"),
            node("big", "FLOW.IF", condition="{{ $json.n > 10 }}"),
            node("yes", "ACTION.SET", values={"size": "big"}),
            node("no", "ACTION.SET", values={"size": "small"}),
        ],
        "connections": [
            edge("start", "big"),
            edge("big", "yes", "true"),
            edge("big", "no", "false"),
        ],
    }


async def test_replay_shows_an_execution_at_any_version_and_what_changed(stage: Stage) -> None:
    name = f"travelled-{uuid.uuid4().hex[:8]}"
    await stage.deploy(branches(name))
    row = await stage.ended(await stage.trigger(name, {"n": 20}))
    execution_id = row["execution_id"]

    async def at(*words: object) -> Any:
        said = await typed(stage, "replay", "--execution", execution_id, *words, "--json")
        assert said.code == 0, said.err
        return said.json

    first = await at("--at", 1)
    assert (first["status"], first["runs"], first["edges"]) == ("RUNNING", {}, {})
    second = await at("--at", 2)
    assert {place: run["status"] for place, run in second["runs"].items()} == {"start": "SUCCESS"}
    assert second["runs"]["start"]["ports"] == {"main": {"count": 1, "items": [{"n": 20}]}}
    third = await at("--at", 3)
    states = {
        (each["source_port"], each["target"]): (each["state"], each["items"])
        for each in third["edges"].values()
    }
    assert states == {
        ("main", "big"): ("LIVE", 1),
        ("true", "yes"): ("LIVE", 1),
        ("false", "no"): ("DEAD", 0),
    }
    last = await at()
    assert {place: run["status"] for place, run in last["runs"].items()} == {
        "start": "SUCCESS",
        "big": "SUCCESS",
        "yes": "SUCCESS",
        "no": "SKIPPED",
    }
    assert last["status"] == "SUCCESS"
    assert (await at("--at", last["version"] + 100))["version"] == last["version"]
    difference = await at("--diff", 2, last["version"])
    assert difference["fields"]["status"] == {"before": "RUNNING", "after": "SUCCESS"}
    assert set(difference["runs"]) == {"big", "yes", "no"}
    assert difference["runs"]["no"]["before"] is None
    assert len(difference["edges"]) == 2

    plain = await typed(stage, "replay", "--execution", execution_id, "--at", 3)
    assert re.search(r"big\.true → yes\.main: LIVE, 1 items", plain.out)
    plain = await typed(stage, "replay", "--execution", execution_id, "--diff", 2, 3)
    assert "+ run big: status SUCCESS" in plain.out
    nobody = await typed(stage, "replay", "--execution", "nobody", "--at", 3)
    assert (nobody.code, "nobody" in nobody.err) == (1, True)


async def test_replay_writes_a_named_table_anew_while_executions_run(
    stage: Stage, world: World
) -> None:
    name = f"rebuilt-{uuid.uuid4().hex[:8]}"
    await stage.deploy(chain(name, request("ask", world.url("/slow/300"))))
    ended = [await stage.ended(await stage.trigger(name, {"n": n})) for n in range(3)]
    ids = [row["execution_id"] for row in ended]
    await stage.rows("delete from engine.node_executions where execution_id = $1", ids[0])
    await stage.rows(
        "update engine.node_executions set status = 'ERROR' where execution_id = $1", ids[1]
    )
    await stage.rows(
        "insert into engine.node_executions (execution_id, node_id, id, tenant_id, node_type)"
        " values ($1, 'invented', gen_random_uuid(), 't', 'FLOW')",
        ids[2],
    )
    running = [await stage.trigger(name, {"n": n}) for n in range(20)]
    said = await typed(stage, "replay", "--table", "engine.node_executions", "--json")
    assert said.code == 0, said.err
    assert (said.json["added"], said.json["changed"], said.json["removed"]) == (2, 2, 1)
    for event_id in running:
        assert (await stage.ended(event_id))["status"] == "SUCCESS"

    async def checked() -> bool:
        return (await typed(stage, "replay", "--check", "--json")).code == 0

    assert await stage.until(checked, "tables that are as the journal says")
    unknown = await typed(stage, "replay", "--table", "engine.node_claims")
    assert (unknown.code, "node_executions" in unknown.err) == (2, True)


async def test_a_template_is_kept_and_workflows_are_made_of_it(
    stage: Stage, tmp_path: Path
) -> None:
    name = f"branches-{uuid.uuid4().hex[:8]}"
    path = tmp_path / "branches.json"
    path.write_text(json.dumps(branches(name)), encoding="utf-8")

    async def json_of(*words: object) -> Any:
        said = await typed(stage, "template", *words, "--json")
        assert said.code == 0, said.err + said.out
        return said.json

    assert (await json_of("save", path, "--document-type", "order"))["changed"] is True
    assert (await json_of("save", path, "--document-type", "order"))["changed"] is False
    assert name in [row["name"] for row in await json_of("list", "--document-type", "order")]
    made = await json_of("use", name, "--name", f"{name}-made")
    assert (made["name"], made["version"]) == (f"{name}-made", 1)
    assert (await json_of("show", name))["workflow_definition"] == branches(name)
    await json_of("retire", name)
    assert name not in [row["name"] for row in await json_of("list")]
    refused = await typed(stage, "template", "use", name, "--name", "more")
    assert (refused.code, "retired" in refused.err) == (2, True)
