"""People, memories and workflows that agents call, on real servers: `kill -9` while they wait.

The services `hil` and `memory` are played by a task that speaks their contracts on the real bus.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from answering_server import Asked
from definitions_for_tests import chain, edge, node, request
from model_server import Models, asks_for, model_server, says
from outside_world import World
from perdure_common import replay
from perdure_common.embedded import Addresses
from perdure_engine.app import service
from platform_stage import PATIENT, Stage
from promises import broken_promises
from stage_ground import shared_ground
from standing_in import StandIn

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCEPTED: list[str] = []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def models() -> AsyncGenerator[Models]:
    async with model_server() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses, models: Models, world: World) -> AsyncGenerator[Stage]:
    allow = (f"127.0.0.1:{models.port}", f"{world.host}:{world.port}")
    async with (
        shared_ground(servers) as ground,
        Stage(ground, allow=allow, settings=PATIENT) as made,
    ):
        yield made


async def restart(stage: Stage, *victims: str) -> None:
    """Kill services, and start them again."""
    for victim in victims:
        assert (await stage.kill(victim)).hit
    for victim in victims:
        stage.begin(victim)
    await stage.until_ready(victims)


async def test_people_are_waited_for_over_the_death_of_the_engine(
    stage: Stage, world: World
) -> None:
    ask = node("ask", "HUMAN_IN_THE_LOOP.APPROVAL", title="Pay {{ $json.n }}?")
    pay = request("pay", world.url("/ok?pay"))
    made = chain("asks people", ask, pay)
    made["connections"][-1] = edge("ask", "pay", "approved")
    await stage.deploy(made)
    async with StandIn(stage, decides=lambda asked: None) as people:
        event = await stage.trigger("asks people", {"n": 7})
        ACCEPTED.append(event)

        async def asked() -> bool:
            return bool(people.asked)

        await stage.until(asked, "people to be asked")
        await restart(stage, "engine", "runner")
        (question,) = people.asked.values()
        assert question.title == "Pay 7?"
        assert not world.to("/ok?pay")
        await people.answer(question, "approved")
        assert (await stage.ended(event))["status"] == "SUCCESS"
        assert len(world.to("/ok?pay")) == 1
        await people.answer(question, "approved")
        assert people.stale == [question.interaction_id] * 2


async def test_a_memory_answers_over_the_death_of_the_engine(stage: Stage) -> None:
    search = node(
        "search",
        "MEMORY.STORE",
        memory_type="knowledge",
        operation="search",
        query="{{ $json.question }}",
    )
    await stage.deploy(chain("remembers", search))
    event = await stage.trigger("remembers", {"question": "why?"})
    ACCEPTED.append(event)

    async def waits() -> bool:
        rows = await stage.executions_of(event)
        return bool(rows) and "search" in await stage.nodes_of(rows[0]["execution_id"])

    await stage.until(waits, "the memory to be asked")
    await restart(stage, "engine")
    async with StandIn(
        stage,
        decides=lambda asked: None,
        remembers=lambda asked: [{"because": asked.query}],
        from_start=True,
    ) as memory:
        row = await stage.ended(event)
        assert json.loads(row["run_data"])["result"] == [{"because": "why?"}]
        (asked,) = memory.memory.values()
        assert (asked.operation, asked.memory_type) == ("search", "knowledge")


def agent(models: Models) -> dict[str, Any]:
    """Return an agent that may pay back by a workflow if a person allows it."""
    arguments: dict[str, Any] = {
        "type": "object",
        "properties": {"order": {"type": "string"}},
        "required": ["order"],
    }
    made = chain(
        "pays back",
        node("agent", "AI_AGENT.AGENT", model="local-1", base_url=models.url, prompt="Order 7."),
        node("end", "FLOW.NOOP"),
    )
    made["nodes"].append(
        node(
            "refund",
            "TOOL.WORKFLOW",
            name="refund",
            description="Pays an order back.",
            arguments=arguments,
            workflow="the refund",
            approval={"assignees": ["ann"]},
        )
    )
    made["connections"].append({**edge("refund", "agent"), "connection_type": "AI_TOOL"})
    return made


async def test_an_agent_asks_a_person_runs_a_workflow_and_repeats_nothing_whatever_dies(
    stage: Stage, models: Models, world: World
) -> None:
    await stage.deploy(
        chain(
            "the refund",
            request("post", world.url("/slow/1500"), json="{{ {order: $json.order} }}"),
            node("paid", "ACTION.SET", values={"paid": 3}, keep="none"),
        )
    )
    await stage.deploy(agent(models))
    turns: list[int] = []

    async def answers(asked: Asked) -> bytes | None:
        turn = sum(each["role"] == "assistant" for each in asked.json["messages"])
        turns.append(turn)
        reply = asks_for(("refund", {"order": "7"})) if turn == 0 else says("It is paid back.")
        return await reply(asked)

    models.choose = answers
    before = len(world.calls)
    async with StandIn(stage, decides=lambda asked: None) as people:
        event = await stage.trigger("pays back", {})
        ACCEPTED.append(event)

        async def asked() -> bool:
            return bool(people.asked)

        await stage.until(asked, "a person to be asked")
        await restart(stage, "engine", "runner")
        (question,) = people.asked.values()
        assert question.payload == {"tool": "refund", "arguments": {"order": "7"}}
        row = (await stage.executions_of(event))[0]
        assert row["status"] == "WAITING_FOR_HUMAN"
        await people.answer(question, "approved")

        async def posted() -> bool:
            return len(world.calls) > before

        await stage.until(posted, "the workflow to do its work")
        await restart(stage, "runner", "engine")
        row = await stage.ended(event)
        assert row["status"] == "SUCCESS", row["error_message"]
        (answer,) = json.loads(row["run_data"])["result"]
        assert answer["output"] == "It is paid back."
        assert (answer["steps"], answer["tool_calls"]) == (2, 1)
        assert turns == [0, 1], "no finished call of the model is repeated"
        assert len(people.asked) == 1
        children = await stage.rows(
            "select status from engine.workflow_executions where parent_execution_id = $1",
            row["execution_id"],
        )
        assert [each["status"] for each in children] == ["SUCCESS"]
        keys = {call.key for call in world.calls[before:]}
        assert len(keys) == 1, "the effect of the workflow has one key"


async def test_every_promise_holds_and_the_tables_can_be_made_again(
    stage: Stage, world: World
) -> None:
    assert await broken_promises(stage, ACCEPTED, world) == []
    report = await replay.check(service, stage.ground.database_url)
    assert [str(each) for each in report.differences] == []
