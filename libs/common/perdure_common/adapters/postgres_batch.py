"""The fixed part of a batch as columns: the arguments of `commit_batch`, in its order."""

from collections.abc import Iterable, Sequence
from typing import Any

from perdure_common.adapters.postgres_entries import entries_of
from perdure_common.adapters.postgres_packing import repeated, texts
from perdure_common.adapters.postgres_types import clean
from perdure_common.shell.ports import JournalRow, ShardCommit

# Columns of each part of `commit_batch`, in its order; a part without rows is sent as NULLs.
_FENCE, _JOURNAL, _CONSUMED, _HEARD, _SENT, _WAKES = 7, 11, 4, 6, 4, 3
_SNAPSHOTS, _DELIVERIES, _PARKED, _UNPARKED = 4, 4, 4, 2

ARGUMENTS = (
    _FENCE + _JOURNAL + _CONSUMED + _HEARD + _SENT + _WAKES
    + _SNAPSHOTS + _DELIVERIES + _PARKED + _UNPARKED
)  # fmt: skip
"""How many arguments `commit_batch` takes."""


def arguments(batch: Sequence[ShardCommit]) -> list[Any]:
    """Return the arguments of `commit_batch` for a batch, its shards in sorted order."""
    commits = sorted(batch, key=lambda c: c.shard)
    return [
        *_columns(map(_fence, commits), _FENCE),
        *_journal([row for commit in commits for row in commit.rows]),
        *_columns(
            ((c.shard, topic, n, at) for c in commits for (topic, n), at in c.consumed.items()),
            _CONSUMED,
        ),
        *_columns(
            (
                (c.shard, topic, n, source, heard.seq, heard.gap)
                for c in commits
                for (topic, n, source), heard in c.heard.items()
            ),
            _HEARD,
        ),
        *_columns(
            ((c.shard, topic, n, seq) for c in commits for (topic, n), seq in c.sent.items()),
            _SENT,
        ),
        *_columns(
            ((c.shard, stream, at) for c in commits for stream, at in c.wakes.items()), _WAKES
        ),
        *_columns(
            ((s.stream, s.version, s.state_version, s.state) for c in commits for s in c.snapshots),
            _SNAPSHOTS,
        ),
        *_columns(
            (
                (d.tenant_id, clean(d.source), clean(d.id), clean(d.answer))
                for c in commits
                for d in c.deliveries
            ),
            _DELIVERIES,
        ),
        *_columns(((c.shard, p.stream, p.n, p.raw) for c in commits for p in c.parked), _PARKED),
        *_columns(((stream, n) for c in commits for stream, n in c.unparked), _UNPARKED),
    ]


def _fence(commit: ShardCommit) -> tuple[Any, ...]:
    return (
        commit.shard,
        commit.epoch,
        commit.next_seq,
        len(commit.rows),
        commit.format,
        commit.published_seq,
        commit.projected_seq,
    )


def _journal(rows: Sequence[JournalRow]) -> Sequence[Any]:
    """Return the journal's columns, packed: `commit_batch` unpacks them."""
    if not rows:
        return (None,) * _JOURNAL
    firsts, events, rests = entries_of(rows)
    return (
        texts([row.shard for row in firsts]),
        [row.seq for row in firsts],
        texts([row.stream for row in firsts]),
        repeated([row.version for row in firsts]),
        texts([row.tenant_id for row in firsts]),
        texts([row.type for row in firsts]),
        [row.data for row in firsts],
        texts([row.meta for row in firsts]),
        repeated([row.recorded_at for row in firsts]),
        repeated(events),
        rests,
    )


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> Sequence[Any]:
    return tuple(zip(*rows, strict=True)) or (None,) * width
