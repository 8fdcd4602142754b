"""Workflows that are made to hurt, all at once on real servers: typed errors, bounded memory.

What they end with is known beforehand; others run beside them and end well.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
import pytest_asyncio
from api_client import Api, ApiProblem
from definitions_for_tests import Definition, chain, edge, node, request
from outside_world import World
from perdure_common.embedded import Addresses
from platform_stage import PATIENT, Stage
from promises import what_verify_finds
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {**PATIENT, "PERDURE_CODE": "javascript python"}
GROWS_MAX = 400 * 1024 * 1024
"""How much a process may take on beside what it has at rest, in bytes: far from the sum of all."""

JAVASCRIPT = "return {text: 'x'.repeat(100000000)}"
PYTHON = "return {'text': 'x' * 100_000_000}"
NEIGHBOURS = 30
BRANCHES = 1_000
DEPTH_MAX = 16
NODES = 5_000
"""Nodes of the longest chain that runs: its definition has half a megabyte."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=(f"{world.host}:{world.port}",), settings=SETTINGS) as made,
    ):
        yield made


def code(name: str, language: str, text: str) -> Definition:
    return unrecovered(
        chain(
            name,
            node("run", "ACTION.CODE", language=language, code=text, memory_mb=1024, timeout_s=60),
        )
    )


def unrecovered(definition: Definition) -> Definition:
    return {**definition, "settings": {"recovery": "off"}}


def many_items() -> Definition:
    """Return a FOREACH over 110,000 items: eleven lists of ten thousand, put together."""
    lists = [f"split{n}" for n in range(11)]
    nodes = [
        node("start", "TRIGGER.MANUAL"),
        node("list", "ACTION.SET", values={"many": "{{ 'x'.repeat(10000).split('') }}"}),
        *(node(name, "FLOW.SPLIT_OUT", field="many") for name in lists),
        node("all", "FLOW.MERGE", mode="append"),
        node("each", "FLOW.FOREACH"),
        node("body", "ACTION.SET", values={"b": 1}),
    ]
    links = [
        edge("start", "list"),
        *(edge("list", name) for name in lists),
        *(edge(name, "all", into=f"input{at}") for at, name in enumerate(lists, 1)),
        edge("all", "each"),
        edge("each", "body", "item"),
        edge("body", "each"),
    ]
    return {"name": "many", "nodes": nodes, "connections": links}


def a_million() -> Definition:
    """Return a FOREACH over a list of a million, as far as it comes."""
    values = {"many": "{{ 'x'.repeat(1000000).split('') }}"}
    made = chain(
        "million",
        node("list", "ACTION.SET", values=values),
        node("split", "FLOW.SPLIT_OUT", field="many"),
        node("each", "FLOW.FOREACH"),
    )
    body = node("body", "ACTION.SET", values={"b": 1})
    links = [edge("each", "body", "item"), edge("body", "each")]
    return {
        **made,
        "nodes": [*made["nodes"], body],
        "connections": [*made["connections"], *links],
    }


def costly() -> Definition:
    """Return ten thousand items, and a condition that takes milliseconds for each of them."""
    slow = "{{ 'x'.repeat(3000).split('').map(a => a + 'b').length > 4 }}"
    return chain(
        "costly",
        node("list", "ACTION.SET", values={"many": "{{ 'x'.repeat(10000).split('') }}"}),
        node("split", "FLOW.SPLIT_OUT", field="many"),
        node("ask", "FLOW.IF", condition=slow),
    )


def multiplied() -> Definition:
    """Return an item of twenty thousand fields, which is to be one for each of ten thousand."""
    fields = {f"f{n}": 0 for n in range(20_000)}
    return chain(
        "multiplied",
        node("list", "ACTION.SET", values={**fields, "many": "{{ 'x'.repeat(10000).split('') }}"}),
        node("split", "FLOW.SPLIT_OUT", field="many"),
    )


def wide() -> Definition:
    names = [f"n{n}" for n in range(BRANCHES)]
    nodes = [
        node("start", "TRIGGER.MANUAL"),
        *({**node(name, "FLOW.NOOP"), "run_in": "runner"} for name in names),
        node("join", "FLOW.NOOP"),
    ]
    links = [*(edge("start", n) for n in names), *(edge(n, "join") for n in names)]
    return {"name": "wide", "nodes": nodes, "connections": links}


def long_chain(count: int) -> Definition:
    names = [f"n{n}" for n in range(count)]
    return chain("long", *({"node_id": n, "node_type": "FLOW", "node_subtype": "NOOP"}
                           for n in names))  # fmt: skip


def endless_circle() -> Definition:
    """Return a sub-workflow that starts itself."""
    return chain("circle", node("again", "FLOW.SUB_WORKFLOW", workflow="circle", input={}))


@asynccontextmanager
async def watched(stage: Stage) -> AsyncGenerator[dict[str, int]]:
    """Give how much memory each process has taken on at most; it is whole after the block."""
    processes = {name: psutil.Process(each.pid) for name, each in stage.processes.items()}
    rest = {name: each.memory_info().rss for name, each in processes.items()}
    grown = dict.fromkeys(processes, 0)

    async def look() -> None:
        while True:
            for name, each in processes.items():
                grown[name] = max(grown[name], each.memory_info().rss - rest[name])
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(look())
    try:
        yield grown
    finally:
        looking.cancel()


async def error_of(stage: Stage, execution_id: str) -> tuple[str, str]:
    """Return how an execution stands, and the type of its error."""
    [row] = await stage.rows(
        "select status, coalesce(error_details ->> 'type', '') as type"
        " from engine.workflow_executions where execution_id = $1",
        execution_id,
    )
    return row["status"], row["type"]


async def test_hostile_workflows_end_with_typed_errors_and_neighbours_go_on(
    stage: Stage, world: World
) -> None:
    hostile = {
        "many": (many_items(), {"too_many_items"}),
        "costly": (costly(), {"expression_fuel"}),
        "multiplied": (multiplied(), {"too_many_items"}),
        "million": (a_million(), {"expression_fuel"}),
        "flood": (
            unrecovered(chain("flood", request("ask", world.url("/flood/100")))),
            {"response_too_large"},
        ),
        "javascript": (code("javascript", "javascript", JAVASCRIPT), {"response_too_large"}),
        "python": (code("python", "python", PYTHON), {"response_too_large"}),
        "circle": (endless_circle(), {"sub_workflow_failed"}),
    }
    await stage.deploy(wide())
    await stage.deploy(long_chain(NODES))
    await stage.deploy(chain("small", node("sum", "ACTION.SET", values={"n": "{{ $json.n + 1 }}"})))
    for definition, _ in hostile.values():
        await stage.deploy(definition)
    async with watched(stage) as grown:
        events = {name: await stage.trigger(name, {}) for name in (*hostile, "wide", "long")}
        small = [await stage.trigger("small", {"n": n}) for n in range(NEIGHBOURS)]
        neighbours = await asyncio.gather(*(stage.ended(each) for each in small))
        ends = {name: await stage.ended(each) for name, each in events.items()}
    assert {row["status"] for row in neighbours} == {"SUCCESS"}
    found: dict[str, Any] = {}
    for name, (_, expected) in hostile.items():
        status, kind = await error_of(stage, ends[name]["execution_id"])
        found[name] = (status, kind, kind in expected)
    assert all(s == "ERROR" and right for s, _, right in found.values()), json.dumps(found)
    assert (ends["wide"]["status"], ends["long"]["status"]) == ("SUCCESS", "SUCCESS")
    assert len(await stage.nodes_of(ends["long"]["execution_id"])) == NODES + 1
    nodes = await stage.nodes_of(ends["wide"]["execution_id"])
    assert len(nodes) == BRANCHES + 2
    assert len(json.loads(nodes["join"]["output_data"])["main"]) == BRANCHES
    assert max(grown.values()) < GROWS_MAX, grown
    circles = await stage.rows(
        "select 1 from engine.workflow_executions where metadata ->> 'workflow_name' = 'circle'"
    )
    assert len(circles) <= DEPTH_MAX + 1
    # What was refused has not begun: no run stands for any of the items.
    assert "body" not in await stage.nodes_of(ends["many"]["execution_id"])
    assert await what_verify_finds(stage) == []


async def test_ten_thousand_nodes_are_refused_with_a_typed_error(stage: Stage) -> None:
    async with Api(f"http://127.0.0.1:{stage.ports['engine']}") as api:
        with pytest.raises(ApiProblem) as problem:
            await api.post("/v1/workflows", {"definition": long_chain(10_000)})
        assert (problem.value.status, problem.value.code) == (413, "body_too_large")
        few = {"name": "few", "nodes": [{"node_id": str(n)} for n in range(10_001)]}
        with pytest.raises(ApiProblem) as problem:
            await api.post("/v1/workflows", {"definition": few})
        assert problem.value.code == "invalid_definition"
        assert "at most 10,000 are allowed" in json.dumps(problem.value.body)
