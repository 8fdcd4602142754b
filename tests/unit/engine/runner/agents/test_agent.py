"""What models are asked by agents, and what comes of it; tools, and answers with a schema."""

import json
from dataclasses import replace
from typing import Any

import pytest
from agent_stage import SCHEMA, Stage, tool
from answering_server import as_json, ok
from model_server import (
    asks_for,
    finishes,
    says,
)
from perdure_common.outbound import AllowList
from perdure_engine.runner.agents.connections import Connections

# What the model is asked, and what comes of it ------------------------------------------------


async def test_an_agent_asks_the_model_and_answers_with_its_text(stage: Stage) -> None:
    stage.script(says("Billing."))
    made = await stage.answer(instructions="Be brief.", credential="llm", temperature=0.5)
    assert made == {
        "output": "Billing.",
        "steps": 1,
        "tool_calls": 0,
        "usage": {"input_tokens": 10, "output_tokens": 5, "cost_usd": 0.0},
        "model": "local-1",
    }
    (asked,) = stage.models.asked
    assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
    assert asked.headers["authorization"] == "Bearer sk-very-secret-1"
    body = asked.json
    assert (body["model"], body["temperature"]) == ("local-1", 0.5)
    assert [(m["role"], m["content"]) for m in body["messages"]] == [
        ("system", "Be brief."),
        ("user", "Sort this."),
    ]


async def test_an_agent_speaks_anthropics_way_too(stage: Stage) -> None:
    stage.script(asks_for(("look", {"id": "7"})), finishes({"team": "billing", "urgent": True}))
    stage.server.answer = lambda asked: as_json({"state": "late"})
    made = await stage.answer(
        provider="anthropic",
        base_url=f"http://127.0.0.1:{stage.models.port}",
        instructions="Be brief.",
        credential="llm",
        output_schema=SCHEMA,
        max_output_tokens=200,
        tools=[tool("look", stage.url("/orders/{id}"))],
    )
    assert made["output"] == {"team": "billing", "urgent": True}
    first, second = stage.models.asked
    assert first.path == "/v1/messages"
    assert first.headers["authorization"] == "Bearer sk-very-secret-1"
    assert first.headers["anthropic-version"]
    assert first.json["max_tokens"] == 200
    system: Any = first.json["system"]
    assert "Be brief." in json.dumps(system)
    assert {each["name"] for each in first.json["tools"]} == {"look", "final_answer"}
    assert first.json["tools"][0]["input_schema"]["required"] == ["id"]
    result = second.json["messages"][-1]["content"][0]
    assert (result["type"], result["tool_use_id"]) == ("tool_result", "toolu_0")
    assert "late" in json.dumps(result["content"])


async def test_a_tool_is_called_with_the_models_arguments_and_its_answer_is_told(
    stage: Stage,
) -> None:
    stage.script(asks_for(("look", {"id": "a/b", "note": "why"})), says("It is late."))
    stage.server.answer = lambda asked: as_json({"state": "late"})
    look = tool(
        "look",
        stage.url("/orders/{id}?x=1"),
        headers={"x-own": "1"},
        credential="shop",
        credential_as="bearer",
    )
    made = await stage.answer(tools=[look])
    assert (made["output"], made["steps"], made["tool_calls"]) == ("It is late.", 2, 1)
    (called,) = stage.tool_calls
    assert (called.method, called.path) == ("GET", "/orders/a%2Fb")
    assert called.query == (("x", "1"), ("note", "why"))
    assert called.headers["authorization"] == "Bearer tok-very-secret-2"
    assert called.headers["x-own"] == "1"
    told = stage.models.asked[1].json["messages"][-1]
    assert (told["role"], told["tool_call_id"]) == ("tool", "call_0")
    assert json.loads(told["content"]) == {"state": "late"}


async def test_a_tool_that_posts_sends_json_and_a_key_that_stays_the_same(stage: Stage) -> None:
    note = tool("note", stage.url("/notes"), "keyed", method="POST", idempotency_header="Key")
    stage.script(
        asks_for(("note", {"id": "1"}), ("note", {"id": "2"}), ("note", {"id": "1"})), says("ok")
    )
    stage.server.answer = lambda asked: ok(b"", status="204 No Content")
    await stage.answer(tools=[note])
    assert len(stage.tool_calls) == 3, "the same asked twice in one attempt is done twice"
    assert len({each.headers["key"] for each in stage.tool_calls}) == 3
    assert [each.json for each in stage.tool_calls] == [{"id": "1"}, {"id": "2"}, {"id": "1"}]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("gone", {"id": "1"}), "there is no tool 'gone'; there are: look"),
        (("look", {"id": 1}), "do not hold to the schema"),
        (("look", '{"id": '), "the arguments are no JSON"),
    ],
)
async def test_a_call_that_is_wrong_is_told_to_the_model_and_not_made(
    stage: Stage, call: tuple[str, Any], told: str
) -> None:
    stage.script(asks_for(call), says("sorry"))
    made = await stage.answer(tools=[tool("look", stage.url("/orders/{id}"))])
    assert made["output"] == "sorry"
    assert stage.tool_calls == []
    assert told in stage.models.asked[1].json["messages"][-1]["content"]


async def test_a_tool_that_fails_is_told_to_the_model_which_may_go_on(stage: Stage) -> None:
    stage.script(asks_for(("look", {"id": "1"})), says("There is none."))
    stage.server.answer = lambda asked: as_json({"code": "gone"}, "404 Not Found")
    made = await stage.answer(tools=[tool("look", stage.url("/orders/{id}"))])
    assert made["output"] == "There is none."
    content = stage.models.asked[1].json["messages"][-1]["content"]
    assert "http_status: 127.0.0.1 answered 404" in content


async def test_a_tool_has_a_number_of_calls(stage: Stage) -> None:
    stage.script(asks_for(("look", {"id": "1"})), asks_for(("look", {"id": "2"})), says("enough"))
    stage.server.answer = lambda asked: as_json({})
    await stage.answer(tools=[tool("look", stage.url("/{id}"), calls_max=1)])
    assert len(stage.tool_calls) == 1
    assert "may be called 1 times" in stage.models.asked[2].json["messages"][-1]["content"]


async def test_a_tool_reaches_no_address_that_is_not_allowed(stage: Stage) -> None:
    stage.script(asks_for(("look", {"id": "1"})), says("no"))
    await stage.answer(tools=[tool("look", "http://169.254.169.254/{id}")])
    assert "address_refused" in stage.models.asked[1].json["messages"][-1]["content"]


async def test_a_model_at_an_address_that_is_not_allowed_is_not_asked(stage: Stage) -> None:
    stage.tools = replace(stage.tools, models=Connections(AllowList()))
    error = await stage.error()
    assert (error.type, error.retryable) == ("address_refused", False)
    assert stage.models.asked == []


# Answers with a schema ------------------------------------------------------------------------


async def test_an_answer_that_does_not_hold_to_the_schema_is_asked_for_again(stage: Stage) -> None:
    stage.script(
        finishes({"team": "sales", "urgent": "yes"}),
        says("billing, I think"),
        says('```json\n{"team": "billing", "urgent": false}\n```'),
    )
    made = await stage.answer(output_schema=SCHEMA)
    assert made["output"] == {"team": "billing", "urgent": False}
    assert made["steps"] == 3
    first, second, third = (each.json for each in stage.models.asked)
    (final,) = first["tools"]
    assert final["function"]["parameters"]["required"] == ["team", "urgent"]
    told = second["messages"][-1]
    assert (told["role"], told["tool_call_id"]) == ("tool", "call_0")
    assert "team: 'sales' is not one of" in told["content"]
    assert third["messages"][-1]["role"] == "user"
    assert "not JSON" in third["messages"][-1]["content"]


async def test_a_model_that_never_holds_to_the_schema_fails_with_what_is_wrong(
    stage: Stage,
) -> None:
    stage.script(*[finishes({"team": "sales"})] * 2)
    error = await stage.error(output_schema=SCHEMA, output_retries=1)
    assert (error.type, error.retryable, error.stage) == ("output_invalid", True, "output")
    assert error.dependency == "llm:openai:local-1"
    paths = {(each["path"], each["message"]) for each in error.detail["problems"]}
    assert ("team", "'sales' is not one of ['billing', 'other']") in paths
    assert ("", "'urgent' is a required property") in paths


async def test_the_next_attempt_asks_again_for_what_could_not_be_used(stage: Stage) -> None:
    stage.script(finishes({"team": "sales"}))
    await stage.error(output_schema=SCHEMA, output_retries=0)
    stage.script(finishes({"team": "other", "urgent": True}))
    made = await stage.answer("a2", output_schema=SCHEMA, output_retries=0)
    assert made["output"] == {"team": "other", "urgent": True}
    assert made["usage"]["input_tokens"] == 20, "what was in vain has cost something too"


async def test_empty_text_is_no_answer(stage: Stage) -> None:
    stage.script(says("  "), says("yes"))
    assert (await stage.answer())["output"] == "yes"
