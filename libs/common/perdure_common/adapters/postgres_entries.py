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
    events: list[int] = []
    rests: list[str | None] = []
    rest: list[str] = []
    first: JournalRow | None = None
    size = 0
    for row in rows:
        if first is not None and row.stream == first.stream and size < REST_MAX:
            same = row.meta == first.meta
            rest.append(
                f'["{row.type}",{row.data}]' if same else f'["{row.type}",{row.data},{row.meta}]'
            )
            size += len(row.data)
            continue
        if first is not None:
            events.append(1 + len(rest))
            rests.append(f"[{','.join(rest)}]" if rest else None)
        firsts.append(row)
        first, rest, size = row, [], 0
    if first is not None:
        events.append(1 + len(rest))
        rests.append(f"[{','.join(rest)}]" if rest else None)
    return firsts, events, rests


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
