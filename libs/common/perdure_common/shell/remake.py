"""What a crash left unsent, made again from the journal by folding.

The journal has every event and the numbers before its messages; the messages themselves
are what the pure core makes of the events, now as then.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import msgspec

from perdure_common.decider import Recorded, Upsert
from perdure_common.shell import codec
from perdure_common.shell.effects import (
    SHELL_EVENTS,
    destination,
    effects_of,
    events_partition,
    outbound_of,
)
from perdure_common.shell.intake import Registry
from perdure_common.shell.ports import JournalRow, Outbound, Snapshot, Store
from perdure_common.shell.shard import Held

PAGE = 2_000
"""Rows of the journal that are read at once."""


@dataclass
class Remade:
    """What rows of a shard's journal lead to: `sent` pairs (seq, record), `lazy` upserts."""

    sent: list[tuple[int, Outbound]] = field(default_factory=list)
    upserts: list[tuple[int, Upsert]] = field(default_factory=list)


def restore(registry: Registry, snapshot: Snapshot | None, rows: Sequence[JournalRow]) -> Held:
    """Return a stream as its snapshot and the rows after it leave it.

    A snapshot of another state version must not be given: load without it.
    """
    held = Held(None, None, 0, "")
    if snapshot is not None:
        frame = codec.decode_frame(snapshot.state)
        decider = registry.by_name[frame.decider]
        state: object = msgspec.json.decode(
            frame.state, type=cast(type[object], type(decider.initial))
        )
        held = Held(decider, state, snapshot.version, frame.tenant_id, snapshot.version)
        held.weight = held.snapshot_weight = held.snapshot_bytes = len(snapshot.state)
        held.trace = frame.trace
    for row in rows:
        replay(registry, held, row)
    return held


def usable(registry: Registry, snapshot: Snapshot | None) -> bool:
    """Return whether the snapshot's state can be read by this version."""
    if snapshot is None:
        return True
    decider = registry.by_name.get(codec.decode_frame(snapshot.state).decider)
    return decider is not None and decider.state_version == snapshot.state_version


def replay(registry: Registry, held: Held, row: JournalRow) -> None:
    """Fold one row into the stream, without its effects."""
    name = row.type
    held.version = row.version
    held.weight += len(row.data) + row.more
    decider = registry.by_event.get(name)
    if decider is None:
        if not name.startswith("shell."):
            raise codec.UnknownType(f"the journal has a {name}, which this version cannot fold")
        return
    if held.decider is None:
        held.decider, held.state = decider, decider.initial
        if decider.one_trace:
            held.trace = codec.trace_in(row.meta)
    held.tenant_id = held.tenant_id or row.tenant_id  # whoever began it, not who was refused
    held.state = decider.evolve(held.state, codec.event_of(row))


async def load(registry: Registry, store: Store, streams: Mapping[str, int]) -> Mapping[str, Held]:
    """Return the streams as they stand; one that does not exist has version 0.

    `streams` gives the highest version of a snapshot that may be used (-1: any).
    """
    found = await store.load(streams)
    stale = {s: 0 for s, (snapshot, _) in found.items() if not usable(registry, snapshot)}
    if stale:
        found = {**found, **await store.load(stale)}
    return {stream: _restored(registry, *found.get(stream, (None, ()))) for stream in streams}


def _restored(registry: Registry, snapshot: Snapshot | None, rows: Sequence[JournalRow]) -> Held:
    """Return a stream as it stands, `broken` if it cannot be folded: others must go on."""
    try:
        return restore(registry, snapshot, rows)
    except Exception as error:
        version = rows[-1].version if rows else snapshot.version if snapshot else 0
        return Held(None, None, version, rows[-1].tenant_id if rows else "", broken=error)


async def remake(
    registry: Registry, store: Store, shard: str, after: int, partitions: int
) -> tuple[Remade, Mapping[str, Held]]:
    """Return all that the shard's rows with `seq > after` lead to, and the streams after them."""
    made = Remade()
    streams: dict[str, Held] = {}
    async for _ in _pages(registry, store, shard, after, partitions, made, streams):
        pass
    return made, streams


async def said(
    registry: Registry,
    store: Store,
    shard: str,
    after: int,
    partitions: int,
    wanted: Callable[[Outbound], bool],
    most: int,
) -> list[Outbound]:
    """Return the first records, `most` at most, of those wanted among what a shard has said.

    However long the journal is, little more than a page of it is in memory.
    """
    made, streams = Remade(), dict[str, Held]()
    found: list[Outbound] = []
    async for _ in _pages(registry, store, shard, after, partitions, made, streams):
        found.extend(record for _, record in made.sent if wanted(record))
        made.sent.clear()
        made.upserts.clear()
        if len(found) >= most:
            break
        if len(streams) > PAGE:
            streams.clear()
    return found[:most]


async def _pages(
    registry: Registry,
    store: Store,
    shard: str,
    after: int,
    partitions: int,
    made: Remade,
    streams: dict[str, Held],
) -> AsyncGenerator[int]:
    """Make a page of the journal after another again, into `made` and `streams`."""
    while rows := await store.journal(shard, after, PAGE):
        first: dict[str, int] = {}
        for row in rows:
            if row.stream not in streams:
                first.setdefault(row.stream, row.version)
        await _begin(registry, store, streams, first)
        for row in rows:
            _remake_row(registry, streams[row.stream], row, partitions, made)
        after = rows[-1].seq
        yield after


async def _begin(
    registry: Registry, store: Store, streams: dict[str, Held], first: Mapping[str, int]
) -> None:
    """Bring streams to where they stood before the first row that is made again."""
    wanted = {s: version - 1 for s, version in first.items() if version > 1}
    found: Mapping[str, tuple[Snapshot | None, Sequence[JournalRow]]] = {}
    if wanted:
        found = await store.load(wanted)
    stale = {s: 0 for s, (snapshot, _) in found.items() if not usable(registry, snapshot)}
    if stale:
        found = {**found, **await store.load(stale)}
    for stream, version in first.items():
        snapshot, rows = found.get(stream, (None, ()))
        streams[stream] = restore(registry, snapshot, [r for r in rows if r.version < version])


def _remake_row(
    registry: Registry, held: Held, row: JournalRow, partitions: int, made: Remade
) -> None:
    service = registry.service
    meta = codec.decode_meta(row.meta)
    event = codec.event_of(row)
    if not isinstance(event, SHELL_EVENTS):
        held.tenant_id = held.tenant_id or row.tenant_id
    recorded = Recorded(event, row.tenant_id, row.stream, row.version, row.recorded_at)
    new = held.decider is None
    messages, upserts, _ = effects_of(registry, held, recorded)
    if new and held.decider is not None and held.decider.one_trace:
        held.trace = (meta.traceparent, meta.tracestate)
    # As it was decided then: another version may tell more, or less.
    published = meta.first == 0 and bool(meta.prev)
    held.version = row.version
    held.weight += len(row.data) + row.more
    places = [destination(m, partitions) for m in messages]
    if published:
        places.insert(0, (service.events_topic, events_partition(row.shard, partitions)))
    body = row.data.encode()
    for record in outbound_of(service, row, meta, published, messages, body, places):
        made.sent.append((row.seq, record))
    made.upserts.extend((row.seq, upsert) for upsert in upserts)
