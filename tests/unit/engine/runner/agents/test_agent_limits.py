"""Where agents stop, and what goes wrong with models."""

import asyncio
from dataclasses import replace

import pytest
from agent_stage import Stage, tool
from answering_server import as_json
from model_server import (
    Reply,
    asks_for,
    cuts,
    fails,
    garbles,
    hold,
    refuses,
    says,
)

# Limits ---------------------------------------------------------------------------------------


async def test_an_agent_stops_at_its_number_of_steps(stage: Stage) -> None:
    stage.server.answer = lambda asked: as_json({})
    stage.script(*[asks_for(("look", {"id": str(n)})) for n in range(2)])
    error = await stage.error(tools=[tool("look", stage.url("/{id}"))], steps_max=2)
    assert (error.type, error.retryable) == ("step_limit", False)
    assert len(stage.models.asked) == 2


async def test_an_agent_stops_at_its_number_of_tool_calls(stage: Stage) -> None:
    stage.server.answer = lambda asked: as_json({})
    stage.script(asks_for(("look", {"id": "1"})), asks_for(("look", {"id": "2"})))
    error = await stage.error(tools=[tool("look", stage.url("/{id}"))], tool_calls_max=1)
    assert error.type == "tool_call_limit"
    assert len(stage.tool_calls) == 1


async def test_an_agent_stops_at_its_tokens_and_asks_for_no_more_than_are_left(
    stage: Stage,
) -> None:
    stage.server.answer = lambda asked: as_json({})
    stage.script(asks_for(("look", {"id": "1"})), asks_for(("look", {"id": "2"})))
    error = await stage.error(tools=[tool("look", stage.url("/{id}"))], tokens_max=25)
    assert error.type == "token_limit"
    assert [each.json["max_completion_tokens"] for each in stage.models.asked] == [25, 10]


async def test_an_agent_stops_at_its_cost(stage: Stage) -> None:
    stage.server.answer = lambda asked: as_json({})
    stage.script(asks_for(("look", {"id": "1"})))
    prices = {"input": 1_000_000, "output": 2_000_000}
    look = [tool("look", stage.url("/{id}"))]
    error = await stage.error(tools=look, cost_max_usd=20, prices=prices)
    assert error.type == "cost_limit"
    assert "$20.0000 is spent" in error.message
    stage.script(says("done"))
    made = await stage.answer("a2", tools=look, cost_max_usd=50, prices=prices)
    assert made["usage"]["cost_usd"] == 40.0, "the first attempt's call counts and is not repeated"


async def test_a_limit_of_money_needs_a_price(stage: Stage) -> None:
    error = await stage.error(cost_max_usd=1)
    assert error.type == "price_unknown"
    assert stage.models.asked == []
    stage.tools = replace(stage.tools, model_prices={"local-1": (1.0, 1.0)})
    stage.script(says("ok"))
    assert (await stage.answer("a2", cost_max_usd=1))["usage"]["cost_usd"] == 0.000015


async def test_prices_that_are_public_are_known(stage: Stage) -> None:
    stage.script(says("ok", model="gpt-4o-2024-08-06"))
    stage.tools = replace(stage.tools, model_prices={})
    made = await stage.answer(model="gpt-4o", base_url=stage.models.url, prices=None)
    assert made["usage"]["cost_usd"] == 0.0, "at an address of one's own nobody knows the price"


async def test_an_agent_has_a_time(stage: Stage) -> None:
    never = asyncio.Event()
    stage.script(hold(never, says("late")))
    error = await stage.error(timeout_s=0.3)
    assert (error.type, error.retryable) == ("time_limit", False)


# What goes wrong with models ------------------------------------------------------------------


async def test_a_rate_limit_tells_how_long_to_wait(stage: Stage) -> None:
    stage.script(fails(429, "rate_limit_exceeded", "slow down", "retry-after: 7\r\n"))
    error = await stage.error()
    assert (error.type, error.retryable, error.status_code) == ("rate_limit", True, 429)
    assert (error.retry_after_s, error.codes[0]) == (7.0, "rate_limit_exceeded")
    assert error.dependency == "llm:openai:local-1"
    assert len(stage.models.asked) == 1, "the library does not try again by itself"


@pytest.mark.parametrize(
    ("reply", "type", "retryable"),
    [
        (fails(429, "insufficient_quota", "no money"), "quota_exhausted", False),
        (fails(503, "service_unavailable", "down"), "dependency_down", True),
        (fails(500, "server_error", "oops"), "dependency_down", True),
        (fails(401, "invalid_api_key", "who are you"), "auth", False),
        (fails(404, "model_not_found", "no such model"), "data_missing", False),
        (fails(400, "context_length_exceeded", "maximum context length"), "context_length", False),
        (fails(400, "content_policy_violation", "not allowed"), "model_refusal", False),
        (fails(400, "invalid_request_error", "wrong"), "validation", False),
        (garbles(), "output_invalid", True),
        (garbles(b'{"id": "x", "choices": "none"}'), "output_invalid", True),
        (refuses("I cannot do that."), "model_refusal", False),
        (says("half an ans", finish="length"), "output_invalid", True),
        (cuts(), "connection_reset", True),
    ],
)
async def test_what_goes_wrong_with_a_model_is_told_by_type(
    stage: Stage, reply: Reply, type: str, retryable: bool
) -> None:
    stage.script(reply)
    error = await stage.error()
    assert (error.type, error.retryable) == (type, retryable), error
    assert error.dependency == "llm:openai:local-1"
    assert len(stage.models.asked) == 1


@pytest.mark.parametrize(
    ("reply", "type"),
    [
        (fails(429, "rate_limit_error", "slow down", "retry-after: 3\r\n"), "rate_limit"),
        (fails(529, "overloaded_error", "busy"), "dependency_down"),
        (fails(400, "invalid_request_error", "prompt is too long: 9 > 8"), "context_length"),
        (fails(401, "authentication_error", "who"), "auth"),
        (refuses("no"), "model_refusal"),
    ],
)
async def test_what_anthropic_says_is_told_by_type(stage: Stage, reply: Reply, type: str) -> None:
    stage.script(reply)
    url = f"http://127.0.0.1:{stage.models.port}"
    error = await stage.error(provider="anthropic", base_url=url)
    assert error.type == type, error
    if type == "rate_limit":
        assert error.retry_after_s == 3.0


async def test_a_model_that_does_not_answer_in_time_may_be_asked_again(stage: Stage) -> None:
    never = asyncio.Event()
    stage.script(hold(never, says("late")))
    error = await stage.error(request_timeout_s=0.3)
    assert (error.type, error.retryable) == ("read_timeout", True)
    stage.script(says("now"))
    assert (await stage.answer("a2"))["output"] == "now"


async def test_a_model_that_is_not_there_was_asked_nothing(stage: Stage) -> None:
    error = await stage.error(base_url="http://127.0.0.1:9/v1")
    assert (error.type, error.effect_state) == ("connect_failed", "not_sent")
