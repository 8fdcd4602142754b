"""Forgets trigger events, firings of clocks, answers and what came with mails, each in its time.

A few rows at a time, so that nobody waits for long.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
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

from .cron_backfill import FIRINGS_KEPT

EVERY_S = 600.0
BATCH_MAX = 1_000
ATTACHMENTS_KEPT = timedelta(days=30)
"""How long what came with a mail is kept; executions that run longer must have fetched it."""

log = structlog.get_logger(__name__)


async def forget(url: str, now: datetime, keep_s: float) -> tuple[int, int, int]:
    """Forget what is old enough; return how many trigger events, answers and attachments.

    Raises:
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not take it.
    """
    sql = queries(Path(__file__).with_name("forgetting.sql"))
    before = now - timedelta(seconds=keep_s)
    connection: Any = await asyncpg.connect(  # pyright: ignore
        url, timeout=10, command_timeout=UPKEEP_S, connection_class=Dropping
    )
    try:
        await connection.execute("SET search_path TO scheduler")
        # First: a replay that runs meanwhile must not look for what is being deleted.
        await connection.execute(sql["note"], before)
        events = await _all(connection, sql["forget_deliveries"], before)
        # No earlier than what a replay may pass over.
        old = min(before, now - FIRINGS_KEPT)
        events += await _all(connection, sql["forget_firings"], old)
        answers = await _all(connection, sql["forget_answers"], before)
        files = await _all(connection, sql["forget_attachments"], now - ATTACHMENTS_KEPT)
        return events, answers, files
    finally:
        await connection.close()


async def _all(connection: Any, sql: str, before: datetime) -> int:
    total = 0
    while True:
        count = int((await connection.execute(sql, before, BATCH_MAX)).rpartition(" ")[2])
        total += count
        if count < BATCH_MAX:
            return total


async def keep_forgetting(settings: Settings, owner: Owner, stop: asyncio.Event) -> None:
    """Forget beside the owner, every ten minutes, in the process that owns the first shard."""
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY_S)
        if stop.is_set() or "0" not in owner.shards:
            continue
        try:
            events, answers, files = await forget(
                settings.database_url, utc_now(), settings.delivery_retention_s
            )
        except FAILED as error:
            log.warning("not_forgotten", error=str(error), again_in_s=EVERY_S)
        else:
            if events or answers or files:
                log.info("forgotten", trigger_events=events, answers=answers, attachments=files)
