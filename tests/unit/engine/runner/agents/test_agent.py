"""Agents against local servers: what models are asked, what counts, what is not done twice."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from answering_server import Server, answering_server, as_json, ok, parsed
from model_server import (
    Models,
    Reply,
    asks_for,
    cuts,
    fails,
    finishes,
    garbles,
    hold,
    model_server,
    refuses,
    says,
)
from perdure_common.credentials import MemoryCredentials
from perdure_common.outbound import AllowList
from perdure_contracts.engine import NodeResult, NodeTask
from perdure_contracts.progress import AgentProgressed
from perdure_engine.runner.agents.connections import Connections
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.perform import perform
from perdure_engine.runner.substeps import MemorySubsteps
from perdure_engine.runner.tools import Tools

LOCAL = AllowList.parse(["127.0.0.0/8"])
TENANT = "t1"

SCHEMA = {
    "type": "object",
    "properties": {"team": {"enum": ["billing", "other"]}, "urgent": {"type": "boolean"}},
    "required": ["team", "urgent"],
    "additionalProperties": False,
}


def tool(name: str, url: str, effect: str = "pure", **more: Any) -> dict[str, Any]:
    """Return a tool as the engine tells it to a runner."""
    arguments = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "note": {"type": "string"}},
        "required": ["id"],
    }
    given = {"name": name, "description": f"Does {name}.", "url": url, "arguments": arguments}
    return {
        "node_id": f"node-{name}",
        "subtype": "HTTP",
        "effect": effect,
        "parameters": given | more,
    }


@dataclass
class Watching:
    """Keeps what agents tell of themselves."""

    told: list[AgentProgressed] = field(default_factory=list[AgentProgressed])

    def tell(self, tenant_id: str, told: AgentProgressed) -> None:
        assert tenant_id == TENANT
        self.told.append(told)


@dataclass
class Stage:
    """A server of models, one of tools, and what a runner has."""

    models: Models
    server: Server
    port: int
    tools: Tools
    substeps: MemorySubsteps
    watching: Watching

    def script(self, *replies: Reply) -> None:
        self.models.script.extend(replies)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def run(self, token: str = "a1", **parameters: Any) -> NodeResult:
        """Run one attempt of an agent with one item."""
        given = {"model": "local-1", "base_url": self.models.url, "prompt": "Sort this.",
                 **parameters}  # fmt: skip
        task = NodeTask(
            token=token,
            execution_id="e",
            workflow_id="w",
            node_id="n",
            node_type="AI_AGENT",
            node_subtype="AGENT",
            parameters=[given],
            items=[{}],
            effect="keyed",
            length="long",
            deadline="2099-01-01T00:00:00+00:00",
            idempotency_key="key",
        )
        return await perform(self.tools, task, "r", TENANT)

    async def answer(self, token: str = "a1", **parameters: Any) -> dict[str, Any]:
        result: Any = await self.run(token, **parameters)
        assert result.error is None, result.error
        return result.ports["main"][0]["json"]

    async def error(self, token: str = "a1", **parameters: Any) -> Any:
        result = await self.run(token, **parameters)
        assert result.error is not None, result.ports
        return result.error

    @property
    def tool_calls(self) -> list[Any]:
        return [parsed(each) for each in self.server.asked]


@pytest.fixture
async def stage() -> AsyncGenerator[Stage]:
    substeps, watching, connections = MemorySubsteps(), Watching(), Connections(LOCAL)
    credentials = MemoryCredentials(
        {
            (TENANT, "llm"): {"api_key": "sk-very-secret-1"},
            (TENANT, "shop"): {"token": "tok-very-secret-2"},
        }
    )
    async with model_server() as models, answering_server() as (server, port), Clients(1) as http:
        tools = Tools(
            http,
            LOCAL,
            credentials=credentials,
            substeps=substeps,
            progress=watching,
            models=connections,
        )
        yield Stage(models, server, port, tools, substeps, watching)
        await connections.close()


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
    assert "no JSON" in third["messages"][-1]["content"]


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


# What is done is not done again ---------------------------------------------------------------


async def test_a_later_attempt_repeats_no_finished_call(stage: Stage) -> None:
    look = [tool("look", stage.url("/{id}"))]
    stage.server.answer = lambda asked: as_json({"state": "late"})
    stage.script(
        asks_for(("look", {"id": "1"})),
        asks_for(("look", {"id": "2"}), ("look", {"id": "3"})),
        fails(503, "service_unavailable", "down"),
    )
    assert (await stage.error(tools=look)).type == "dependency_down"
    assert (len(stage.models.asked), len(stage.tool_calls)) == (3, 3)
    stage.script(says("done"))
    made = await stage.answer("a2", tools=look)
    assert (made["output"], made["steps"], made["tool_calls"]) == ("done", 3, 3)
    assert (len(stage.models.asked), len(stage.tool_calls)) == (4, 3)
    before, after = (stage.models.asked[at].json["messages"] for at in (2, 3))
    assert before == after, "the resumed agent says what the first one said"
    repeated = [each.what for each in stage.watching.told if each.repeated]
    assert repeated == ["model_finished", "tool_finished", "model_finished", *["tool_finished"] * 2]


async def test_another_model_does_not_do_again_what_tools_did(stage: Stage) -> None:
    note = [tool("note", stage.url("/notes"), "keyed", method="POST", idempotency_header="Key")]
    stage.server.answer = lambda asked: as_json({"ok": True})
    stage.script(asks_for(("note", {"id": "1"})), fails(500, "server_error", "oops"))
    await stage.error(tools=note)
    stage.script(asks_for(("note", {"id": "1"})), says("done"))
    made = await stage.answer("a2", tools=note, model="local-2")
    assert made["output"] == "done"
    assert len(stage.tool_calls) == 1


class Dies(Exception):
    """The process ends here."""


async def test_a_call_that_was_under_way_is_made_again_with_the_same_key_if_it_may_be(
    stage: Stage,
) -> None:
    note = [tool("note", stage.url("/notes"), "keyed", method="POST", idempotency_header="Key")]
    stage.script(asks_for(("note", {"id": "1"})))
    await die_during_the_call(stage, tools=note)
    stage.server.answer = lambda asked: as_json({"ok": True})
    stage.script(says("done"))
    assert (await stage.answer("a2", tools=note))["output"] == "done"
    first, second = stage.tool_calls
    assert first.headers["key"] == second.headers["key"]
    assert len(stage.models.asked) == 2


async def test_a_call_that_was_under_way_and_must_not_be_repeated_stops_the_agent(
    stage: Stage,
) -> None:
    pay = [tool("pay", stage.url("/pay"), "unsafe", method="POST")]
    stage.script(asks_for(("pay", {"id": "1"})))
    await die_during_the_call(stage, tools=pay)
    for token in ("a2", "a3"):
        error = await stage.error(token, tools=pay)
        assert (error.type, error.retryable) == ("effect_unknown", False)
        assert error.effect_state == "unknown"
    assert len(stage.tool_calls) == 1


async def die_during_the_call(stage: Stage, **parameters: Any) -> None:
    """Run an attempt, and end it while a tool is being called."""
    stage.server.answer = lambda asked: b""
    attempt = asyncio.create_task(stage.run("a1", **parameters))
    while not stage.server.asked:
        await asyncio.sleep(0.01)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt


async def test_an_unsafe_call_without_an_answer_stops_the_agent(stage: Stage) -> None:
    pay = [tool("pay", stage.url("/pay"), "unsafe", method="POST", timeout_s=0.2)]
    stage.server.answer = lambda asked: b""
    stage.script(asks_for(("pay", {"id": "1"})))
    for token in ("a1", "a2"):
        assert (await stage.error(token, tools=pay)).type == "effect_unknown"
    assert len(stage.tool_calls) == 1


async def test_an_attempt_whose_lease_is_lost_begins_nothing_more(stage: Stage) -> None:
    stage.substeps.lost.add("a1")
    error = await stage.error()
    assert (error.type, error.retryable) == ("worker_lost", True)
    assert stage.models.asked == []


# Those who watch, and secrets -----------------------------------------------------------------


async def test_those_who_watch_see_the_text_as_it_comes(stage: Stage) -> None:
    stage.script(says("one two three"))
    made = await stage.answer(stream=True)
    assert made["output"].split() == ["one", "two", "three"]
    texts = [each.text for each in stage.watching.told if each.what == "text"]
    assert len(texts) > 1
    assert "".join(texts).split() == ["one", "two", "three"]
    assert [each.n for each in stage.watching.told] == list(range(1, len(stage.watching.told) + 1))
    assert stage.models.asked[0].json["stream"] is True


async def test_no_secret_comes_back_in_answers_errors_or_sub_steps(stage: Stage) -> None:
    look = tool("look", stage.url("/{id}"), credential="shop", credential_as="bearer")
    stage.server.answer = lambda asked: as_json({"you_sent": parsed(asked).headers})
    stage.script(
        asks_for(("look", {"id": "1"})),
        fails(401, "invalid_api_key", "your key sk-very-secret-1 is not known"),
    )
    error = await stage.error(tools=[look], credential="llm")
    everything = repr(error) + repr(stage.substeps.rows) + repr(stage.watching.told)
    assert "very-secret" not in everything
    assert "very-secret" not in stage.models.asked[1].body.decode()


@pytest.mark.parametrize(
    ("handle", "type"), [("gone", "credential_not_found"), ("shop", "credential_incomplete")]
)
async def test_a_credential_that_cannot_be_used_is_told(
    stage: Stage, handle: str, type: str
) -> None:
    error = await stage.error(credential=handle)
    assert (error.type, error.stage) == (type, "credential")
    assert stage.models.asked == []
