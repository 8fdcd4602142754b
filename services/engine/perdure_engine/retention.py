"""Deletes executions some time after their end: first a tombstone, then everything before it.

1. The owner of shard 0 walks through the executions once an hour, a slice at a time, and sends
   `engine.purge-execution.v1` to those past the retention of their workspace. Each decides for
   itself, in the order of its stream, so nobody deletes what is just being revived.
2. Once a minute what was purged is swept, some hundred executions in one transaction: rows of the
   journal, of tables, and who names payloads (payloads.py forgets those that nobody names).
3. The tombstone itself goes when no topic can have a record of the stream any more.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg
import structlog
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.decider import Service
from perdure_common.ids import partition_of
from perdure_common.run import utc_now
from perdure_common.settings import EXECUTION_DAYS_MIN, Settings
from perdure_common.shell import codec
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.message import NAMES
from perdure_contracts.purging import PurgeExecution

LOOK_EVERY_S = 3_600.0
SWEEP_EVERY_S = 60.0
ROWS_MAX = 2_000
"""Executions that one look passes over; a second lies between two looks."""

SWEPT_AT_ONCE = 200
"""Executions that go in one transaction."""

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


def until(now: datetime, days: int) -> int | None:
    """Return the instant `days` days ago in milliseconds, None for no days at all."""
    return int((now - timedelta(days=days)).timestamp() * 1000) if days else None


@dataclass
class Purger:
    """Walks through the executions; `after` is where the next look begins."""

    service: Service
    reading: Reading
    bus: Bus
    partitions: int
    keep: Keep
    after: str = ""

    async def look(self, now: datetime) -> int:
        """Send a command to what is past its retention in one slice; return how many these were.

        Raises:
            Problem, Unreachable: The database or the bus does not answer.
        """
        (slice_,) = await self.reading.rows(
            SQL["slice"], self.after, ROWS_MAX, *self.keep.bounds(now)
        )
        past = cast("list[str]", slice_["past"] or [])
        records = [self._command(key, now) for key in past]
        for error in await self.bus.send(records) if records else ():
            if error is not None:
                raise Unreachable(f"commands to purge executions are not taken: {error}")
        self.after = slice_["last"] if slice_["rows"] == ROWS_MAX else ""
        return len(past)

    def _command(self, key: str, now: datetime) -> Outbound:
        event = CloudEvent(
            id=f"{key}/{now.date()}",  # a refusal is not asked again on the same day
            source=SOURCE,
            type=NAMES[PurgeExecution],
            subject=key,
            datacontenttype="application/json",
            data=codec.encode_body(PurgeExecution(execution_id=key, asked_by="retention")),
        )
        headers, value = encode(event)
        place = partition_of(key, self.partitions)
        return Outbound(self.service.commands_topic, place, value, key.encode(), headers)


async def sweep(
    url: str,
    now: datetime,
    ended_days: float = EXECUTION_DAYS_MIN,
    tombstone_days: float = TOMBSTONE_DAYS,
) -> tuple[int, int]:
    """Delete what was purged, and old tombstones; return how many executions these were.

    An execution goes when its last event is `ended_days` old: as long as topics keep records, so
    that whatever a reader may have missed can be made again.

    Raises:
        OSError, asyncpg.PostgresError, asyncpg.InterfaceError: The database does not take it.
    """
    connection: Any = await asyncpg.connect(url, timeout=CONNECT_S)  # pyright: ignore
    counts = [0, 0]
    try:
        for at, (name, days) in enumerate((("sweep", ended_days), ("drop", tombstone_days))):
            before = now - timedelta(days=days)
            while gone := await connection.fetchval(SQL[name], before, SWEPT_AT_ONCE):
                counts[at] += int(gone)
    finally:
        await connection.close()
    return counts[0], counts[1]


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
            under_way = bool(purger.after)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0 if under_way else SWEEP_EVERY_S)
            if stop.is_set() or "0" not in owner.shards:
                continue
            try:
                if not keep.for_ever and loop.time() >= look_at:
                    count = await purger.look(utc_now())
                    look_at = loop.time() + (0.0 if purger.after else LOOK_EVERY_S)
                    if count:
                        log.info("executions_past_retention", count=count)
                if not purger.after:
                    swept, dropped = await sweep(settings.database_url, utc_now())
                    if swept or dropped:
                        log.info("executions_purged", swept=swept, tombstones_dropped=dropped)
            except _UNREACHABLE as error:
                log.warning("executions_not_purged", error=str(error))
    finally:
        await reading.close()


_UNREACHABLE = (
    Problem, Unreachable, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError,
)  # fmt: skip
