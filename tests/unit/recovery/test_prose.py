"""A model's words are shown only if they claim nothing that nobody told them."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from answering_server import Server, answering_server, as_json, ok, parsed
from perdure_common.decider import Recorded
from perdure_common.settings import Settings
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_contracts.message import Envelope
from perdure_contracts.telling import KeepProse
from perdure_recovery import prose
from perdure_recovery.hear import hear
from perdure_recovery.prose_writing import Writer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROW: dict[str, Any] = {
    "execution_id": "e",
    "attempt_id": "a",
    "failure_summary": "Fetch it (HTTP_REQUEST) failed: tickets.example answered 503",
    "root_cause": "dependency_down: the other side is not able to answer now. Recognised by the "
    "HTTP status 503. The dependency is http:tickets.example.",
    "retry_decision": "Try 1: dependency_down usually passes: wait 1.4 s, then run the node again. "
    "The node completed 2.1 s after it first failed.",
    "confidence_explanation": "An unchanged retry is expected to work with probability 0.60.",
    "user_action_required": "none",
    "estimated_resolution_time": "took 2.1 s",
    "severity_level": "low",
    "display_category": "Other service",
}
GOOD = (
    "Fetch it could not get an answer from tickets.example, which said 503. It was run again "
    "after 1.4 s and completed. You need not do anything."
)
BAD = (
    ("tickets.example answered 504, and the node was run again.", "504"),
    ("The provider Stripe was down for a while; it works again now.", "stripe"),
    ("See https://status.tickets.example for what happened there.", "https://status"),
    ("It was tried three times and then the node completed again.", "'3'"),
    ("Write to support@tickets.example if it should happen again.", "support@"),
    ("short", "characters"),
    ("word " * 400, "characters"),
)


def test_faithful_words_are_kept() -> None:
    assert prose.judged(GOOD, ROW) == (GOOD, "")


@pytest.mark.parametrize(("text", "why"), BAD)
def test_words_that_make_something_up_are_refused_with_the_reason(text: str, why: str) -> None:
    kept, refused = prose.judged(text, ROW)
    assert kept == ""
    assert why in refused


def test_the_model_is_given_the_texts_of_the_explanation_and_nothing_else() -> None:
    asked = prose.messages_for({**ROW, "technical_details": "hidden", "tenant_id": "hidden"})
    assert "tickets.example answered 503" in asked[1]["content"]
    assert "hidden" not in str(asked)


def test_words_are_kept_once_for_each_attempt_in_the_executions_shard() -> None:
    command = KeepProse(execution_id="e", attempt_id="a", text=GOOD, model="small-1")
    assert hear(command, Envelope(id="", source="", type="", tenant_id="t", topic="")) == command
    assert prose.stream_of(command) == "e/prose"
    (event,) = prose.decide(prose.Prose(), command, {}, NOW)
    state = prose.evolve(prose.Prose(), event)
    assert prose.decide(state, command, {}, NOW) == ()
    (row,) = prose.project(state, Recorded(event, "t", "e/prose", 1, NOW))
    assert (row.set["prose"], row.set["ai_analysis_used"]) == (GOOD, True)
    assert "failure_summary" not in row.set
    assert prose.route(state, Recorded(event, "t", "e/prose", 1, NOW)) == ()


class Rows:
    """Stands where the tables are read."""

    async def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        assert "prose IS NULL" in sql
        assert arguments[0] == "t"
        return [ROW]


class Bus:
    """Stands where records leave."""

    def __init__(self) -> None:
        self.sent: list[Outbound] = []

    async def send(self, records: list[Outbound]) -> list[None]:
        self.sent += records
        return [None] * len(records)


async def written(server: Server, port: int) -> KeepProse:
    bus: Any = Bus()
    reading: Any = Rows()
    settings = Settings(
        tenant_id="t",
        prose_url=f"http://127.0.0.1:{port}/v1",
        prose_model="small-1",
        prose_key="not-in-any-text",
    )
    assert "not-in-any-text" not in repr(settings)
    async with httpx.AsyncClient() as client:
        assert await Writer(settings, bus, reading).write(client) == 1
    (record,) = bus.sent
    assert b"not-in-any-text" not in record.value
    asked = parsed(server.asked[-1])
    assert (asked.path, asked.headers["authorization"]) == (
        "/v1/chat/completions",
        "Bearer not-in-any-text",
    )
    assert asked.json["model"] == "small-1"
    return codec.decode_body("recovery.keep-prose.v1", record.value)


def saying(text: Any) -> bytes:
    return as_json({"choices": [{"message": {"role": "assistant", "content": text}}]})


async def test_a_model_is_asked_over_http_and_its_words_are_sent_on() -> None:
    async with answering_server() as (server, port):
        server.answer = lambda asked: saying(GOOD)
        told = await written(server, port)
    assert (told.text, told.model, told.refused) == (GOOD, "small-1", "")


@pytest.mark.parametrize(
    "answer",
    [
        saying("The answer was 504 and Stripe is to blame for all of it."),
        saying(None),
        saying(["a", "list"]),
        ok(b"no json"),
        ok(b"x" * 100_000),
        as_json({"choices": []}),
    ],
)
async def test_an_answer_that_is_no_faithful_text_is_refused_once_and_for_all(
    answer: bytes,
) -> None:
    async with answering_server() as (server, port):
        server.answer = lambda asked: answer
        told = await written(server, port)
    assert told.text == ""
    assert told.refused


async def test_a_model_that_fails_is_asked_again_later() -> None:
    async with answering_server() as (server, port):
        server.answer = lambda asked: as_json({"error": "busy"}, status="503 Unavailable")
        with pytest.raises(httpx.HTTPStatusError):
            await written(server, port)
