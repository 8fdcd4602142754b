"""Large values on real servers: they leave the events, nobody notices, and there is a limit."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from api_client import Api
from definitions_for_tests import Definition, chain, node, request
from outside_world import World
from perdure_common import replay
from perdure_common.embedded import Addresses
from perdure_common.settings import DEFAULT_TENANT
from perdure_engine.app import service
from platform_stage import PATIENT, Stage
from promises import what_verify_finds
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = {**PATIENT, "PERDURE_RESULT_BYTES_MAX": "2000000"}
SET = "ACTION.SET"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """A platform that keeps results of up to two million bytes."""
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=(f"{world.host}:{world.port}",), settings=LIMIT) as made,
    ):
        yield made


async def started(stage: Stage, definition: Definition, data: object) -> str:
    async with Api(f"http://127.0.0.1:{stage.ports['engine']}") as api:
        saved = await api.post("/v1/workflows", {"definition": definition})
        order = {"workflow_id": saved["workflow_id"], "version": 1, "data": data}
        return (await api.post("/v1/workflow_executions", order))["execution_id"]


async def ended(stage: Stage, execution_id: str) -> tuple[str, str]:
    """Wait for an execution's end; return its status and the type of its error."""

    async def over() -> list[tuple[str, str]]:
        rows = await stage.rows(
            "select status, error_details ->> 'type' as type from engine.workflow_executions"
            " where execution_id = $1 and status <> 'RUNNING'",
            execution_id,
        )
        return [(row["status"], row["type"] or "") for row in rows]

    [found] = await stage.until(over, f"the end of {execution_id}")
    return found


async def test_large_values_leave_the_events_and_nobody_notices(stage: Stage, world: World) -> None:
    text = uuid.uuid4().hex + "x" * 400_000
    post = request("post", world.url("/slow/2000"), json="{{ {text: $json.copy} }}")
    length = {"n": "{{ $('copied').first().json.copy.length }}"}
    definition = chain(
        "large",
        {**node("ran", SET, values={"n": 1}, keep="all"), "run_in": "runner"},
        node("copied", SET, values={"copy": "{{ $json.text }}"}, keep="all"),
        post,
        node("length", SET, values=length, keep="none"),
    )
    execution_id = await started(stage, definition, {"text": text})

    async def called() -> bool:
        [row] = await stage.rows(
            "select status, error_message from engine.workflow_executions where execution_id = $1",
            execution_id,
        )
        assert row["status"] == "RUNNING", row["error_message"]
        return bool(world.to("/slow/2000"))

    await stage.until(called, "the call in which the engine is killed")
    assert (await stage.kill("engine")).hit
    stage.begin("engine")
    assert await ended(stage, execution_id) == ("SUCCESS", "")
    assert world.to("/slow/2000")[0].body == {"text": text}
    nodes = await stage.nodes_of(execution_id)
    assert json.loads(nodes["length"]["output_data"]) == {"main": [{"n": len(text)}]}

    [row] = await stage.rows(
        "select max(octet_length(data)) as most from engine.journal where stream = $1", execution_id
    )
    assert row["most"] < 50_000
    kept = await stage.rows(
        "select p.bytes from engine.payloads p join engine.payload_uses u using (tenant_id, sha256)"
        " where u.stream = $1 and u.tenant_id = $2",
        execution_id,
        DEFAULT_TENANT,
    )
    assert len(kept) >= 4
    assert all(row["bytes"] > 256 * 1024 for row in kept)
    async with Api(f"http://127.0.0.1:{stage.ports['engine']}") as api:
        state = await api.get(f"/v1/workflow_executions/{execution_id}/state", at=2)
    assert state["runs"]["start"]["ports"]["main"]["items"] == [{"text": text}]


async def test_what_is_above_the_limit_is_a_typed_error_and_neighbours_go_on(
    stage: Stage, world: World
) -> None:
    text = "x" * 400_000
    copies = {name: "{{ $json.text }}" for name in "abcd"}
    inline = chain("inline", node("copies", SET, values=copies, keep="all"))
    endless = chain("endless", request("ask", world.url("/endless")))
    small = chain("small", node("sum", SET, values={"n": "{{ $json.n + 1 }}"}))
    ids = await asyncio.gather(
        started(stage, inline, {"text": text}),
        started(stage, endless, {}),
        *(started(stage, small, {"n": n}) for n in range(10)),
    )
    ends = await asyncio.gather(*(ended(stage, each) for each in ids))
    assert ends[0] == ("ERROR", "output_too_large")
    assert ends[1] == ("ERROR", "response_too_large")
    assert set(ends[2:]) == {("SUCCESS", "")}


async def test_replay_and_verify_know_of_what_has_left(stage: Stage) -> None:
    report = await replay.check(service, stage.ground.database_url)
    assert report.differences == []
    assert await what_verify_finds(stage) == []
