"""Waits, resume URLs, races and child executions on real servers, killed in the middle."""

import asyncio
from typing import Any

import pytest
from api_client import Api, ApiProblem
from definitions_for_tests import Definition, chain, edge, node, request
from outside_world import World
from perdure_common import replay
from perdure_engine.app import service
from platform_stage import Stage
from promises import until_settled, what_verify_finds

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXECUTIONS = "/v1/workflow_executions"


def api(stage: Stage) -> Api:
    return Api(f"http://127.0.0.1:{stage.ports['engine']}")


async def started(stage: Stage, event: str) -> str:
    """Return the execution that an event started."""

    async def found() -> str:
        rows = await stage.rows(
            "select executions->>0 as id from scheduler.trigger_deliveries where id = $1", event
        )
        return rows[0]["id"] if rows else ""

    return await stage.until(found, "the execution of an event")


async def until_node(stage: Stage, execution_id: str, node_id: str, status: str) -> None:
    async def found() -> bool:
        nodes = await stage.nodes_of(execution_id)
        return node_id in nodes and nodes[node_id]["status"] == status

    await stage.until(found, f"{node_id} to be {status}")


async def killed(stage: Stage, *names: str) -> None:
    """Kill processes, and start them again."""
    for name in names:
        assert (await stage.kill(name)).hit
    for name in names:
        stage.begin(name)
    await stage.until_ready()


async def result_of(stage: Stage, execution_id: str) -> Any:
    async with api(stage) as client:
        for _ in range(1_200):
            row = await client.get(f"{EXECUTIONS}/{execution_id}")
            if row["status"] not in ("NEW", "RUNNING"):
                assert row["status"] == "SUCCESS", row["error_message"]
                return row["run_data"]["result"]
            await asyncio.sleep(0.05)
    raise AssertionError(f"{execution_id} does not end")


async def nothing_is_wrong(stage: Stage) -> None:
    """Check every promise, and that the tables are what the journal makes."""
    await until_settled(stage)
    assert await what_verify_finds(stage) == []
    report = await replay.check(service, stage.ground.database_url)
    assert [str(each) for each in report.differences] == []


def waiting(name: str, **parameters: Any) -> Definition:
    return chain(name, node("wait", "FLOW.WAIT", **parameters), node("end", "FLOW.NOOP"))


async def test_an_event_reaches_all_that_wait_for_it_though_everything_was_killed_meanwhile(
    stage: Stage,
) -> None:
    event = {"name": "paid", "key": "{{ $json.order }}"}
    await stage.deploy(waiting("paying", event=event, timeout_seconds=600))
    first, second, other = [
        await started(stage, await stage.trigger("paying", {"order": order}))
        for order in ("a1", "a1", "b2")
    ]
    for id in (first, second, other):
        await until_node(stage, id, "wait", "WAITING_INPUT")
    await killed(stage, "engine", "scheduler")
    await stage.trigger("a1", {"amount": 5}, type="perdure.event.paid")
    assert await result_of(stage, first) == [{"amount": 5}]
    assert await result_of(stage, second) == [{"amount": 5}]
    async with api(stage) as client:
        [reason] = (await client.get(f"{EXECUTIONS}/{other}/why"))["waits_for"]
        assert (reason["waits_for"], reason["what"]) == ("event", "paid b2")
        await client.post(f"{EXECUTIONS}/{other}/signals", {"name": "paid", "payload": {"by": 1}})
    assert await result_of(stage, other) == [{"by": 1}]
    await nothing_is_wrong(stage)


async def test_an_event_that_finds_nobody_is_kept_for_the_one_that_comes(stage: Stage) -> None:
    await stage.deploy(waiting("early", event={"name": "early"}, timeout_seconds=600))
    event = await stage.trigger("", {"n": 1}, type="perdure.event.early")
    assert event

    async def taken() -> Any:
        sql = "select 1 from scheduler.journal where type = 'scheduler.event-kept.v1'"
        return await stage.rows(sql)

    await stage.until(taken, "the event to be kept")
    await killed(stage, "scheduler")
    one = await started(stage, await stage.trigger("early", {"which": 1}))
    assert await result_of(stage, one) == [{"n": 1}]
    two = await started(stage, await stage.trigger("early", {"which": 2}))
    await until_node(stage, two, "wait", "WAITING_INPUT")
    async with api(stage) as client:
        signal = {"name": "early", "payload": {"n": 2}, "signal_id": "s1"}
        await client.post(f"{EXECUTIONS}/{two}/signals", signal)
    assert await result_of(stage, two) == [{"n": 2}]


async def test_a_call_of_the_resume_url_lets_an_execution_go_on_after_a_kill(
    stage: Stage, world: World
) -> None:
    ask = request("ask", world.url("/ok?hook"), json={"to": "{{ $execution.resume_url }}"})
    wait = node("wait", "FLOW.WAIT", webhook=True, timeout_seconds=600)
    answer = node("answer", "FLOW.RESPOND", status=202, body={"got": "{{ $json.yes }}"})
    await stage.deploy(chain("hook", ask, wait, answer))
    id = await started(stage, await stage.trigger("hook", {"n": 1}))
    await until_node(stage, id, "wait", "WAITING_INPUT")
    await killed(stage, "engine")
    async with api(stage) as client:
        [reason] = (await client.get(f"{EXECUTIONS}/{id}/why"))["waits_for"]
        path = "/v1/resume/" + reason["what"].partition("/v1/resume/")[2]
        with pytest.raises(ApiProblem) as refused:
            await client.post(path[:-4] + "0000", {"yes": "no"})
        assert (refused.value.status, refused.value.code) == (403, "wrong_token")
        await client.post(path, {"yes": 7})
        assert await result_of(stage, id) == [{"yes": 7}]
        row = await client.get(f"{EXECUTIONS}/{id}")
        assert row["run_data"]["response"]["body"] == {"got": 7}
        asked = await client.get(f"{EXECUTIONS}/{id}/query", node_id="wait")
        assert asked["nodes"][0]["ports"] == {"main": [{"yes": 7}]}


async def test_a_wait_survives_the_death_of_its_engine(stage: Stage) -> None:
    await stage.deploy(waiting("sleeping", seconds=4))
    id = await started(stage, await stage.trigger("sleeping", {"n": 1}))
    await until_node(stage, id, "wait", "RUNNING")
    await killed(stage, "engine")
    assert await result_of(stage, id) == [{"n": 1}]


async def test_a_child_execution_is_begun_once_though_its_engine_is_killed(
    stage: Stage, world: World
) -> None:
    slow = request("ask", world.url("/slow/900"), json="{{ $json }}")
    await stage.deploy(chain("child", slow, node("last", "ACTION.SET", values={"done": True})))
    call = node("sub", "FLOW.SUB_WORKFLOW", workflow="child", input={"n": "{{ $json.n }}"})
    await stage.deploy(chain("parent", call, node("end", "FLOW.NOOP")))
    ids = [await started(stage, await stage.trigger("parent", {"n": n})) for n in range(4)]
    for _ in range(2):
        await killed(stage, "engine")
    for id in ids:
        [result] = await result_of(stage, id)
        assert result["done"] is True
    rows = await stage.rows(
        "select parent_execution_id as id, status from engine.workflow_executions "
        "where parent_execution_id = any ($1)",
        ids,
    )
    assert sorted(row["id"] for row in rows) == sorted(ids)
    assert {row["status"] for row in rows} == {"SUCCESS"}
    await nothing_is_wrong(stage)


async def test_cancelling_an_execution_cancels_its_child(stage: Stage) -> None:
    await stage.deploy(waiting("endless", seconds=3_000))
    call = node("sub", "FLOW.SUB_WORKFLOW", workflow="endless")
    await stage.deploy(chain("caller", call))
    id = await started(stage, await stage.trigger("caller", {"n": 1}))

    async def child() -> Any:
        return await stage.rows(
            "select execution_id, status from engine.workflow_executions "
            "where parent_execution_id = $1 and status <> 'NEW'",
            id,
        )

    [row] = await stage.until(child, "the child")
    await until_node(stage, row["execution_id"], "wait", "RUNNING")
    async with api(stage) as client:
        await client.post(f"{EXECUTIONS}/{id}/cancel", {"reason": "enough"})

    async def canceled() -> bool:
        return (await child())[0]["status"] == "CANCELED"

    await stage.until(canceled, "the child to be cancelled")
    nodes = await stage.nodes_of(row["execution_id"])
    assert nodes["wait"]["status"] == "CANCELED"


async def test_the_first_branch_goes_on_and_the_others_are_stopped_though_the_engine_is_killed(
    stage: Stage, world: World
) -> None:
    fast = request("fast", world.url("/slow/8000"), json={"n": 1})
    definition: Definition = {
        "name": "racing",
        "nodes": [
            node("start", "TRIGGER.MANUAL"),
            fast,
            node("slow", "FLOW.WAIT", seconds=3_000),
            node("race", "FLOW.RACE"),
            node("end", "FLOW.NOOP"),
        ],
        "connections": [
            edge("start", "fast"),
            edge("start", "slow"),
            edge("fast", "race"),
            edge("slow", "race"),
            edge("race", "end"),
        ],
    }
    await stage.deploy(definition)
    id = await started(stage, await stage.trigger("racing", {"n": 1}))
    await until_node(stage, id, "slow", "RUNNING")
    await killed(stage, "engine")
    await result_of(stage, id)
    nodes = await stage.nodes_of(id)
    assert (nodes["slow"]["status"], nodes["race"]["status"]) == ("CANCELED", "SUCCESS")
    await nothing_is_wrong(stage)
