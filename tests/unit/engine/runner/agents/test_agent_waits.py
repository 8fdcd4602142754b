"""Agents whose tools are workflows, or need a person's word: what they ask, and how they go on."""

from typing import Any

from agent_stage import SCHEMA, Stage, tool
from answering_server import as_json
from model_server import asks_for, finishes, says
from perdure_contracts.agent_asks import AgentAsk
from perdure_contracts.engine import NodeResult

REFUND = ("refund", {"id": "7"})


def refund(**more: Any) -> dict[str, Any]:
    made = tool("refund", "", **more)
    made["parameters"]["workflow"] = "pay back"
    return {**made, "subtype": "WORKFLOW"}


def asked(result: NodeResult) -> tuple[AgentAsk, ...]:
    assert result.error is None, result.error
    ((place, asks),) = result.suspended
    assert place == 0
    assert result.ports == {"main": [None]}
    return asks


def of_model(stage: Stage) -> list[Any]:
    return [each.json["messages"][-1]["content"] for each in stage.models.asked]


async def test_a_workflow_is_asked_of_the_engine_and_its_result_told_to_the_model(
    stage: Stage,
) -> None:
    stage.script(asks_for(REFUND), finishes({"team": "billing", "urgent": False}))
    given: dict[str, Any] = {"tools": [refund()], "output_schema": SCHEMA}
    (ask,) = asked(await stage.run("a1", **given))
    assert (ask.kind, ask.node_id, ask.name) == ("workflow", "node-refund", "refund")
    assert ask.given == {"workflow": "pay back", "version": None, "data": {"id": "7"}}
    assert len(stage.models.asked) == 1
    answers = {ask.request: {"ok": True, "content": {"paid": 3}}}
    made: Any = await stage.run("a2", answers, **given)
    assert made.suspended == ()
    assert made.ports["main"][0]["json"]["output"] == {"team": "billing", "urgent": False}
    assert len(stage.models.asked) == 2, "the first turn stands in the sub-steps"
    assert of_model(stage)[-1] == '{"paid":3}'


async def test_the_answer_is_found_by_every_later_attempt(stage: Stage) -> None:
    stage.script(asks_for(REFUND), says("Done."))
    (ask,) = asked(await stage.run("a1", tools=[refund()]))
    stage.substeps.lost.add("a2")
    lost: Any = await stage.run("a2", {ask.request: {"ok": True, "content": 1}}, tools=[refund()])
    assert lost.error.type == "worker_lost"
    made = await stage.answer("a3", answers={ask.request: {"ok": True, "content": 1}},
                              tools=[refund()])  # fmt: skip
    assert (made["output"], made["tool_calls"]) == ("Done.", 1)
    again = await stage.answer("a4", tools=[refund()])
    assert again["output"] == "Done."
    assert len(stage.models.asked) == 2


async def test_a_person_is_asked_before_the_call_and_it_is_made_when_he_agrees(
    stage: Stage,
) -> None:
    stage.script(asks_for(("look", {"id": "7"})), says("Late."))
    stage.server.answer = lambda asked: as_json({"state": "late"})
    tools = [tool("look", stage.url("/orders"), approval={"assignees": ["ann"], "timeout_s": 60})]
    (ask,) = asked(await stage.run("a1", tools=tools))
    assert ask.kind == "approval"
    given: Any = ask.given
    assert given["title"] == "May the agent call look?"
    assert given["payload"] == {"tool": "look", "arguments": {"id": "7"}}
    assert (given["assignees"], given["timeout_s"]) == (["ann"], 60)
    assert stage.tool_calls == []
    answers = {ask.request: {"ok": True, "content": "approved by ann"}}
    assert (await stage.answer("a2", answers=answers, tools=tools))["output"] == "Late."
    assert len(stage.tool_calls) == 1


async def test_what_a_person_does_not_allow_is_not_done_and_the_model_is_told(
    stage: Stage,
) -> None:
    stage.script(asks_for(REFUND), says("Sorry."))
    tools = [refund(approval=True)]
    (ask,) = asked(await stage.run("a1", tools=tools))
    answers = {ask.request: {"ok": False, "content": "rejected by ann"}}
    assert (await stage.answer("a2", answers=answers, tools=tools))["output"] == "Sorry."
    assert "the call was not allowed: rejected by ann" in of_model(stage)[-1]


async def test_a_workflow_that_a_person_has_allowed_is_asked_next(stage: Stage) -> None:
    stage.script(asks_for(REFUND), says("Done."))
    tools = [refund(approval=True)]
    (may,) = asked(await stage.run("a1", tools=tools))
    yes = {may.request: {"ok": True, "content": "approved"}}
    (ask,) = asked(await stage.run("a2", yes, tools=tools))
    assert ask.kind == "workflow"
    done = {ask.request: {"ok": True, "content": "paid"}}
    assert (await stage.answer("a3", answers=done, tools=tools))["output"] == "Done."


async def test_calls_of_one_turn_that_can_be_made_are_made_before_it_waits(stage: Stage) -> None:
    stage.script(asks_for(REFUND, ("look", {"id": "7"}), ("refund", {"id": "8"})), says("Done."))
    stage.server.answer = lambda asked: as_json({"state": "late"})
    tools = [refund(), tool("look", stage.url("/orders"))]
    asks = asked(await stage.run("a1", tools=tools))
    assert [each.given["data"] for each in asks] == [{"id": "7"}, {"id": "8"}]  # pyright: ignore
    assert len({each.request for each in asks}) == 2
    assert len(stage.tool_calls) == 1
    answers = {each.request: {"ok": True, "content": each.name} for each in asks}
    await stage.answer("a2", answers=answers, tools=tools)
    assert len(stage.tool_calls) == 1


def memory(operation: str, **more: Any) -> dict[str, Any]:
    given = {"memory_type": "conversation_buffer", "operation": operation, "user": "ann", **more}
    return {"node_id": f"to-{operation}", "subtype": "STORE", "effect": "pure", "parameters": given}


async def test_a_memory_is_read_before_the_first_turn_and_written_after_the_last(
    stage: Stage,
) -> None:
    stage.script(says("Late again."))
    given: dict[str, Any] = {"memories": [memory("read")], "instructions": "Be brief."}
    (read,) = asked(await stage.run("a1", **given))
    assert stage.models.asked == []
    assert (read.kind, read.given["operation"]) == ("memory", "read")  # pyright: ignore
    assert (read.given["query"], read.given["user"]) == ("Sort this.", "ann")  # pyright: ignore
    answers: dict[str, Any] = {read.request: {"ok": True, "content": [{"text": "He was late."}]}}
    (write,) = asked(await stage.run("a2", answers, **given))
    (first,) = stage.models.asked
    system = first.json["messages"][0]["content"]
    assert system == 'Be brief.\n\nWhat is remembered:\n{"text": "He was late."}'
    assert write.given["operation"] == "write"  # pyright: ignore
    assert write.given["content"] == {"prompt": "Sort this.", "output": "Late again."}  # pyright: ignore
    made = await stage.answer("a3", answers={write.request: {"ok": True, "content": []}}, **given)
    assert made["output"] == "Late again."
    assert len(stage.models.asked) == 1, "neither the model nor a memory is asked twice"


async def test_a_memory_that_does_not_answer_is_gone_on_without(stage: Stage) -> None:
    stage.script(says("Fine."))
    given: dict[str, Any] = {"memories": [memory("search", query="x")]}
    (read,) = asked(await stage.run("a1", **given))
    answers = {read.request: {"ok": False, "content": "there was no answer in time"}}
    assert (await stage.answer("a2", answers=answers, **given))["output"] == "Fine."
    assert stage.models.asked[0].json["messages"][0]["role"] == "user"
