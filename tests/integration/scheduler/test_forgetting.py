"""What is old is forgotten: trigger events after a week, firings and attachments after a month."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from perdure_common import migrate
from perdure_scheduler.forgetting import ATTACHMENTS_KEPT, forget

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WEEK_S = 7 * 86_400.0


async def test_trigger_events_go_after_a_week_and_firings_of_clocks_after_a_month(
    database: str,
) -> None:
    await migrate.up(database, "scheduler")
    connection: Any = await asyncpg.connect(database)
    await connection.execute("SET search_path TO scheduler")
    try:
        for subtype in ("KAFKA", "CRON"):
            for days in (6, 8, 30, 32):
                await connection.execute(
                    "INSERT INTO trigger_deliveries (tenant_id, source, id, subtype, received_at, "
                    "body_sha256, status) VALUES ('t', $1::text, $2, $1::text, $3, '', 'accepted')",
                    subtype,
                    str(days),
                    NOW - timedelta(days=days),
                )
        for days in (6, 8):
            await connection.execute(
                "INSERT INTO trigger_answers (tenant_id, execution_id, status, answered_at) "
                "VALUES ('t', $1, 200, $2)",
                str(days),
                NOW - timedelta(days=days),
            )
            await connection.execute(
                "INSERT INTO trigger_receipts (tenant_id, source, id, event_id, received_at, "
                "execution_id, token_sha256) VALUES ('t', '/s', $1, $1, $2, $1, 'hash')",
                str(days),
                NOW - timedelta(days=1),
            )
        for days in (1, ATTACHMENTS_KEPT.days + 1):
            await connection.execute(
                "INSERT INTO attachments (tenant_id, sha256, content_type, content, created_at) "
                "VALUES ('t', $1, 'text/plain', 'x', $2)",
                str(days),
                NOW - timedelta(days=days),
            )
        assert await forget(database, NOW, WEEK_S) == (4, 1, 1)
        rows = await connection.fetch("SELECT subtype, id FROM trigger_deliveries ORDER BY 1, 2")
        left = [("CRON", "30"), ("CRON", "6"), ("CRON", "8"), ("KAFKA", "6")]
        assert [tuple(row) for row in rows] == left
        assert await connection.fetch("SELECT execution_id FROM trigger_answers") == [("6",)]
        tokens = await connection.fetch("SELECT id FROM trigger_receipts WHERE token_sha256 <> ''")
        assert tokens == [("6",)], "a status URL without its answer would say that it runs"
        gone = await connection.fetch("SELECT table_name, before FROM expired ORDER BY 1")
        week = NOW - timedelta(days=7)
        assert gone == [("trigger_answers", week), ("trigger_deliveries", week)]
        assert await forget(database, NOW, WEEK_S) == (0, 0, 0)
        later = NOW + timedelta(days=20)
        assert await forget(database, later, 60 * 86_400.0) == (0, 0, 0), "a replay looks for them"
        assert await forget(database, later, WEEK_S) == (2, 1, 0)
    finally:
        await connection.close()
