"""I10 of `perdure verify` reads no more than it must: each trace once, few rows at a time."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.commanding import commanded
from perdure_common.shell.ports import JournalRow, ParkedMessage, Record, ShardCommit
from perdure_common.verify import traces
from perdure_common.verify.archive import Letter, Marks
from perdure_common.verify.consumed import consumed
from perdure_common.verify.memory import MemoryArchive
from perdure_contracts.message import NAMES
from perdure_contracts.shell import DeadLettered
from tally import PARTITIONS, TALLY, TENANT, Add, Added

AT = datetime(2026, 1, 1, tzinfo=UTC)
ANSWERED = replace(TALLY, by_token=(Add,))
SHARD = str(partition_of("a", PARTITIONS))
PLACE = (TALLY.commands_topic, int(SHARD))
PAGE = 100


@dataclass
class Scene:
    """Records that were read, and what the journal has of them."""

    records: list[Record] = field(default_factory=list)
    rows: list[JournalRow] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    parked: list[ParkedMessage] = field(default_factory=list)

    def read(self, id: str, stream: str = "a", value: bytes | None = None) -> Record:
        """Note that a record was read."""
        sent = commanded(
            Add(account=stream, amount=1), PLACE[0], stream, PARTITIONS, id=id, source="/runner"
        )
        body = sent.value if value is None else value
        record = Record(*PLACE, len(self.records), body, sent.key, sent.headers)
        self.records.append(record)
        return record

    def wrote(self, event: object, cause: str, stream: str = "a") -> None:
        """Note that the journal has an event."""
        version = self.versions[stream] = self.versions.get(stream, 0) + 1
        meta = codec.encode_meta(codec.Meta(cause=cause))
        body = codec.encode_body(event).decode()
        self.rows.append(
            JournalRow(
                SHARD,
                len(self.rows) + 1,
                stream,
                version,
                TENANT,
                NAMES[type(event)],
                body,
                meta,
                AT,
            )
        )

    def did(self, id: str, stream: str = "a") -> None:
        """Note that an answer was read and settled an attempt."""
        self.read(id, stream)
        self.wrote(Added(amount=1, account=stream), id, stream)

    def buried(self, id: str) -> None:
        """Note that a record was read that nobody can read."""
        record = self.read(id, value=b"{")
        letter = DeadLettered(
            topic=PLACE[0], partition=PLACE[1], offset=record.offset, code="x", reason="", value=b""
        )
        self.wrote(letter, id, f"dead-letter/{SHARD}/{len(self.rows) + 1}")

    async def judged(self) -> tuple[list[str], "Counting"]:
        """Return what is told, and what was read for it."""
        store = MemoryStore("tally")
        (claim,) = await store.claim([SHARD], "test")
        commit = ShardCommit(SHARD, claim.epoch, claim.next_seq, 1)
        commit.rows, commit.parked = self.rows, self.parked
        await store.commit([commit])
        archive = Counting(store)
        marks = Marks(SHARD, 1, len(self.rows) + 1, 0, 0, {PLACE: len(self.records)}, {}, {})
        topics: Any = Pages(self.records)
        found = await consumed(
            ANSWERED, archive, topics, [marks], tenant_id=TENANT, partitions=PARTITIONS
        )
        assert found.checked["records"] == len(self.records)
        return [each.found for each in found.violations], archive


class Pages:
    """The records of the one partition, by pages."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    async def bounds(self, place: tuple[str, int]) -> tuple[int, int]:
        assert place == PLACE
        return 0, len(self._records)

    async def records(
        self, place: tuple[str, int], begin: int, end: int
    ) -> AsyncGenerator[Sequence[Record]]:
        assert place == PLACE
        for at in range(begin, end, PAGE):
            yield self._records[at : min(at + PAGE, end)]


class Counting(MemoryArchive):
    """Counts the rows and letters that are read, in all and at most at once."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.rows = self.most = self.letters_read = 0

    async def after(
        self, versions: Mapping[str, int], limit: int
    ) -> Mapping[str, Sequence[JournalRow]]:
        found = await super().after(versions, limit)
        count = sum(len(rows) for rows in found.values())
        self.rows, self.most = self.rows + count, max(self.most, count)
        return found

    async def letters(self, shard: str, after: int, limit: int) -> Sequence[Letter]:
        found = await super().letters(shard, after, limit)
        self.letters_read += len(found)
        self.most = max(self.most, len(found))
        return found


async def test_a_long_stream_is_read_once_however_many_pages_its_answers_have() -> None:
    scene = Scene()
    for n in range(50 * PAGE):
        scene.did(f"r{n}")
    told, archive = await scene.judged()
    assert told == []
    assert archive.rows <= len(scene.rows) + 50 * traces.ROWS_AT_ONCE
    assert archive.most <= traces.ROWS_AT_ONCE


async def test_many_streams_are_read_some_at_a_time() -> None:
    scene = Scene()
    streams = [
        s for s in (f"s{n}" for n in range(5_000)) if str(partition_of(s, PARTITIONS)) == SHARD
    ]
    for stream in streams:
        scene.did(f"for {stream}", stream)
    told, archive = await scene.judged()
    assert told == []
    assert archive.rows == len(streams) > 1_000
    assert archive.most <= traces.STREAMS_AT_ONCE * traces.ROWS_AT_ONCE


async def test_what_came_twice_is_remembered_or_looked_for_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene()
    for n in range(3 * PAGE):
        scene.did(f"r{n}")
    scene.read("r5")
    remembered, archive = await scene.judged()
    assert remembered == []
    assert archive.rows <= len(scene.rows) + 4 * traces.ROWS_AT_ONCE
    monkeypatch.setattr(traces, "REMEMBERED_MAX", 1)
    assert (await scene.judged())[0] == []


async def test_what_left_no_trace_is_told_unless_its_stream_is_parked() -> None:
    scene = Scene()
    for n in range(2 * PAGE):
        scene.did(f"r{n}")
    lost = scene.read("lost")
    scene.did("behind it")
    (text,) = (await scene.judged())[0]
    assert text.startswith(f"offset {lost.offset} was read, but ")
    assert text.endswith("knows nothing of lost")
    scene.parked.append(ParkedMessage("a", 1, b"{}"))
    assert (await scene.judged())[0] == []


async def test_dead_letters_are_read_by_pages_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "PAGE", 20)
    scene = Scene()
    for n in range(20 * PAGE):
        scene.buried(f"r{n}")
    told, archive = await scene.judged()
    assert told == []
    assert archive.letters_read <= len(scene.rows) + 20 * 20
    assert archive.most == 20
    lost = scene.read("no letter", value=b"{")
    (text,) = (await scene.judged())[0]
    assert text.startswith(f"offset {lost.offset} was read, but it is no dead letter although")
