"""People steer executions on real servers: by HTTP, and what is written of it stays true."""

import asyncio
import json
from typing import Any

import pytest
from api_client import Api, ApiProblem
from definitions_for_tests import chain, node, request
from outside_world import World
from platform_stage import Stage
from promises import what_verify_finds

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXECUTIONS = "/v1/workflow_executions"


def api(stage: Stage) -> Api:
    return Api(f"http://127.0.0.1:{stage.ports['engine']}")


async def until(client: Api, execution_id: str, *statuses: str) -> dict[str, Any]:
    for _ in range(600):
        rows = (await client.get(EXECUTIONS, execution_id=execution_id))["items"]
        if rows and rows[0]["status"] in statuses:
            return rows[0]
        await asyncio.sleep(0.05)
    raise AssertionError(f"{execution_id} does not become one of {statuses}")


async def begun(client: Api, stage: Stage, name: str, data: Any = None, **more: Any) -> str:
    rows = await client.get("/v1/workflows", name=name)
    order: dict[str, Any] = {"workflow_id": rows["items"][0]["id"], "data": data or {}, **more}
    return (await client.post(EXECUTIONS, order))["execution_id"]


async def test_a_paused_execution_takes_its_result_and_goes_on_when_it_is_resumed(
    stage: Stage, world: World
) -> None:
    first, second = world.url("/slow/700"), world.url("/ok?paused")
    await stage.deploy(chain("paused", request("one", first), request("two", second)))
    async with api(stage) as client:
        id = await begun(client, stage, "paused")
        paused = await client.post(f"{EXECUTIONS}/{id}/pause", {"reason": "look", "asked_by": "me"})
        assert (paused["status"], paused["events"]) == ("PAUSED", ["engine.execution-paused.v1"])

        async def answered() -> bool:
            nodes = await stage.nodes_of(id)
            return "one" in nodes and nodes["one"]["status"] == "SUCCESS"

        await stage.until(answered, "the result of the first node")
        assert "two" not in await stage.nodes_of(id)
        waits = (await client.get(f"{EXECUTIONS}/{id}/why"))["waits_for"]
        assert {each["waits_for"] for each in waits} == {"resume", "batch"}
        (pause,) = (await client.get("/v1/workflow_execution_pauses", execution_id=id))["items"]
        assert (pause["status"], pause["pause_reason"]) == ("active", "operator")
        await client.post(f"{EXECUTIONS}/{id}/resume", {"asked_by": "me"})
        assert (await until(client, id, "SUCCESS"))["status"] == "SUCCESS"
        (pause,) = (await client.get("/v1/workflow_execution_pauses", execution_id=id))["items"]
        assert (pause["status"], pause["resume_trigger"]) == ("resumed", "operator")
        with pytest.raises(ApiProblem) as refused:
            await client.post(f"{EXECUTIONS}/{id}/pause")
        assert (refused.value.status, refused.value.code) == (409, "execution_ended")


async def test_a_failed_node_is_marked_by_hand_and_the_execution_goes_on(
    stage: Stage, world: World
) -> None:
    definition = chain(
        "by hand",
        request("pay", world.url("/status/422")),
        node("told", "ACTION.SET", values={"seen": "{{ $json.paid }}"}),
    )
    await stage.deploy({**definition, "settings": {"recovery": "off"}})
    async with api(stage) as client:
        id = await begun(client, stage, "by hand")
        assert (await until(client, id, "ERROR"))["error_details"]["node_id"] == "pay"
        marked = await client.post(
            f"{EXECUTIONS}/{id}/nodes/pay/mark",
            {"outcome": "done", "data": {"paid": 7}, "reason": "by phone", "asked_by": "me"},
        )
        assert marked["status"] == "SUCCESS"
        assert (await until(client, id, "SUCCESS"))["run_data"]["result"] == [
            {"paid": 7, "seen": 7}
        ]


async def test_a_node_runs_again_with_something_changed(stage: Stage, world: World) -> None:
    definition = chain("again", request("call", world.url("/status/422")))
    await stage.deploy({**definition, "settings": {"recovery": "off"}})
    async with api(stage) as client:
        id = await begun(client, stage, "again")
        await until(client, id, "ERROR")
        overrides = {"parameters": {"url": world.url("/ok?again")}, "input": [{"n": 1}, {"n": 2}]}
        await client.post(f"{EXECUTIONS}/{id}/retry", {"overrides": overrides})
        await until(client, id, "SUCCESS")
        assert len(world.to("/ok?again")) == 2


async def test_the_same_key_starts_one_execution(stage: Stage, world: World) -> None:
    await stage.deploy(chain("keyed", request("call", world.url("/ok?keyed"))))
    async with api(stage) as client:
        ids = {await begun(client, stage, "keyed", execution_id="order-17") for _ in range(3)}
        assert ids == {"order-17"}
        await until(client, "order-17", "SUCCESS")
        assert len(world.to("/ok?keyed")) == 1


async def test_a_rerun_adopts_what_was_finished_under_the_same_keys(
    stage: Stage, world: World
) -> None:
    definition = chain(
        "rerun",
        request("one", world.url("/ok?rerun")),
        request("two", world.url("/flaky/1"), json="{{ {n: 1} }}"),
    )
    definition["nodes"][2]["max_retries"] = 0
    await stage.deploy({**definition, "name": "rerun once", "settings": {"recovery": "off"}})
    async with api(stage) as client:
        id = await begun(client, stage, "rerun once")
        await until(client, id, "ERROR")
        again = await client.post(f"{EXECUTIONS}/{id}/rerun", {"asked_by": "me"})
        row = await until(client, again["execution_id"], "SUCCESS")
        assert (row["mode"], row["parent_execution_id"]) == ("RETRY", id)
        assert row["metadata"]["rerun"]["of"] == id
        assert len(world.to("/ok?rerun")) == 1
        calls = world.to("/flaky/1")
        assert [call.status for call in calls] == [425, 200]
        assert len({call.key for call in calls}) == 1
        anew = await client.post(f"{EXECUTIONS}/{id}/rerun", {"from": "start"})
        await until(client, anew["execution_id"], "ERROR", "SUCCESS")
        assert len({call.key for call in world.to("/ok?rerun")}) == 2
        forked = await client.post(
            f"{EXECUTIONS}/{again['execution_id']}/fork",
            {"node_id": "two", "overrides": {"input": [{"n": 5}]}},
        )
        await until(client, forked["execution_id"], "ERROR", "SUCCESS")
        nodes = await stage.nodes_of(forked["execution_id"])
        assert json.loads(nodes["two"]["input_data"]) == {"main": [{"n": 5}]}
        assert len(world.to("/ok?rerun")) == 2


async def test_a_test_run_mocks_nodes_and_calls_nobody(stage: Stage, world: World) -> None:
    await stage.deploy(chain("mocked", request("call", world.url("/ok?mocked"))))
    async with api(stage) as client:
        id = await begun(client, stage, "mocked", pin_data={"call": [{"pinned": True}]})
        row = await until(client, id, "SUCCESS")
        assert row["run_data"]["result"] == [{"pinned": True}]
        assert world.to("/ok?mocked") == []


async def test_an_error_workflow_is_told_of_the_failure_once(stage: Stage, world: World) -> None:
    await stage.deploy(chain("alarm", request("tell", world.url("/ok?alarm"), json="{{ $json }}")))
    failing = chain("failing", request("call", world.url("/status/422")))
    await stage.deploy({**failing, "settings": {"recovery": "off", "error_workflow": "alarm"}})
    async with api(stage) as client:
        id = await begun(client, stage, "failing")
        await until(client, id, "ERROR")

        async def told() -> Any:
            return world.to("/ok?alarm")

        (call,) = await stage.until(told, "the call of the error workflow")
        assert call.body["execution"]["id"] == id
        assert call.body["execution"]["node_id"] == "call"
        rows = (await client.get(EXECUTIONS, mode="TRIGGER"))["items"]
        (handler,) = [row for row in rows if row["parent_execution_id"] == id]
        assert (await until(client, handler["execution_id"], "SUCCESS"))["mode"] == "TRIGGER"


async def matching(client: Api, order: dict[str, Any], **more: str) -> int:
    """Return how many executions a dry run finds."""
    wanted = {**order, **more, "dry_run": True}
    return int((await client.post("/v1/bulk/workflow_executions", wanted))["matched"])


async def test_many_executions_are_retried_and_cancelled_at_once(
    stage: Stage, world: World
) -> None:
    failing = chain("many", {**request("call", world.url("/status/422")), "max_retries": 0})
    workflow_id = await stage.deploy({**failing, "settings": {"recovery": "off"}})
    async with api(stage) as client:
        ids = {await begun(client, stage, "many") for _ in range(3)}
        for id in ids:
            await until(client, id, "ERROR")
        order = {"action": "retry", "workflow_id": workflow_id}
        dry = await client.post("/v1/bulk/workflow_executions", {**order, "dry_run": True})
        assert {each["execution_id"] for each in dry["executions"]} == ids
        assert (dry["matched"], dry["accepted"], dry["more"]) == (3, 0, False)
        assert await matching(client, order, error_type="http_status", error_code="422") == 3
        assert await matching(client, order, error_code="timeout") == 0
        assert await matching(client, order, error_type="timeout", error_code="422") == 0
        assert await matching(client, order, since="2020-01-01T00:00:00Z") == 3
        assert await matching(client, order, before="2020-01-01T00:00:00Z") == 0
        two = await client.post("/v1/bulk/workflow_executions", {**order, "limit": 2}, key="once")
        assert (two["matched"], two["accepted"], two["more"]) == (2, 2, True)
        for id in ids:
            await until(client, id, "ERROR")
        nothing = {"action": "cancel", "workflow_id": workflow_id}
        assert (await client.post("/v1/bulk/workflow_executions", nothing))["matched"] == 0
        with pytest.raises(ApiProblem) as refused:
            await client.post("/v1/bulk/workflow_executions", {**order, "status": ["RUNNING"]})
        assert refused.value.code == "invalid_status"


async def test_nothing_that_was_promised_is_broken(stage: Stage) -> None:
    assert await what_verify_finds(stage) == []
