"""What is looked at: a service's store with its marks, and topics that are read as streams."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from perdure_common.shell.ports import Bus, Heard, JournalRow, Record, Store, TopicPartition

PAGE = 1_000
"""Rows and records that are in memory at once."""

FETCH_S = 5.0
"""How long a topic may give nothing before it is asked again."""

EMPTY_MAX = 6
"""How often a topic may give nothing below its end; transactions of others leave holes."""


@dataclass(frozen=True, slots=True)
class Marks:
    """How far a shard has come. `sent` has the last number for each destination."""

    shard: str
    epoch: int
    next_seq: int
    published_seq: int
    projected_seq: int
    consumed: Mapping[TopicPartition, int]
    heard: Mapping[tuple[str, int, str], Heard]
    sent: Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Purged:
    """What was purged of a shard's journal: so many rows, all recorded up to `before`."""

    rows: int
    before: datetime


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: its number in its shard's journal, and which record it has."""

    seq: int
    place: TopicPartition
    offset: int


class Archive(Protocol):
    """What a service has written."""

    @property
    def store(self) -> Store:
        """The store itself; nothing is claimed or written through it."""
        ...

    async def marks(self) -> Sequence[Marks]:
        """Return the marks of every shard, all of one instant."""
        ...

    async def purged(self) -> Mapping[str, Purged]:
        """Return what was purged, by shard; a shard of which nothing was is not among them."""
        ...

    async def wake(self, shard: str, stream: str) -> datetime | None:
        """Return the instant at which a stream is to be woken, None if it is not."""
        ...

    async def after(
        self, versions: Mapping[str, int], limit: int
    ) -> Mapping[str, Sequence[JournalRow]]:
        """Return of each stream some events after a version, by version, without payloads.

        `limit` bounds the entries of the journal of each; a stream that has none is left out.
        """
        ...

    async def letters(self, shard: str, after: int, limit: int) -> Sequence[Letter]:
        """Return up to `limit` dead letters of a shard with `seq > after`, in order."""
        ...

    def streams(self) -> AsyncGenerator[JournalRow]:
        """Give the whole journal, stream by stream, by version, all of one instant."""
        ...


class Topics:
    """Topics read from one end to the other, a page at a time."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def bounds(self, place: TopicPartition) -> tuple[int, int]:
        """Return the first offset that is there and the next to be written."""
        return (await self._bus.bounds([place]))[place]

    async def records(
        self, place: TopicPartition, begin: int, end: int
    ) -> AsyncGenerator[Sequence[Record]]:
        """Give the records of a partition with offsets from `begin` to below `end`."""
        position, empty = begin, 0
        self._bus.read({place: begin})
        try:
            while position < end and empty < EMPTY_MAX:
                records = await self._bus.fetch(PAGE, FETCH_S)
                page = [r for r in records if r.offset < end and r.offset >= position]
                empty = 0 if records else empty + 1
                if records:
                    position = records[-1].offset + 1
                if page:
                    yield page
        finally:
            self._bus.read({})
