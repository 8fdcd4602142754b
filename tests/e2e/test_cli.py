"""The command line against real processes: from a file to its outcome, and what it says of it."""

import asyncio
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_line import Said, perdure
from definitions_for_tests import chain, edge, node, request
from outside_world import World
from platform_stage import Stage

SCHEMAS = Path(__file__).parents[2] / "schemas"

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def typed(stage: Stage, *words: object) -> Said:
    return await asyncio.to_thread(perdure, *words, env=stage.environment)


def written(folder: Path, definition: Mapping[str, Any]) -> Path:
    path = folder / f"{definition['name']}.json"
    path.write_text(json.dumps(definition), encoding="utf-8")
    return path


def named(text: str) -> str:
    return f"{text}-{uuid.uuid4().hex[:8]}"


def doubling(name: str) -> dict[str, Any]:
    values = {"twice": "{{ $json.n * 2 }}"}
    return chain(name, node("double", "ACTION.SET", values=values, keep="none"))


async def test_run_applies_deploys_follows_and_prints_the_outcome(
    stage: Stage, tmp_path: Path
) -> None:
    path = written(tmp_path, doubling(named("double")))
    said = await typed(stage, "run", path, "--input", '{"n": 21}')
    assert said.code == 0, said.err
    assert "double: SUCCESS" in said.out
    assert '"twice": 42' in said.out
    again = await typed(stage, "run", path, "--input", '[{"n": 1}, {"n": 2}]', "--json")
    assert again.code == 0, again.err
    assert again.json["status"] == "SUCCESS"
    assert again.json["result"] == [{"twice": 2}, {"twice": 4}]
    assert [row["node_id"] for row in again.json["nodes"]] == ["start", "double"]


async def test_a_run_that_fails_ends_with_1_and_says_where(stage: Stage, tmp_path: Path) -> None:
    stop = node("stop", "FLOW.STOP_AND_ERROR", message="no stock")
    path = written(tmp_path, chain(named("stops"), stop))
    said = await typed(stage, "run", path)
    assert said.code == 1
    assert "ERROR at stop: no stock" in said.out
    told = await typed(stage, "run", path, "--json")
    assert told.code == 1
    assert told.json["error"]["node_id"] == "stop"


async def test_a_run_waits_for_recovery_and_tells_what_it_did(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    path = written(tmp_path, chain(named("flaky"), request("call", world.url("/flaky/1"))))
    said = await typed(stage, "run", path, "--json")
    assert said.code == 0, said.err
    execution = said.json["execution_id"]
    assert said.json["nodes"][1]["attempt"] == 2
    explained = await typed(stage, "recovery", "explain", execution)
    assert explained.code == 0
    assert "425" in explained.out and "dependency_down" in explained.out
    attempts = (await typed(stage, "recovery", "attempts", "--execution", execution, "--json")).json
    assert [row["status"] for row in attempts] == ["succeeded"]
    by_attempt = await typed(stage, "recovery", "explain", attempts[0]["id"], "--json")
    assert by_attempt.json[0]["execution_id"] == execution
    patterns = (await typed(stage, "recovery", "patterns", "--json")).json
    assert any(row["failure_type"] == "dependency_down" for row in patterns)


async def test_applying_a_file_again_makes_a_version_only_if_it_changed(
    stage: Stage, tmp_path: Path
) -> None:
    definition = doubling(named("versions"))
    path = written(tmp_path, definition)
    first = (await typed(stage, "workflow", "apply", path, "--json")).json[0]
    same = (await typed(stage, "workflow", "apply", path, "--json")).json[0]
    written(tmp_path, definition | {"description": "another"})
    changed = (await typed(stage, "workflow", "apply", path, "--json")).json[0]
    assert (first["version"], first["is_new"]) == (1, True)
    assert (same["version"], same["is_new"]) == (1, False)
    assert (changed["version"], changed["is_new"]) == (2, True)
    assert first["workflow_id"] == changed["workflow_id"]


async def test_what_differs_between_versions_and_from_a_file_is_said(
    stage: Stage, tmp_path: Path
) -> None:
    definition = doubling(named("differs"))
    path = written(tmp_path, definition)
    await typed(stage, "workflow", "apply", path)
    same = await typed(stage, "workflow", "diff", path)
    assert (same.code, "nothing differs" in same.out) == (0, True)
    definition["nodes"][1]["parameters"]["values"]["twice"] = "{{ $json.n + $json.n }}"
    written(tmp_path, definition)
    changed = await typed(stage, "workflow", "diff", path)
    assert changed.code == 1
    assert "~ nodes[double].parameters.values.twice:" in changed.out
    await typed(stage, "workflow", "apply", path)
    told = await typed(stage, "workflow", "diff", definition["name"], "--json")
    assert told.code == 1
    assert (told.json["from"], told.json["to"]) == (1, 2)
    assert [each["path"] for each in told.json["changes"]] == [
        "nodes[double].parameters.values.twice"
    ]
    unknown = await typed(stage, "workflow", "diff", path, "--from", 9, "--json")
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "unknown_version")


async def test_the_log_of_an_execution_is_listed_line_by_line(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    path = written(tmp_path, chain(named("logged"), request("call", world.url("/ok?logged"))))
    ran = (await typed(stage, "run", path, "--input", '{"n": 1}', "--json")).json
    id = ran["execution_id"]

    async def lines() -> list[Any]:  # they are written a moment after what they tell of
        found = (await typed(stage, "executions", "logs", id, "--json")).json
        return found if any(each["event_type"] == "workflow_completed" for each in found) else []

    found = await stage.until(lines, "the last line of the log")
    assert [each["position"] for each in found] == sorted(each["position"] for each in found)
    told = await typed(stage, "executions", "logs", id, "--node", "call", "--level", "info")
    assert told.code == 0 and "call is done" in told.out
    of_node = (await typed(stage, "executions", "logs", id, "--node", "call", "--json")).json
    assert {each["node_id"] for each in of_node} == {"call"} and len(of_node) < len(found)
    nothing = await typed(stage, "executions", "logs", id, "--level", "error")
    assert (nothing.code, "no lines like that" in nothing.out) == (0, True)
    unknown = await typed(stage, "executions", "logs", id[:-4] + "0000", "--json")
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "unknown_execution")


async def test_what_is_printed_of_executions_is_as_the_schema_says(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    schema = json.loads((SCHEMAS / "shown" / "execution.json").read_text(encoding="utf-8"))
    validator: Any = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    handled = request("call", world.url("/status/404")) | {
        "error_handling": "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
    }
    stop = node("stop", "FLOW.STOP_AND_ERROR", message="no")
    shown: Any = None
    for definition in (
        doubling(named("good")),
        chain(named("stops"), stop, node("never", "FLOW.NOOP")),
        chain(named("refused"), request("call", world.url("/status/404"))),
        chain(named("handled"), handled),
        chain(named("flaky"), request("call", world.url("/flaky/1"))),
    ):
        path = written(tmp_path, definition)
        ran = (await typed(stage, "run", path, "--input", '{"n": 1}', "--json")).json
        shown = (await typed(stage, "executions", "show", ran["execution_id"], "--json")).json
        assert shown == ran
        faults = [error.message for error in validator.iter_errors(shown)]
        assert faults == [], definition["name"]
    assert not validator.is_valid({**shown, "nodes": [{"node_id": "n"}]})


async def test_a_workflow_is_deployed_shown_run_by_name_and_undeployed(
    stage: Stage, tmp_path: Path
) -> None:
    name = named("by-name")
    path = written(tmp_path, doubling(name))
    deployed = await typed(stage, "workflow", "deploy", path)
    assert f"{name} version 1 serves now" in deployed.out
    assert "serves already" in (await typed(stage, "workflow", "deploy", name)).out
    listed = (await typed(stage, "workflow", "list", "--json")).json
    assert name in [row["name"] for row in listed]
    shown = await typed(stage, "workflow", "show", name)
    assert "double" in shown.out and "DEPLOY_COMPLETED" in shown.out
    ran = await typed(stage, "run", name, "--input", '{"n": 3}', "--json")
    assert ran.json["result"] == [{"twice": 6}]
    assert (await typed(stage, "workflow", "undeploy", name)).code == 0
    refused = await typed(stage, "workflow", "undeploy", name)
    assert refused.code == 1
    assert "nothing to undeploy" in refused.err


async def test_a_workflow_that_is_not_there_is_said_not_to_be(stage: Stage) -> None:
    said = await typed(stage, "run", "no-such-workflow")
    assert said.code == 2
    assert "there is no workflow 'no-such-workflow'" in said.err
    assert "Traceback" not in said.err


async def test_the_trigger_that_is_named_fires(stage: Stage, tmp_path: Path) -> None:
    name = named("two-doors")
    definition = {
        "name": name,
        "nodes": [
            node("front", "TRIGGER.MANUAL"),
            node("back", "TRIGGER.MANUAL"),
            node("one", "ACTION.SET", values={"door": "front"}, keep="none"),
            node("two", "ACTION.SET", values={"door": "back"}, keep="none"),
        ],
        "connections": [edge("front", "one"), edge("back", "two")],
    }
    path = written(tmp_path, definition)
    first = await typed(stage, "run", path, "--json")
    assert first.json["result"] == [{"door": "front"}]
    second = await typed(stage, "run", path, "--trigger", "back", "--json")
    assert second.json["result"] == [{"door": "back"}]
    third = await typed(stage, "run", path, "--trigger", "side")
    assert third.code == 1
    assert "serves no trigger node 'side'" in third.err


async def test_a_trigger_event_starts_what_listens_and_its_id_counts_once(
    stage: Stage, tmp_path: Path
) -> None:
    name = named("listens")
    hook = {"node_id": "hook", "node_type": "TRIGGER", "node_subtype": "WEBHOOK"}
    definition = {
        "name": name,
        "nodes": [hook | {"parameters": {"path": f"/{name}", "auth": "none"}}],
        "connections": [],
    }
    await typed(stage, "workflow", "deploy", written(tmp_path, definition))
    words = ("trigger", "perdure.trigger.webhook", "--subject", f"/{name}", "--id", name)
    said = await typed(stage, *words, "--data", '{"a": 1}', "--json")
    assert said.code == 0, said.err
    (execution,) = said.json["executions"]
    watched = await typed(stage, "executions", "watch", execution)
    assert watched.code == 0, watched.err
    nobody = await typed(stage, "trigger", "perdure.trigger.webhook", "--subject", f"/{name}/x")
    assert nobody.code == 1
    assert "started nothing" in nobody.err


async def test_a_trigger_event_that_cannot_be_taken_is_a_dead_letter_to_settle(
    stage: Stage,
) -> None:
    said = await typed(stage, "trigger", "perdure.trigger.unheard", "--subject", "x")
    assert said.code == 1
    assert "there is no trigger type 'perdure.trigger.unheard'" in said.err
    letters = (await typed(stage, "dead-letters", "list", "--json")).json
    letter = next(row for row in letters if row["event_type"] == "perdure.trigger.unheard")
    shown = await typed(stage, "dead-letters", "show", letter["id"])
    assert "unknown_trigger_type" in shown.out
    dropped = await typed(stage, "dead-letters", "redrive", letter["id"], "--drop")
    assert dropped.code == 0, dropped.err
    assert "is dropped" in dropped.out
    twice = await typed(stage, "dead-letters", "redrive", letter["id"])
    assert twice.code == 1
    assert "was settled" in twice.err


async def test_an_execution_says_why_it_waits_and_can_be_canceled(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    name = named("slow")
    slow = request("call", world.url("/slow/20000"), timeout_s=60)
    await typed(stage, "workflow", "deploy", written(tmp_path, chain(name, slow)))
    words = ("trigger", "perdure.trigger.manual", "--subject", name, "--json")
    (execution,) = (await typed(stage, *words)).json["executions"]

    async def waits() -> bool:
        said = await typed(stage, "executions", "why", execution, "--json")
        reason: dict[str, Any] = said.json["reasons"][0] if said.code == 0 else {}
        return reason.get("waits_for") == "attempt" and reason["worker"] is not None

    await stage.until(waits, "the execution waits for its runner")
    told = await typed(stage, "executions", "why", execution)
    assert "call: attempt 1 is with runner runner@" in told.out
    assert "(lease until " in told.out
    canceled = await typed(stage, "executions", "cancel", execution, "--reason", "too slow")
    assert canceled.code == 0, canceled.err
    assert "is being cancelled" in canceled.out
    told = await typed(stage, "executions", "why", execution)
    assert "call: attempt 1 is with runner runner@" in told.out and "told to stop" in told.out
    assert "it is being cancelled; what runs has until" in told.out
    at_once = await typed(stage, "executions", "cancel", execution)
    assert "is CANCELED" in at_once.out
    again = await typed(stage, "executions", "cancel", execution)
    assert again.code == 1


async def test_a_failed_node_is_run_again_by_hand(
    stage: Stage, world: World, tmp_path: Path
) -> None:
    definition = chain(named("by-hand"), request("call", world.url("/flaky/1")))
    definition["settings"] = {"recovery": "off"}
    definition["nodes"][1]["max_retries"] = 0
    failed = await typed(stage, "run", written(tmp_path, definition), "--json")
    assert failed.json["status"] == "ERROR"
    execution = failed.json["execution_id"]
    retried = await typed(stage, "executions", "retry", execution, "--json")
    assert retried.code == 0, retried.err
    assert retried.json["status"] == "SUCCESS"
    nothing = await typed(stage, "executions", "retry", execution)
    assert nothing.code == 2
    assert "no node failed" in nothing.err
    listed = await typed(stage, "executions", "list", "--status", "success", "--json")
    assert execution in [row["execution_id"] for row in listed.json]


async def test_a_list_that_ends_at_its_limit_says_of_how_many_it_is(
    stage: Stage, tmp_path: Path
) -> None:
    path = written(tmp_path, doubling(named("double")))
    for n in range(3):
        assert (await typed(stage, "run", path, "--input", json.dumps({"n": n}))).code == 0
    mine = ("executions", "list", "--workflow", path.stem, "--limit")
    said = await typed(stage, *mine, 2)
    assert said.code == 0, said.err
    assert "these are 2 of 3" in said.out + said.err
    said = await typed(stage, *mine, 3)
    assert "these are" not in said.out + said.err
    for option, there in (("--from", 0), ("--to", 3)):
        rows = (await typed(stage, *mine, 3, option, "2200-01-01", "--json")).json
        assert len(rows) == there, option
    wrong = await typed(stage, *mine, 3, "--from", "yesterday", "--json")
    assert (wrong.code, wrong.json["error"]["code"]) == (2, "invalid_instant")


async def test_an_execution_that_is_not_there_is_said_not_to_be(stage: Stage) -> None:
    for words in (("show", "x"), ("why", "x"), ("cancel", "x"), ("watch", "x")):
        said = await typed(stage, "executions", *words)
        assert said.code == 2
        assert "there is no execution 'x'" in said.err


async def test_the_mode_of_recovery_is_set_and_shown(stage: Stage) -> None:
    workspace = str(uuid.uuid4())
    words = ("recovery", "mode", "observe", "--workspace", workspace, "--reason", "a look first")
    said = await typed(stage, *words)
    assert said.code == 0, said.err
    rows = (await typed(stage, "recovery", "mode", "--json")).json
    assert [row["mode"] for row in rows if row["workspace_id"] == workspace] == ["observe"]
    assert (await typed(stage, *words)).code == 0


async def test_status_shows_every_server_and_service_ready(stage: Stage) -> None:
    said = await typed(stage, "status", "--json")
    assert said.code == 0, said.out
    assert said.json["works"]
    names = [row["name"] for row in (*said.json["servers"], *said.json["services"])]
    assert set(names) >= {"PostgreSQL", "Kafka", "engine", "runner", "scheduler", "recovery"}
    text = await typed(stage, "status")
    assert "open executions" in text.out


async def test_what_was_done_here_keeps_every_promise(stage: Stage) -> None:
    async def settled() -> bool:
        return await stage.open_executions() == 0

    await stage.until(settled, "every execution has ended")
    verified = await typed(stage, "verify", "--json")
    assert verified.code == 0, verified.out + verified.err
    assert verified.json["holds"]
    assert verified.json["checked"]["trigger events"] > 0
    replayed = await typed(stage, "replay", "--check", "--json")
    assert replayed.code == 0, replayed.out + replayed.err
    assert {each["service"] for each in replayed.json} == {"engine", "recovery", "scheduler"}


async def test_a_completion_that_stands_twice_is_found(stage: Stage, tmp_path: Path) -> None:
    path = written(tmp_path, doubling(named("twice")))
    execution = (await typed(stage, "run", path, "--json")).json["execution_id"]
    await stage.rows(
        """
        INSERT INTO engine.journal
        SELECT shard, 1000000, stream, 1000, tenant_id, type, data, meta, recorded_at
          FROM engine.journal
         WHERE stream = $1 AND type = 'engine.node-completed.v1' AND data LIKE '%double%'
        """,
        execution,
    )
    try:
        said = await typed(stage, "verify", "--json")
    finally:
        await stage.rows("DELETE FROM engine.journal_entry WHERE seq = 1000000")
    assert said.code == 1
    found = [each for each in said.json["violations"] if each["promise"] == "I1"]
    assert any(execution in each["where"] and "double" in each["where"] for each in found)


async def test_errors_show_where_they_came_from_only_with_debug(stage: Stage) -> None:
    assert "PERDURE_HOME" not in os.environ
    plain = await typed(stage, "workflow", "show", "nothing")
    assert plain.code == 2
    with pytest.raises(Exception, match="there is no workflow 'nothing'"):
        await typed(stage, "--debug", "workflow", "show", "nothing")


async def test_a_signal_lets_an_execution_go_on_and_a_query_shows_how_it_is(
    stage: Stage,
) -> None:
    wait = node("wait", "FLOW.WAIT", event={"name": "paid"}, timeout_seconds=600)
    answer = node("answer", "FLOW.RESPOND", status=201)
    definition = chain(named("waits"), wait, answer)
    await stage.deploy(definition)
    event = await stage.trigger(definition["name"], {"n": 1})

    async def begun() -> Any:
        sql = "select executions->>0 as id from scheduler.trigger_deliveries where id = $1"
        return await stage.rows(sql, event)

    [row] = await stage.until(begun, "the execution")
    id, why = row["id"], Said("", "", 0)
    for _ in range(200):
        why = await typed(stage, "executions", "why", id)
        if "the event paid" in why.out:
            break
        await asyncio.sleep(0.1)
    assert "wait: it waits for the event paid until" in why.out
    asked = await typed(stage, "executions", "query", id)
    assert asked.code == 0 and "WAITING_INPUT" in asked.out
    told = await typed(stage, "executions", "signal", id, "paid", "--data", '{"paid": true}')
    assert told.code == 0 and "goes on with it" in told.out
    watched = await typed(stage, "executions", "watch", id, "--json")
    assert watched.json["result"] == [{"paid": True}]
    assert watched.json["response"]["status"] == 201
    shown = await typed(stage, "executions", "query", id, "--node", "wait")
    assert '"paid": true' in shown.out
    late = await typed(stage, "executions", "signal", id, "paid", "--json")
    assert late.code == 1 and late.json["error"]["code"] == "execution_ended"
