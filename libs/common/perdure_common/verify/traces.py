"""Finds what records have left in journals: in their order, in pages, and forgotten again.

Records of a topic leave their traces in about the order in which they stand there. So each search
goes on where the last one of its stream ended, and only what is not ahead (it came twice, or was
parked) is looked for from the beginning.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow, TopicPartition
from perdure_common.verify.archive import PAGE, Archive

STREAMS_AT_ONCE = 50
"""Streams that are searched at once."""

ROWS_AT_ONCE = 20
"""Rows of each of them that are in memory at once."""

REMEMBERED_MAX = 100_000
"""Streams of which is known how far they were searched, and causes that were found."""

K = TypeVar("K")
V = TypeVar("V")


class Traces:
    """What the journal of one shard knows of the records that it has read."""

    def __init__(self, archive: Archive, shard: str) -> None:
        self._archive = archive
        self._shard = shard
        self._searched: OrderedDict[str, int] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._buried: dict[TopicPartition, int] = {}

    async def not_begun(self, streams: Iterable[str]) -> set[str]:
        """Return the streams that have no event, and no message that waits."""
        missing = set[str]()
        for group in _groups(streams):
            found = await self._archive.after(dict.fromkeys(group, 0), 1)
            missing.update(stream for stream in group if not found.get(stream))
        return await self._not_parked(missing)

    async def lacking(self, wanted: Mapping[str, Iterable[str]]) -> set[tuple[str, str]]:
        """Return the (stream, message id)s of which a stream knows nothing and waits for none.

        `wanted` are ids of messages by stream. A stream of which a person had a message dropped
        lacks nothing.
        """
        left = {s: {i for i in ids if (s, i) not in self._seen} for s, ids in wanted.items()}
        await self._search(left, {stream: self._searched.get(stream, 0) for stream in left})
        rest = await self._not_parked({stream for stream, ids in left.items() if ids})
        late = {stream: left[stream] for stream in rest}
        await self._search(late, dict.fromkeys(late, 0))
        return {(stream, each) for stream, ids in late.items() for each in ids}

    async def _search(self, left: Mapping[str, set[str]], after: Mapping[str, int]) -> None:
        """Take what streams know of out of `left`."""
        for group in _groups(stream for stream, ids in left.items() if ids):
            places = {stream: after[stream] for stream in group}
            while places:
                found = await self._archive.after(places, ROWS_AT_ONCE)
                places = {
                    stream: rows[-1].version
                    for stream, rows in found.items()
                    if rows and self._see(stream, rows, left[stream])
                }

    def _see(self, stream: str, rows: Sequence[JournalRow], ids: set[str]) -> bool:
        """Look at the next rows of a stream; return whether something is still missing."""
        for row in rows:
            if row.type.startswith("shell.stream-unparked.") and '"drop"' in row.data:
                ids.clear()
            cause = codec.decode_meta(row.meta).cause
            if cause in ids:
                ids.discard(cause)
                _remember(self._seen, (stream, cause), None)
                _remember(self._searched, stream, row.version)
        return bool(ids)

    async def _not_parked(self, streams: Iterable[str]) -> set[str]:
        store = self._archive.store
        return {stream for stream in sorted(streams) if not await store.parked(stream, 1)}

    async def buried(self, place: TopicPartition, offsets: Iterable[int]) -> set[int]:
        """Return which of some records of a partition are dead letters."""
        wanted = set(offsets)
        left, ahead = set(wanted), self._buried.get(place, 0)
        await self._dig(place, left, ahead)
        if ahead:
            await self._dig(place, left, 0)
        return wanted - left

    async def _dig(self, place: TopicPartition, left: set[int], after: int) -> None:
        while left and (letters := await self._archive.letters(self._shard, after, PAGE)):
            for letter in letters:
                after = letter.seq
                if letter.place == place and letter.offset in left:
                    left.discard(letter.offset)
                    self._buried[place] = letter.seq
                    if not left:
                        break


def _groups(streams: Iterable[str]) -> Iterable[Sequence[str]]:
    names = sorted(streams)
    return [names[at : at + STREAMS_AT_ONCE] for at in range(0, len(names), STREAMS_AT_ONCE)]


def _remember(known: "OrderedDict[K, V]", key: K, value: V) -> None:
    known[key] = value
    known.move_to_end(key)
    if len(known) > REMEMBERED_MAX:
        known.popitem(last=False)
