"""What agents have done is not done again; who watches them, and what stays secret."""

import asyncio
from typing import Any

import pytest
from agent_stage import Stage, tool
from answering_server import as_json, parsed
from model_server import (
    asks_for,
    fails,
    says,
)

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
