"""SLACK, GITHUB and GOOGLE_CALENDAR against local servers that check what they are asked."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from answering_server import Asked, Server, answering_server, as_json, ok, parsed
from perdure_common.outbound import AllowList
from perdure_contracts.engine import NodeTask
from perdure_engine.nodes.registry import find
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.google_calendar import event_id
from perdure_engine.runner.perform import perform
from perdure_engine.runner.tools import Tools

LOCAL = AllowList.parse(["127.0.0.0/8"])


class Stage:
    """One server for all three services, and the tools that lead to it."""

    def __init__(self, server: Server, port: int, clients: Clients) -> None:
        self.server = server
        url = f"http://127.0.0.1:{port}"
        self.tools = Tools(
            clients, LOCAL, slack_url=f"{url}/api", github_url=url, google_calendar_url=f"{url}/v3"
        )

    def answers(self, *answers: bytes) -> None:
        """Answer one request after the other so, the last one for ever."""
        waiting = list(answers)
        self.server.answer = lambda asked: waiting.pop(0) if len(waiting) > 1 else waiting[0]

    async def do(self, subtype: str, **parameters: Any) -> Any:
        """Perform one item as the runner does; return its answer, or its error."""
        task = NodeTask(
            token="t",
            execution_id="e",
            workflow_id="w",
            node_id="n",
            node_type="EXTERNAL_ACTION",
            node_subtype=subtype,
            parameters=[{"token": "tok", **parameters}],
            items=[{}],
            effect="unsafe",
            length="short",
            deadline="2099-01-01T00:00:00+00:00",
            idempotency_key="key",
        )
        result: Any = await perform(self.tools, task, "r")
        return result.error or result.ports["main"][0]["json"]

    @property
    def asked(self) -> list[Asked]:
        return [parsed(each) for each in self.server.asked]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with answering_server() as (server, port), Clients(1) as clients:
        yield Stage(server, port, clients)


def effect(subtype: str, operation: str) -> str:
    specification = find("EXTERNAL_ACTION", subtype)
    assert specification is not None
    return specification.effect({"operation": operation})


# Slack -------------------------------------------------------------------------------------


async def test_slack_gets_a_message_with_the_token_in_its_header(stage: Stage) -> None:
    stage.answers(as_json({"ok": True, "channel": "C1", "ts": "1.2", "message": {"text": "x"}}))
    blocks = [{"type": "divider"}]
    made = await stage.do("SLACK", operation="post", channel="C1", text="x", blocks=blocks, ts="9")
    assert made == {"channel": "C1", "ts": "1.2"}
    (asked,) = stage.asked
    assert (asked.method, asked.path) == ("POST", "/api/chat.postMessage")
    assert asked.headers["authorization"] == "Bearer tok"
    assert asked.headers["content-type"].startswith("application/json")
    assert asked.json == {"channel": "C1", "text": "x", "blocks": blocks}


async def test_slack_is_answered_in_a_thread_and_changes_a_message(stage: Stage) -> None:
    stage.answers(as_json({"ok": True, "channel": "C1", "ts": "1.2"}))
    await stage.do("SLACK", operation="post", channel="C1", text="x", thread_ts="1.1")
    await stage.do("SLACK", operation="update", channel="C1", text="y", ts="1.2", thread_ts="3")
    first, second = stage.asked
    assert first.json == {"channel": "C1", "text": "x", "thread_ts": "1.1"}
    assert (second.path, second.json) == (
        "/api/chat.update",
        {"channel": "C1", "text": "y", "ts": "1.2"},
    )
    assert (effect("SLACK", "post"), effect("SLACK", "update")) == ("unsafe", "keyed")


@pytest.mark.parametrize(
    ("code", "retryable", "state"),
    [
        ("channel_not_found", False, "refused"),
        ("invalid_auth", False, "refused"),
        ("ratelimited", True, "refused"),
        ("fatal_error", True, "unknown"),
    ],
)
async def test_slack_refuses_with_status_200(
    stage: Stage, code: str, retryable: bool, state: str
) -> None:
    stage.answers(as_json({"ok": False, "error": code}))
    error = await stage.do("SLACK", operation="post", channel="C1", text="x")
    assert (error.type, error.codes) == ("api_error", (code,))
    assert (error.retryable, error.effect_state) == (retryable, state)
    assert error.dependency == "http:127.0.0.1"


@pytest.mark.parametrize("subtype", ["SLACK", "GITHUB", "GOOGLE_CALENDAR"])
async def test_a_rate_limit_says_how_long_to_wait(stage: Stage, subtype: str) -> None:
    stage.answers(as_json({"ok": False}, "429 Too Many Requests", "retry-after: 30\r\n"))
    operation = {"SLACK": "post", "GITHUB": "comment", "GOOGLE_CALENDAR": "delete_event"}[subtype]
    error = await stage.do(
        subtype, operation=operation, channel="C", text="x", repository="a/b", number=1,
        body="x", event_id="e",
    )  # fmt: skip
    assert (error.status_code, error.retry_after_s, error.retryable) == (429, 30.0, True)
    assert error.effect_state == "refused"


async def test_what_answers_no_json_is_told(stage: Stage) -> None:
    stage.answers(ok(b"<html>", "text/html"))
    error = await stage.do("SLACK", operation="post", channel="C1", text="x")
    assert (error.type, error.effect_state) == ("output_invalid", "done")
    stage.answers(as_json([1]))
    error = await stage.do("SLACK", operation="post", channel="C1", text="x")
    assert (error.type, error.effect_state) == ("output_invalid", "done")


# GitHub ------------------------------------------------------------------------------------

ISSUE = {
    "id": 11, "number": 7, "html_url": "https://github.com/acme/shop/issues/7", "state": "open",
    "title": "T", "user": {"login": "x"},
}  # fmt: skip
MARKED = "B\n\n<!-- perdure: key-0 -->"
TOLD = {"id": 11, "number": 7, "url": ISSUE["html_url"], "state": "open", "title": "T"}


async def test_github_files_an_issue_with_the_headers_that_it_asks_for(stage: Stage) -> None:
    stage.answers(as_json(ISSUE, "201 Created"))
    made = await stage.do(
        "GITHUB", operation="create_issue", repository="acme/shop", title="T", body="B",
        labels=["bug"], assignees=["ada"], state="closed",
    )  # fmt: skip
    assert made == TOLD
    (asked,) = stage.asked
    assert (asked.method, asked.path) == ("POST", "/repos/acme/shop/issues")
    assert asked.json == {"title": "T", "body": MARKED, "labels": ["bug"], "assignees": ["ada"]}
    expected = {
        "authorization": "Bearer tok",
        "accept": "application/vnd.github+json",
        "x-github-api-version": "2022-11-28",
        "user-agent": "perdure",
    }
    assert {name: asked.headers[name] for name in expected} == expected


async def test_github_changes_and_comments_an_issue(stage: Stage) -> None:
    stage.answers(as_json(ISSUE), as_json({"id": 5, "html_url": "u", "body": "B"}, "201 Created"))
    common = {"repository": "acme/shop", "number": 7.0}
    assert await stage.do("GITHUB", operation="update_issue", state="closed", **common) == TOLD
    made = await stage.do("GITHUB", operation="comment", body="B", **common)
    assert made == {"id": 5, "url": "u"}
    change, comment = stage.asked
    assert (change.method, change.path) == ("PATCH", "/repos/acme/shop/issues/7")
    assert change.json == {"state": "closed"}
    assert (comment.method, comment.path) == ("POST", "/repos/acme/shop/issues/7/comments")
    assert comment.json == {"body": MARKED}
    effects = [effect("GITHUB", each) for each in ("create_issue", "update_issue", "comment")]
    assert effects == ["verify_first", "keyed", "verify_first"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"repository": "acme"},
        {"repository": "acme/shop/../../user"},
        {"repository": "../shop"},
        {"repository": "acme/shop?x"},
        {"number": "7/comments"},
        {"number": True},
        {"number": None},
        {"number": -1},
    ],
)
async def test_github_is_asked_about_an_issue_and_nothing_else(
    stage: Stage, parameters: dict[str, Any]
) -> None:
    given = {"repository": "acme/shop", "number": 7, "body": "B", **parameters}
    error = await stage.do("GITHUB", operation="comment", **given)
    assert (error.type, error.effect_state) == ("invalid_parameters", "not_sent")
    assert stage.asked == []


async def test_githubs_refusals_name_their_codes_and_its_limit_its_end(stage: Stage) -> None:
    invalid = {"message": "Validation Failed", "errors": [{"code": "missing_field", "field": "t"}]}
    reset = int(time.time()) + 60
    limit = f"x-ratelimit-remaining: 0\r\nx-ratelimit-reset: {reset}\r\n"
    stage.answers(
        as_json(invalid, "422 Unprocessable Entity"),
        as_json({"message": "API rate limit exceeded"}, "403 Forbidden", limit),
        as_json({"message": "Not Found"}, "404 Not Found"),
    )
    asking = {"operation": "create_issue", "repository": "a/b", "title": "T"}
    first, second, third = [await stage.do("GITHUB", **asking) for _ in range(3)]
    assert (first.status_code, first.codes, first.retryable) == (422, ("missing_field",), False)
    assert (second.codes, second.retryable) == (("rate_limited",), True)
    assert 50 < second.retry_after_s <= 60
    assert (third.status_code, third.retryable, third.effect_state) == (404, False, "refused")


# Google Calendar ---------------------------------------------------------------------------

EVENT = {
    "operation": "create_event", "calendar_id": "team@example.com", "summary": "S",
    "start": "2026-03-04T10:00:00", "end": "2026-03-04T11:00:00", "zone": "Europe/Berlin",
    "attendees": ["ada@example.com"], "send_updates": "all",
}  # fmt: skip
KEY = event_id("key-0")


async def test_google_gets_an_event_whose_id_follows_from_the_key(stage: Stage) -> None:
    stage.answers(as_json({"id": KEY, "status": "confirmed"}))
    assert await stage.do("GOOGLE_CALENDAR", **EVENT) == {"id": KEY, "status": "confirmed"}
    (asked,) = stage.asked
    assert (asked.method, asked.path) == ("POST", "/v3/calendars/team%40example.com/events")
    assert asked.query == (("sendUpdates", "all"),)
    assert asked.headers["authorization"] == "Bearer tok"
    assert asked.json == {
        "id": KEY,
        "summary": "S",
        "start": {"dateTime": "2026-03-04T10:00:00", "timeZone": "Europe/Berlin"},
        "end": {"dateTime": "2026-03-04T11:00:00", "timeZone": "Europe/Berlin"},
        "attendees": [{"email": "ada@example.com"}],
    }
    assert 5 <= len(KEY) <= 1024
    assert set(KEY) <= set("abcdefghijklmnopqrstuv0123456789")


DUPLICATE = {
    "error": {
        "code": 409,
        "message": "The requested identifier already exists.",
        "errors": [{"domain": "global", "reason": "duplicate"}],
    }
}


async def test_a_second_attempt_finds_the_event_of_the_first(stage: Stage) -> None:
    stage.answers(as_json(DUPLICATE, "409 Conflict"), as_json({"id": KEY, "summary": "S"}))
    assert await stage.do("GOOGLE_CALENDAR", **EVENT) == {"id": KEY, "summary": "S"}
    _, second = stage.asked
    assert (second.method, second.path) == ("GET", f"/v3/calendars/team%40example.com/events/{KEY}")
    for operation in ("create_event", "update_event", "delete_event"):
        assert effect("GOOGLE_CALENDAR", operation) == "keyed"


async def test_google_changes_and_deletes_events_of_whole_days(stage: Stage) -> None:
    stage.answers(as_json({"id": "e1"}), ok(b"", "text/plain", status="204 No Content"))
    change = {"operation": "update_event", "event_id": "e1", "start": "2026-03-04"}
    assert await stage.do("GOOGLE_CALENDAR", **change) == {"id": "e1"}
    gone = {"operation": "delete_event", "event_id": "e/1"}
    assert await stage.do("GOOGLE_CALENDAR", **gone) == {"id": "e/1", "deleted": True}
    first, second = stage.asked
    assert (first.method, first.path) == ("PATCH", "/v3/calendars/primary/events/e1")
    assert first.json == {"start": {"date": "2026-03-04"}}
    assert (second.method, second.path) == ("DELETE", "/v3/calendars/primary/events/e%2F1")
    assert second.query == (("sendUpdates", "none"),)


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
async def test_what_is_deleted_already_stays_deleted(stage: Stage, status: str) -> None:
    stage.answers(as_json({"error": {"code": 410, "errors": [{"reason": "deleted"}]}}, status))
    made = await stage.do("GOOGLE_CALENDAR", operation="delete_event", event_id="e1")
    assert made == {"id": "e1", "deleted": True}


async def test_googles_refusals_name_their_reasons(stage: Stage) -> None:
    def body(code: int, reason: str) -> dict[str, Any]:
        return {"error": {"code": code, "errors": [{"reason": reason}], "status": "X"}}

    stage.answers(
        as_json(body(403, "rateLimitExceeded"), "403 Forbidden"),
        as_json(body(401, "authError"), "401 Unauthorized"),
        as_json(body(503, "backendError"), "503 Service Unavailable"),
    )
    found = [await stage.do("GOOGLE_CALENDAR", **EVENT) for _ in range(3)]
    assert [each.codes[0] for each in found] == ["rateLimitExceeded", "authError", "backendError"]
    assert [each.retryable for each in found] == [True, False, True]
    assert [each.effect_state for each in found] == ["refused", "refused", "unknown"]


@pytest.mark.parametrize(
    "changes",
    [
        {"start": "tomorrow"},
        {"attendees": "ada@example.com"},
        {"operation": "update_event", "event_id": ".."},
        {"operation": "delete_event"},
    ],
)
async def test_google_is_not_asked_what_makes_no_sense(
    stage: Stage, changes: dict[str, Any]
) -> None:
    error = await stage.do("GOOGLE_CALENDAR", **{**EVENT, **changes})
    assert (error.type, stage.asked) == ("invalid_parameters", [])
