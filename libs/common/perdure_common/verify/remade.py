"""Messages made again from the journal, to be compared with those that were sent (I5).

What a row sends follows from the state of its stream, so the streams are folded up to the rows
that are asked for: some at once, a few rows of each, and the states of the last ones are kept,
because the next messages of a topic are mostly those of the same streams.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Sequence

from perdure_common.service import Service
from perdure_common.shell import remake
from perdure_common.shell.intake import Registry
from perdure_common.shell.ports import JournalRow, Outbound
from perdure_common.shell.shard import Held
from perdure_common.shell.whole_rows import whole_rows
from perdure_common.verify.archive import Archive

STREAMS_AT_ONCE = 50
"""Streams that are folded at once."""

ROWS_AT_ONCE = 20
"""Rows of each of them that are in memory at once."""

KEPT_MAX = 1_000
"""Streams whose states are kept."""

KEPT_BYTES_MAX = 32 * 1024 * 1024
"""What the events of these streams may have brought, in bytes."""


class Remade:
    """What a service's rows send, made by its core as it is now."""

    def __init__(self, service: Service, archive: Archive, partitions: int) -> None:
        self._archive = archive
        self._partitions = partitions
        self._registry = Registry(service)
        self._kept: OrderedDict[str, Held] = OrderedDict()

    async def messages(
        self, rows: Iterable[JournalRow]
    ) -> AsyncGenerator[tuple[JournalRow, Sequence[Outbound]]]:
        """Give rows with the records that each sends, in the order of their numbers.

        A row is left out if its stream cannot be folded up to it: something before it was purged,
        or damaged, which the check of the streams tells.
        """
        wanted: dict[str, set[int]] = {}
        for row in rows:
            wanted.setdefault(row.stream, set()).add(row.version)
        streams = sorted(wanted)
        for at in range(0, len(streams), STREAMS_AT_ONCE):
            left = {stream: wanted[stream] for stream in streams[at : at + STREAMS_AT_ONCE]}
            self._begin(left)
            while left:
                after = {stream: self._kept[stream].version for stream in left}
                found = await self._archive.after(after, ROWS_AT_ONCE)
                for stream, versions in list(left.items()):
                    page = await whole_rows(self._archive.store.payloads, found.get(stream, ()))
                    for row in page:
                        sent = self._fold(row, wanted=row.version in versions)
                        if sent is None:
                            versions.clear()
                            break
                        if row.version in versions:
                            versions.discard(row.version)
                            yield row, sent
                        if not versions:
                            break
                    if not versions or not page:
                        del left[stream]
            self._forget()

    def _begin(self, left: dict[str, set[int]]) -> None:
        """Have a state of each stream before the first row that is wanted of it."""
        for stream, versions in left.items():
            held = self._kept.get(stream)
            if held is None or held.version >= min(versions):
                self._kept[stream] = Held(None, None, 0, "")
            self._kept.move_to_end(stream)

    def _fold(self, row: JournalRow, *, wanted: bool) -> Sequence[Outbound] | None:
        """Fold the next row of a stream; return what it sends, None if it cannot be folded."""
        held = self._kept[row.stream]
        if row.version != held.version + 1:
            return None
        try:
            if wanted:
                return remake.effects_again(self._registry, held, row, self._partitions)[0]
            remake.replay(self._registry, held, row)
        except Exception:  # whatever the core says of it, the check of the streams says as well
            del self._kept[row.stream]
            return None
        return ()

    def _forget(self) -> None:
        weight = sum(held.weight for held in self._kept.values())
        while self._kept and (len(self._kept) > KEPT_MAX or weight > KEPT_BYTES_MAX):
            weight -= self._kept.popitem(last=False)[1].weight
