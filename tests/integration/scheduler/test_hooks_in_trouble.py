"""What a sender hears when Kafka or PostgreSQL is away, or when it is too slow itself."""

import asyncio
import contextlib
from typing import Any

import asyncpg
import httpx
import pytest
from hook_ground import NOBODY, PATH, connected, listener, serve_hook
from perdure_scheduler.hooks import judging, protocol


async def answered(port: int, raw: bytes) -> tuple[int, str]:
    """Send bytes, and return the status and all of the answer."""
    async with connected(port) as (reader, writer):
        writer.write(raw)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        )
        body = await reader.readexactly(length)
        return int(head.split()[1]), (head + body).decode()


async def count(database: str, table: str) -> int:
    connection: Any = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM scheduler.{table}"))
    finally:
        await connection.close()


async def test_without_kafka_a_sender_is_told_to_come_again(database: str) -> None:
    await serve_hook(database)
    async with listener(database) as port, httpx.AsyncClient(trust_env=False) as client:
        for _ in range(2):
            found = await client.post(f"http://127.0.0.1:{port}{PATH}", json={"order": 7})
            assert (found.status_code, found.json()["code"]) == (503, "not_stored")
            assert int(found.headers["retry-after"]) > 0


async def test_without_postgresql_a_sender_is_told_to_come_again() -> None:
    away = f"postgresql://nobody@{NOBODY}/none"
    async with listener(away) as port, httpx.AsyncClient(trust_env=False) as client:
        found = await client.post(f"http://127.0.0.1:{port}{PATH}", json={"order": 7})
        assert (found.status_code, found.json()["code"]) == (503, "not_stored")
        assert int(found.headers["retry-after"]) > 0


async def test_a_body_that_does_not_arrive_is_given_up_and_nothing_is_kept(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "BODY_S", 0.2)
    await serve_hook(database)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    async with listener(database) as port:
        status, said = await answered(port, f'{head}content-length: 20\r\n\r\n{{"a":'.encode())
        assert (status, "too_slow" in said) == (408, True), said
        chunked = f'{head}transfer-encoding: chunked\r\n\r\n5\r\n{{"a":\r\n'
        status, said = await answered(port, chunked.encode())
        assert (status, "too_slow" in said) == (408, True), said
    assert await count(database, "trigger_receipts") == 0
    assert await count(database, "trigger_bodies") == 0


async def test_a_body_without_end_or_length_is_refused_and_its_connection_closed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 1.0)
    await serve_hook(database)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    async with listener(database) as port, connected(port) as (reader, writer):
        writer.write(head)
        asked = asyncio.create_task(reader.read())
        sent = await _sends_until_closed(writer, b"10000\r\n%b\r\n" % (b"x" * 0x10000))
        assert sent > 1024 * 1024, "it is read on, so that the sender gets the answer"
        with contextlib.suppress(ConnectionError):
            assert (await asked).startswith(b"HTTP/1.1 413 ")
    assert await count(database, "trigger_receipts") == 0


@pytest.mark.parametrize("start", [b"", b"POST /", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_a_connection_that_asks_nothing_is_closed(
    start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.3)
    nobody = f"postgresql://nobody@{NOBODY}/none"
    async with listener(nobody) as port, asyncio.timeout(30), connected(port) as (reader, writer):
        writer.write(start)
        assert await reader.read() == b""


@pytest.mark.parametrize("endless", [b"x: ", b"y: 1\r\n"])
async def test_a_head_without_end_is_refused(endless: bytes) -> None:
    nobody = f"postgresql://nobody@{NOBODY}/none"
    async with listener(nobody) as port, asyncio.timeout(30), connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\n")
        asked = asyncio.create_task(reader.read())
        assert await _sends_until_closed(writer, endless * 1_000) < 16 * 1024 * 1024
        with contextlib.suppress(ConnectionError):
            assert (await asked).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("endless", [b"1;" + b"x" * 1_000 + b"\r\nx\r\n", b"0\r\n" + b"y: 1\r\n"])
async def test_what_stands_around_a_body_has_an_end(database: str, endless: bytes) -> None:
    await serve_hook(database)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    trailers = endless.startswith(b"0")
    async with (
        listener(database) as port,
        asyncio.timeout(60),
        connected(port) as (reader, writer),
    ):
        writer.write(head + (endless if trailers else b""))
        asked = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        part = b"y: 1\r\n" if trailers else endless
        assert await _sends_until_closed(writer, part * 500) < 64 * 1024 * 1024
        with contextlib.suppress(ConnectionError):
            assert (await asked).startswith(b"HTTP/1.1 400 ")
    assert await count(database, "trigger_receipts") == 0


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\nhost x\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: +7\r\n\r\n1234567",
        b"POST / HTTP/1.1\r\ncontent-length: \xb27\r\n\r\n1234567",
        b"POST / HTTP/1.1\r\ncontent-length: 7\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /\xfc HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_with_a_problem_and_a_line_in_the_log(
    nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = f"postgresql://nobody@{NOBODY}/none"
    async with listener(nobody) as port:
        status, said = await answered(port, nonsense)
    assert (status, '"code":"invalid_http"' in said) == (400, True), said
    assert "application/problem+json" in said
    assert not [each for each in caplog.records if "Invalid HTTP" in each.getMessage()]


async def test_a_request_is_answered_although_its_sender_sends_no_more(database: str) -> None:
    await serve_hook(database)
    raw = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    async with listener(database) as port, connected(port) as (reader, writer):
        writer.write(raw)
        writer.write_eof()
        assert (await reader.read()).startswith(b"HTTP/1.1 503 "), "Kafka is away: after 10 s"


async def test_junk_behind_a_request_takes_its_answer_from_nobody(database: str) -> None:
    await serve_hook(database)
    raw = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    async with listener(database) as port, connected(port) as (reader, writer):
        writer.write(raw + b"junk\r\n\r\n")
        said = await reader.read()
        assert said.startswith(b"HTTP/1.1 503 ") and said.count(b"HTTP/1.1") == 1


async def test_headers_behind_a_body_are_not_those_of_the_request(database: str) -> None:
    await serve_hook(database)
    raw = (
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\n"
        "webhook-id: first\r\ntransfer-encoding: chunked\r\n\r\n"
        f"2\r\n{{}}\r\n0\r\nwebhook-id: {'x' * 300}\r\nidempotency-key: second\r\n\r\n"
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        "2\r\n{}\r\n0\r\nwebhook-id: third\r\n\r\n"
    )
    async with listener(database) as port, connected(port) as (reader, writer):
        writer.write(raw.encode())
        writer.write_eof()
        assert (await reader.read()).count(b"HTTP/1.1 503 ") == 2
    connection: Any = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("SELECT id FROM scheduler.trigger_receipts")
        assert [row["id"] for row in rows] == ["first"]
    finally:
        await connection.close()


async def test_a_head_behind_a_large_body_is_not_taken_for_a_large_head(database: str) -> None:
    await serve_hook(database)
    body = b'"%b"' % (b"x" * 200_000)
    head = f"POST {PATH}-nobody HTTP/1.1\r\nhost: x\r\ncontent-length: "
    first = head.encode() + b"%d\r\n\r\n" % len(body) + body
    async with listener(database) as port, connected(port) as (reader, writer):
        writer.write(first + head.encode())
        await writer.drain()
        await asyncio.sleep(0.2)
        writer.write(b"2\r\nconnection: close\r\n\r\n{}")
        assert (await reader.read()).count(b"HTTP/1.1 404 ") == 2


async def _sends_until_closed(writer: asyncio.StreamWriter, part: bytes) -> int:
    """Send the same again and again; return how many bytes went until nobody took any more."""
    sent = 0
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)  # a peer that has gone is told of by the loop
                sent += len(part)
    return sent


async def test_a_sender_that_drips_its_next_request_still_gets_the_answer_before_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.2)
    await serve_hook(database)
    body = b'{"order": 7}'
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    async with (
        listener(database) as port,
        asyncio.timeout(60),
        connected(port) as (reader, writer),
    ):
        writer.write(head.encode() + body + b"POST / HTTP/1.1\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 503 "), "Kafka is away: after 10 s"


async def test_whoever_cannot_be_answered_before_the_service_stops_is_told_to_come_again(
    database: str,
) -> None:
    await serve_hook(database)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n"
    stop = asyncio.Event()
    async with listener(database, stop=stop) as port:
        asking = asyncio.create_task(answered(port, f'{head}{{"a":'.encode()))
        await asyncio.sleep(0.5)
        stop.set()
        status, said = await asking
    assert (status, '"code":"not_stored"' in said) == (503, True), said
    assert "retry-after: 5" in said
