"""The scheduler's HTTP listener in this process, without the rest of the scheduler."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import asyncpg
from mail_server import free_port
from perdure_common import migrate
from perdure_common.settings import DEFAULT_TENANT, Settings
from perdure_scheduler.hooks.serve import HookSide

PATH = f"/hooks/{DEFAULT_TENANT}/orders"
NOBODY = f"127.0.0.1:{free_port()}"


async def serve_hook(database: str, **more: Any) -> None:
    """Let a workflow listen under a path, as its deployment would; `more` its settings say."""
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
                'WEBHOOK', $2::text::jsonb, '/orders', '/orders', 'active', true
            )
            """,
            DEFAULT_TENANT,
            json.dumps({"path": "/orders", "auth": "none", **more}),
        )
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def listener(
    database: str,
    bootstrap: str = NOBODY,
    prefix: str = "perdure",
    *,
    side: HookSide | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[int]:
    """Run the listener, with a Kafka that is not there unless one is named; give its port."""
    port = free_port()
    environment = {
        "PERDURE_DATABASE_URL": database,
        "PERDURE_KAFKA_BOOTSTRAP": bootstrap,
        "PERDURE_TOPIC_PREFIX": prefix,
        "PERDURE_HOOKS_PORT": str(port),
    }
    stop = stop or asyncio.Event()
    owner: Any = SimpleNamespace(shards={})  # nothing is forgotten here
    side = side or HookSide()
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


@contextlib.asynccontextmanager
async def connected(
    port: int,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to the listener for as long as the block lasts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
