"""The commands of docs/steering.md, each as it stands there, on real servers."""

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import Said, perdure
from definitions_for_tests import Definition, chain, node, request
from outside_world import World
from platform_stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = Path(__file__).parents[2] / "docs" / "steering.md"
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
]
TYPED: list[str] = []
"""The commands that were typed, to know in the end that each of the page was."""


async def typed(stage: Stage, begins: str, **words: str) -> Said:
    """Type the command of the page that begins so, with its words in capitals replaced."""
    whole = f"perdure {begins}"
    (line,) = [whole] if whole in COMMANDS else [c for c in COMMANDS if c.startswith(whole)]
    TYPED.append(line)
    if words:  # all in one pass: what was put in may hold a word itself, as an id does "60"
        line = re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], line)
    return await asyncio.to_thread(perdure, *shlex.split(line)[1:], env=stage.environment)


async def ended(stage: Stage, definition: Definition) -> str:
    """Run a workflow to its end; return the execution."""
    await stage.deploy(definition)
    return (await stage.ended(await stage.trigger(definition["name"], {"n": 1})))["execution_id"]


def failing(name: str, world: World) -> Definition:
    call = {**request("call", world.url("/status/422")), "max_retries": 0}
    definition = chain(name, node("first", "ACTION.SET", values={"a": 1}), call)
    return {**definition, "settings": {"recovery": "off"}}


async def status_of(stage: Stage, execution_id: str) -> str:
    sql = "select status from engine.workflow_executions where execution_id = $1"
    return str((await stage.rows(sql, execution_id))[0]["status"])


async def children_of(stage: Stage, execution_id: str) -> int:
    sql = "select 1 from engine.workflow_executions where parent_execution_id = $1"
    return len(await stage.rows(sql, execution_id))


async def test_variables_and_static_data(stage: Stage, world: World) -> None:
    reads = {"url": "{{ $vars.api_url }}", "last": "{{ $execution.static_data.last_id }}"}
    keeps = node("keep", "ACTION.STATIC_DATA", values={"last_id": "{{ $json.last + 1 }}"})
    definition = {
        **chain("keeps", node("read", "ACTION.SET", values=reads), keeps),
        "static_data": {"last_id": 7},
    }
    await stage.deploy(definition)

    async def result() -> Any:
        row = await stage.ended(await stage.trigger("keeps", {}))
        found = await stage.rows(
            "select run_data::text as data from engine.workflow_executions where execution_id = $1",
            row["execution_id"],
        )
        return json.loads(found[0]["data"])["result"]

    assert await result() == [{"url": None, "last": 7}]
    said = await typed(stage, "vars set api_url")
    assert said.code == 0, said.err
    assert await result() == [{"url": "https://example.org/", "last": 8}]
    said = await typed(stage, "vars get api_url")
    assert json.loads(said.out) == "https://example.org/", said.err
    said = await typed(stage, "vars list")
    assert said.code == 0 and "api_url" in said.out, said.err
    said = await typed(stage, "static-data show", NAME="keeps")
    assert json.loads(said.out) == {"last_id": 9}, said.err
    said = await typed(stage, "static-data set", NAME="keeps")
    assert said.code == 0, said.err
    said = await typed(stage, "vars delete api_url")
    assert said.code == 0, said.err
    assert await result() == [{"url": None, "last": 0}]


async def test_a_run_with_a_key_and_one_with_mocks(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    path = tmp_path / "keyed.json"
    path.write_text(json.dumps(chain("keyed", request("call", world.url("/ok?key")))), "utf-8")
    for _ in range(2):
        said = await typed(stage, "run FILE --key", FILE=str(path))
        assert said.code == 0, said.err
    assert len(world.to("/ok?key")) == 1
    said = await typed(stage, "run FILE --mock", FILE=str(path), NODE="call")
    assert (said.code, json.loads(said.out)) == (0, [{"n": 1}]), said.err
    assert len(world.to("/ok?key")) == 1


async def test_a_cancel_lets_what_a_runner_has_claimed_end(stage: Stage, world: World) -> None:
    call = request("one", world.url("/slow/3500"), timeout_s=60)
    await stage.deploy(chain("canceled", call, node("two", "FLOW.NOOP")))
    event = await stage.trigger("canceled", {"n": 1})

    async def begun() -> bool:
        return len(world.to("/slow/3500")) == 1

    await stage.until(begun, "the call")
    [claim] = await stage.rows(
        "select execution_id from engine.node_claims where finished_at is null"
    )
    said = await typed(stage, "executions cancel", ID=claim["execution_id"])
    assert (said.code, "is being cancelled" in said.out) == (0, True), said.err
    assert (await stage.ended(event))["status"] == "CANCELED"
    nodes = await stage.nodes_of(claim["execution_id"])
    assert (nodes["one"]["status"], "two" in nodes) == ("SUCCESS", False)


async def test_pause_and_resume(stage: Stage, world: World) -> None:
    slow = chain("slow", request("one", world.url("/slow/3000")), node("two", "FLOW.NOOP"))
    await stage.deploy(slow)
    event = await stage.trigger("slow", {})

    async def begun() -> Any:
        return await stage.executions_of(event)

    id = str((await stage.until(begun, "the execution"))[0]["execution_id"])
    said = await typed(stage, "executions pause", ID=id)
    assert said.code == 0, said.err
    assert "PAUSED" in said.out
    said = await typed(stage, "executions resume", ID=id)
    assert said.code == 0, said.err
    assert (await stage.ended(event))["status"] == "SUCCESS"


async def test_retry_and_mark(stage: Stage, world: World) -> None:
    id = await ended(stage, failing("again", world))
    words = {"ID": id, "NODE": "call", "https://example.org/": world.url("/ok?set"), "60": "0.2"}
    said = await typed(stage, "executions retry", **words)
    assert said.code == 0, said.err
    assert len(world.to("/ok?set")) == 1
    for how in ("done", "skipped"):
        id = await ended(stage, failing(f"marked {how}", world))
        said = await typed(stage, f"executions mark ID NODE --as {how}", ID=id, NODE="call")
        assert said.code == 0, said.err
        assert await status_of(stage, id) == "SUCCESS"


async def test_rerun_and_fork(stage: Stage, world: World) -> None:
    id = await ended(stage, failing("rerun", world))
    for more in ("", " --node NODE --version", " --from-start"):
        begins = f"executions rerun ID{more}"
        said = await typed(stage, begins, ID=id, NODE="call", **{"version 3": "version 1"})
        assert said.code == 1, said.err  # it fails as it did before
    said = await typed(stage, "executions fork", ID=id, NODE="call")
    assert said.code == 1, said.err
    assert await children_of(stage, id) == 4


async def test_a_rerun_with_another_credential(stage: Stage, world: World) -> None:
    call = request("call", world.url("/ok?signed"), credential="old")
    definition = chain("signed", call)
    id = await ended(stage, {**definition, "settings": {"recovery": "off"}})
    said = await typed(stage, "executions rerun ID --node NODE --credential", ID=id, NODE="call")
    assert said.code == 1 and "'spare'" in said.out + said.err, said.err


async def test_its_log_is_read(stage: Stage, world: World) -> None:
    id = await ended(stage, failing("logged", world))
    for begins in ("executions logs ID", "executions logs ID --node"):
        said = await typed(stage, begins, ID=id, NODE="call")
        assert said.code == 0, said.err


async def test_many_at_once(stage: Stage, world: World) -> None:
    await ended(stage, failing("bulk", world))
    said = await typed(stage, "executions bulk retry --workflow", NAME="bulk")
    assert said.code == 0, said.err
    assert "nothing was sent" in said.out
    said = await typed(stage, "executions bulk retry --error-type")
    assert said.code == 0, said.err
    assert "nothing was sent" in said.out
    said = await typed(stage, "executions bulk cancel")
    assert said.code == 0, said.err


async def test_each_command_of_the_page_was_typed() -> None:
    assert set(COMMANDS) - set(TYPED) == set()
