"""What is past its retention goes, as `engine.sweep_purged_executions` does it in SQL.

It is swept once everything has come to rest, so that nobody asks for any of it again. Then all
processes start anew on what is left, and things are asked of executions that are there no more.
"""
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Mapping

import msgspec
from perdure_common.adapters.memory_store import MemoryStore, MemoryTable
from perdure_common.verify.archive import Purged
from perdure_common.verify.memory import MemoryArchive
from perdure_contracts.message import NAMES
from perdure_contracts.purging import ExecutionPurged

from simulation import clocks
from simulation.load import Load
from simulation.stage import KINDS, Stage

OF_EXECUTIONS = (
    *("workflow_execution_logs", "workflow_execution_pauses", "node_executions"),
    "workflow_executions",
)
"""The tables whose rows go with their execution."""


class SimArchive(MemoryArchive):
    """What a service has, where something may have been purged."""

    def __init__(self, store: MemoryStore, gone: Mapping[str, Purged]) -> None:
        super().__init__(store)
        self._gone = gone

    async def purged(self) -> Mapping[str, Purged]:
        """See `Archive.purged`."""
        return self._gone


async def sweep(stage: Stage, load: Load) -> None:
    """Delete what was purged but for its tombstones; start everything anew, and ask again."""
    store = stage.databases["engine"].store
    latest = {str(row.get("latest_execution_id")) for row in store.tables.get("workflows", ())}
    buried = {
        stream: next(row.version for row in rows if row.type == NAMES[ExecutionPurged])
        for stream, rows in store._streams.items()
        if any(row.type == NAMES[ExecutionPurged] for row in rows) and stream not in latest
    }
    for stream, version in buried.items():
        stage.purged = _with(stage.purged, _sweep(store, stream, version))
        stage.watch.swept(store, stream)
    stage.watch.note(f"swept {len(buried)}")
    for name in OF_EXECUTIONS:
        table = store._tables.get(name, MemoryTable())
        table.rows = [row for row in table.rows if row["execution_id"] not in buried]
        table._indexes.clear()
    stage.swept += len(buried)
    for process in [each for kind in KINDS for each in stage.running(kind)]:
        stage.kill(process, "killed after a sweep")
    for n, execution_id in enumerate(sorted(buried)):
        await load.cancel(execution_id, f"cancel-of-what-is-gone-{n}")
        await clocks.purge(load, execution_id, f"purge-of-what-is-gone-{n}")
    await asyncio.sleep(1.0)


def _sweep(store: MemoryStore, stream: str, version: int) -> Mapping[str, Purged]:
    """Delete a stream's rows before its tombstone, which becomes its first."""
    rows = store._streams[stream]
    gone = [row for row in rows if row.version < version]
    kept = [
        msgspec.structs.replace(row, version=1) if row.version == version else row
        for row in rows
        if row.version >= version
    ]
    store._streams[stream] = kept
    store._versions -= {(row.stream, row.version) for row in rows}
    store._versions |= {(row.stream, row.version) for row in kept}
    store._snapshots.pop(stream, None)
    by_seq = {row.seq: row for row in kept}
    (shard,) = {row.shard for row in rows}
    left = store._shards[shard]
    left.rows = [by_seq.get(r.seq, r) for r in left.rows if r.stream != stream or r.seq in by_seq]
    return {shard: Purged(len(gone), max(row.recorded_at for row in rows))}


def _with(one: Mapping[str, Purged], other: Mapping[str, Purged]) -> Mapping[str, Purged]:
    found = dict(one)
    for shard, more in other.items():
        known = found.get(shard)
        before = more.before if known is None else max(known.before, more.before)
        found[shard] = Purged(more.rows + (known.rows if known else 0), before)
    return found
