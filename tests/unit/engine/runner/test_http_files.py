"""HTTP_REQUEST and files: answers become files of items, and files of items are sent."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from answering_server import Server, ok, parsed
from perdure_common.adapters.memory_files import MemoryFiles
from perdure_common.outbound import AllowList
from perdure_common.shell.files import CHUNK_BYTES, Upload, read
from perdure_engine.runner.files import ItemFiles, Made, mime_of, name_of
from perdure_engine.runner.http_request import Failed, request

LOCAL = AllowList.parse(["127.0.0.0/8"])
MOST = 4 * CHUNK_BYTES


class Ground:
    """An item, and what became of its request."""

    def __init__(self, client: httpx.AsyncClient, port: int, most: int = MOST) -> None:
        self.client, self.port = client, port
        self.store = MemoryFiles()
        self.files = ItemFiles(self.store, "tenant", {}, {"n": 1}, most)

    async def ask(self, path: str = "/report.pdf", **parameters: Any) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        return await request(self.client, LOCAL, {"url": url, **parameters}, "key", self.files)

    async def made(self, path: str = "/report.pdf", **parameters: Any) -> tuple[Any, bytes]:
        """Return the only file that was made of an answer, and its bytes."""
        answer = await self.ask(path, **parameters)
        assert isinstance(answer, Made), answer
        (ref,) = answer.files.values()
        body = b"".join([c async for c in await read(self.store, "tenant", ref["file_id"])])
        assert ref["size"] == len(body)
        return ref, body

    async def give(self, content: bytes, name: str = "a.txt", mime: str = "text/plain") -> None:
        """Let the item have a file `data`."""

        async def source() -> AsyncIterator[bytes]:
            yield content

        ref = await self.files.keep(source(), name, mime)
        self.files = ItemFiles(self.store, "tenant", {"data": ref}, {"n": 1}, self.files.most)


@pytest.fixture
def ground(server: tuple[Server, int], client: httpx.AsyncClient) -> Ground:
    return Ground(client, server[1])


async def test_an_answers_body_becomes_a_file(server: tuple[Server, int], ground: Ground) -> None:
    body = bytes(range(256)) * 5_000
    server[0].answer = lambda asked: ok(body, "application/pdf; version=2")
    answer = await ground.ask(response="file", response_file="report")
    assert isinstance(answer, Made)
    assert (answer.json["status"], answer.json["body"]) == (
        200,
        {"file": "report", "bytes": len(body), "content_type": "application/pdf"},
    )
    ref, kept = await ground.made(response="file")
    assert (ref["file_name"], ref["mime_type"], kept) == ("report.pdf", "application/pdf", body)


async def test_a_content_type_that_is_no_text_makes_a_file_by_itself(
    server: tuple[Server, int], ground: Ground
) -> None:
    server[0].answer = lambda asked: ok(b"\x89PNG", "image/png")
    ref, body = await ground.made("/pictures/")
    assert (ref["file_name"], ref["mime_type"], body) == ("pictures", "image/png", b"\x89PNG")
    server[0].answer = lambda asked: ok(b'{"a": 1}', "application/json")
    assert (await ground.ask())["body"] == {"a": 1}


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\Windows\\\\evil.exe"', "evil.exe"),
        ("attachment; filename*=UTF-8''a%0D%0Ab%2F..%2Fc%00d.txt", "cd.txt"),
        ("attachment; filename*=UTF-8''%E2%80%AEgpj.exe", "gpj.exe"),
        ('attachment; filename=".."', "report.pdf"),
        ('attachment; filename=""', "report.pdf"),
        ("attachment; filename*=KLINGON''x", None),
        ("inline", "report.pdf"),
        (f'attachment; filename="{"x" * 1_000}"', "x" * 255),
    ],
)
async def test_a_files_name_is_one_line_and_no_path(
    server: tuple[Server, int], ground: Ground, disposition: str, name: str | None
) -> None:
    more = f"content-disposition: {disposition}\r\n"
    server[0].answer = lambda asked: ok(b"x", "text/plain", more=more)
    ref, _ = await ground.made(response="file")
    if name is not None:
        assert ref["file_name"] == name
    assert ref["file_name"].isprintable() and "/" not in ref["file_name"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", "data"),
        ("/", "data"),
        ("a/b\nc", "bc"),
        ("\udcff", "data"),
        ("..\\", "data"),
        (".", "data"),
    ],
)
def test_what_is_no_name_is_another(text: str, name: str) -> None:
    assert name_of(text) == name


@pytest.mark.parametrize(
    ("text", "mime"),
    [
        ("Text/HTML; charset=x", "text/html"),
        ("", "application/octet-stream"),
        ("text/html\r\nx: y", "application/octet-stream"),
        ("a/" + "b" * 300, "application/octet-stream"),
    ],
)
def test_what_is_no_content_type_is_bytes(text: str, mime: str) -> None:
    assert mime_of(text) == mime


async def test_an_answer_that_is_too_large_is_a_typed_error_and_leaves_nothing(
    server: tuple[Server, int], ground: Ground
) -> None:
    server[0].answer = lambda asked: ok(b"x" * (MOST + 1), "image/png")
    answer = await ground.ask()
    assert isinstance(answer, Failed)
    assert (answer.error.type, answer.error.retryable) == ("response_too_large", False)
    assert f"{MOST:,}" in answer.error.message
    packed = gzip.compress(bytes(100 * CHUNK_BYTES))
    more = "content-encoding: gzip\r\n"
    server[0].answer = lambda asked: ok(packed, "image/png", more=more)
    answer = await ground.ask()
    assert isinstance(answer, Failed) and answer.error.type == "response_too_large"
    assert await ground.store.sweep_files(-1, 100) == 0


async def test_a_packed_answer_is_kept_unpacked(server: tuple[Server, int], ground: Ground) -> None:
    plain = bytes(range(256)) * 4_000
    more = "content-encoding: gzip\r\n"
    server[0].answer = lambda asked: ok(gzip.compress(plain), "image/png", more=more)
    assert (await ground.made())[1] == plain


@pytest.mark.parametrize("said", [1_000, 5])
async def test_an_answer_that_lies_about_its_length_is_no_whole_file(
    server: tuple[Server, int], ground: Ground, said: int
) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: {said}\r\n\r\n"
    server[0].answer = lambda asked: head.encode() + b"0123456789"
    if said > 10:
        answer = await ground.ask()
        assert isinstance(answer, Failed)
        assert (answer.error.type, answer.error.retryable) == ("connection_reset", True)
        assert await ground.store.sweep_files(-1, 100) == 0
    else:  # what comes behind the length that was said is not of this answer
        assert (await ground.made())[1] == b"01234"


async def test_a_failed_request_makes_no_file(server: tuple[Server, int], ground: Ground) -> None:
    server[0].answer = lambda asked: ok(b"no", "image/png", status="404 Not Found")
    answer = await ground.ask(response="file")
    assert isinstance(answer, Failed) and answer.error.status_code == 404


async def test_a_hundred_megabytes_need_no_memory_of_that_size(client: httpx.AsyncClient) -> None:
    size, part = 100 * 1024 * 1024, bytes(64 * 1024)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: {size}\r\n\r\n"
        writer.write(head.encode())
        for _ in range(size // len(part)):
            writer.write(part)
            await writer.drain()
        writer.close()

    class Nowhere(MemoryFiles):
        """Counts what it is given, and keeps none of it."""

        count = 0

        async def append(self, upload: str, n: int, data: bytes) -> None:
            Nowhere.count += len(data)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        ground = Ground(client, server.sockets[0].getsockname()[1], most=size)
        ground.files = ItemFiles(Nowhere(), "tenant", {}, None, size)
        tracemalloc.start()
        try:
            found = await ground.ask(timeout_s=300)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert isinstance(found, Made), found
    assert (Nowhere.count, found.files["data"]["size"]) == (size, size)
    assert peak < 16 * 1024 * 1024, f"{peak:,} bytes were held at once"


# Sending ----------------------------------------------------------------------------------


async def test_a_file_of_the_item_is_sent_as_the_body(
    server: tuple[Server, int], ground: Ground
) -> None:
    content = bytes(range(256)) * 5_000
    await ground.give(content, mime="image/png")
    await ground.ask(method="PUT", file={"file": "data"})
    asked = parsed(server[0].asked[0])
    assert asked.body == content
    assert asked.headers["content-type"] == "image/png"
    assert asked.headers["content-length"] == str(len(content))
    assert "transfer-encoding" not in asked.headers


async def test_what_an_answer_says_of_its_file_can_be_given_to_send_it(
    server: tuple[Server, int], ground: Ground
) -> None:
    server[0].answer = lambda asked: ok(b"\x89PNG", "image/png")
    answer = await ground.ask()
    ground.files = ItemFiles(ground.store, "tenant", answer.files)
    await ground.ask(method="PUT", file=answer.json["body"])
    assert parsed(server[0].asked[1]).body == b"\x89PNG"


async def test_files_stand_among_the_fields_of_a_form_the_same_in_every_attempt(
    server: tuple[Server, int], ground: Ground
) -> None:
    content = b"\x00\xff" * CHUNK_BYTES
    await ground.give(content, name="a.bin", mime="application/x-thing")
    for _ in range(2):
        form = {"to": "ada", "report": {"file": "data"}, "note": {"file": "data", "filename": "n"}}
        await ground.ask(method="POST", form=form, idempotency_header="Key")
    first, second = (parsed(each) for each in server[0].asked)
    assert first.body == second.body and first.body.count(content) == 2
    assert b'name="report"; filename="a.bin"\r\nContent-Type: application/x-thing' in first.body
    assert b'name="note"; filename="n"' in first.body
    assert b'name="to"\r\n\r\nada' in first.body


async def test_a_name_cannot_break_out_of_its_part_of_a_form(
    server: tuple[Server, int], ground: Ground
) -> None:
    await ground.give(b"x", name='a"; name="b\r\nX: y')
    await ground.ask(method="POST", form={"f": {"file": "data"}})
    body = parsed(server[0].asked[0]).body
    assert b"\r\nX: y" not in body
    assert body.count(b'name="f"') == 1 and b'; name="b' not in body


async def test_a_file_that_the_item_does_not_have_is_a_typed_error_and_nothing_is_sent(
    server: tuple[Server, int], ground: Ground
) -> None:
    await ground.give(b"x")
    missing: tuple[dict[str, Any], ...] = (
        {"file": {"file": "other"}},
        {"form": {"f": {"file": "other"}}},
    )
    for parameters in missing:
        answer = await ground.ask(method="POST", **parameters)
        assert isinstance(answer, Failed)
        assert (answer.error.type, answer.error.effect_state) == ("file_not_found", "not_sent")
        assert "'data'" in answer.error.message
    assert server[0].asked == []


async def test_a_file_that_goes_while_it_is_sent_leaves_the_effect_in_doubt(
    server: tuple[Server, int], ground: Ground
) -> None:
    await ground.give(b"x" * (2 * CHUNK_BYTES))

    class Leaking(MemoryFiles):
        """Has lost all chunks but the first."""

        async def chunk(self, upload: str, n: int) -> bytes | None:
            return await ground.store.chunk(upload, n) if n == 0 else None

        async def find(self, tenant_id: str, file_id: str) -> Upload | None:
            return await ground.store.find(tenant_id, file_id)

    ground.files = ItemFiles(Leaking(), "tenant", ground.files.refs)
    answer = await ground.ask(method="POST", file={"file": "data"})
    assert isinstance(answer, Failed)
    assert (answer.error.type, answer.error.effect_state) == ("file_gone", "unknown")
    assert server[0].asked == [], "no whole request came"


async def test_a_file_of_another_tenant_or_one_that_is_gone_is_not_sent(
    server: tuple[Server, int], ground: Ground
) -> None:
    await ground.give(b"x")
    ground.files = ItemFiles(ground.store, "another", ground.files.refs)
    answer = await ground.ask(method="POST", file={"file": "data"})
    assert isinstance(answer, Failed)
    assert (answer.error.type, answer.error.retryable) == ("file_gone", False)
    assert server[0].asked == []
