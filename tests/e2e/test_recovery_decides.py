"""What recovery decides, on real servers: another provider, the kill switch, breakers.

A breaker is opened by the calls that the runner makes and tells of, not by hand.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from answering_server import Server, answering_server, as_json
from definitions_for_tests import chain, node, request
from model_server import Models, fails, model_server, says
from perdure_common.embedded import Addresses
from perdure_contracts.recovery import SetMode
from platform_stage import Stage
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOWN = "503 Service Unavailable"
AFTER_THE_SWITCH = 20
"""Executions that fail once the kill switch was answered: nothing is decided about any of them."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(servers: Addresses) -> AsyncGenerator[Stage]:
    async with shared_ground(servers) as ground, Stage(ground, allow=("127.0.0.1/32",)) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def outside() -> AsyncGenerator[tuple[Server, int]]:
    async with answering_server() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def providers() -> AsyncGenerator[tuple[Models, Models]]:
    async with model_server() as one, model_server() as other:
        yield one, other


async def attempts_of(stage: Stage, execution_id: str) -> list[Any]:
    return await stage.rows(
        "select recovery_strategy, status, recovery_outcome, "
        "recovery_context->'changed'->>'to' as changed_to, recovery_context->>'cause' as cause "
        "from recovery.recovery_attempts where execution_id = $1 order by started_at, id",
        execution_id,
    )


async def test_another_provider_answers_when_the_first_is_down(
    stage: Stage, providers: tuple[Models, Models]
) -> None:
    first, other = providers
    first.choose = fails(503, "server_error", "we are down")
    other.choose = says("all is well")
    agent = node(
        "agent",
        "AI_AGENT.AGENT",
        model="one-1",
        base_url=first.url,
        prompt="How are you?",
        fallbacks=[
            {"model": "same-1", "base_url": first.url},
            {
                "provider": "anthropic",
                "model": "other-1",
                "base_url": f"http://127.0.0.1:{other.port}",
            },
        ],
    )
    await stage.deploy(chain("fallback", agent))
    row = await stage.ended(await stage.trigger("fallback", {}))
    assert row["status"] == "SUCCESS"
    assert "all is well" in str(row["run_data"])
    assert (len(first.asked), len(other.asked)) == (1, 1)
    assert other.asked[0].path.endswith("/messages")
    (attempt,) = await attempts_of(stage, row["execution_id"])
    assert attempt["recovery_strategy"] == "fallback_model"
    assert attempt["changed_to"] == "llm:anthropic:other-1"


async def test_what_its_author_calls_a_timeout_is_tried_again(
    stage: Stage, outside: tuple[Server, int]
) -> None:
    server, port = outside
    asked: list[bytes] = []

    def starting(request: bytes) -> bytes:
        asked.append(request)
        return as_json({"ok": True}) if len(asked) > 1 else as_json({}, "404 Not Found")

    server.answer = starting
    ask = {**request("ask", f"http://127.0.0.1:{port}/"), "failure_type": "timeout"}
    await stage.deploy(chain("by-author", ask))
    row = await stage.ended(await stage.trigger("by-author", {}))
    assert row["status"] == "SUCCESS"
    (attempt,) = await attempts_of(stage, row["execution_id"])
    assert attempt["recovery_strategy"] == "backoff"
    (pattern,) = await stage.rows(
        "select p.failure_type, p.pattern_source from recovery.failure_patterns p "
        "join recovery.recovery_attempts a on a.failure_pattern_id = p.id "
        "where a.execution_id = $1",
        row["execution_id"],
    )
    assert (pattern["failure_type"], pattern["pattern_source"]) == ("timeout", "override")


async def test_the_kill_switch_stops_what_waits_and_what_comes(
    stage: Stage, outside: tuple[Server, int]
) -> None:
    server, port = outside
    asked: list[bytes] = []

    def down(request: bytes) -> bytes:
        asked.append(request)
        return as_json({}, "429 Too Many", more="Retry-After: 6\r\n")

    server.answer = down
    await stage.deploy(chain("killed", request("ask", f"http://127.0.0.1:{port}/")))
    event = await stage.trigger("killed", {})

    async def planned() -> Any:
        return await stage.rows(
            "select 1 from recovery.recovery_attempts where status = 'planned' "
            "and error_message <> '' and recovery_strategy = 'backoff'"
        )

    await stage.until(planned, "an attempt that waits")
    await stage.ask("recovery", "*/mode", SetMode(workspace_id="*", mode="off", set_by="ann"))
    try:
        row = await stage.ended(event)
        assert row["status"] == "ERROR"
        (attempt,) = await attempts_of(stage, row["execution_id"])
        assert (attempt["status"], attempt["recovery_outcome"]) == ("refused", "refused:mode")
        after = [await stage.trigger("killed", {"n": n}) for n in range(AFTER_THE_SWITCH)]
        for event in after:
            ended = await stage.ended(event)
            assert ended["status"] == "ERROR"
            assert await attempts_of(stage, ended["execution_id"]) == [], "the switch was answered"
        assert len(asked) == 1 + AFTER_THE_SWITCH, "each was asked once, and nothing again"
    finally:
        on = SetMode(workspace_id="*", mode="auto", set_by="ann")
        await stage.ask("recovery", "*/mode", on)


async def test_a_breaker_opens_holds_back_and_closes_again(
    stage: Stage, outside: tuple[Server, int]
) -> None:
    server, port = outside
    well = asyncio.Event()
    asked: list[bytes] = []

    def shop(request: bytes) -> bytes:
        asked.append(request)
        return as_json({"ok": True}) if well.is_set() else as_json({}, DOWN)

    server.answer = shop
    await stage.deploy(chain("shop", request("ask", f"http://127.0.0.1:{port}/")))
    events = [await stage.trigger("shop", {"n": n}) for n in range(6)]
    dependency = "http:127.0.0.1"

    async def turned(state: str) -> Any:
        return await stage.rows(
            "select * from recovery.recovery_breakers where state = $1 and credential = '' "
            "and dependency like $2",
            state,
            f"{dependency}%",
        )

    await stage.until(lambda: turned("open"), "an open breaker")
    well.set()
    before = len(asked)
    events.append(await stage.trigger("shop", {"n": 6}))

    async def held() -> Any:
        return await stage.rows(
            "select 1 from recovery.recovery_attempts where status = 'parked' "
            "and recovery_context->>'cause' = 'breaker'"
        )

    await stage.until(held, "an attempt that waits for the breaker")
    assert len(asked) == before  # nothing is sent while it is open
    await stage.until(lambda: turned("closed"), "a closed breaker")
    rows = [await stage.ended(each) for each in events]
    assert {row["status"] for row in rows} == {"SUCCESS"}
