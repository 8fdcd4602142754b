"""Deletes executions some time after their end: first a tombstone, then everything before it.

1. The owner of shard 0 walks through the old executions once an hour, a slice at a time, and sends
   `engine.purge-execution.v1` to those past the retention of their workspace. Each decides for
   itself, in the order of its stream, so nobody deletes what is just being revived.
2. Once a minute what was purged is swept, some hundred executions in one transaction: rows of the
   journal, of tables, and who names payloads (payloads.py forgets those that nobody names).
3. The tombstone itself goes when no topic can have a record of the stream any more.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import structlog
from perdure_common.adapters.postgres_connection import Dropping
from perdure_common.adapters.postgres_errors import FAILED, UPKEEP_S
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.run import utc_now
from perdure_common.service import Service
from perdure_common.settings import EXECUTION_DAYS_MIN, Settings
from perdure_common.shell.commanding import commanded
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_contracts.purging import PurgeExecution

from .executions.state import ENDED

LOOK_EVERY_S = 3_600.0
SWEEP_EVERY_S = 60.0
LOOK_PAUSE_S = 1.0
ROWS_MAX = 2_000
"""Executions that one look passes over; a second lies between two looks."""

FIRST_ID = "00000000-0000-0000-0000-000000000000"
"""What comes before every id."""

SWEPT_AT_ONCE = 200
"""Executions that go in one transaction."""

PAUSE_S = 0.5
"""Between two of them, so that the database has time for others."""

TOMBSTONE_DAYS = 30
"""How long the tombstone of an execution stays after its rows are gone, in days: Kafka deletes
whole segments, so a record may outlive the retention of its topic."""

CONNECT_S = 10.0
SOURCE = "/engine/retention"

SQL: Mapping[str, str] = queries(Path(__file__).with_name("retention.sql"))

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Keep:
    """How long executions are kept after their end, in days; 0 is for ever.

    `workspaces` have their own by id.
    """

    days: int
    workspaces: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def for_ever(self) -> bool:
        """Whether nothing is ever past its retention."""
        return not self.days and not any(self.workspaces.values())

    def bounds(self, now: datetime) -> tuple[int | None, list[str], list[int | None]]:
        """Return before which milliseconds an execution must have ended: at large, and where."""
        own = [until(now, days) for days in self.workspaces.values()]
        return until(now, self.days), list(self.workspaces), own

    def newest(self, now: datetime) -> int:
        """Return before which milliseconds everything began that is past its retention."""
        days = [each for each in (self.days, *self.workspaces.values()) if each]
        return until(now, min(days, default=0)) or 0


def until(now: datetime, days: int) -> int | None:
    """Return the instant `days` days ago in milliseconds, None for no days at all."""
    return int((now - timedelta(days=days)).timestamp() * 1000) if days else None


def last_id(milliseconds: int) -> str:
    """Return the highest id that an execution can have that began before an instant."""
    return f"{milliseconds:012x}{'f' * 20}"


async def past(
    reading: Reading,
    tenant_id: str,
    keep: Keep,
    now: datetime,
    *,
    after: str = FIRST_ID,
    end: str = "",
    status: Sequence[str] = ENDED,
    workflow_id: str | None = None,
    execution_id: str | None = None,
    most: int | None = None,
) -> list[dict[str, Any]]:
    """Return the executions of a tenant that are past their retention and match, the oldest first.

    `after` and `end` bound their ids.

    Raises:
        Problem: The database does not answer.
    """
    return await reading.rows(
        SQL["past"], tenant_id, after, end or last_id(keep.newest(now)), *keep.bounds(now),
        list(status), workflow_id, execution_id, most,
    )  # fmt: skip


@dataclass
class Purger:
    """Walks through the old executions; behind `tenant_id` and `after` the next look begins."""

    service: Service
    reading: Reading
    bus: Bus
    partitions: int
    keep: Keep
    tenant_id: str = ""
    after: str = ""

    @property
    def under_way(self) -> bool:
        """Whether the walk has not come to its end."""
        return bool(self.tenant_id)

    async def look(self, now: datetime) -> int:
        """Send a command to what is past its retention in one slice; return how many these were.

        Raises:
            Problem, Unreachable: The database or the bus does not answer.
        """
        if not self.after:
            (found,) = await self.reading.rows(SQL["next_tenant"], self.tenant_id)
            self.tenant_id, self.after = found["tenant_id"] or "", FIRST_ID
            if not self.tenant_id:
                self.after = ""
                return 0
        last = last_id(self.keep.newest(now))
        ends = await self.reading.rows(SQL["slice_end"], self.tenant_id, self.after, last, ROWS_MAX)
        end = str(ends[0]["id"]) if ends else ""
        rows = await past(
            self.reading, self.tenant_id, self.keep, now, after=self.after, end=end or last
        )
        records = [self._command(str(row["execution_id"]), now) for row in rows]
        for error in await self.bus.send(records) if records else ():
            if error is not None:
                raise Unreachable(f"commands to purge executions are not taken: {error}")
        self.after = end
        return len(rows)

    def _command(self, key: str, now: datetime) -> Outbound:
        return commanded(
            PurgeExecution(execution_id=key, asked_by="retention"),
            self.service.commands_topic, key, self.partitions,
            id=f"{key}/{now.date()}",  # a refusal is not asked again on the same day
            source=SOURCE,
        )  # fmt: skip


async def sweep(
    url: str,
    now: datetime,
    ended_days: float = EXECUTION_DAYS_MIN,
    tombstone_days: float = TOMBSTONE_DAYS,
    stop: asyncio.Event | None = None,
) -> tuple[int, int]:
    """Delete what was purged, and old tombstones, until `stop`; return how many executions.

    An execution goes when its last event is `ended_days` old: as long as topics keep records, so
    that whatever a reader may have missed can be made again.

    Raises:
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not take it.
    """
    connection: Any = await asyncpg.connect(  # pyright: ignore
        url, timeout=CONNECT_S, command_timeout=UPKEEP_S, connection_class=Dropping
    )
    counts = [0, 0]
    try:
        for at, (name, days) in enumerate((("sweep", ended_days), ("drop", tombstone_days))):
            before = now - timedelta(days=days)
            while gone := await connection.fetchval(SQL[name], before, SWEPT_AT_ONCE):
                counts[at] += int(gone)
                if gone < SWEPT_AT_ONCE or await _stopped(stop, PAUSE_S):
                    break
    finally:
        await connection.close()
    return counts[0], counts[1]


async def _stopped(stop: asyncio.Event | None, wait_s: float) -> bool:
    """Wait, and tell whether it was told to stop meanwhile."""
    if stop is None:
        await asyncio.sleep(wait_s)
        return False
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), wait_s)
    return stop.is_set()


async def keep_purging(
    service: Service, settings: Settings, owner: Owner, stop: asyncio.Event
) -> None:
    """Look and sweep beside the owner, while shard 0 is its own."""
    reading = Reading(settings.database_url, service.name, connections=1)
    keep = Keep(settings.execution_retention_days, settings.workspace_retention_days)
    purger = Purger(service, reading, owner.bus, settings.partitions, keep)
    loop = asyncio.get_running_loop()
    look_at = loop.time() + SWEEP_EVERY_S  # a start has other things to do
    try:
        while not stop.is_set():
            wait_s = LOOK_PAUSE_S if purger.under_way else SWEEP_EVERY_S
            if await _stopped(stop, wait_s) or "0" not in owner.shards:
                continue
            try:
                if not keep.for_ever and loop.time() >= look_at:
                    count = await purger.look(utc_now())
                    look_at = loop.time() + (0.0 if purger.under_way else LOOK_EVERY_S)
                    if count:
                        log.info("executions_past_retention", count=count)
                if not purger.under_way:
                    swept, dropped = await sweep(settings.database_url, utc_now(), stop=stop)
                    if swept or dropped:
                        log.info("executions_purged", swept=swept, tombstones_dropped=dropped)
            except _UNREACHABLE as error:
                log.warning("executions_not_purged", error=str(error))
    finally:
        await reading.close()


_UNREACHABLE = (Problem, Unreachable, *FAILED)
