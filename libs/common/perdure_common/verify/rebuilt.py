"""Checks in memory that the tables are what the journal makes of them (I3).

For PostgreSQL the same is done by `perdure_common.replay`, in a database beside the live one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.decider import Recorded, Row, Upsert
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.effects import effects_of
from perdure_common.shell.intake import Registry
from perdure_common.shell.ports import Refused, ShardCommit
from perdure_common.shell.shard import Held
from perdure_common.verify.finding import Findings
from perdure_common.verify.memory import MemoryArchive


async def rebuilt(service: Service, store: MemoryStore) -> Findings:
    """Fold the journal into a new store and compare every table with the live one."""
    found, archive = Findings(), MemoryArchive(store)
    projected = {mark.shard: mark.projected_seq for mark in await archive.marks()}
    eager: list[list[Upsert]] = []
    lazy: list[list[Upsert]] = []
    registry, held, stream = Registry(service), Held(None, None, 0, ""), None
    async for row in archive.streams():
        if row.stream != stream:
            held, stream = Held(None, None, 0, ""), row.stream
        event = codec.event_of(row)
        recorded = Recorded(event, row.tenant_id, row.stream, row.version, row.recorded_at)
        _, made, _ = effects_of(registry, held, recorded)
        eager.append([u for u in made if not u.lazy])
        if row.seq <= projected[row.shard]:
            lazy.append([u for u in made if u.lazy])
    again = MemoryStore(service.name)
    (claim,) = await again.claim(["rebuilt"], "rebuilt")
    for upserts in (*eager, *lazy):  # lazy rows may be of other streams, which come first
        commit = ShardCommit("rebuilt", claim.epoch, 1, 1)
        commit.upserts = upserts
        try:
            await again.commit([commit])
        except Refused as refused:
            found.add("I3", f"{service.name} tables", f"they cannot be made again: {refused}")
    _compare(service, store.tables, again.tables, found)
    return found


def _compare(
    service: Service,
    live: Mapping[str, Sequence[Row]],
    made: Mapping[str, Sequence[Row]],
    found: Findings,
) -> None:
    for table in sorted({*live, *made} - set(service.kept)):
        left = Counter(_text(row) for row in live.get(table, ()))
        right = Counter(_text(row) for row in made.get(table, ()))
        found.checked["rows"] += left.total()
        for text in sorted((left - right).elements()):
            found.add("I3", f"{service.name}.{table}", f"not what the journal makes: {text}")
        for text in sorted((right - left).elements()):
            found.add("I3", f"{service.name}.{table}", f"the journal makes it, but: {text}")


def _text(row: Row) -> str:
    return msgspec.json.encode(dict(row), order="deterministic").decode()
