"""What makes a service safe to start after its tables were restored from a backup.

A backup knows nothing of what was done after it, but everybody else does: numbers were given
out, messages heard, epochs raised. `fence` moves every shard past all of that, by the clock, and
writes down in the journal which numbers are skipped. What was read after the backup is read again
from the topics: the marks of the backup say from where.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from perdure_common.adapters.kafka import KafkaBus
from perdure_common.adapters.postgres_projection import quoted
from perdure_common.adapters.postgres_queries import queries
from perdure_common.fencing import NAME, Fence, Standing, fenced, mark_in, stream_of
from perdure_common.service import Restored, Service
from perdure_common.shell.owner import foreign_shard
from perdure_common.shell.ports import TopicPartition

_SQL = queries(Path(__file__).with_name("restore.sql"))


class StillRunning(RuntimeError):
    """Somebody works on the tables that are to be fenced; the text says who."""


@dataclass
class Report:
    """What was done for one service, for people."""

    service: str
    shards: list[Fence] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    did: list[str] = field(default_factory=list)


def groups_of(service: Service) -> tuple[str, ...]:
    """Return the groups whose members work on the service's tables."""
    own = f"perdure.{service.name}"
    return (own, *(f"{own}.{topic.split('.')[1]}" for topic in service.foreign), *service.groups)


async def running(services: Sequence[Service], bus: KafkaBus) -> list[str]:
    """Return who works on the services' tables, by the groups in Kafka.

    Raises:
        Unreachable: No broker answers.
    """
    found: list[str] = []
    for group in dict.fromkeys(g for service in services for g in groups_of(service)):
        found.extend(await bus.members(group))
    return sorted(set(found))


async def fence(
    service: Service,
    url: str,
    bus: KafkaBus,
    *,
    tenant_id: str,
    partitions: int,
    now: datetime | None = None,
) -> Report:
    """Move every shard of a service past all numbers and epochs that may have been given out.

    Safe to repeat, and safe for a service that was not restored: it skips numbers, no more.

    Raises:
        LookupError: A topic is missing.
        Unreachable: No broker answers.
        asyncpg.PostgresError, OSError: The database does not answer, or refuses.
    """
    report = Report(service.name)
    shards = await _shards(service, bus, partitions)
    moment = now or datetime.now(UTC)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"SET search_path TO {quoted(service.name)}")
        places = await connection.fetch(_SQL["places"])
        bounds = await bus.bounds([(str(p["topic"]), int(p["partition"])) for p in places])
        starts = await bus.bounds([(t, n) for t in service.pausable for n in range(partitions)])
        async with connection.transaction():
            for shard in shards:
                until = tuple((*p, end) for p, (_, end) in starts.items() if str(p[1]) == shard)
                report.shards.append(await _fence(connection, shard, tenant_id, moment, until))
            report.marks = await _marks(connection, bounds)
    finally:
        await connection.close()
    if service.after_restore is not None:
        report.did.append(await service.after_restore(Restored(url, bus, partitions)))
    return report


async def _shards(service: Service, bus: KafkaBus, partitions: int) -> list[str]:
    """Return every shard there can be: a backup may be older than a shard's first claim."""
    shards = [str(n) for n in range(partitions)]
    for topic in service.foreign:
        shards += [foreign_shard(topic, n) for n in range(await bus.partitions(topic))]
    return sorted(shards)


async def _fence(
    connection: Any,
    shard: str,
    tenant_id: str,
    moment: datetime,
    until: tuple[tuple[str, int, int], ...],
) -> Fence:
    """Fence one shard, in the caller's transaction. `until` is what is to be read first."""
    await connection.execute(_SQL["add_shard"], shard, NAME)
    plan = fenced(await _standing(connection, shard), tenant_id, moment, until)
    for row in plan.rows:
        await connection.execute(
            _SQL["add_entry"], row.shard, row.seq, row.stream, row.version, row.tenant_id,
            row.type, row.data, row.meta, row.recorded_at,
        )  # fmt: skip
    for (topic, partition), number in plan.sent.items():
        await connection.execute(_SQL["tell"], shard, topic, partition, number)
    await connection.execute(_SQL["raise"], shard, plan.fence.epoch, NAME, plan.next_seq)
    return plan.fence


async def _standing(connection: Any, shard: str) -> Standing:
    """Return how the backup has left a shard, and keep others from changing it."""
    stands = await connection.fetchrow(_SQL["stands"], shard)
    sent = await connection.fetch(_SQL["sent"], shard)
    version = await connection.fetchval(_SQL["version"], stream_of(shard))
    newest = await connection.fetchval(_SQL["newest"], shard)
    return Standing(
        shard=shard,
        epoch=int(stands["epoch"]),
        next_seq=int(stands["next_seq"]),
        sent={(str(row["topic"]), int(row["partition"])): int(row["seq"]) for row in sent},
        version=version,
        newest=newest,
    )


async def _marks(connection: Any, bounds: Mapping[TopicPartition, tuple[int, int]]) -> list[str]:
    """Return which marks lie outside their topics; those that `mark_in` moves are set right."""
    said: list[str] = []
    for row in await connection.fetch(_SQL["marks"]):
        place, mark = (str(row["topic"]), int(row["partition"])), int(row["next_offset"])
        begin, end = bounds[place]
        if (right := mark_in((begin, end), mark)) != mark:
            await connection.execute(_SQL["move"], *place, right)
            said.append(
                f"{place[0]}/{place[1]} ends at {end}, before the mark {mark}: it was made anew, "
                f"and is read from {begin}"
            )
        elif mark < begin:
            said.append(
                f"{place[0]}/{place[1]} begins at {begin}, after the mark {mark}: "
                f"{begin - mark} records are gone; what other services said is asked for again, "
                "what came from outside has to come again"
            )
    return said
