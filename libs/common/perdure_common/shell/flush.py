"""What a shard writes when nothing else is written: lazy rows, and how far it has come."""

from collections.abc import Iterable

import structlog

from perdure_common import fault
from perdure_common.shell.ports import Refused, ShardCommit, Store
from perdure_common.shell.shard import Shard

log = structlog.get_logger(__name__)


async def flush(store: Store, shards: Iterable[Shard], *, last: bool = False) -> int:
    """Write lazy rows that have waited, and marks; return how many rows the store refused.

    The `last` flush of a shard writes rows that have not waited too. The caller holds the turn of
    the lane, so that no batch moves the marks meanwhile.

    Raises:
        Fenced, Unanswered, Unreachable: As `Store.commit`.
    """
    commits: list[ShardCommit] = []
    flushed: list[Shard] = []
    for shard in shards:
        acknowledged = shard.acknowledged()
        rows, seq = shard.lazy.all() if last else shard.lazy.due()
        if acknowledged > shard.published_mark or rows or any(shard.unwritten):
            commit = ShardCommit(shard.id, shard.epoch, shard.next_seq, shard.format)
            commit.published_seq = max(acknowledged, shard.published_mark)
            commit.projected_seq = seq
            commit.upserts = rows
            shard.catch_up(commit)
            commits.append(commit)
            flushed.append(shard)
        else:
            shard.lazy.written(seq)
    if not commits:
        return 0
    fault.point("before_flush")
    refused = 0
    try:
        await store.commit(commits)
    except Refused:
        refused = await _one_by_one(store, flushed, commits)
    for shard, commit in zip(flushed, commits, strict=True):
        shard.absorb(commit, (), flushed=True)
        shard.lazy.written(commit.projected_seq or 0)
    fault.point("after_flush")
    return refused


async def _one_by_one(store: Store, shards: Iterable[Shard], commits: Iterable[ShardCommit]) -> int:
    """Write each row by itself; one that is refused is told, the journal still has it.

    A row that was written waits no more, whatever becomes of the others: it may count.
    """
    refused = 0
    for shard, commit in zip(shards, commits, strict=True):
        rows, commit.upserts = commit.upserts, []
        for row in rows:
            single = ShardCommit(commit.shard, commit.epoch, commit.next_seq, commit.format)
            single.upserts = [row]
            try:
                await store.commit([single])
            except Refused as error:
                refused += 1
                log.error("row_refused", table=row.table, key=dict(row.key), error=str(error))
            shard.lazy.remove(row)
        await store.commit([commit])
    return refused
