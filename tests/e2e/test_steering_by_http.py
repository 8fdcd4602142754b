"""The scheduler's HTTP API steers deployments, triggers and clocks, on real servers."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio
from command_line import perdure
from definitions_for_tests import edge, node
from platform_stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROBLEM = "application/problem+json"
HOURLY = {"expression": "0 * * * *", "timezone": "Europe/Berlin"}


@pytest_asyncio.fixture(loop_scope="module")
async def api(stage: Stage) -> AsyncGenerator[httpx.AsyncClient]:
    """The scheduler's API."""
    url = f"http://127.0.0.1:{stage.ports['scheduler']}"
    async with httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as client:
        yield client


def named(name: str, *triggers: Mapping[str, Any], value: int = 1) -> dict[str, Any]:
    """Return a workflow with these triggers; another `value` is another version."""
    step = node("step", "ACTION.SET", values={"value": value})
    edges = [edge(str(each["node_id"]), "step") for each in triggers]
    return {"name": name, "nodes": [*triggers, step], "connections": edges}


def refused(answer: httpx.Response, status: int, code: str) -> Any:
    """Return the body of an answer that is this problem."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    body = answer.json()
    assert body["code"] == code and body["detail"], body
    return body


async def saved(stage: Stage, *definitions: Any) -> str:
    """Save versions of one workflow; return its id."""
    workflow_id = str(uuid.uuid4())
    for each in definitions:
        await stage.save(each, workflow_id)
    return workflow_id


async def steer(api: httpx.AsyncClient, path: str, key: str = "", **body: Any) -> httpx.Response:
    headers = {"idempotency-key": key} if key else {}
    return await api.post(f"/v1/workflows/{path}", json=body, headers=headers)


async def test_versions_are_deployed_and_rolled_back_with_what_was_said_of_them(
    stage: Stage, api: httpx.AsyncClient
) -> None:
    manual = node("m", "TRIGGER.MANUAL")
    workflow_id = await saved(stage, named("by http", manual), named("by http", manual, value=2))
    config = {"ticket": "OPS-1", "stages": [1, 2]}
    first = await steer(
        api, f"{workflow_id}/deploy", version=1, deployment_config=config, deployed_by="ann"
    )
    assert first.status_code == 200, first.text
    told = first.json()
    assert (told["version"], told["deployment_status"]) == (1, "ACTIVE")
    assert told["settled"] and told["changed"] and told["deployment_config"] == config
    again = (await steer(api, f"{workflow_id}/deploy", version=1)).json()
    assert (again["version"], again["changed"], again["settled"]) == (1, False, True)

    other = await steer(api, f"{workflow_id}/deploy", expected_version=2)
    refused(other, 409, "conflict")
    newest = (await steer(api, f"{workflow_id}/deploy", expected_version=1)).json()
    assert newest["version"] == 2

    back = (
        await steer(api, f"{workflow_id}/rollback", key="back", deployment_config={"why": "slow"})
    ).json()
    assert (back["version"], back["settled"]) == (3, True)
    assert back["deployment_config"] == {"why": "slow", "rollback_of": 1}
    same = (await steer(api, f"{workflow_id}/rollback", key="back")).json()
    assert same == back, "the same request has the first one's answer"
    refused(await steer(api, f"{workflow_id}/rollback", to_version=9), 404, "version_not_found")

    history = (
        await api.get("/v1/workflow_deployment_history", params={"workflow_id": workflow_id})
    ).json()["items"]
    actions = [row["deployment_action"] for row in reversed(history)]
    assert [{*actions[at : at + 3]} for at in (0, 3, 6)] == [
        {each, "DEPLOY_STARTED", "DEPLOY_COMPLETED"} for each in ("DEPLOY", "UPDATE", "ROLLBACK")
    ]
    assert actions[2::3] == ["DEPLOY_COMPLETED"] * 3
    assert {row["triggered_by"] for row in history[-3:]} == {"ann"}
    assert all(row["deployment_config"] == config for row in history[-3:])

    gone = (await steer(api, f"{workflow_id}/undeploy", cancel_running=True)).json()
    assert (gone["deployment_status"], gone["settled"]) == ("IDLE", True)
    refused(await steer(api, f"{workflow_id}/undeploy"), 409, "not_deployed")
    refused(await steer(api, f"{workflow_id}/rollback"), 409, "not_deployed")
    [done] = (
        await api.get(
            "/v1/workflow_deployment_history",
            params={"workflow_id": workflow_id, "deployment_action": "UNDEPLOY_COMPLETED"},
        )
    ).json()["items"]
    assert done["deployment_config"] == {"cancel_running": True}


async def test_a_deployment_that_waits_is_waited_for_and_one_that_fails_says_why(
    stage: Stage, api: httpx.AsyncClient
) -> None:
    hook = node("h", "TRIGGER.WEBHOOK", path="/taken", auth="none")
    first, second = [await saved(stage, named(name, hook)) for name in ("first", "second")]
    served = await steer(api, f"{first}/deploy")
    assert served.json()["deployment_status"] == "ACTIVE", served.text
    failed = refused(await steer(api, f"{second}/deploy", key="2nd"), 422, "deployment_failed")
    assert failed["cause"] == "path_taken" and failed["version"] == 1
    assert [each["ok"] for each in failed["deployment_logs"]][-1] is False
    again = refused(await steer(api, f"{second}/deploy", key="2nd"), 422, "deployment_failed")
    assert again == failed
    nowhere = str(uuid.uuid4())
    refused(await steer(api, f"{nowhere}/deploy"), 404, "workflow_not_found")
    refused(await steer(api, "nonsense/deploy"), 404, "workflow_not_found")
    refused(await steer(api, f"{first}/deploy", version=7), 404, "version_not_found")
    refused(await steer(api, f"{first}/deploy", versoin=1), 400, "invalid_request")
    refused(await steer(api, "nonsense/undeploy"), 422, "invalid_workflow_id")


async def test_triggers_rest_and_fire_again(stage: Stage, api: httpx.AsyncClient) -> None:
    triggers = (node("m", "TRIGGER.MANUAL"), node("c/1", "TRIGGER.CRON", **HOURLY))
    workflow_id = await saved(stage, named("resting", *triggers))
    await steer(api, f"{workflow_id}/deploy")
    where = {"workflow_id": workflow_id, "deployment_status": "active"}
    for node_id in ("m", "c/1"):
        path = f"{workflow_id}/triggers/{node_id}"
        rests = (await steer(api, f"{path}/pause", asked_by="ann")).json()
        assert (rests["node_id"], rests["is_active"], rests["changed"]) == (node_id, False, True)
        shown = (await api.get("/v1/trigger_index", params={**where, "node_id": node_id})).json()
        assert shown["items"][0]["is_active"] is False
        assert (await steer(api, f"{path}/pause")).json()["changed"] is False
        fires = (await steer(api, f"{path}/resume")).json()
        assert (fires["is_active"], fires["changed"], fires["settled"]) == (True, True, True)
    refused(
        await steer(api, f"{workflow_id}/triggers/m/resume", forget_open=True),
        409,
        "wrong_trigger",
    )
    refused(await steer(api, f"{workflow_id}/triggers/x/pause"), 404, "not_serving")
    listed = await api.get("/v1/trigger_index", params={**where, "limit": "1"})
    following = await api.get(
        "/v1/trigger_index", params={**where, "limit": "1", "cursor": listed.json()["next"]}
    )
    found = [listed.json()["items"][0]["node_id"], following.json()["items"][0]["node_id"]]
    assert sorted(found) == ["c/1", "m"]


async def test_firings_are_foreseen_and_made_up_for(stage: Stage, api: httpx.AsyncClient) -> None:
    clock = node("c", "TRIGGER.CRON", **HOURLY)
    workflow_id = await saved(stage, named("hourly", clock, node("m", "TRIGGER.MANUAL")))
    await steer(api, f"{workflow_id}/deploy")
    path = f"/v1/workflows/{workflow_id}/triggers/c"
    after = "2090-03-26T00:30:00Z"
    told = (await api.get(f"{path}/next", params={"count": "3", "after": after})).json()
    assert (told["timezone"], told["is_active"]) == ("Europe/Berlin", True)
    assert [each["scheduled_local"] for each in told["firings"]] == [
        "2090-03-26T03:00:00+02:00",  # clocks leave out two o'clock
        "2090-03-26T04:00:00+02:00",
        "2090-03-26T05:00:00+02:00",
    ]
    preview = await api.post(
        "/v1/cron_previews", json={"parameters": HOURLY, "count": 3, "after": after}
    )
    assert preview.json()["firings"] == told["firings"]
    wrong = {"parameters": {"expression": "* * * * MOON"}}
    assert (await api.post("/v1/cron_previews", json=wrong)).status_code == 422
    manual = f"/v1/workflows/{workflow_id}/triggers/m"
    refused(await api.get(f"{manual}/next"), 409, "wrong_trigger")
    refused(await api.get(f"{path}/next", params={"count": "0"}), 400, "invalid_parameter")

    at = await stage.rows("select date_trunc('hour', now()) - interval '3 h' as first, now()")
    first, until = at[0]["first"], at[0]["first"].replace(minute=1)
    times = {"first": first.isoformat(), "until": until.isoformat()}
    planned = (await steer(api, f"{path[14:]}/backfill", **times, dry_run=True)).json()
    assert (planned["dry_run"], planned["fired"], planned["command"]) == (True, 1, None)
    [firing] = planned["firings"]
    said = await asyncio.to_thread(
        perdure,
        *("triggers", "backfill", workflow_id, "--node", "c", "--dry-run", "--json"),
        *("--from", times["first"], "--to", times["until"]),
        env=stage.environment,
    )
    assert said.json["firings"] == planned["firings"], said
    done = (await steer(api, f"{path[14:]}/backfill", "once", **times)).json()
    assert (done["fired"], done["settled"]) == (1, True)
    again = (await steer(api, f"{path[14:]}/backfill", "once", **times)).json()
    assert again == done
    assert (await steer(api, f"{path[14:]}/backfill", **times, dry_run=True)).json()["fired"] == 0
    rows = await stage.rows(
        "select executions::text from scheduler.trigger_deliveries where executions ? $1",
        firing["execution_id"],
    )
    assert len(rows) == 1
    future = {"first": "2090-01-01T00:00:00Z", "until": "2090-01-02T00:00:00Z"}
    for dry_run in (True, False):
        answer = await steer(api, f"{path[14:]}/backfill", **future, dry_run=dry_run)
        refused(answer, 422, "backfill_in_future")


async def test_a_test_url_is_opened_for_a_version_that_does_not_serve(
    stage: Stage, api: httpx.AsyncClient
) -> None:
    hook = node("h", "TRIGGER.WEBHOOK", path="/tried", auth="none")
    workflow_id = await saved(stage, named("tried", hook, node("m", "TRIGGER.MANUAL")))
    opened = await steer(api, f"{workflow_id}/triggers/h/test")
    assert opened.status_code == 200, opened.text
    assert (await api.post(opened.json()["url"], json={"a": 1})).status_code == 202

    async def used() -> Any:
        answer = await api.get(f"/v1/trigger_tests/{opened.json()['id']}")
        return answer.json()["execution_id"]

    assert await stage.until(used, "the execution")
    refused(await steer(api, f"{workflow_id}/triggers/m/test"), 422, "not_on_http")
    refused(await steer(api, f"{workflow_id}/triggers/x/test"), 404, "node_not_found")


async def test_the_command_line_writes_down_what_is_said_of_a_deployment(
    stage: Stage, api: httpx.AsyncClient
) -> None:
    workflow_id = await saved(stage, named("typed", node("m", "TRIGGER.MANUAL")))

    async def typed(*words: str) -> Any:
        return await asyncio.to_thread(perdure, *words, env=stage.environment)

    deploy = ("workflow", "deploy", workflow_id, "--json")
    assert (await typed(*deploy, "--config", "[1]")).code == 2
    assert (await typed(*deploy, "--if-serving", "4")).code != 0
    assert (await typed(*deploy, "--config", '{"ticket": 7}', "--if-serving", "0")).code == 0
    history = (
        await api.get("/v1/workflow_deployment_history", params={"workflow_id": workflow_id})
    ).json()["items"]
    assert [row["deployment_config"] for row in history] == [{"ticket": 7}] * 3


async def test_an_event_that_nobody_listens_to_is_counted(
    stage: Stage, api: httpx.AsyncClient
) -> None:
    await stage.trigger("", {"n": 1}, type="shop.unheard")
    labels = 'reason="not_listened",source="/tests",subtype="KAFKA"'

    async def counted() -> bool:
        lines = (await api.get("/metrics")).text.splitlines()
        return f"perdure_trigger_events_unmatched_total{{{labels}}} 1.0" in lines

    assert await stage.until(counted, "the count")
