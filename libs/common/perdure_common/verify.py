"""Checks the promises of one service on its live data: the journal and the topics.

I4: within a stream versions are contiguous, within a shard numbers are, and every stream
folds. I5: what is committed is published, each place has it in order, and nothing else is
there. Other promises are about tables of several services; the command line checks them.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from perdure_contracts.message import NAMES
from perdure_contracts.shell import ShardRestored

from perdure_common.adapters.kafka import KafkaBus
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.adapters.postgres_projection import quoted
from perdure_common.decider import Service
from perdure_common.shell import codec, remake
from perdure_common.shell.intake import Registry
from perdure_common.shell.ports import Bus, JournalRow, Outbound, Record, TopicPartition
from perdure_common.shell.shard import Held

VIOLATIONS_MAX = 50
PAGE = 2_000


@dataclass(frozen=True)
class Violation:
    """A promise that does not hold: which, where, and what was found."""

    promise: str
    where: str
    found: str


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Any]:
    """Connect for as long as the block lasts."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def contiguous(service: Service, url: str) -> list[Violation]:
    """Check that streams and shards count without gaps (I4)."""
    schema = quoted(service.name)
    found: list[Violation] = []
    async with connected(url) as connection:
        streams = await connection.fetch(
            f"""
            SELECT stream, count(*) AS events, min(version) AS first, max(version) AS last
              FROM {schema}.journal GROUP BY stream
            HAVING min(version) <> 1 OR max(version) <> count(*) OR count(DISTINCT shard) <> 1
             LIMIT {VIOLATIONS_MAX}
            """
        )
        for row in streams:
            text = f"{row['events']} events in versions {row['first']} to {row['last']}"
            found.append(Violation("I4", f"{service.name} stream {row['stream']}", text))
        shards = await connection.fetch(
            f"""
            SELECT s.id, s.next_seq, count(j.seq) AS rows, max(j.seq) AS last
              FROM {schema}.shard s LEFT JOIN {schema}.journal j ON j.shard = s.id
              LEFT JOIN (
                    SELECT shard, sum((data::json->>'last')::bigint
                                      - (data::json->>'first')::bigint + 1) AS numbers
                      FROM {schema}.journal WHERE type = '{NAMES[ShardRestored]}' GROUP BY shard
                   ) skipped ON skipped.shard = s.id
             GROUP BY s.id, s.next_seq, skipped.numbers
            HAVING count(j.seq) + coalesce(skipped.numbers, 0) <> coalesce(max(j.seq), 0)
                OR s.next_seq <> coalesce(max(j.seq), 0) + 1
            """
        )
        for row in shards:
            text = f"{row['rows']} rows up to {row['last']}, next number {row['next_seq']}"
            found.append(Violation("I4", f"{service.name} shard {row['id']}", text))
    return found


async def folds(service: Service, url: str) -> list[Violation]:
    """Check that every stream folds to its end (I4): no event meets a state it cannot follow."""
    registry = Registry(service)
    found: list[Violation] = []
    async with connected(url) as connection, connection.transaction():
        held, stream, broken = Held(None, None, 0, ""), None, ""
        statement = f"SELECT * FROM {quoted(service.name)}.journal ORDER BY stream, version"
        async for each in connection.cursor(statement, prefetch=PAGE):
            row = JournalRow(**dict(each))
            if row.stream != stream:
                held, stream, broken = Held(None, None, 0, ""), row.stream, ""
            if broken:
                continue
            try:
                remake.replay(registry, held, row)
            except Exception as error:
                broken = f"version {row.version} ({row.type}): {type(error).__name__}: {error}"
                found.append(Violation("I4", f"{service.name} stream {row.stream}", broken))
    return found[:VIOLATIONS_MAX]


async def published(
    service: Service, url: str, bootstrap: str, prefix: str, partitions: int
) -> list[Violation]:
    """Check that topics have exactly what the journal says, in its order (I5).

    What retention has deleted from a topic is not missed.
    """
    store = PostgresStore(url, service.name)
    bus = KafkaBus(bootstrap, f"verify-{service.name}", prefix)
    found: list[Violation] = []
    try:
        # In this order: what was published by now must be there, and what is there then must
        # be in the journal after that, however much goes on meanwhile.
        marks, places = await _marks(service, url)
        skipped = await _skipped(service, url)
        there = {place: await _numbers(bus, place) for place in places}
        for shard, published_seq in marks.items():
            made, _ = await remake.remake(Registry(service), store, shard, 0, partitions)
            numbered = [(q, r) for q, r in made.sent if codec.header(r.headers, "x-prev")]
            wanted = _by_place(r for seq, r in numbered if seq <= published_seq)
            known = _by_place(r for _, r in numbered)
            source = codec.source_of(service.name, shard)
            for place, numbers in known.items():
                where = f"{place[0]}/{place[1]} from {source}"
                read = [
                    n
                    for n in there.get(place, {}).get(source, [])
                    if not any(n >> codec.FAN_OUT_BITS in each for each in skipped.get(shard, ()))
                ]
                if place[0] in service.handed:
                    # Some never come, and after a crash one may come behind later ones.
                    found.extend(_strange(where, read, set(numbers)))
                else:
                    found.extend(_compare(where, wanted.get(place, []), read, set(numbers)))
    finally:
        await bus.close()
        await store.close()
    return found[:VIOLATIONS_MAX]


async def _skipped(service: Service, url: str) -> dict[str, list[range]]:
    """Return the numbers that each shard gave out before a restore, and does not know any more."""
    async with connected(url) as connection:
        rows = await connection.fetch(
            f"SELECT shard, data FROM {quoted(service.name)}.journal WHERE type = $1",
            NAMES[ShardRestored],
        )
    found: dict[str, list[range]] = {}
    for row in rows:
        event: ShardRestored = codec.decode_body(NAMES[ShardRestored], row["data"])
        found.setdefault(str(row["shard"]), []).append(range(event.first, event.last + 1))
    return found


async def _marks(service: Service, url: str) -> tuple[dict[str, int], list[TopicPartition]]:
    """Return how far each shard has published, and the places that anything was sent to."""
    schema = quoted(service.name)
    async with connected(url) as connection:
        shards = await connection.fetch(f"SELECT id, published_seq FROM {schema}.shard")
        sent = await connection.fetch(f"SELECT DISTINCT topic, partition FROM {schema}.sent")
    marks = {str(row["id"]): int(row["published_seq"]) for row in shards}
    return marks, [(str(row["topic"]), int(row["partition"])) for row in sent]


def _by_place(records: Iterable[Outbound]) -> dict[TopicPartition, list[int]]:
    places: dict[TopicPartition, list[int]] = {}
    for record in records:
        number = _number(record)
        if number is not None:
            places.setdefault((record.topic, record.partition), []).append(number)
    return places


def _number(record: Outbound | Record) -> int | None:
    found = codec.header(record.headers, "ce_id")
    return None if found is None else codec.parse_number(found.decode())


async def _numbers(bus: Bus, place: TopicPartition) -> dict[str, list[int]]:
    """Return the numbers that stand in a topic's partition, by source, as they first came."""
    begin, end = (await bus.bounds([place]))[place]
    sources: dict[str, dict[int, None]] = {}
    bus.read({place: begin})
    position = begin
    while position < end:
        for record in await bus.fetch(PAGE, 5.0):
            position = record.offset + 1
            source = codec.header(record.headers, "ce_source")
            number = _number(record)
            if source is None or number is None or not codec.header(record.headers, "x-prev"):
                continue
            sources.setdefault(source.decode(), {}).setdefault(number)
    bus.read({})
    if begin > 0:
        sources["retention"] = {}
    return {source: list(numbers) for source, numbers in sources.items()}


def _compare(where: str, wanted: list[int], there: list[int], known: set[int]) -> list[Violation]:
    found: list[Violation] = []
    oldest = min(there, default=0)
    missing = set(wanted) - set(there)
    missing = {n for n in missing if n > oldest or not there}
    if missing:
        text = f"{len(missing)} committed messages are not there, the first is {_named(missing)}"
        found.append(Violation("I5", where, text))
    found.extend(_strange(where, there, known))
    if there != sorted(there):
        first = next(n for n, m in zip(there, sorted(there), strict=True) if n != m)
        found.append(Violation("I5", where, f"the order breaks at {_named({first})}"))
    return found


def _strange(where: str, there: list[int], known: set[int]) -> list[Violation]:
    strange = set(there) - known
    if not strange:
        return []
    text = f"{len(strange)} messages were never committed, the first is {_named(strange)}"
    return [Violation("I5", where, text)]


def _named(numbers: set[int]) -> str:
    first = min(numbers)
    return f"{first >> codec.FAN_OUT_BITS}.{first & (codec.FAN_OUT_MAX - 1)}"
