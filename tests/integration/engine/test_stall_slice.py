"""Which executions the stall detector looks at: all that are open and wait for no person's word."""

from pathlib import Path
from typing import Any

import asyncpg
from perdure_common import migrate
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.reading import Reading
from perdure_engine import stalls

STATUSES = (
    "NEW",
    "RUNNING",
    "PAUSED",
    "WAITING_FOR_HUMAN",
    "SUCCESS",
    "ERROR",
    "CANCELED",
    "TIMEOUT",
)
FILL = """
insert into engine.workflow_executions
       (id, tenant_id, execution_id, workspace_id, workflow_id, workflow_version, status,
        created_at)
values (gen_random_uuid(), 'tenant', $1, gen_random_uuid(), gen_random_uuid(), 1, $2,
        now() - $3::float8 * interval '1 second')
"""


async def test_each_open_execution_is_looked_at_that_is_not_paused_parked_or_young(
    database: str,
) -> None:
    await migrate.up(database, "engine")
    connection: Any = await asyncpg.connect(database)
    reading = Reading(database, "engine", connections=1)
    try:
        for status in STATUSES:
            await connection.execute(FILL, status, status, 60.0)
        await connection.execute(FILL, "young", "NEW", 1.0)
        sql = queries(Path(stalls.__file__).with_name("stalls.sql"))["slice"]
        (found,) = await reading.rows(sql, "", 2_000, 30.0)
    finally:
        await reading.close()
        await connection.close()
    assert found["open"] == ["NEW", "RUNNING", "WAITING_FOR_HUMAN"]
    assert found["rows"] == len(STATUSES) + 1
