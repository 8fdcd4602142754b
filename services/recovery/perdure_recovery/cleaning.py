"""Drops rows past their time, once a day, by `cleanup_old_recovery_data`; see retention.py."""

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
import structlog
from perdure_common.adapters.postgres_connection import Dropping
from perdure_common.adapters.postgres_errors import FAILED, UPKEEP_S
from perdure_common.adapters.postgres_projection import quoted
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner

CLEANED = (
    *("failure_patterns", "recovery_attempts", "recovery_explanations", "recovery_episodes"),
    *("dead_letters", "recovery_incidents", "recovery_breakers"),
)
"""The tables that are cleaned; the function in the database names the same."""
EVERY_S = 86_400.0
BACK_OFF_S = 60.0
CONNECT_S = 10.0
RETENTION_DAYS_MIN = 7
"""Fewest days: what is younger may still be told about."""

log = structlog.get_logger(__name__)


async def clean(url: str, service: str, retention_days: int) -> int:
    """Drop what is past its time, note how large tables are; return how many rows are gone.

    With 0 days nothing is dropped: all the more it is to be seen how tables grow.

    Raises:
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not take it.
    """
    connection: Any = await asyncpg.connect(  # pyright: ignore
        url, timeout=CONNECT_S, command_timeout=UPKEEP_S, connection_class=Dropping
    )
    try:
        gone = 0
        if retention_days:
            days = max(RETENTION_DAYS_MIN, retention_days)
            statement = f"SELECT {quoted(service)}.cleanup_old_recovery_data($1)"
            gone = int(await connection.fetchval(statement, days))
        await connection.fetchval(f"SELECT {quoted(service)}.note_table_sizes()")
        return gone
    finally:
        await connection.close()


async def keep_cleaning(
    service: str, settings: Settings, owner: Owner, stop: asyncio.Event
) -> None:
    """Clean beside the owner, in the process that has the first shard, until told to stop."""
    wait_s = BACK_OFF_S
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait_s)
        if stop.is_set():
            return
        if "0" not in owner.shards:
            wait_s = BACK_OFF_S
            continue
        try:
            gone = await clean(settings.database_url, service, settings.recovery_retention_days)
        except FAILED as error:
            log.warning("recovery_not_cleaned", error=str(error), wait_s=BACK_OFF_S)
            wait_s = BACK_OFF_S
        else:
            wait_s = EVERY_S
            if gone:
                log.info("recovery_cleaned", rows=gone)
