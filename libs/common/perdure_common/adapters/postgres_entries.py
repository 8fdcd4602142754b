"""Journal rows as entries: what a batch writes to one stream one after the other is one row.

A row costs PostgreSQL an entry in each of two indexes, however small it is, and the driver an
element in each of the columns' arrays. An entry has the columns of its first event; the others
are the JSON of `rest`, `[type, data, meta]` each, without the meta if it is that of the first.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from perdure_common.shell.ports import JournalRow

COLUMNS = "shard, seq, stream, version, tenant_id, type, data, meta, recorded_at, rest"
"""The columns of an entry as `events_of` takes them."""

REST_MAX = 1_000_000
"""Characters of `rest`: PostgreSQL takes a gigabyte, but who reads an entry reads all of it."""

_rest = msgspec.json.Decoder(list[list[msgspec.Raw]])


def entries_of(rows: Sequence[JournalRow]) -> tuple[list[JournalRow], list[int], list[str | None]]:
    """Return the first event of each entry, how many events it has, and its `rest`."""
    firsts: list[JournalRow] = []
    rests: list[list[str]] = []
    first: JournalRow | None = None
    size = 0
    for row in rows:
        if first is None or size > REST_MAX or not _belong_together(first, row):
            firsts.append(row)
            rests.append([])
            first, size = row, 0
            continue
        meta = "" if row.meta == first.meta else f",{row.meta}"
        rests[-1].append(f'["{row.type}",{row.data}{meta}]')
        size += len(row.data)
    events = [1 + len(rest) for rest in rests]
    return firsts, events, [f"[{','.join(rest)}]" if rest else None for rest in rests]


def _belong_together(first: JournalRow, row: JournalRow) -> bool:
    return (
        row.stream == first.stream
        and row.shard == first.shard
        and row.recorded_at == first.recorded_at
        and row.tenant_id == first.tenant_id
    )


def events_of(entries: Iterable[Sequence[Any]]) -> Iterable[JournalRow]:
    """Return the events of entries, each of which has the columns `COLUMNS`, in order."""
    for *columns, rest in entries:
        first = JournalRow(*columns)
        yield first
        for n, (kind, data, *meta) in enumerate(_rest.decode(rest) if rest else (), 1):
            yield JournalRow(
                first.shard,
                first.seq + n,
                first.stream,
                first.version + n,
                first.tenant_id,
                bytes(kind).decode()[1:-1],
                bytes(data).decode(),
                bytes(meta[0]).decode() if meta else first.meta,
                first.recorded_at,
            )
