"""What a sender hears when Kafka or PostgreSQL is away, or when it is too slow itself."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import pytest
from mail_server import free_port
from perdure_common import migrate
from perdure_common.settings import DEFAULT_TENANT, Settings
from perdure_scheduler.hooks import judging
from perdure_scheduler.hooks.serve import HookSide

PATH = f"/hooks/{DEFAULT_TENANT}/orders"
NOBODY = f"127.0.0.1:{free_port()}"


async def serve_hook(database: str) -> None:
    """Let a workflow listen under a path, as its deployment would."""
    await migrate.up(database, "scheduler")
    connection: Any = await asyncpg.connect(database)
    try:
        await connection.execute(
            """
            INSERT INTO scheduler.trigger_index (
                id, tenant_id, workflow_id, workflow_name, deployment_version, node_id, position,
                trigger_type, trigger_subtype, trigger_config, index_key, path, deployment_status,
                is_active
            ) VALUES (
                gen_random_uuid(), $1, gen_random_uuid(), 'orders', 1, 'hook', 0, 'TRIGGER',
                'WEBHOOK', '{"path": "/orders", "auth": "none"}', '/orders', '/orders', 'active',
                true
            )
            """,
            DEFAULT_TENANT,
        )
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def listener(database: str) -> AsyncGenerator[int]:
    """Run the listener, with a Kafka that is not there; give its port."""
    port = free_port()
    environment = {
        "PERDURE_DATABASE_URL": database,
        "PERDURE_KAFKA_BOOTSTRAP": NOBODY,
        "PERDURE_HOOKS_PORT": str(port),
    }
    stop = asyncio.Event()
    owner: Any = SimpleNamespace(shards={})  # nothing is forgotten here
    side = HookSide()
    running = asyncio.create_task(side.listen(Settings.read("scheduler", environment), owner, stop))
    try:
        await _until_listening(port, running)
        yield port
    finally:
        stop.set()
        await running


async def _until_listening(port: int, running: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(30):
        while not running.done():
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)
    await running


async def answered(port: int, raw: bytes) -> tuple[int, str]:
    """Send bytes, and return the status and all of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
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
    finally:
        writer.close()


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
