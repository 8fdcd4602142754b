"""Agents on a whole platform: killed at each call of a model or a tool; and where secrets stand.

The model and the tools are local servers that hold an answer back until the runner is dead.
"""

import asyncio
import base64
import json
import os
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from answering_server import Asked, as_json
from api_client import Api
from definitions_for_tests import chain, edge, node
from model_server import Models, Reply, asks_for, finishes, model_server
from outside_world import World
from perdure_common import replay
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.credentials import PostgresCredentials, Seal
from perdure_common.embedded import Addresses
from perdure_common.settings import DEFAULT_TENANT
from perdure_contracts.asking import AskMemory
from perdure_engine.app import service
from perdure_engine.runner.progress import TOPIC
from platform_stage import PARTITIONS, PATIENT, Stage
from promises import broken_promises, until_settled
from stage_ground import shared_ground
from standing_in import StandIn

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = base64.urlsafe_b64encode(os.urandom(32)).decode()
SECRETS = {"llm": {"api_key": "sk-canary-8f2a71c09d"}, "shop": {"token": "tok-canary-55e1b7a2c3"}}

SCHEMA = {
    "type": "object",
    "properties": {"done": {"type": "boolean"}},
    "required": ["done"],
}
TURNS: tuple[Reply, ...] = (
    asks_for(("look", {"id": "7"})),
    asks_for(("note", {"id": "7", "text": "late"})),
    finishes({"done": True}),
)
"""What the model answers, by how often it has answered before in the conversation."""


@dataclass
class Outside:
    """The model and the tools. `hold` names the request that is not answered the first time."""

    models: Models
    shop: Models
    hold: str = ""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    seen: Counter[str] = field(default_factory=Counter)
    keys: dict[str, set[str]] = field(default_factory=dict)

    def begin(self, hold: str) -> None:
        """Forget what was asked, and hold the answer to one request back."""
        self.hold = hold
        self.reached.clear()
        self.dead.clear()
        self.seen.clear()
        self.keys.clear()

    async def _held(self, what: str) -> bool:
        self.seen[what] += 1
        if what == self.hold and self.seen[what] == 1:
            self.reached.set()
            await self.dead.wait()
            return True
        return False

    async def model(self, asked: Asked) -> bytes | None:
        assert asked.headers["authorization"] == "Bearer " + SECRETS["llm"]["api_key"]
        turn = sum(each["role"] == "assistant" for each in asked.json["messages"])
        if await self._held(f"model-{turn}"):
            return None
        return await TURNS[turn](asked)

    async def tool(self, asked: Asked) -> bytes | None:
        assert asked.headers["authorization"] == "Bearer " + SECRETS["shop"]["token"]
        what = asked.path.split("/")[1]
        self.keys.setdefault(what, set()).add(asked.headers.get("idempotency-key", ""))
        if await self._held(what):
            return None
        return as_json({"ok": what, "token": asked.headers["authorization"]})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outside() -> AsyncGenerator[Outside]:
    async with model_server() as models, model_server() as shop:
        made = Outside(models, shop)
        models.choose, shop.choose = made.model, made.tool
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, outside: Outside) -> AsyncGenerator[Stage]:
    """A platform whose runner has the key of its credentials."""
    allow = tuple(f"127.0.0.1:{each.port}" for each in (outside.models, outside.shop))
    settings = {**PATIENT, "PERDURE_CREDENTIALS_KEY": KEY}
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=allow, settings=settings) as made,
    ):
        store = PostgresCredentials(ground.database_url, Seal([base64.urlsafe_b64decode(KEY)]))
        for handle, fields in SECRETS.items():
            await store.set(DEFAULT_TENANT, handle, fields)
        await store.close()
        yield made


def workflow(name: str, outside: Outside, **more: Any) -> dict[str, Any]:
    """Return an agent that looks something up, notes it down, and finishes."""
    shop = f"http://127.0.0.1:{outside.shop.port}"
    arguments: dict[str, Any] = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "text": {"type": "string"}},
        "required": ["id"],
    }
    shown: dict[str, Any] = {"credential": "shop", "credential_as": "bearer",
                             "arguments": arguments}  # fmt: skip
    agent = node(
        "agent",
        "AI_AGENT.AGENT",
        model="local-1",
        base_url=outside.models.url,
        credential="llm",
        prompt="{{ $json.text }}",
        output_schema=SCHEMA,
        **more,
    )
    made = chain(name, agent, node("end", "FLOW.NOOP"))
    look = node("look", "TOOL.HTTP", name="look", description="Looks an order up.",
                url=f"{shop}/look/{{id}}", **shown)  # fmt: skip
    note = node(
        "note",
        "TOOL.HTTP",
        name="note",
        description="Notes something down.",
        method="POST",
        url=f"{shop}/note",
        idempotency_header="Idempotency-Key",
        **shown,
    )
    made["nodes"] += [look, note]
    made["connections"] += [
        {**edge(tool, "agent"), "connection_type": "AI_TOOL"} for tool in ("look", "note")
    ]
    return made


async def kill_and_begin_again(stage: Stage, outside: Outside) -> None:
    """Kill the runner while it waits for an answer, and let its leases run out."""
    assert (await stage.kill("runner")).hit
    outside.dead.set()
    await stage.rows("update engine.node_claims set lease_until = now() where finished_at is null")
    stage.begin("runner")


PLACES = ("model-0", "look", "model-1", "note", "model-2")
ACCEPTED: list[str] = []


@pytest.mark.parametrize("place", PLACES)
async def test_an_agent_that_is_killed_repeats_no_finished_call(
    stage: Stage, outside: Outside, place: str
) -> None:
    await stage.deploy(workflow(f"killed-{place}", outside))
    outside.begin(place)
    event = await stage.trigger(f"killed-{place}", {"text": "Where is order 7?"})
    ACCEPTED.append(event)
    await asyncio.wait_for(outside.reached.wait(), 90)
    await kill_and_begin_again(stage, outside)
    row = await stage.ended(event)
    assert row["status"] == "SUCCESS", row["error_message"]
    [answer] = json.loads(row["run_data"])["result"]
    assert answer["output"] == {"done": True}
    assert (answer["steps"], answer["tool_calls"]) == (3, 2)
    assert dict(outside.seen) == {each: 2 if each == place else 1 for each in PLACES}
    assert len(outside.keys["note"]) == 1, "the same call has the same key, whoever makes it"
    nodes = await stage.nodes_of(row["execution_id"])
    assert nodes["agent"]["status"] == "SUCCESS"
    assert nodes["agent"]["retry_count"] == 1
    assert "look" not in nodes, "a tool has no run of its own"
    steps = await stage.rows(
        "select kind, state, name from engine.substeps where execution_id = $1 order by n",
        row["execution_id"],
    )
    assert [(each["kind"], each["name"]) for each in steps] == [
        ("model", "local-1"), ("tool", "look"), ("model", "local-1"), ("tool", "note"),
        ("model", "local-1"),
    ]  # fmt: skip
    assert {each["state"] for each in steps} == {"finished"}


async def test_a_call_that_must_not_be_repeated_is_left_to_a_person(
    stage: Stage, outside: Outside
) -> None:
    definition = workflow("unsafe", outside)
    note = next(each for each in definition["nodes"] if each["node_id"] == "note")
    del note["parameters"]["idempotency_header"]
    await stage.deploy(definition)
    outside.begin("note")
    event = await stage.trigger("unsafe", {"text": "Where is order 7?"})
    await asyncio.wait_for(outside.reached.wait(), 90)
    await kill_and_begin_again(stage, outside)
    row = await stage.ended(event)
    assert row["status"] == "ERROR"
    details = json.loads(row["error_details"])
    assert details["type"] == "effect_unknown"
    assert "'note'" in details["message"]
    assert outside.seen["note"] == 1


async def test_it_can_be_asked_which_runner_has_an_agent_and_what_it_does(
    stage: Stage, outside: Outside
) -> None:
    await stage.deploy(workflow("asked", outside))
    outside.begin("look")
    event = await stage.trigger("asked", {"text": "Where is order 7?"})
    await asyncio.wait_for(outside.reached.wait(), 90)
    [claim] = await stage.rows("select * from engine.node_claims where finished_at is null")
    async with Api(f"http://127.0.0.1:{stage.ports['engine']}") as client:
        why = await client.get(f"/v1/workflow_executions/{claim['execution_id']}/why")
        [stuck] = (await client.get("/v1/stuck", older_than_s=0))["items"]
    [attempt] = [each for each in why["waits_for"] if each["waits_for"] == "attempt"]
    worker = attempt["worker"]
    assert (worker["runner"], worker["lost"]) == (claim["runner"], False)
    assert worker["since"] < worker["lease_until"]
    step = worker["step"]
    assert (step["n"], step["kind"], step["name"], step["state"]) == (2, "tool", "look", "begun")
    assert stuck["waits_for"] == why["waits_for"]
    await kill_and_begin_again(stage, outside)
    assert (await stage.ended(event))["status"] == "SUCCESS"


async def test_an_agent_remembers_across_executions_and_a_kill_in_between(
    stage: Stage, outside: Outside
) -> None:
    written: list[Any] = []

    def remembers(request: AskMemory) -> list[Any]:
        if request.operation == "write":
            written.append(request.content)
            return [{"written": True}]
        return [{"before": each} for each in written]

    definition = workflow("remembers", outside)
    given = {"memory_type": "conversation_buffer", "operation": "read", "user": "ann"}
    definition["nodes"].append(node("memory", "MEMORY.STORE", **given))
    definition["connections"].append({**edge("memory", "agent"), "connection_type": "AI_MEMORY"})
    await stage.deploy(definition)
    async with StandIn(stage, remembers=remembers) as memory:
        outside.begin("note")
        event = await stage.trigger("remembers", {"text": "Where is order 7?"})
        await asyncio.wait_for(outside.reached.wait(), 180)
        assert [each.operation for each in memory.memory.values()] == ["read"]
        await kill_and_begin_again(stage, outside)
        row = await stage.ended(event)
        assert row["status"] == "SUCCESS", row["error_message"]
        assert dict(outside.seen) == {each: 2 if each == "note" else 1 for each in PLACES}
        assert [each.operation for each in memory.memory.values()] == ["read", "write"]
        assert memory.heard == 2, "a memory is asked once for each, whoever was killed"
        assert written == [{"prompt": "Where is order 7?", "output": {"done": True}}]
        outside.begin("")
        asked_before = len(outside.models.asked)
        row = await stage.ended(await stage.trigger("remembers", {"text": "And order 8?"}))
        assert row["status"] == "SUCCESS", row["error_message"]
    first = outside.models.asked[asked_before].json["messages"][0]
    assert (first["role"], "Where is order 7?" in first["content"]) == ("system", True)
    assert [each["prompt"] for each in written] == ["Where is order 7?", "And order 8?"]
    nodes = await stage.nodes_of(row["execution_id"])
    assert "memory" not in nodes, "a memory that is attached has no run of its own"


async def test_those_who_watch_see_what_an_agent_does(stage: Stage, outside: Outside) -> None:
    bus = KafkaBus(stage.ground.kafka_bootstrap, "watching", stage.ground.prefix)
    places = [(TOPIC, partition) for partition in range(PARTITIONS)]
    ends = {place: bound[1] for place, bound in (await bus.bounds(places)).items()}
    bus.read(ends)
    await stage.deploy(workflow("watched", outside))
    outside.begin("")
    row = await stage.ended(await stage.trigger("watched", {"text": "hello"}))
    seen: list[Any] = []

    async def all_told() -> bool:
        told = [json.loads(each.value) for each in await bus.fetch(100, 0.2)]
        seen.extend(each for each in told if each["execution_id"] == row["execution_id"])
        return len(seen) >= 10

    await stage.until(all_told, "what the agent told")
    await bus.close()
    assert [each["what"] for each in sorted(seen, key=lambda each: each["n"])] == [
        "model_started", "model_finished", "tool_started", "tool_finished",
        "model_started", "model_finished", "tool_started", "tool_finished",
        "model_started", "model_finished",
    ]  # fmt: skip


async def test_no_secret_stands_in_any_table_topic_or_log(stage: Stage, outside: Outside) -> None:
    await stage.deploy(workflow("canary", outside))
    outside.begin("")
    row = await stage.ended(await stage.trigger("canary", {"text": "hello"}))
    assert row["status"] == "SUCCESS"
    await until_settled(stage)
    found: list[str] = []
    canaries = [value for fields in SECRETS.values() for value in fields.values()]
    connection: Any = await asyncpg.connect(stage.ground.database_url)
    tables = await connection.fetch(
        "select table_schema, table_name from information_schema.tables "
        "where table_schema in ('engine', 'recovery', 'scheduler') and table_type = 'BASE TABLE'"
    )
    assert len(tables) > 20
    for schema, table in tables:
        for canary in canaries:
            count = await connection.fetchval(
                f'select count(*) from "{schema}"."{table}" as t where t::text like $1',
                f"%{canary}%",
            )
            coded = await connection.fetchval(
                f'select count(*) from "{schema}"."{table}" as t where t::text like $1',
                f"%{canary.encode().hex()}%",
            )
            if count or coded:
                found.append(f"{schema}.{table}")
    await connection.close()
    found += [
        name
        for name in stage.names
        for canary in canaries
        if canary in stage.log_of(name).read_text(encoding="utf-8", errors="replace")
    ]
    bus = KafkaBus(stage.ground.kafka_bootstrap, "grep", stage.ground.prefix)
    names = ["engine.commands", "engine.events", "engine.tasks", "engine.progress",
             "recovery.commands", "recovery.events"]  # fmt: skip
    places = [(f"perdure.{name}.v1", at) for name in names for at in range(PARTITIONS)]
    bounds = await bus.bounds(places)
    left = {place: end - start for place, (start, end) in bounds.items() if end > start}
    bus.read({place: bounds[place][0] for place in left})
    read = 0
    while read < sum(left.values()):
        records = await bus.fetch(500, 5.0)
        assert records, "every record of the topics is looked at"
        read += len(records)
        for record in records:
            if any(canary.encode() in record.value for canary in canaries):
                found.append(record.topic)
    await bus.close()
    assert found == []


async def test_every_promise_holds_and_the_tables_can_be_made_again(
    stage: Stage, world: World
) -> None:
    assert await broken_promises(stage, ACCEPTED, world) == []
    report = await replay.check(service, stage.ground.database_url)
    assert [str(each) for each in report.differences] == []
