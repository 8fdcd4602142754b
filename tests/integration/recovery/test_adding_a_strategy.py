"""The migration of the guide to a new strategy lets the table take its name."""

from typing import Any, get_args

import asyncpg
import pytest
from guide import migration
from perdure_common import migrate
from perdure_common.ids import derived
from perdure_contracts.failures import Strategy

ATTEMPT = (
    "INSERT INTO recovery_attempts (id, tenant_id, workspace_id, execution_id, recovery_strategy,"
    " attempt_number, triggered_by, recovery_reason, started_at, status, episode_id, failure_id,"
    " failure_pattern_id, confidence_score, ai_reasoning)"
    " VALUES ($1, 't', 'ws', 'e', $2, 1, 'engine', 'r', now(), 'planned', $1, 'f', $1, 1, 'a')"
)


async def test_the_guides_migration_adds_the_name_and_keeps_the_others(database: str) -> None:
    await migrate.up(database, "recovery")
    connection: Any = await asyncpg.connect(database)
    try:
        await connection.execute("SET search_path = recovery")
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(ATTEMPT, derived("attempt", 0), "next_hour")
        await connection.execute(migration())
        for name in (*get_args(Strategy), "next_hour"):
            await connection.execute(ATTEMPT, derived("attempt", name), name)
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(ATTEMPT, derived("attempt", 0), "anything")
    finally:
        await connection.close()
