"""What a runner says of failures: how far effects had got, whose code it was, and no secrets."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from answering_server import answering_server, as_json, ok
from perdure_common.outbound import AllowList
from perdure_contracts.engine import EffectState, ErrorFacts
from perdure_engine.runner.clients import make_client
from perdure_engine.runner.code.running import run as run_code
from perdure_engine.runner.dependencies import of_address
from perdure_engine.runner.exchange import Call, exchange
from perdure_engine.runner.failures import Failed, bug_of, facts_of, told
from perdure_engine.runner.http_request import request

LOCAL = AllowList.parse(["127.0.0.0/8"])


@asynccontextmanager
async def silent_server(*, talks: bool = False) -> AsyncGenerator[int]:
    """Accept connections and say nothing, or something that is no TLS."""
    held: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        if talks:
            writer.write(b"220 this is another protocol\r\n")

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        for each in held:
            each.close()
        listening.close()


async def failed(url: str, timeout_s: float = 5.0) -> ErrorFacts:
    async with make_client() as client:
        answer = await exchange(client, LOCAL, Call("POST", url, timeout_s=timeout_s))
    assert isinstance(answer, Failed)
    return answer.error


async def test_a_request_whose_connection_never_stood_was_not_sent() -> None:
    async with silent_server() as port:
        error = await failed(f"https://127.0.0.1:{port}/", timeout_s=0.3)
    assert (error.type, error.effect_state) == ("connect_timeout", "not_sent")
    assert (error.dependency, error.retryable) == ("http:127.0.0.1", True)


async def test_a_request_that_left_and_has_no_answer_is_unknown() -> None:
    async with silent_server() as port:
        error = await failed(f"http://127.0.0.1:{port}/", timeout_s=0.3)
    assert (error.type, error.effect_state) == ("read_timeout", "unknown")


async def test_a_failed_handshake_sent_nothing() -> None:
    async with silent_server(talks=True) as port:
        error = await failed(f"https://127.0.0.1:{port}/")
    assert (error.type, error.effect_state) == ("tls_failed", "not_sent")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("400", "refused"),
        ("401", "refused"),
        ("429", "refused"),
        ("408", "unknown"),
        ("500", "unknown"),
        ("503", "unknown"),
    ],
)
async def test_a_refusal_did_nothing_and_a_servers_error_may_have(
    status: str, state: EffectState
) -> None:
    async with answering_server() as (server, port):
        server.answer = lambda asked: as_json({}, f"{status} Status")
        error = await failed(f"http://127.0.0.1:{port}/")
    assert (error.status_code, error.effect_state) == (int(status), state)


async def test_what_came_packed_and_cannot_be_read_was_done_all_the_same() -> None:
    async with answering_server() as (server, port):
        server.answer = lambda asked: ok(b"no gzip", "text/plain", "content-encoding: gzip\r\n")
        error = await failed(f"http://127.0.0.1:{port}/")
    assert (error.type, error.effect_state) == ("output_invalid", "done")


async def test_a_later_page_that_fails_leaves_the_first_ones_done() -> None:
    answers = [as_json([{"n": 1}]), as_json({}, "429 Too Many")]
    async with answering_server() as (server, port), make_client() as client:
        server.answer = lambda asked: answers.pop(0)
        given = {
            "url": f"http://127.0.0.1:{port}/pages",
            "method": "POST",
            "pagination": {"kind": "page"},
        }
        answer = await request(client, LOCAL, given, "key")
    assert isinstance(answer, Failed)
    assert (answer.error.status_code, answer.error.effect_state) == (429, "done")


async def code_failure(language: str, code: str) -> ErrorFacts:
    [found] = await run_code((language,), {"language": language, "code": code}, [{"a": 1}])
    assert isinstance(found, Failed)
    return found.error


async def test_code_of_an_author_tells_its_class_and_its_own_functions() -> None:
    code = "def price(row):\n    return row['cents']\n\ndef total(row):\n    return price(row)\n"
    error = await code_failure("python", f"{code}\nreturn total(item)")
    assert error.classes[:2] == ("builtins.KeyError", "builtins.LookupError")
    assert error.frames == (("code", "total"), ("code", "price"))
    assert (error.type, error.effect_state) == ("code_failed", "not_sent")


async def test_a_class_of_the_codes_own_has_its_package() -> None:
    code = "class NoPrice(ValueError):\n    pass\nraise NoPrice('none')"
    error = await code_failure("python", code)
    assert error.classes[:2] == ("code.NoPrice", "builtins.ValueError")


def test_a_defect_of_ours_has_no_frames_of_users() -> None:
    found: Any = None
    try:
        found.missing()
    except AttributeError as error:
        found = bug_of(error)
    assert (found.frames, found.type) == ((), "code_bug")
    assert found.classes[0] == "builtins.AttributeError"


def test_a_group_of_exceptions_tells_the_classes_of_its_leaves() -> None:
    group = ExceptionGroup("both", [ConnectionResetError(), ExceptionGroup("x", [TimeoutError()])])
    facts = facts_of(group, "network", "two things", retryable=True)
    assert facts.causes == ("builtins.ConnectionResetError", "builtins.TimeoutError")


def test_nothing_leaves_with_a_secret_in_any_text() -> None:
    secret = "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0" * 2
    error = ErrorFacts(
        type="api_error",
        message=f"the key {secret} is wrong",
        codes=(f"bad {secret}",),
        detail={"body": {"error": {"message": f"key={secret}"}}},
    )
    left = told(error)
    assert secret not in repr(left)
    assert left.stage == "run"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("postgresql://u:p@db.example.com:5432/x", "sql:db.example.com"),
        ("postgresql:///x?host=/tmp", "sql:shop"),
        ("postgresql://[broken", "sql:shop"),
    ],
)
def test_a_dependency_is_named_by_its_host(address: str, name: str) -> None:
    assert of_address("sql", address, "shop") == name
