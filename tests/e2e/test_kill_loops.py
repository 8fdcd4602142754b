"""`kill -9` in the middle of loops: rounds whose steps are dispatched, loops in loops.

Each kill hits while regions are open and the world outside has seen some of their iterations and
not all. At the end each iteration has had its effect under one key, and each region its result.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from crash_stage import crash_stage
from definitions_for_tests import Definition, edge, node, request
from outside_world import World
from perdure_common.embedded import Addresses
from platform_stage import Stage
from promises import broken_promises
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

ITEMS = 6
EACH_OF = 2
"""Executions of each workflow under one kill."""

WORKFLOWS = {"rounds": ITEMS, "each": ITEMS, "nested": 2 * ITEMS}
"""Loops, and how many effects an execution of each has."""

OPEN = """
select count(*) filter (where type = 'engine.region-entered.v1')
       - count(*) filter (where type = 'engine.region-exited.v1') as n
  from engine.journal where stream = any ($1)
"""


def rounds(name: str, region: Definition, port: str, url: str, times: int = 1) -> Definition:
    """Return a region whose iterations post each item; `times` in a loop of their own, if not 1."""
    post = request("post", url, json="{{ {mark: $json.mark, n: $json.n, k: $json.k} }}")
    nodes, into = [node("start", "TRIGGER.MANUAL"), region, post, node("end", "FLOW.NOOP")], "post"
    connections = [edge("start", "region"), edge("region", "end", "done")]
    if times == 1:
        connections.append(edge("post", "region"))
    else:
        twice = "{{ [0, 1] }}"
        nodes += [
            node("list", "ACTION.SET", values={"k": twice}),
            node("split", "FLOW.SPLIT_OUT", field="k"),
            node("inner", "FLOW.LOOP", items_per_batch=1),
        ]
        into = "list"
        connections += [
            edge("list", "split"),
            edge("split", "inner"),
            edge("inner", "post", "loop"),
            edge("post", "inner"),
            edge("inner", "region", "done"),
        ]
    connections.append(edge("region", into, port))
    return {"name": name, "nodes": nodes, "connections": connections}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """The platform with its loops; nothing is handed over, so that runners do the work."""
    loop = node("region", "FLOW.LOOP", items_per_batch=1)
    each = node("region", "FLOW.FOREACH", max_concurrency=3)
    async with (
        shared_ground(servers) as ground,
        crash_stage(ground, world, PERDURE_HAND_OVER="0") as stage,
    ):
        for definition in (
            rounds("rounds", loop, "loop", world.url("/slow/40")),
            rounds("each", each, "item", world.url("/slow/80")),
            rounds("nested", each, "item", world.url("/slow/30"), times=2),
        ):
            await stage.deploy(definition)
        yield stage


@pytest.mark.parametrize("victims", [("engine",), ("runner",), ("engine", "runner")])
async def test_what_is_killed_in_the_middle_of_loops_goes_on_in_them(
    ready: Stage, world: World, victims: tuple[str, ...]
) -> None:
    accepted: dict[str, str] = {}
    began = len(world.calls)
    for name in WORKFLOWS:
        for n in range(EACH_OF):
            mark = f"{'-'.join(victims)}-{name}-{n}"
            items = [{"mark": mark, "n": n} for n in range(ITEMS)]
            accepted[await ready.trigger(name, items)] = mark
    whole = EACH_OF * sum(WORKFLOWS.values())
    for share in (4, 2):  # after a quarter of the effects, and after half of them

        async def seen(share: int = share) -> bool:
            return len(world.calls) - began >= whole // share

        await ready.until(seen, "iterations of loops")
        assert await open_regions(ready, list(accepted)) > 0, "the kill is to hit open loops"
        for victim in victims:
            assert (await ready.kill(victim)).hit
        for victim in victims:
            ready.begin(victim)
    for event_id, mark in accepted.items():
        row = await ready.ended(event_id)
        assert row["status"] == "SUCCESS", row["error_message"]
        name = mark.split("-")[-2]
        assert await results(ready, row["execution_id"]) == WORKFLOWS[name]
    keys: dict[Any, set[str]] = defaultdict(set)
    for call in world.calls[began:]:
        keys[call.body["mark"], call.body["n"], call.body["k"]].add(call.key)
    assert len(keys) == whole
    assert [at for at, used in keys.items() if len(used) != 1] == [], "one key for one iteration"
    await ready.until_ready()
    assert await broken_promises(ready, list(accepted), world) == []


async def open_regions(stage: Stage, accepted: list[str]) -> int:
    """Return how many regions are open now."""
    rows = [row for each in accepted for row in await stage.executions_of(each)]
    [row] = await stage.rows(OPEN, [row["execution_id"] for row in rows])
    return int(row["n"])


async def results(stage: Stage, execution_id: str) -> int:
    """Return how many items an execution came to."""
    [row] = await stage.rows(
        "select json_array_length(data::json->'result') as n from engine.journal "
        "where stream = $1 and type = 'engine.execution-completed.v1'",
        execution_id,
    )
    return int(row["n"])
