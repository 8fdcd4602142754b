"""Concurrency keys and limits on real servers: `kill -9` while executions wait for their turn."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from api_client import Api
from crash_stage import crash_stage
from definitions_for_tests import Definition, chain, node, request
from outside_world import World
from perdure_common.embedded import Addresses
from platform_stage import Stage
from promises import broken_promises
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 2
OPEN_MAX = 6
KEYS = ("a", "b", "c")
EACH = 6


def limited(name: str, url: str, **concurrency: Any) -> Definition:
    post = request("post", url, json="{{ {customer: $json.customer, n: $json.n} }}")
    settings = {"concurrency": {"key": "{{ $json.customer }}", "limit": LIMIT, **concurrency}}
    passes = node("end", "ACTION.SET", values={"done": True})
    return {**chain(name, post, passes), "settings": settings}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    async with (
        shared_ground(servers) as ground,
        crash_stage(
            ground,
            world,
            PERDURE_HAND_OVER="0",
            PERDURE_OPEN_EXECUTIONS_MAX=str(OPEN_MAX),
        ) as stage,
    ):
        yield stage


async def waiting(stage: Stage) -> int:
    sql = "select count(*) as n from engine.workflow_executions where status = 'NEW'"
    return int((await stage.rows(sql))[0]["n"])


async def intervals(stage: Stage) -> list[Any]:
    """Return when each execution took its slot of a key, and when it gave it back."""
    return await stage.rows(
        "select t.stream as gate, t.data::json ->> 'execution_id' as execution_id, t.seq as taken,"
        "       (select min(l.seq) from engine.journal l where l.stream = t.stream"
        "         and l.type = 'engine.slot-left.v1' and l.shard = t.shard"
        "         and l.data::json ->> 'execution_id' = t.data::json ->> 'execution_id') as given"
        "  from engine.journal t where t.type = 'engine.slot-taken.v1'"
        "   and t.data::json ->> 'kind' = 'key'"
    )


@pytest.mark.parametrize("victims", [("engine",), ("engine", "runner")])
async def test_who_waits_for_a_turn_comes_to_it_whatever_is_killed(
    ready: Stage, world: World, victims: tuple[str, ...]
) -> None:
    name = f"limited by {len(victims)}"
    await ready.deploy(limited(name, world.url("/slow/60")))
    began = len(world.calls)
    accepted: list[str] = []
    for n in range(EACH):
        for customer in KEYS:
            accepted.append(await ready.trigger(name, {"customer": customer, "n": n}))
    for share in (4, 2):

        async def seen(share: int = share) -> bool:
            return len(world.calls) - began >= len(accepted) // share

        await ready.until(seen, "some executions to have run")
        assert await waiting(ready) > 0, "the kill is to hit executions that wait"
        for victim in victims:
            await ready.kill(victim)
        for victim in victims:
            ready.begin(victim)
        await ready.until_ready(victims)
    rows = await asyncio.gather(*(ready.ended(each) for each in accepted))
    assert {row["status"] for row in rows} == {"SUCCESS"}
    assert await broken_promises(ready, accepted, world) == []

    async def empty() -> bool:
        return not await ready.rows(
            "select 1 from engine.admission_gates where running <> 0 or waiting <> 0"
        )

    await ready.until(empty, "every slot to be given back")
    for row in await intervals(ready):
        assert row["given"] is not None, f"{row['execution_id']} kept its slot"


async def test_who_waits_says_at_which_place_and_one_too_many_is_refused(
    ready: Stage, world: World
) -> None:
    name = "one at a time"
    await ready.deploy(limited(name, world.url("/slow/15000"), limit=1, waiting_max=2))
    async with Api(f"http://127.0.0.1:{ready.ports['engine']}") as client:
        (row,) = (await client.get("/v1/workflows", name=name))["items"]
        ids: list[str] = []
        for n in range(4):
            order = {"workflow_id": row["id"], "data": {"customer": "acme", "n": n}}
            ids.append((await client.post("/v1/workflow_executions", order))["execution_id"])
            await ready.until(lambda at=ids[-1]: known(client, at), "the gate to answer")
        (waits,) = (await client.get(f"/v1/workflow_executions/{ids[2]}/why"))["waits_for"]
        assert waits["waits_for"] == "turn"
        assert waits["what"].endswith("place 2 of 2 that wait; 1 run")
        (refused,) = (await client.get("/v1/workflow_executions", execution_id=ids[3]))["items"]
        assert refused["status"] == "ERROR"
        assert refused["error_details"]["type"] == "concurrency_limit"

        async def shown() -> bool:  # its row is written lazily
            gates = (await client.get("/v1/admission_gates", kind="key"))["items"]
            return any("'acme'" in gate["about"] for gate in gates)

        await ready.until(shown, "the gate among the tables")
        for each in ids[:3]:
            await client.post(f"/v1/workflow_executions/{each}/cancel", {})


async def known(client: Api, execution_id: str) -> bool:
    """Tell whether a gate has said what becomes of an execution."""
    found = await client.get(f"/v1/workflow_executions/{execution_id}/why")
    waits = found["waits_for"]
    return found["status"] != "NEW" or any("place" in each["what"] for each in waits)
