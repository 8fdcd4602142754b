"""People steer executions on real servers: by HTTP, and what is written of it stays true."""

import asyncio
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
        row = await client.get(f"{EXECUTIONS}/{execution_id}")
        if row["status"] in statuses:
            return row
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


async def test_nothing_that_was_promised_is_broken(stage: Stage) -> None:
    assert await what_verify_finds(stage) == []
