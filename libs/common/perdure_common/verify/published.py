"""Checks that topics have what the journal says, in its order, and nothing else (I5).

Events must be those of the journal, byte for byte; the messages that follow from them are made
again by the core (remade.py) and compared. A topic is walked as its readers do: a message counts
if the one before it came. So what was sent twice, or again after Kafka had lost it, is no fault;
what is missing, or was never committed, is. Where retention has deleted the beginning, the walk
begins with what is left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import msgspec

from perdure_common.service import Service
from perdure_common.shell import codec, remake
from perdure_common.shell.intake import Link, Registry, hearing
from perdure_common.shell.ports import Heard, JournalRow, Outbound, Record, TopicPartition
from perdure_common.verify.archive import Archive, Marks, Purged, Topics
from perdure_common.verify.finding import Findings
from perdure_common.verify.remade import Remade

SPAN_MAX = 20_000
"""Rows between two numbers of one page that are still read at once."""


@dataclass
class _Said:
    """A numbered message of a shard, as it stands in a topic."""

    shard: str
    number: int
    prev: int
    record: Record

    @property
    def seq(self) -> int:
        return self.number >> codec.FAN_OUT_BITS

    @property
    def k(self) -> int:
        return self.number & (codec.FAN_OUT_MAX - 1)


@dataclass
class _Walk:
    """How far each shard was heard on a place while it is walked along."""

    remade: Remade
    heard: dict[str, Heard] = field(default_factory=dict)
    strange: set[tuple[str, int]] = field(default_factory=set)


async def published(
    service: Service,
    archive: Archive,
    topics: Topics,
    marks: Sequence[Marks],
    partitions: int,
    *,
    complete: bool = True,
    unused: Mapping[str, Sequence[range]] = MappingProxyType({}),
) -> Findings:
    """Check every place that the service has sent to. `marks` were read before.

    Messages under `unused` numbers of a shard left before a restore. Without `complete`
    nothing is missed: what Kafka has lost may not be sent again yet.
    """
    found = Findings()
    purged = await archive.purged()
    places = sorted({place for mark in marks for place in mark.sent})
    for place in places:
        begin, end = await topics.bounds(place)
        walk = _Walk(Remade(service, archive, partitions))
        async for page in topics.records(place, begin, end):
            said = [s for record in page if (s := _said(service, record)) is not None]
            found.checked["messages"] += len(said)
            said = [s for s in said if not any(s.seq in each for each in unused.get(s.shard, ()))]
            _hear(walk, said, began=begin > 0)
            await _compare(service, archive, place, said, walk, found, purged)
        if place[0] in service.handed or not complete:
            continue  # some never come, for they are dealt with in the process
        for mark in marks:
            await _complete(service, archive, place, mark, walk, found, partitions, begin > 0)
    return found


def _said(service: Service, record: Record) -> _Said | None:
    prev = codec.header(record.headers, "x-prev")
    source = codec.header(record.headers, "ce_source")
    id = codec.header(record.headers, "ce_id")
    if prev is None or source is None or id is None or not prev.isdigit():
        return None
    who = codec.parse_source(source.decode(errors="replace"))
    number = codec.parse_number(id.decode(errors="replace"))
    if who is None or who[0] != service.name or number is None:
        return None
    return _Said(who[1], number, int(prev), record)


def _hear(walk: _Walk, page: Sequence[_Said], *, began: bool) -> None:
    for said in page:
        known = walk.heard.get(said.shard)
        if known is None and began:
            known = Heard(said.prev)
        _, walk.heard[said.shard] = hearing(known, Link(said.shard, said.number, said.prev))


async def _compare(
    service: Service,
    archive: Archive,
    place: TopicPartition,
    page: Sequence[_Said],
    walk: _Walk,
    found: Findings,
    purged: Mapping[str, Purged],
) -> None:
    """Check that each message is one that the journal has, as the journal has it."""
    rows = await _rows(archive, page)
    routed: dict[tuple[str, int], list[_Said]] = {}
    for said in page:
        row = rows.get((said.shard, said.seq))
        if row is None and _was_purged(said, purged.get(said.shard)):
            continue
        wrong = _wrong(said, row)
        if wrong:
            _says(service, place, said, wrong, walk, found)
        elif said.k:
            routed.setdefault((said.shard, said.seq), []).append(said)
    async for row, records in walk.remade.messages([rows[key] for key in routed]):
        first = codec.decode_meta(row.meta).first
        for said in routed[row.shard, row.seq]:
            found.checked["bodies"] += 1
            if wrong := _differs(service, said, records, said.k - first):
                _says(service, place, said, wrong, walk, found)


def _says(
    service: Service, place: TopicPartition, said: _Said, wrong: str, walk: _Walk, found: Findings
) -> None:
    """Note what is wrong with a message, once however often it was sent."""
    if (said.shard, said.number) in walk.strange:
        return
    walk.strange.add((said.shard, said.number))
    where = f"{place[0]}/{place[1]} from {codec.source_of(service.name, said.shard)}"
    named = f"message {said.seq}.{said.k} at offset {said.record.offset}"
    found.add("I5", where, f"{named} {wrong}")


def _differs(service: Service, said: _Said, records: Sequence[Outbound], at: int) -> str:
    """Return how a message differs from the one that the core makes of its event."""
    if at >= len(records):
        return "is not among what the core makes of its event"
    made, record = records[at], said.record
    moved = record.topic in service.handed  # runners pass tasks on to one another
    if record.topic != made.topic or (record.partition != made.partition and not moved):
        return f"belongs to {made.topic}/{made.partition}"
    for name, value in made.headers:
        if codec.header(record.headers, name) != value:
            was = (codec.header(record.headers, name) or b"nothing").decode(errors="replace")
            return f"has {was} as {name}, the core makes {value.decode()}"
    if record.key != made.key:
        return "has another key than the core gives it"
    if record.value != made.value and _as_now(made, record.value) != made.value:
        return "is not what the core makes of its event"
    return ""


def _as_now(made: Outbound, body: bytes) -> bytes:
    """Return a body with the fields that its message has gained since, as they are by default."""
    name = (codec.header(made.headers, "ce_type") or b"").decode()
    try:
        return codec.encode_body(codec.decode_body(name, body))
    except (LookupError, msgspec.MsgspecError):
        return body


async def _rows(archive: Archive, page: Sequence[_Said]) -> dict[tuple[str, int], JournalRow]:
    """Return the rows that a page's messages name; messages of a page stand close together."""
    wanted: dict[str, list[int]] = {}
    for said in page:
        wanted.setdefault(said.shard, []).append(said.seq)
    rows: dict[tuple[str, int], JournalRow] = {}
    for shard, numbers in wanted.items():
        numbers = sorted(set(numbers))
        first = 0
        for i in range(1, len(numbers) + 1):
            if i < len(numbers) and numbers[i] - numbers[first] < SPAN_MAX // 10:
                continue
            span = numbers[first:i]
            count = span[-1] - span[0] + 1
            known = set(span)
            for row in await archive.store.journal(shard, span[0] - 1, count):
                if row.seq in known:
                    rows[shard, row.seq] = row
            first = i
    return rows


def _was_purged(said: _Said, purged: Purged | None) -> bool:
    """Return whether a message is so old that its event may have been purged."""
    at = codec.header(said.record.headers, "ce_time")
    if purged is None or at is None:
        return False
    try:
        return datetime.fromisoformat(at.decode(errors="replace")) <= purged.before
    except (ValueError, TypeError):
        return False


def _wrong(said: _Said, row: JournalRow | None) -> str:
    """Return what is wrong with a message, nothing if it is what the journal says."""
    if row is None:
        return "was never committed"
    meta = codec.decode_meta(row.meta)
    at = said.k - meta.first
    if not 0 <= at < len(meta.prev):
        return f"is not among what number {row.seq} ({row.type}) sends"
    headers = said.record.headers
    if said.prev != meta.prev[at]:
        return f"follows {said.prev}, but {meta.prev[at]} in the journal"
    if codec.header(headers, "ce_time") != codec.instant(row.recorded_at).encode():
        return "was made of another batch than the one in the journal"
    if codec.header(headers, "ce_tenantid") != row.tenant_id.encode():
        return "is of another tenant than in the journal"
    if said.k == 0 and said.record.value != row.data.encode():
        return "is not the event in the journal"
    return ""


async def _complete(
    service: Service,
    archive: Archive,
    place: TopicPartition,
    mark: Marks,
    walk: _Walk,
    found: Findings,
    partitions: int,
    began: bool,
) -> None:
    """Check that what a shard has published to a place came there, up to its mark."""
    last = mark.sent.get(place)
    known = walk.heard.get(mark.shard)
    if last is None or (known is None and began):
        return  # nothing was sent, or retention has deleted all of it
    heard = known.seq if known is not None else 0
    if heard >= last:
        return

    def missing(record: Outbound) -> bool:
        number = codec.parse_number((codec.header(record.headers, "ce_id") or b"").decode())
        if number is None or codec.header(record.headers, "x-prev") is None:
            return False
        return (
            (record.topic, record.partition) == place
            and heard < number
            and number >> codec.FAN_OUT_BITS <= mark.published_seq
        )

    after = max(0, (heard >> codec.FAN_OUT_BITS) - 1)
    first = await remake.said(
        Registry(service), archive.store, mark.shard, after, partitions, missing, 1
    )
    if first:
        name = (codec.header(first[0].headers, "ce_id") or b"").decode()
        where = f"{place[0]}/{place[1]} from {codec.source_of(service.name, mark.shard)}"
        found.add("I5", where, f"committed and published, but not there: {name}")
