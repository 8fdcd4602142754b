"""The engine's HTTP API, driven by a client on real servers: what it does, and what it refuses."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from api_client import Api, ApiProblem, Told
from definitions_for_tests import Definition, chain, node, request
from outside_world import World
from platform_stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

STARTS = "/v1/workflow_executions"


def api(stage: Stage) -> Api:
    return Api(f"http://127.0.0.1:{stage.ports['engine']}")


def sums(name: str) -> Definition:
    return chain(name, node("sum", "ACTION.SET", values={"sum": "{{ $json.a + $json.b }}"}))


async def until_ended(client: Api, execution_id: str) -> dict[str, Any]:
    for _ in range(600):
        row = await client.get(f"/v1/workflow_executions/{execution_id}")
        if row["status"] not in ("RUNNING", "NEW"):
            return row
        await asyncio.sleep(0.05)
    raise AssertionError(f"{execution_id} does not end")


async def refused(asked: Any) -> ApiProblem:
    with pytest.raises(ApiProblem) as caught:
        await asked
    assert caught.value.body["status"] == caught.value.status
    assert caught.value.body["detail"]
    return caught.value


async def test_a_workflow_is_made_deployed_started_and_looked_at(stage: Stage) -> None:
    async with api(stage) as client:
        found = await client.post("/v1/workflows/validate", {"definition": sums("sums")})
        assert (found["valid"], found["problems"]) == (True, [])
        saved = await client.post("/v1/workflows", {"definition": sums("sums"), "saved_by": "me"})
        assert (saved["version"], saved["is_new"], saved["settled"]) == (1, True, True)
        workflow_id = saved["workflow_id"]
        again = await client.send(
            "PUT", f"/v1/workflows/{workflow_id}", {"definition": sums("sums")}
        )
        assert (again["version"], again["is_new"]) == (1, False)
        second = await client.send(
            "PUT", f"/v1/workflows/{workflow_id}", {"definition": sums("s2")}
        )
        assert (second["version"], second["is_new"]) == (2, True)
        frozen = await client.get(f"/v1/workflows/{workflow_id}/versions/1")
        assert frozen["definition"] == sums("sums")
        assert (await client.get("/v1/workflows", name="s2"))["items"][0]["id"] == workflow_id

        problem = await refused(
            client.post("/v1/workflow_executions", {"workflow_id": workflow_id})
        )
        assert (problem.status, problem.code) == (409, "not_deployed")
        deployed = await client.post(f"/v1/workflows/{workflow_id}/deploy", {"version": 1})
        assert (deployed["deployment_status"], deployed["settled"]) == ("ACTIVE", True)

        key = f"mine-{uuid.uuid4()}"
        order = {"workflow_id": workflow_id, "execution_id": key, "data": {"a": 20, "b": 22}}
        started = await client.post("/v1/workflow_executions", order)
        assert (started["execution_id"], started["version"], started["is_new"]) == (key, 1, True)
        row = await until_ended(client, key)
        assert (row["status"], row["run_data"]["result"]) == (
            "SUCCESS",
            [{"a": 20, "b": 22, "sum": 42}],
        )
        repeated = await client.post("/v1/workflow_executions", order)
        assert (repeated["execution_id"], repeated["is_new"]) == (key, False)

        details = await client.get(f"/v1/workflow_executions/{key}/details")
        assert [run["node_id"] for run in details["nodes"]] == ["start", "sum"]
        assert details["nodes"][1]["output_data"]["main"] == [{"a": 20, "b": 22, "sum": 42}]
        history = await client.get(f"/v1/workflow_executions/{key}/history", limit=2)
        assert [each["version"] for each in history["items"]] == [1, 2]
        rest = await client.get(f"/v1/workflow_executions/{key}/history", after=history["next"])
        types = [each["type"] for each in (*history["items"], *rest["items"])]
        assert types[0] == "engine.execution-started.v1"
        assert "engine.execution-completed.v1" in types
        progress = await client.get(f"/v1/workflow_executions/{key}/progress")
        assert (progress["steps"], progress["steps_total"], progress["open"]) == (2, 2, 0)
        why = await client.get(f"/v1/workflow_executions/{key}/why")
        assert (why["status"], why["waits_for"]) == ("SUCCESS", [])


async def test_a_workflow_of_n8n_is_imported_and_runs(stage: Stage) -> None:
    up = {"assignments": {"assignments": [{"name": "n", "value": "={{ $json.n + 1 }}"}]}}
    base = "n8n-nodes-base"
    step = {"name": "Up", "type": f"{base}.set", "typeVersion": 3.4, "parameters": up}
    nodes = [{"name": "Start", "type": f"{base}.manualTrigger"}, step]
    links = {"Start": {"main": [[{"node": "Up", "type": "main", "index": 0}]]}}
    document = {"name": "from n8n", "nodes": nodes, "connections": links}
    async with api(stage) as client:
        other = await client.post("/v1/workflows/import", {"document": {"a": 1}})
        assert (other["valid"], other["definition"]) == (False, None)
        assert [each["code"] for each in other["reasons"]] == ["not_n8n"]
        made = await client.post("/v1/workflows/import", {"document": document})
        assert (made["valid"], made["reasons"]) == (True, [])
        saved = await client.post("/v1/workflows", {"definition": made["definition"]})
        await client.post(f"/v1/workflows/{saved['workflow_id']}/deploy", {})
        order = {"workflow_id": saved["workflow_id"], "data": {"n": 1}}
        started = await client.post("/v1/workflow_executions", order)
        row = await until_ended(client, started["execution_id"])
        assert row["run_data"]["result"] == [{"n": 2}]


async def test_the_log_has_business_and_technical_lines_and_milestones(
    stage: Stage, world: World
) -> None:
    async with api(stage) as client:
        definition = chain("told", request("ask", world.url("/status/403")))
        saved = await client.post("/v1/workflows", {"definition": definition})
        order = {"workflow_id": saved["workflow_id"], "version": 1}
        started = await client.post("/v1/workflow_executions", order)
        path = f"/v1/workflow_executions/{started['execution_id']}"
        row = await until_ended(client, started["execution_id"])
        assert row["status"] == "ERROR"

        async def all_told() -> list[Any]:
            rows = await client.pages(f"{path}/logs", limit=1)
            return rows if any(r["event_type"] == "workflow_completed" for r in rows) else []

        rows = await stage.until(all_told, "the whole log")
        assert rows == sorted(rows, key=lambda each: each["position"])
        business = await client.pages(f"{path}/logs", category="business")
        technical = await client.pages(f"{path}/logs", category="TECHNICAL")
        assert [r["event_type"] for r in business if r["is_milestone"]] == [
            r["event_type"] for r in await client.pages(f"{path}/logs", milestones="true")
        ]
        assert any(r["event_type"] == "step_error" and r["level"] != "INFO" for r in technical)
        assert len(business) + len(technical) == len(rows)
        last = (await client.get(f"{path}/progress"))["last"]
        assert last["total_steps"] == 2


async def test_executions_are_found_by_status_workflow_time_and_text(stage: Stage) -> None:
    async with api(stage) as client:
        saved = await client.post("/v1/workflows", {"definition": sums("needle in a haystack")})
        workflow_id = saved["workflow_id"]
        ids: list[str] = []
        for n in range(5):
            order = {"workflow_id": workflow_id, "version": 1, "data": {"a": n, "b": 1}}
            started = await client.post("/v1/workflow_executions", order)
            ids.append(started["execution_id"])
        rows = [await until_ended(client, each) for each in ids]
        path = "/v1/workflow_executions"
        found = await client.pages(path, workflow_id=workflow_id, limit=2)
        assert [row["execution_id"] for row in found] == ids[::-1]
        assert await client.pages(path, workflow_id=workflow_id, status="ERROR") == []
        assert len(await client.pages(path, q="needle in a hay")) == 5
        middle = rows[2]["created_at"]
        before = await client.pages(path, workflow_id=workflow_id, started_before=middle)
        after = await client.pages(path, workflow_id=workflow_id, started_after=middle)
        assert {row["execution_id"] for row in before} == set(ids[:2])
        assert {row["execution_id"] for row in after} == set(ids[2:])
        problem = await refused(client.get(path, started_after="yesterday"))
        assert problem.code == "invalid_instant"
        problem = await refused(client.get(path, startd_after=middle))
        assert (problem.code, "started_after" in problem.body["detail"]) == (
            "unknown_parameter",
            True,
        )


async def test_an_execution_is_cancelled_and_a_failed_node_retried(
    stage: Stage, world: World
) -> None:
    async with api(stage) as client:
        slow = chain("slow", request("ask", world.url("/slow/30000"), timeout_s=60))
        saved = await client.post("/v1/workflows", {"definition": slow})
        order = {"workflow_id": saved["workflow_id"], "version": 1}
        key = (await client.post("/v1/workflow_executions", order))["execution_id"]
        why = await client.get(f"/v1/workflow_executions/{key}/why")
        assert [each["waits_for"] for each in why["waits_for"]] == ["attempt"]
        body = {"reason": "not needed", "asked_by": "tests"}
        done = await client.post(f"/v1/workflow_executions/{key}/cancel", body)
        assert (done["status"], done["settled"]) == ("RUNNING", True)
        assert done["events"] == ["engine.cancel-begun.v1"]
        done = await client.post(f"/v1/workflow_executions/{key}/cancel", body)
        assert (done["status"], done["settled"]) == ("CANCELED", True)
        assert done["events"][-1] == "engine.execution-canceled.v1"
        problem = await refused(client.post(f"/v1/workflow_executions/{key}/cancel"))
        assert (problem.status, problem.code) == (409, "execution_ended")

        failing = chain("failing", request("ask", world.url("/status/403")))
        saved = await client.post("/v1/workflows", {"definition": failing})
        order = {"workflow_id": saved["workflow_id"], "version": 1}
        key = (await client.post("/v1/workflow_executions", order))["execution_id"]
        assert (await until_ended(client, key))["status"] == "ERROR"
        overrides = {"parameters": {"url": world.url("/ok")}}
        body = {"node_id": "ask", "overrides": overrides}
        done = await client.post(f"/v1/workflow_executions/{key}/retry", body)
        assert "engine.execution-revived.v1" in done["events"]
        assert (await until_ended(client, key))["status"] == "SUCCESS"
        problem = await refused(client.post(f"/v1/workflow_executions/{key}/retry", body))
        assert (problem.status, problem.code) == (409, "not_retryable")


async def test_a_request_with_the_same_key_is_carried_out_once(stage: Stage) -> None:
    async with api(stage) as client:
        saved = await client.post("/v1/workflows", {"definition": sums("once")})
        order = {"workflow_id": saved["workflow_id"], "version": 1, "data": {"a": 1, "b": 1}}
        order["execution_id"] = f"once-{uuid.uuid4()}"
        answers = await asyncio.gather(
            *(client.post("/v1/workflow_executions", order, key="the-key") for _ in range(5))
        )
        assert {each["command"]["id"] for each in answers} == {"the-key"}
        rows = await client.pages("/v1/workflow_executions", workflow_id=saved["workflow_id"])
        assert len(rows) == 1


async def test_what_cannot_be_done_is_a_problem_with_a_code_and_advice(stage: Stage) -> None:
    nobody = str(uuid.uuid4())
    async with api(stage) as client:
        saved = await client.post("/v1/workflows", {"definition": sums("sound")})
        broken = sums("broken")
        broken["nodes"][1]["node_subtype"] = "SETT"
        problem = await refused(client.post("/v1/workflows", {"definition": broken}))
        assert (problem.status, problem.code) == (422, "invalid_definition")
        assert problem.body["problems"][0]["path"].startswith("nodes[1]")
        found = await client.post("/v1/workflows/validate", {"definition": broken})
        assert found["valid"] is False

        path = f"/v1/workflows/{saved['workflow_id']}/deploy"
        cases: list[tuple[int, str, Any]] = [
            (404, "execution_not_found", client.get(f"/v1/workflow_executions/{nobody}/why")),
            (404, "execution_not_found", client.get(f"/v1/workflow_executions/{nobody}/details")),
            (404, "execution_not_found", client.get(f"/v1/workflow_executions/{nobody}/history")),
            (404, "execution_not_found", client.post(f"/v1/workflow_executions/{nobody}/cancel")),
            (404, "workflow_not_found", client.post(f"/v1/workflows/{nobody}/deploy")),
            (404, "workflow_not_found", client.post(STARTS, {"workflow_id": "x"})),
            (404, "unknown_node", client.get("/v1/node_specifications/FLOW/NOPE")),
            (400, "invalid_request", client.post(STARTS, {"workflow": "x"})),
            (400, "invalid_request", client.post(STARTS, {"workflow_id": 7})),
            (400, "invalid_idempotency_key", client.post(path, key="k" * 201)),
            (400, "invalid_json", client.send("POST", "/v1/workflows", raw=b'{"definition": NaN}')),
            (400, "invalid_json", client.send("POST", "/v1/workflows", raw=b"[" * 100_000)),
            (413, "body_too_large", client.send("POST", "/v1/workflows", raw=b"x" * 2_000_000)),
            (405, "method_not_allowed", client.send("DELETE", "/v1/workflows")),
        ]  # fmt: skip
        for status, code, asked in cases:
            problem = await refused(asked)
            assert (problem.status, problem.code) == (status, code)
        node_kind = await client.get("/v1/node_specifications/flow/if")
        assert node_kind["node_subtype"] == "IF"
        rows = await client.pages("/v1/node_specifications", node_subtype="IF")
        assert json.loads(json.dumps(rows[0]["specification_data"]))["node_type"] == "FLOW"


async def test_an_id_that_is_a_workflows_own_starts_nothing_and_harms_nothing(stage: Stage) -> None:
    async with api(stage) as client:
        saved = await client.post("/v1/workflows", {"definition": sums("mine")})
        workflow_id = saved["workflow_id"]
        order = {"workflow_id": workflow_id, "version": 1, "execution_id": workflow_id}
        problem = await refused(client.post("/v1/workflow_executions", order))
        assert (problem.status, problem.code) == (409, "other_stream")
        path = f"/v1/workflows/{workflow_id}"
        again = await client.send("PUT", path, {"definition": sums("mine, changed")})
        assert again["version"] == 2


# Live events ------------------------------------------------------------------------------


async def heard(client: Api, execution_id: str, after: int = 0, most: int = 10_000) -> list[Told]:
    found: list[Told] = []
    async for event in client.events(execution_id, after):
        found.append(event)
        if len(found) >= most:
            break
    return found


async def test_events_come_live_and_survive_a_reconnect_without_loss_or_repetition(
    stage: Stage, world: World
) -> None:
    async with api(stage) as client:
        definition = chain("live", *(request(f"n{n}", world.url("/slow/200")) for n in range(5)))
        saved = await client.post("/v1/workflows", {"definition": definition})
        order = {"workflow_id": saved["workflow_id"], "version": 1}
        key = (await client.post("/v1/workflow_executions", order))["execution_id"]
        watching = asyncio.create_task(heard(client, key))
        pieces: list[Told] = []
        while not pieces or pieces[-1].type != "engine.execution-completed.v1":
            after = pieces[-1].id if pieces else 0
            pieces += await heard(client, key, after, most=3)
        whole = await watching
        assert [each.id for each in whole] == list(range(1, len(whole) + 1))
        assert pieces == whole
        history = await client.get(f"/v1/workflow_executions/{key}/history", limit=1000)
        assert [(e["version"], e["type"]) for e in history["items"]] == [
            (e.id, e.type) for e in whole
        ]
        assert await heard(client, key, whole[-1].id) == []


async def test_a_template_is_saved_used_and_retired(stage: Stage) -> None:
    async with api(stage) as client:
        path = "/v1/workflow_templates"
        body = {"name": f"sums {uuid.uuid4().hex[:6]}", "document_type": "invoice"}
        saved = await client.post(path, {**body, "definition": sums("a template")})
        assert (saved["changed"], saved["settled"]) == (True, True)
        template_id = saved["template_id"]
        again = {**body, "definition": sums("a template"), "template_id": template_id}
        assert (await client.post(path, again))["changed"] is False
        [row] = await client.pages(path, document_type="invoice", name=body["name"])
        assert (row["id"], row["is_active"]) == (template_id, True)
        made = await client.post(f"{path}/{template_id}/workflows", {"name": "made of it"})
        frozen = await client.get(f"/v1/workflows/{made['workflow_id']}/versions/1")
        assert frozen["definition"] == {**sums("a template"), "name": "made of it"}
        assert (await client.post(f"{path}/{template_id}/retire"))["changed"] is True
        problem = await refused(client.post(f"{path}/{template_id}/workflows"))
        assert (problem.status, problem.code) == (404, "template_not_found")
        problem = await refused(client.post(f"{path}/{uuid.uuid4()}/retire"))
        assert (problem.status, problem.code) == (404, "template_not_found")
        problem = await refused(client.post(path, {**body, "definition": {"name": "broken"}}))
        assert (problem.status, problem.code) == (422, "invalid_definition")
