"""What is read of a request's body, and what is refused with which problem."""

import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI, Request
from perdure_common.api import bodies
from perdure_common.api.bodies import read_body, read_json
from perdure_common.api.problem import answer_with_problems
from perdure_common.shell.ports import Unreachable
from perdure_contracts.cloudevents import parse_json


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """What is ordered."""

    what: Any = None


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    answer_with_problems(app)

    async def order(request: Request) -> Any:
        return {"what": (await read_body(request, Order)).what}

    async def anything(request: Request) -> Any:
        return await read_json(request)

    async def journal(request: Request) -> Any:
        del request
        raise Unreachable("the address and the password of a server")

    app.add_api_route("/journal", journal, methods=["POST"])
    app.add_api_route("/order", order, methods=["POST"])
    app.add_api_route("/anything", anything, methods=["POST"])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as made:
        yield made


async def said(client: httpx.AsyncClient, path: str, body: bytes, media: str = "") -> Any:
    headers = {"content-type": media} if media else {}
    answer = await client.post(path, content=body, headers=headers)
    return answer.status_code, answer.json().get("code", answer.json())


TYPES = [
    ("", True),
    ("application/json", True),
    ("Application/JSON; charset=utf-8", True),
    ("application/cloudevents+json", True),
    ("text/plain", False),
    ("text/plain;application/json", False),
    ("application/x-www-form-urlencoded", False),
    ("multipart/form-data; boundary=x", False),
    ("application/xml", False),
]


@pytest.mark.parametrize(("media", "taken"), TYPES)
async def test_a_body_that_is_said_to_be_no_json_is_refused(
    client: httpx.AsyncClient, media: str, taken: bool
) -> None:
    expected = (200, {"what": 1}) if taken else (415, "unsupported_media_type")
    assert await said(client, "/order", b'{"what": 1}', media) == expected
    assert await said(client, "/anything", b'{"what": 1}', media) == (200, {"what": 1})
    assert await said(client, "/order", b"", media) == (200, {"what": None})


async def test_a_large_body_is_read_beside_the_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[bool] = []

    def noted(raw: bytes, what: str) -> Any:
        where.append(threading.current_thread() is threading.main_thread())
        return parse_json(raw, what)

    monkeypatch.setattr(bodies, "parse_json", noted)
    numbers = list(range(50_000))
    large = json.dumps({"what": numbers}).encode()
    assert await said(client, "/order", large) == (200, {"what": numbers})
    assert await said(client, "/order", b'{"what": 1}') == (200, {"what": 1})
    assert where == [False, True]
    assert await said(client, "/order", large[:-1]) == (400, "invalid_json")


async def test_a_problem_repeats_little_of_what_was_sent(client: httpx.AsyncClient) -> None:
    answer = await client.post("/order", content=json.dumps({"x" * 100_000: 1}))
    assert answer.json()["code"] == "invalid_request"
    assert len(answer.json()["detail"]) < 1_000


async def test_a_journal_that_is_away_is_no_fault_of_ours(client: httpx.AsyncClient) -> None:
    answer = await client.post("/journal")
    told = answer.json()
    assert (answer.status_code, told["code"], told["retryable"]) == (
        503, "database_unreachable", True,
    )  # fmt: skip
    assert "password" not in answer.text
