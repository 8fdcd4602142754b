"""Answers with a file: what is said of it, and what is sent where the engine gives it or not."""

import asyncio
from typing import Any

import pytest
from perdure_contracts.files import FileRef
from perdure_scheduler.hooks.answers import Answer
from perdure_scheduler.hooks.files import Files, send_file
from perdure_scheduler.hooks.reply import answered

FILE = FileRef(file_id="f" * 64, file_name='a "b".html', mime_type="text/html", size=6)
HEAD = "HTTP/1.1 {} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n"


def answer(status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, "null", "", FILE)


def test_a_file_has_its_type_and_name_and_can_do_nothing_in_a_browser() -> None:
    reply = answered(answer(), "e")
    told = dict(reply.headers)
    assert told[b"content-type"] == b"text/html"
    assert told[b"content-disposition"] == b"inline; filename*=UTF-8''a%20%22b%22.html"
    assert told[b"content-security-policy"] == b"sandbox"
    assert (reply.file, reply.execution_id, reply.body) == (FILE, "e", b"")


def test_what_the_workflow_says_of_a_file_counts_and_stands_there_once() -> None:
    reply = answered(answer(201, Content_Type="text/plain", Content_Security_Policy="none"), "e")
    names = [name for name, _ in reply.headers]
    assert len(names) == len(set(names))
    told = dict(reply.headers)
    assert (told[b"content-type"], told[b"content-security-policy"]) == (b"text/plain", b"none")
    assert answered(answer(204), "e").file is None
    assert answered(answer(502), "e").file == FILE, "a workflow may say that, and send a file"
    assert answered(answer(200, Bad="\u20ac"), "e").file is None, "it is a problem instead"


async def sent(said: bytes) -> list[Any]:
    """Return what is sent to the caller where the engine says something."""
    asked: list[bytes] = []

    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(said)
        await writer.drain()
        writer.close()

    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    server = await asyncio.start_server(engine, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    files = Files(f"http://127.0.0.1:{port}", "tenant")
    await send_file(files, answered(answer(), "an/e"), send)
    await files.close()
    server.close()
    (head,) = asked
    assert head.startswith(b"GET /v1/workflow_executions/an%2Fe/files/" + b"f" * 64)
    assert b"x-perdure-tenant: tenant" in head.lower()
    return messages


async def test_a_file_is_sent_with_its_length() -> None:
    first, *rest = await sent(HEAD.format(200, 6).encode() + b"<br/>!")
    assert (first["status"], (b"content-length", b"6") in first["headers"]) == (200, True)
    assert b"".join(each["body"] for each in rest) == b"<br/>!"
    assert not rest[-1].get("more_body")


async def test_a_file_that_breaks_off_is_not_ended() -> None:
    messages = await sent(HEAD.format(200, 6).encode() + b"<br")
    assert messages[-1].get("more_body"), "the server closes the connection"


@pytest.mark.parametrize("said", [HEAD.format(404, 0).encode(), b""])
async def test_a_file_that_the_engine_does_not_give_is_a_problem(said: bytes) -> None:
    first, last = await sent(said)
    assert first["status"] == 502
    assert b"file_unavailable" in last["body"]
