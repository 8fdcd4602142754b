"""Mail servers whose names are never answered: they keep no mailbox waiting but their own."""

import asyncio
import json
import socket
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from mail_server import PASSWORD, USER, mail_server
from perdure_common import migrate
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.settings import DEFAULT_TENANT, Settings
from perdure_scheduler.mail.mailboxes import Mailboxes, open_pool
from perdure_scheduler.settling import OURS

MUTE = 60
"""More than the event loop has threads for names."""

INSERT = """
    INSERT INTO scheduler.trigger_index (
        id, tenant_id, workflow_id, deployment_version, node_id, trigger_type, trigger_subtype,
        index_key, trigger_config, deployment_status
    ) VALUES (gen_random_uuid(), $1, gen_random_uuid(), 1, 'mail', 'TRIGGER', 'EMAIL', $2, $3,
              'pending')
"""


class Secrets:
    """The one password."""

    async def fields_of(self, tenant_id: str, handle: str) -> Mapping[str, str]:
        return {"password": PASSWORD}


def mailbox(host: str, port: int) -> str:
    return json.dumps({"mailbox": {
        "host": host, "port": port, "tls": "none", "user": USER, "credential": "mail",
        "folder": "INBOX", "poll_s": 60,
    }})  # fmt: skip


async def test_a_mailbox_opens_whatever_names_are_not_answered(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, asked = threading.Event(), set[str]()
    look_up = socket.getaddrinfo

    def slow(host: Any, *more: Any, **named: Any) -> Any:
        if str(host).endswith(".mute.example"):
            asked.add(host)
            answered.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return look_up(host, *more, **named)

    await migrate.up(database, "scheduler")
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    broker = MemoryBroker({OURS: 1})
    owner: Any = SimpleNamespace(bus=broker.client("mail"), shards={"0": None})
    secrets: Any = Secrets()
    with mail_server() as server:
        allowed = f"localhost:{server.port}"
        settings = Settings.read(
            "scheduler",
            {
                "PERDURE_DATABASE_URL": database,
                "PERDURE_KAFKA_BOOTSTRAP": "nowhere:1",
                "PERDURE_PARTITIONS": "1",
                "PERDURE_HTTP_ALLOW": allowed,
            },
        )
        pool = await open_pool(database)
        mailboxes = Mailboxes(settings, owner, pool, secrets)
        connection: Any = await asyncpg.connect(database)
        try:
            rows = [(f"{n}@mute.example", mailbox(f"{n}.mute.example", 143)) for n in range(MUTE)]
            for address, config in rows:
                await connection.execute(INSERT, DEFAULT_TENANT, address, config)
            async with asyncio.timeout(60):
                while len(asked) < MUTE:
                    await mailboxes.look()
                    await asyncio.sleep(0.05)
                good = mailbox("localhost", server.port)
                await connection.execute(INSERT, DEFAULT_TENANT, "good@example.com", good)
                while not broker.records(OURS):
                    await mailboxes.look()
                    await asyncio.sleep(0.05)
            told = json.loads(broker.records(OURS)[0].value)
            assert told["ok"] and "@localhost:" in told["message"] and "is open" in told["message"]
            assert not answered.is_set()
        finally:
            answered.set()
            mailboxes.close()
            await connection.close()
            await pool.close()
