"""Checks a journal: by stream (I2, I4, I6, and what the service promises) and by shard (I4, I7).

Every row is looked at twice and kept never; what is remembered is bounded by one stream's
decisions, of which the last `CAUSES_MAX` are compared.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec
from perdure_contracts.message import NAMES
from perdure_contracts.shell import CommandRejected, ShardRestored

from perdure_common.decider import Recorded
from perdure_common.service import Judge, Service
from perdure_common.shell import codec, remake
from perdure_common.shell.effects import SHELL_EVENTS
from perdure_common.shell.intake import Registry
from perdure_common.shell.ports import JournalRow
from perdure_common.shell.shard import Held
from perdure_common.verify.archive import PAGE, Archive, Marks, Purged
from perdure_common.verify.finding import Findings

GRACE_S = 60.0
"""How many seconds what was due may be overdue where nothing else is said."""

CAUSES_MAX = 100_000
"""Messages that are remembered of one stream; one that comes again comes soon."""


async def streams(
    service: Service, archive: Archive, now: datetime, grace_s: float = GRACE_S
) -> Findings:
    """Check every stream: versions, order, folding, what the service promises of it, its end (I2).

    `now` is an instant before the streams are read; what was due is overdue `grace_s` seconds
    later.
    """
    found, registry = Findings(), Registry(service)
    purged = await archive.purged()
    stream: _Stream | None = None
    async for row in archive.streams():
        if stream is None or row.stream != stream.name:
            if stream is not None:
                await stream.ends(archive, now, grace_s)
            stream = _Stream(service, registry, found, row, purged)
            found.checked["streams"] += 1
        stream.see(row)
        found.checked["events"] += 1
    if stream is not None:
        await stream.ends(archive, now, grace_s)
    return found


class _Stream:
    """One stream as it is walked along."""

    def __init__(
        self,
        service: Service,
        registry: Registry,
        found: Findings,
        row: JournalRow,
        purged: Mapping[str, Purged],
    ) -> None:
        self.name = row.stream
        self._service = service
        self._registry = registry
        self._found = found
        self._shard, self._seq = row.shard, row.seq
        self._at = row.recorded_at
        self._purged = purged
        self._tombstones = {NAMES[each] for each in service.tombstones}
        self._buried = False
        self._version = 0
        self._held = Held(None, None, 0, "")
        self._broken = False
        self._judge: Judge | None = service.judge() if service.judge is not None else None
        self._decisions: OrderedDict[str, datetime] = OrderedDict()
        self._numbers: dict[str, int] = {}
        self._cause = ""

    def see(self, row: JournalRow) -> None:
        """Look at the next row."""
        if row.version != self._version + 1 and not self._follows_a_purge(row):
            self._says("I4", f"version {row.version} ({row.type}) follows {self._version}")
        if row.shard != self._shard:
            self._says("I4", f"version {row.version} is in shard {row.shard}, not {self._shard}")
        self._version, self._seq, self._at = row.version, row.seq, row.recorded_at
        self._buried = row.type in self._tombstones
        self._see_cause(row)
        if self._broken:
            return
        try:
            event = codec.event_of(row)
            remake.replay(self._registry, self._held, row)
        except Exception as error:
            self._broken = True
            what = f"version {row.version} ({row.type}) cannot be folded"
            self._says("I4", f"{what}: {type(error).__name__}: {error}")
            return
        if self._judge is not None and not isinstance(event, SHELL_EVENTS):
            recorded = Recorded(event, row.tenant_id, row.stream, row.version, row.recorded_at)
            for promise, place, text in self._judge.see(recorded):
                self._says(promise, text, place)

    async def ends(self, archive: Archive, now: datetime, grace_s: float) -> None:
        """Look at the stream as its last event left it: is it open with nothing to wait for (I2)?

        What has a wake goes on by itself, late as it may be, and a parked stream waits for a
        person. What went on while the others were read is no longer as it is here.
        """
        if self._broken or self._at + timedelta(seconds=grace_s) > now:
            return
        reason = await self._unexplained(archive, now, grace_s)
        if not reason or await archive.store.parked(self.name, 1):
            return
        _, rows = (await archive.store.load({self.name: 0}))[self.name]
        if rows and rows[-1].version == self._version:
            self._says("I2", f"it is open since {self._at.isoformat()}, but {reason}")

    async def _unexplained(self, archive: Archive, now: datetime, grace_s: float) -> str:
        service, held, store = self._service, self._held, archive.store
        due, grace = self._due(), timedelta(seconds=grace_s)
        wake = await archive.wake(self._shard, self.name)
        reason = ""
        if service.unexplained is not None and wake is None:
            reason = await service.unexplained(store, held.tenant_id, held.state, now, grace_s)
        late = due is not None and due + grace < now
        if not reason and due is not None and late and (wake is None or wake > due + grace):
            first = "nothing wakes it" if wake is None else f"it is woken at {wake.isoformat()}"
            reason = f"{first}, though it was due at {due.isoformat()}"
        if not reason and service.untold is not None:
            reason = await service.untold(store, held.tenant_id, held.state, now, grace_s)
            if reason and await self._is_unheard(archive):
                reason = ""  # what it said is still on its way, or read by nobody yet
        return reason

    async def _is_unheard(self, archive: Archive) -> bool:
        """Return whether a shard of the service has not heard yet all that this stream has said."""
        service = self._service
        said = codec.number(self._seq, codec.FAN_OUT_MAX - 1)
        marks = {mark.shard: mark for mark in await archive.marks()}
        mine = marks.get(self._shard)
        source = codec.source_of(service.name, self._shard)
        if mine is None:
            return False
        for place, last in mine.sent.items():
            if place[0] != service.commands_topic:
                continue
            reader = marks.get(str(place[1]))
            heard = None if reader is None else reader.heard.get((*place, source))
            if (0 if heard is None else heard.seq) < min(last, said):
                return True
        return False

    def _due(self) -> datetime | None:
        """Return the instant that the stream's state waits for, None if it waits for none."""
        held = self._held
        return None if held.decider is None else held.decider.wake_at(held.state)

    def _follows_a_purge(self, row: JournalRow) -> bool:
        """Return whether a version may be left out before this row.

        A tombstone moves to version 1 when what was before it goes; what was refused since has
        kept its version, and may be all there is once the tombstone is gone as well.
        """
        if self._version == 1:
            return self._buried and row.version > 1
        gone = not self._version and self._shard in self._purged
        return gone and row.type == NAMES[CommandRejected]

    def _see_cause(self, row: JournalRow) -> None:
        """Check that a message decided once (I6), and that sources kept their order (I5)."""
        try:
            meta = codec.decode_meta(row.meta)
        except msgspec.DecodeError as error:
            self._says("I4", f"version {row.version} has a meta that cannot be read: {error}")
            return
        cause = meta.cause
        before, self._cause = self._cause, cause
        if not cause or cause.startswith("wake/"):
            return
        if row.type.startswith("shell."):
            return  # nothing was done: it came again, or before what is in another topic (a start)
        self._see_order(row, cause)
        at = self._decisions.get(cause)
        if meta.again or (at is not None and (at != row.recorded_at or before != cause)):
            self._says("I6", f"message {cause} took effect at {at} and at {row.recorded_at}")
        self._decisions[cause] = row.recorded_at
        if len(self._decisions) > CAUSES_MAX:
            self._decisions.popitem(last=False)

    def _see_order(self, row: JournalRow, cause: str) -> None:
        source = "/" + cause.rpartition("/")[0]
        number = codec.parse_number(cause)
        if number is None or codec.parse_source(source) is None:
            return
        last = self._numbers.get(source, 0)
        if number < last:
            self._says("I5", f"version {row.version} is by {cause}, after a later message")
        self._numbers[source] = max(number, last)

    def _says(self, promise: str, text: str, place: str = "") -> None:
        where = f"{self._service.name} stream {self.name}"
        self._found.add(promise, f"{where}, {place}" if place else where, text)


GAPS_MAX = 1_000
"""Gaps of one shard that are told of one by one."""

Unused = dict[str, list[range]]
"""The numbers that each shard gave out before a restore, and does not know any more."""


async def shards(
    service: Service, archive: Archive, marks: Iterable[Marks]
) -> tuple[Findings, Unused]:
    """Check every shard: numbers without gaps, time and epochs that never go back."""
    found, unused = Findings(), Unused()
    walked: list[tuple[_Shard, Marks]] = []
    for mark in marks:
        shard = _Shard(f"{service.name} shard {mark.shard}", found)
        unused[mark.shard] = shard.unused
        after = 0
        while rows := await archive.store.journal(mark.shard, after, PAGE):
            for row in rows:
                shard.see(row)
            after = rows[-1].seq
        walked.append((shard, mark))
    purged = await archive.purged()  # after all of them: what goes meanwhile is not missed
    for shard, mark in walked:
        shard.ends(mark, purged.get(mark.shard))
        found.checked["shards"] += 1
    return found, unused


class _Shard:
    """One shard as it is walked along."""

    def __init__(self, where: str, found: Findings) -> None:
        self.unused: list[range] = []
        self._where = where
        self._found = found
        self._gaps: list[str] = []
        self._missing = 0
        self._seq = 0
        self._epoch = 0
        self._at: datetime | None = None

    def see(self, row: JournalRow) -> None:
        """Look at the next row."""
        add = self._found.add
        if row.type == NAMES[ShardRestored]:
            event: ShardRestored = codec.event_of(row)
            self.unused.append(range(event.first, event.last + 1))
            if event.first > self._seq:  # what was skipped on purpose is not missing
                self._lacks(event.first, row.type)
                self._seq = event.last
        self._lacks(row.seq, row.type)
        if self._at is not None and row.recorded_at < self._at:
            add("I4", self._where, f"number {row.seq} was recorded before number {self._seq}")
        self._seq, self._at = row.seq, row.recorded_at
        epoch = _epoch(row)
        if epoch and epoch < self._epoch:
            text = f"number {row.seq} was written with epoch {epoch}, after epoch {self._epoch}"
            add("I7", self._where, text)
        self._epoch = max(epoch, self._epoch)

    def _lacks(self, seq: int, kind: str) -> None:
        """Note the numbers that are missing before `seq`."""
        if seq == self._seq + 1:
            return
        self._missing += seq - self._seq - 1
        if len(self._gaps) < GAPS_MAX:
            self._gaps.append(f"number {seq} ({kind}) follows {self._seq}")

    def ends(self, mark: Marks, purged: Purged | None) -> None:
        """Compare the end of the journal with the shard's row, which was read before.

        What was purged meanwhile is not missed: there may be fewer numbers missing than purged.
        """
        if purged is None:
            for gap in self._gaps:
                self._found.add("I4", self._where, gap)
        elif self._missing > purged.rows:
            text = f"{self._missing} numbers are missing, of which {purged.rows} were purged"
            self._found.add("I4", self._where, text)
        if self._seq < mark.next_seq - 1:
            text = f"number {mark.next_seq - 1} was given out, the journal ends at {self._seq}"
            self._found.add("I4", self._where, text)
        if mark.published_seq > self._seq:
            text = f"{mark.published_seq} is marked as published, the journal ends at {self._seq}"
            self._found.add("I5", self._where, text)
        skipped = max((each.stop for each in self.unused if each.stop < mark.next_seq), default=0)
        for (topic, partition), number in mark.sent.items():
            if number >> codec.FAN_OUT_BITS < skipped:
                text = f"{topic}/{partition} was not told which numbers were skipped for a restore"
                self._found.add("I5", self._where, text)


def _epoch(row: JournalRow) -> int:
    """Return the epoch with which a row was written, 0 where it does not say."""
    try:
        return codec.decode_meta(row.meta).epoch
    except msgspec.DecodeError:
        return 0
