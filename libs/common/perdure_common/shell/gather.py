"""What waits for a lane: records of its shards, messages that were let go, wakes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from perdure_common.shell import codec
from perdure_common.shell.intake import Intake, NewerType, Taken
from perdure_common.shell.ports import Record, Store, Unreachable
from perdure_common.shell.shard import Answer, Shard

RECORDS_MAX = 500
RECORDS_MIN = 64
"""Records in one batch, at most; and how many are taken out for one at least."""

DRAIN_MAX = 100
"""Parked messages that are taken out at once."""


class Item(msgspec.Struct, eq=False, gc=False):
    """Something for a batch: a record of a shard, a wake (`due`), or an `answer` of here.

    An `early` record moves no mark: it is read once more (catching.py).
    `visited` says that its marks were moved, `fresh` that it was not had before, `settled`
    that what came of it is written.
    """

    shard: Shard
    taken: Taken
    due: bool = False
    answer: Answer | None = None
    early: bool = False
    visited: bool = False
    fresh: bool = True
    settled: bool = False

    @property
    def place(self) -> tuple[str, int, int]:
        """What identifies the item when the batch goes again."""
        record = self.taken.record
        if self.taken.parked:  # wakes and answers that are parked have no place in a topic
            return (f"parked/{self.taken.stream}", self.taken.parked, 0)
        if self.due:
            return (f"wake/{self.taken.stream}", 0, 0)
        if self.answer is not None:
            return (f"answer/{self.shard.id}", self.answer.sending.seq, id(self.answer))
        return (record.topic, record.partition, record.offset)


def waiting(
    shards: Iterable[Shard],
    intake: Intake,
    stopped: Callable[[Shard, str], None],
    ahead: Mapping[int, Taken],
    most: int = RECORDS_MAX,
) -> list[Item]:
    """Return records that wait, answers before new starts, fair between the shards.

    A shard that has to wait for a newer version is handed to `stopped`. `ahead` has what was
    read before and found no place in its batch (`read_ahead`).
    """
    items: list[Item] = []
    mine = list(shards)
    share = max(1, most // max(1, len(mine)))
    for shard in mine:
        items.extend(
            Item(shard, _taken(answer, intake), answer=answer)
            for answer in islice(shard.answers, share)
        )
        early = islice(shard.early, share)
        items.extend(Item(shard, intake.take(record), early=True) for record in early)
        answers = list(islice(shard.inbox, share))
        starts = list(islice(shard.waiting, max(0, share - len(answers))))
        for record in (*answers, *starts):
            try:
                taken = ahead.get(id(record)) or intake.take(record)
                items.append(Item(shard, taken))
            except NewerType as error:
                stopped(shard, str(error))
                break
    return [item for item in items if not item.shard.lost]


def _taken(answer: Answer, intake: Intake) -> Taken:
    if answer.bad is None:
        return intake.take(answer.record)
    tenant = codec.header(answer.record.headers, "ce_tenantid") or b""
    return Taken(answer.record, bad=answer.bad, tenant_id=tenant.decode("utf-8", "replace"))


def read_ahead(items: Iterable[Item]) -> dict[int, Taken]:
    """Return what was read of records that still wait, by the record's `id()`.

    A batch ends when its time is over: what is left need not be read again for the next one.
    """
    return {id(item.taken.record): item.taken for item in items if not item.visited}


def most_next(items: Sequence[Item], most: int) -> int:
    """Return how many records to take next, after `items` of at most `most`.

    What does not fit into a batch's time was looked at for nothing.
    """
    folded = sum(item.visited for item in items)
    return max(RECORDS_MIN, min(2 * (folded if folded < len(items) else most), RECORDS_MAX))


def wakes(dues: Iterable[tuple[Shard, str]]) -> list[Item]:
    """Return the wakes as items."""
    return [
        Item(shard, Taken(Record("", 0, 0, stream.encode()), stream=stream), due=True)
        for shard, stream in dues
    ]


async def unparking(
    shards: Iterable[Shard],
    intake: Intake,
    store: Store,
    stopped: Callable[[Shard, str], None],
) -> list[Item]:
    """Return the messages that were let go behind parked streams."""
    items: list[Item] = []
    for shard in list(shards):
        for stream in list(shard.draining):
            try:
                parked = await store.parked(stream, DRAIN_MAX)
            except Unreachable:
                continue
            for message in parked:
                if message.n <= 0:  # that a person let it go
                    continue
                record = codec.unpack_record(message.raw)
                try:
                    taken = intake.take(record) if record.topic else Taken(record)
                except NewerType as error:
                    stopped(shard, str(error))
                    break
                taken.stream, taken.parked = stream, message.n
                taken.link, taken.outsider = None, None  # settled when it was parked
                items.append(Item(shard, taken))
    return [item for item in items if not item.shard.lost]


def drop(shard: Shard, record: Record) -> None:
    """Take a record that is settled from the front of its queue."""
    for queue in (shard.inbox, shard.waiting, shard.early):
        if queue and queue[0] is record:
            queue.popleft()
            return
