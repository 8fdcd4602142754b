"""The partitions of workflow_execution_logs: made ahead of their month, dropped behind.

A month's partition is there two months early, so rows go straight into it; one that is older
than the retention as a whole is dropped, which costs the same however many rows it has.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from perdure_common.adapters.postgres_connection import Dropping
from perdure_common.adapters.postgres_errors import FAILED, UPKEEP_S
from perdure_common.adapters.postgres_queries import queries
from perdure_common.run import utc_now
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner

AHEAD_MONTHS = 2
EVERY_S = 3_600.0
BACK_OFF_S = 5.0
CONNECT_S = 10.0

log = structlog.get_logger(__name__)


async def keep(url: str, now: datetime, retention_days: int) -> tuple[Sequence[datetime], int]:
    """Make the partitions of this month and of those ahead; drop those behind.

    Returns the months that were made, and how many partitions were dropped.

    Raises:
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not take it.
    """
    sql = queries(Path(__file__).with_name("log_partitions.sql"))
    connection: Any = await asyncpg.connect(  # pyright: ignore
        url, timeout=CONNECT_S, command_timeout=UPKEEP_S, connection_class=Dropping
    )
    try:
        made = await connection.fetch(sql["make"], now, AHEAD_MONTHS)
        dropped = 0
        if retention_days:
            dropped = await connection.fetchval(sql["drop"], now, retention_days)
    finally:
        await connection.close()
    return [row["month"] for row in made], int(dropped)


async def keep_partitions(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
    """Keep the partitions beside the owner: at its start, then once an hour."""
    wait_s = 0.0
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait_s)
        if stop.is_set():
            return
        if owner.settled and "0" not in owner.shards:
            wait_s = EVERY_S
            continue
        try:
            made, dropped = await keep(
                settings.database_url, utc_now(), settings.log_retention_days
            )
        except FAILED as error:
            log.warning("log_partitions_not_kept", error=str(error), wait_s=BACK_OFF_S)
            wait_s = BACK_OFF_S
        else:
            wait_s = EVERY_S
            if made or dropped:
                log.info("log_partitions", made=len(made), dropped=dropped)
