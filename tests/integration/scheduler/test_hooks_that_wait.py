"""Requests that wait for what their executions answer: each is told something, and none stays."""

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest
from hook_ground import PATH, connected, listener, serve_hook
from perdure_common.embedded import Addresses
from perdure_common.settings import DEFAULT_TENANT
from perdure_common.topics import create_topics
from perdure_scheduler.hooks import protocol
from perdure_scheduler.hooks.serve import HookSide

WAITS = {"respond": "respond_node", "deadline_s": 300}
SOON_S = 20.0
"""How long something may take that happens at once: the machine may be busy."""


@dataclass
class Ground:
    """A listener that nobody stands behind: whoever waits there waits for the deadline."""

    database: str
    port: int
    side: HookSide
    stop: asyncio.Event

    async def post(self, body: object) -> httpx.Response:
        """Send a request, and return the answer."""
        async with httpx.AsyncClient(trust_env=False, timeout=SOON_S) as client:
            return await client.post(f"http://127.0.0.1:{self.port}{PATH}", json=body)

    async def until_waiting(self, count: int) -> None:
        """Wait until so many executions are waited for."""
        registry = self.side._registry  # pyright: ignore[reportPrivateUsage]
        async with asyncio.timeout(SOON_S):
            while registry.get_sample_value("perdure_hook_answers_waiting") != count:
                await asyncio.sleep(0.02)

    async def answers(
        self, status: int, headers: dict[str, str], body: object, execution_id: str = ""
    ) -> bytes:
        """Let an execution have answered, and return the request for its status URL."""
        execution_id = execution_id or f"e{status}"
        connection: Any = await asyncpg.connect(self.database)
        try:
            await connection.execute(
                "INSERT INTO scheduler.trigger_receipts (tenant_id, source, id, event_id, "
                "received_at, execution_id, token_sha256) VALUES ($1, '/s', $2, $2, now(), $2, $3)",
                *(DEFAULT_TENANT, execution_id, hashlib.sha256(b"token").hexdigest()),
            )
            await connection.execute(
                "INSERT INTO scheduler.trigger_answers (tenant_id, execution_id, status, headers, "
                "body, answered_at) VALUES ($1, $2, $3, $4::text::jsonb, $5::text::jsonb, now())",
                *(DEFAULT_TENANT, execution_id, status, json.dumps(headers), json.dumps(body)),
            )
        finally:
            await connection.close()
        url = f"/hooks-status/{DEFAULT_TENANT}/{execution_id}?token=token"
        return f"GET {url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()

    async def told(self, request: bytes) -> tuple[int, list[str], bytes]:
        """Return the status, the lines of the head and the body of an answer, as they came."""
        async with connected(self.port) as (reader, writer), asyncio.timeout(SOON_S):
            writer.write(request)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        return int(lines[0].split()[1]), lines[1:], body


@contextlib.asynccontextmanager
async def ground(
    servers: Addresses, database: str, prefix: str, **more: Any
) -> AsyncGenerator[Ground]:
    await serve_hook(database, **more)
    await create_topics(servers.kafka_bootstrap, prefix, 1)
    side, stop = HookSide(), asyncio.Event()
    async with listener(database, servers.kafka_bootstrap, prefix, side=side, stop=stop) as port:
        yield Ground(database, port, side, stop)


@contextlib.asynccontextmanager
async def alone(database: str) -> AsyncGenerator[Ground]:
    """A listener without Kafka, for those who ask what executions have answered."""
    await serve_hook(database)
    side, stop = HookSide(), asyncio.Event()
    async with listener(database, side=side, stop=stop) as port:
        yield Ground(database, port, side, stop)


EMPTY = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode()


async def test_whoever_waits_when_the_service_stops_is_told_where_to_ask(
    servers: Addresses, database: str, topic_prefix: str
) -> None:
    async with ground(servers, database, topic_prefix, **WAITS) as it:
        asking = asyncio.create_task(it.post({"order": 7}))
        await it.until_waiting(1)
        it.stop.set()
        answer = await asking
    assert (answer.status_code, answer.json()["status"]) == (202, "running"), answer.text
    assert answer.headers["location"] == answer.json()["status_url"]


async def test_whoever_hangs_up_or_sends_no_more_is_waited_for_until_the_deadline_at_most(
    servers: Addresses, database: str, topic_prefix: str
) -> None:
    """Neither can be told from the other before something is written."""
    waits = {**WAITS, "deadline_s": 2}
    async with (
        ground(servers, database, topic_prefix, **waits) as it,
        connected(it.port) as (reader, writer),
    ):
        writer.write(EMPTY)
        writer.write_eof()
        async with connected(it.port) as (_, gone):
            gone.write(EMPTY)
            await it.until_waiting(2)
        async with asyncio.timeout(SOON_S):
            assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
        await it.until_waiting(0)


async def test_a_request_that_starts_nothing_waits_for_nothing(
    servers: Addresses, database: str, topic_prefix: str
) -> None:
    waits = {**WAITS, "filter": "{{ $json.total > 100 && $event.subject == '/orders' }}"}
    async with ground(servers, database, topic_prefix, **waits) as it:
        for body in ({"total": 7}, {"total": "no number"}, {}):
            answer = await it.post(body)
            assert (answer.status_code, answer.json()["status"]) == (202, "ignored"), answer.text
            assert "execution_id" not in answer.json()
        asking = asyncio.create_task(it.post({"total": 101}))
        await it.until_waiting(1)
        it.stop.set()
        assert (await asking).json()["status"] == "running"


async def test_whoever_takes_nothing_of_a_large_answer_is_cut_off(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "STALLED_S", 0.5)
    size = 32 * 1024 * 1024
    async with alone(database) as it:
        request = await it.answers(200, {}, "x" * size)
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", it.port)) as slow:
            slow.setblocking(False)
            await loop.sock_sendall(slow, request)
            await asyncio.sleep(3.0)
            came = 0
            with contextlib.suppress(ConnectionError):
                while part := await loop.sock_recv(slow, 1024 * 1024):
                    came += len(part)
        assert 0 < came < size, "the rest was thrown away, and the connection with it"
        _, _, body = await it.told(request)
        assert len(body) == size, "whoever takes it has it"


HOSTILE = {
    "Content-Length": "3",
    "Transfer-Encoding": "chunked",
    "Connection": "upgrade",
    "X-Perdure-Execution": "another",
    "Date": "yesterday",
    "Set-Cookie": "a=b; Path=/",
}


async def test_a_workflow_cannot_break_the_frame_of_its_answer(database: str) -> None:
    async with alone(database) as it:
        for status in (200, 299, 500, 502, 599):
            request = await it.answers(status, HOSTILE, {"thanks": 7})
            told, head, body = await it.told(request)
            names = [line.partition(":")[0] for line in head]
            assert (told, json.loads(body)) == (status, {"thanks": 7})
            assert len(names) == len(set(names)) and "transfer-encoding" not in names, head
            assert {f"content-length: {len(body)}", "set-cookie: a=b; Path=/"} < set(head)
            assert f"x-perdure-execution: e{status}" in head


async def test_an_answer_that_has_no_body_has_none(database: str) -> None:
    async with alone(database) as it:
        for status in (204, 205, 304):
            told, head, body = await it.told(await it.answers(status, HOSTILE, {"thanks": 7}))
            chunked = "transfer-encoding: chunked" in head
            assert (told, body) == (status, b"0\r\n\r\n" if chunked else b"")


NO_HTTP: list[tuple[int, dict[str, str]]] = [
    *((status, {}) for status in (0, 99, 100, 101, 199, 600, 1000, -1)),
    *((200, {name: "x"}) for name in ("a b", "a:b", "a\r\nb", "", "é", "a\nb", "(x)")),
    *((200, {"x": text}) for text in ("a\r\nset-cookie: b", "a\n", "\u20ac", "a\x7f", "\r")),
]


async def test_an_answer_that_is_no_http_is_told_as_the_fault_of_the_workflow(
    database: str,
) -> None:
    async with alone(database) as it:
        for n, (status, headers) in enumerate(NO_HTTP):
            request = await it.answers(status, headers, {"thanks": 7}, f"no-{n}")
            told, head, body = await it.told(request)
            assert (told, json.loads(body)["code"]) == (502, "invalid_response"), headers
            assert f"x-perdure-execution: no-{n}" in head
            assert not [line for line in head if line.startswith("set-cookie")]
