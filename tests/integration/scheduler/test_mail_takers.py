"""A mail's event says who listens to its address, in the version that took it."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.settings import DEFAULT_TENANT
from perdure_common.shell import codec
from perdure_common.shell.ports import Unreachable
from perdure_scheduler.hear import TRIGGERS
from perdure_scheduler.hook_event import nodes_in, versions_in
from perdure_scheduler.mail.mailboxes import open_pool
from perdure_scheduler.mail.outlet import TAKERS_MAX, Outlet
from perdure_scheduler.mail.parsing import read_mail

INSERT = """
    INSERT INTO scheduler.trigger_index (
        id, tenant_id, workflow_id, deployment_version, node_id, trigger_type, trigger_subtype,
        index_key, trigger_config, deployment_status, is_active
    ) VALUES (gen_random_uuid(), $1, $2, $3, $4, 'TRIGGER', 'EMAIL', $5, '{}', $6, $7)
"""
MAIL = b"From: ann@example.com\r\nMessage-ID: <1@example.com>\r\nSubject: one\r\n\r\nHello.\r\n"
W1, W2, W3 = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))


async def test_a_mail_says_who_takes_it_and_one_nobody_listens_to_says_nothing(
    database: str,
) -> None:
    await migrate.up(database, "scheduler")
    broker = MemoryBroker({TRIGGERS: 1})
    pool = await open_pool(database)
    outlet = Outlet(broker.client("mail"), pool, DEFAULT_TENANT)
    connection: Any = await asyncpg.connect(database)
    try:
        for workflow_id, version, node_id, address, status, active in (
            (W1, 3, "in", "help@example.com", "active", True),
            (W1, 4, "in", "help@example.com", "pending", True),
            (W2, 1, "desk", "help+vip@example.com", "active", True),
            (W2, 1, "all", "help@example.com", "active", True),
            (W3, 1, "in", "help@example.com", "active", False),
            (W3, 1, "old", "help@example.com", "inactive", True),
        ):
            await connection.execute(
                INSERT, DEFAULT_TENANT, workflow_id, version, node_id, address, status, active
            )
        addresses = ("help+vip@example.com", "help@example.com", "nobody@example.com")
        assert await outlet.deliver(read_mail(MAIL), "smtp", addresses, datetime.now(UTC)) is None
        said = [_said(record.headers) for record in broker.records(TRIGGERS)]
        assert said == [
            {((W2, "desk"), 1)},
            {((W1, "in"), 3), ((W2, "all"), 1)},
            None,
        ]
        for n in range(TAKERS_MAX + 1):
            await connection.execute(
                INSERT, DEFAULT_TENANT, W3, 1, f"n{n}", "many@example.com", "active", True
            )
            if n >= TAKERS_MAX - 1:
                many = ["many@example.com"]
                await outlet.deliver(read_mail(MAIL), "smtp", many, datetime.now(UTC))
        most, more = (_said(record.headers) for record in broker.records(TRIGGERS)[-2:])
        assert len(most or ()) == TAKERS_MAX
        assert more is None, "they do not fit, and whoever listens then takes it"
    finally:
        await connection.close()
        await pool.close()
    with pytest.raises(Unreachable):
        await outlet.deliver(read_mail(MAIL), "smtp", addresses, datetime.now(UTC))


def _said(headers: Any) -> set[tuple[tuple[str, str], int]] | None:
    nodes, versions = (codec.header(headers, f"ce_{name}") for name in ("nodes", "versions"))
    if nodes is None or versions is None:
        assert nodes is versions
        return None
    return set(zip(nodes_in(nodes.decode()) or (), versions_in(versions.decode()), strict=True))
