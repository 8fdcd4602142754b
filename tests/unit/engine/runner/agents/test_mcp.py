"""Tools of MCP servers: listed once, called once, told to the model like all others."""

import json
from typing import Any

import pytest
from agent_stage import Stage
from mcp_server import McpServer, offer, text
from model_server import asks_for, says

LOOK, NOTE = offer("look.up"), offer("note")


def mcp(stage: Stage, **more: Any) -> dict[str, Any]:
    """Return an MCP server as the engine tells it to a runner."""
    given = {"url": stage.url("/mcp"), "credential": "shop", **more}
    return {"node_id": "tracker", "subtype": "MCP", "effect": "unsafe", "parameters": given}


def serving(stage: Stage, *tools: dict[str, Any], **more: Any) -> McpServer:
    server = McpServer([list(tools) or [LOOK, NOTE]], **more)
    stage.server.answer = server.answer
    return server


def told(stage: Stage, request: int = 1) -> Any:
    return stage.models.asked[request].json["messages"][-1]["content"]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("sessions", [False, True])
async def test_the_tools_of_a_server_are_listed_and_called(
    stage: Stage, streams: bool, sessions: bool
) -> None:
    server = serving(stage, streams=streams, sessions=sessions)
    server.call = lambda name, arguments: text("late", structuredContent={"state": "late"})
    stage.script(asks_for(("look_up", {"id": "7"})), says("It is late."))
    made = await stage.answer(tools=[mcp(stage)])
    assert (made["output"], made["tool_calls"]) == ("It is late.", 1)
    offered = [each["function"] for each in stage.models.asked[0].json["tools"]]
    assert [(each["name"], each["description"]) for each in offered] == [
        ("look_up", "Does look.up."), ("note", "Does note."),
    ]  # fmt: skip
    assert offered[0]["parameters"]["required"] == ["id"]
    assert server.called == [("look.up", {"id": "7"})]
    assert json.loads(told(stage)) == {"state": "late"}
    assert (server.begun, server.ended) == (1, int(sessions))


async def test_an_attempt_that_goes_on_lists_and_calls_nothing_again(stage: Stage) -> None:
    server = serving(stage)
    stage.script(asks_for(("note", {"id": "7"})))
    failed = await stage.error(tools=[mcp(stage)])  # the model has nothing more to say
    assert failed.type != "effect_unknown"
    server.pages = [[offer("other")]]
    stage.script(says("done"))
    made = await stage.answer("a2", tools=[mcp(stage)])
    assert (made["output"], made["tool_calls"]) == ("done", 1)
    assert server.methods.count("tools/list") == 1
    assert server.called == [("note", {"id": "7"})]
    steps = sorted(stage.substeps.rows.values(), key=lambda step: step.n)
    assert [step.name for step in steps] == [
        "tracker: tools/list", "local-1", "note", "local-1",
    ]  # fmt: skip


async def test_only_those_named_are_offered_behind_their_prefix_from_all_pages(
    stage: Stage,
) -> None:
    serving(stage).pages = [[LOOK], [NOTE], [offer("drop")]]
    stage.script(says("ok"))
    await stage.answer(tools=[mcp(stage, tools=["note", "look.up"], prefix="t_")])
    names = [each["function"]["name"] for each in stage.models.asked[0].json["tools"]]
    assert names == ["t_note", "t_look_up"]


async def test_a_tool_that_is_not_there_stops_the_agent_and_says_what_is(stage: Stage) -> None:
    serving(stage)
    error = await stage.error(tools=[mcp(stage, tools=["gone"])])
    assert error.type == "output_invalid"
    assert "it has no tool 'gone'; it has: look.up, note" in error.message
    assert stage.models.asked == []


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (text("no such order", isError=True), "no such order"),
        ({"error": {"code": -32602, "message": "id is unknown"}}, "id is unknown"),
        (text("a token: tok-very-secret-2"), "a token: [credential]"),
        ({"content": [{"type": "image", "mimeType": "image/png", "data": "AA"}]},
         "[image image/png ]"),
        ({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": "inside"}}]},
         "inside"),
    ],
)  # fmt: skip
async def test_what_a_call_gives_or_why_it_gives_nothing_is_told(
    stage: Stage, answer: dict[str, Any], content: str
) -> None:
    serving(stage).call = lambda name, arguments: answer
    stage.script(asks_for(("note", {"id": "7"})), says("ok"))
    assert (await stage.answer(tools=[mcp(stage)]))["output"] == "ok"
    assert content in str(told(stage))
    assert "tok-very-secret-2" not in json.dumps(stage.models.asked[1].json)


async def test_arguments_are_judged_by_the_schema_that_the_server_gave(stage: Stage) -> None:
    server = serving(stage)
    stage.script(asks_for(("note", {"id": 7})), says("sorry"))
    await stage.answer(tools=[mcp(stage)])
    assert server.called == []
    assert "do not hold to the schema" in told(stage)


async def test_a_schema_that_leads_elsewhere_is_any_objects(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"id": {"$ref": "http://127.0.0.1:1/x"}}}
    server = serving(stage, offer("note", inputSchema=schema))
    stage.script(asks_for(("note", {"anything": 1})), says("ok"))
    await stage.answer(tools=[mcp(stage)])
    shown = stage.models.asked[0].json["tools"][0]["function"]["parameters"]
    assert "$ref" not in json.dumps(shown)
    assert server.called == [("note", {"anything": 1})]


async def test_a_session_that_the_server_has_forgotten_is_begun_anew(stage: Stage) -> None:
    server = serving(stage)
    both = (("note", {"id": "1"}), ("note", {"id": "2"}))

    def forgets(name: str, arguments: Any) -> Any:
        if arguments["id"] == "0":
            server.forget()
        return text("ok")

    server.call = forgets
    stage.script(asks_for(("note", {"id": "0"})), asks_for(*both), says("ok"))
    await stage.answer(tools=[mcp(stage)])
    assert [arguments["id"] for _, arguments in server.called] == ["0", "1", "2"]
    assert server.begun == 2, "calls side by side begin one session"


async def test_a_call_of_which_nobody_knows_stops_the_agent_unless_it_is_repeatable(
    stage: Stage,
) -> None:
    serving(stage).call = lambda name, arguments: b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    stage.script(asks_for(("note", {"id": "7"})))
    error = await stage.error(tools=[mcp(stage)])
    assert (error.type, error.effect_state) == ("effect_unknown", "unknown")
    stage.script(asks_for(("look_up", {"id": "7"})), says("ok"))
    again = mcp(stage, repeatable=["look.up"])
    assert (await stage.answer("b1", prompt="Another.", tools=[again]))["output"] == "ok"


async def test_a_server_that_cannot_be_reached_is_a_failure_that_may_pass(stage: Stage) -> None:
    stage.server.answer = lambda raw: b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
    error = await stage.error(tools=[mcp(stage)])
    assert (error.type, error.status_code, error.retryable) == ("http_status", 503, True)


@pytest.mark.parametrize("version", ["2024-11-05", "2031-01-01"])
async def test_a_revision_that_is_not_understood_is_told(stage: Stage, version: str) -> None:
    serving(stage, version=version)
    error = await stage.error(tools=[mcp(stage)])
    assert error.type == "output_invalid" and repr(version) in error.message


async def test_an_address_that_is_not_allowed_is_not_asked(stage: Stage) -> None:
    error = await stage.error(tools=[mcp(stage, url="http://169.254.169.254/mcp")])
    assert error.type == "address_refused"
    assert stage.server.asked == []
