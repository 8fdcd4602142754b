"""The loop of a lane: gather, fold, commit, hand over to the publisher.

A lane is a share of a process's shards that are written in one transaction. What goes
wrong is dealt with here, always the same way: drop the memory that the batch touched, then
go again without what was at fault.
"""

import asyncio
import time
from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from perdure_contracts.shell import Resend

from perdure_common import fault
from perdure_common.decider import Rejected, Row
from perdure_common.scrub import scrub_text
from perdure_common.shell import codec, deliveries, gather
from perdure_common.shell.due import Dues
from perdure_common.shell.fold import Batch
from perdure_common.shell.folding import Folding
from perdure_common.shell.gather import Item
from perdure_common.shell.intake import Intake, Registry, Taken
from perdure_common.shell.pace import MANY, Bell, Pace
from perdure_common.shell.part import FactKey, Poisoned, Seers
from perdure_common.shell.ports import (
    Fenced,
    Refused,
    Repeated,
    ShardCommit,
    Store,
    Unanswered,
    Unreachable,
)
from perdure_common.shell.publisher import Publisher
from perdure_common.shell.shard import Answer, Sending, Shard
from perdure_common.shell.snapshots import write_snapshots

REMEMBERED_MAX = 5_000
"""Immutable rows that are remembered before they are looked up afresh."""

BACK_OFF_S = (0.1, 2.0)

REPEATS_MAX = 20
"""How often one batch may meet streams that it took for new; above, the shell is at fault."""

RUSH = MANY.start
"""Records in a turn above which nothing is handed over: this process has enough to do."""

DOUBTS = 20
"""Batches for which outsiders' messages are looked up before they are folded, after one came
again. Until then the database says so itself when the batch is written: that costs nothing."""

log = structlog.get_logger(__name__)


@dataclass
class Stats:
    """What a lane has done since it began; read by the metrics."""

    batches: int = 0
    commands: int = 0
    events: int = 0
    rejected: int = 0
    duplicates: int = 0
    gaps: int = 0
    dead_letters: int = 0
    wakes: int = 0
    poisoned: int = 0
    commit_s: float = 0.0
    rows_refused: int = 0


@dataclass
class Context:
    """What a lane is given: its service, the ground it stands on, and whom it tells."""

    registry: Registry
    intake: Intake
    store: Store
    publisher: Publisher
    dues: Dues
    now: Callable[[], datetime]
    lost: Callable[[Sequence[Shard], str], None]
    stopped: Callable[[Shard, str], None]
    resend: Callable[[Resend], None]
    hand_over: Callable[[Shard], Callable[[Sending], bool] | None]
    tenant_id: str
    partitions: int
    streams_bytes: int
    seers: Seers
    remembered: dict[FactKey, Sequence[Row]] = field(default_factory=dict)


class Lane:
    """One loop over some shards."""

    def __init__(self, context: Context) -> None:
        self._context = context
        context.dues.poke = lambda: self.poke.set()
        self.shards: dict[str, Shard] = {}
        self.turn = asyncio.Lock()
        self.poke = Bell()
        self.stats = Stats()
        self._folding = Folding(context.registry, context.store, context.resend, context.remembered)
        self._last = 0
        self._pace = Pace()
        self._ahead: dict[int, Taken] = {}
        self._most = self._most_dues = gather.RECORDS_MAX

    def forget(self, shard: str) -> None:
        """Drop what is remembered of a shard's wakes: it is ours no more."""
        self._context.dues.forget(shard)
        self._folding.poison.clear()  # what is poison is found again

    async def run(self) -> None:
        """Take turns until cancelled; a turn is never broken off in the middle."""
        away_s = BACK_OFF_S[0]
        while True:
            await self._wait()
            rest_s = self._pace.rest_s(time.monotonic())
            if rest_s > 0:
                await asyncio.sleep(rest_s)
            self._pace.begins(time.monotonic())
            try:
                async with self.turn:
                    await self._take_turn()
            except Unreachable as error:  # waited out without the turn: shards may be released
                log.warning("store_unreachable", error=str(error), wait_s=away_s)
                await asyncio.sleep(away_s)
                away_s = min(2 * away_s, BACK_OFF_S[1])
                self.poke.set()
            else:
                away_s = BACK_OFF_S[0]
            self._pace.ends(time.monotonic(), self._last)

    async def _wait(self) -> None:
        """Wait for records, or for the next wake."""
        now = self._context.now()
        wakes = [at for s in self.shards.values() if (at := s.next_wake()) is not None]
        wait_s = min(((at - now).total_seconds() for at in wakes), default=1.0)
        try:
            async with asyncio.timeout(max(0.0, min(wait_s, 1.0))):
                await self.poke.wait()
        except TimeoutError:
            return

    async def _take_turn(self) -> None:
        self.poke.clear()
        context = self._context
        shards = self.shards.values()
        items = gather.waiting(shards, context.intake, context.stopped, self._ahead, self._most)
        dues = gather.wakes(context.dues.ready(shards, context.now(), self._most_dues))
        parked = await gather.unparking(shards, context.intake, context.store, context.stopped)
        taken = [*parked, *items, *dues]
        self._last = len(taken)
        if taken:
            try:
                await self._write(taken)
            finally:
                self._put_back(dues)
                self._ahead = gather.read_ahead(items)
                self._most = gather.most_next(items, self._most)
                self._most_dues = gather.most_next(dues, self._most_dues)
            self.stats.wakes += len(dues)
            left = any(s.answers or s.inbox or s.waiting or s.draining or s.early for s in shards)
            if left or context.dues.pending():
                self.poke.set()

    def _put_back(self, dues: Sequence[Item]) -> None:
        """Let the wakes that did not come to fire fall due again: they were taken out."""
        for item in dues:
            if not item.settled and not item.shard.lost:
                item.shard.again([item.taken.stream])

    # Writing -----------------------------------------------------------------------

    async def _write(self, items: list[Item]) -> None:
        """Fold and commit the items, going again without what is at fault.

        Raises:
            Unreachable: The store is away; what was not settled waits where it was.
        """
        repeats = 0
        while items:
            batch = self._begin()
            for item in items:
                item.visited = False
            try:
                await self._folding.fold(batch, items)
                await self._commit(batch)
            except Poisoned as poisoned:
                batch.forget()
                self._condemn(items, poisoned)
            except Repeated as repeated:
                batch.forget()
                self._folding.known.update(repeated.streams)
                self._folding.doubts = DOUBTS
                repeats += 1
                if repeats > REPEATS_MAX:
                    raise
            except Refused as refused:
                batch.forget()
                items = [item for item in items if item.visited]
                if len(items) > 1:
                    half = len(items) // 2
                    await self._write(items[:half])
                    if not all(item.settled or item.shard.lost for item in items[:half]):
                        return  # in order: what is left comes with the next batch
                    items = [item for item in items[half:] if not item.shard.lost]
                elif not items or items[0].place in self._folding.poison:
                    raise  # not even the dead letter is taken
                else:
                    self._blame(items[0], "data_refused", str(refused))
            except Fenced as fenced:
                batch.forget()
                parts = batch.parts.values()
                lost = [p.shard for p in parts if p.shard.id in fenced.shards]
                lost = lost or [p.shard for p in parts]
                self._context.lost(lost, "fenced")
                items = [item for item in items if not item.shard.lost]
            except Unanswered as unanswered:
                batch.forget()
                lost = [part.shard for part in batch.parts.values()]
                self._context.lost(lost, f"unanswered commit: {unanswered}")
                return
            except Unreachable:
                batch.forget()
                raise
            else:
                self._settle(batch, items)
                return

    def _begin(self) -> Batch:
        context = self._context
        batch = Batch(
            context.registry,
            tenant_id=context.tenant_id,
            partitions=context.partitions,
            clock_now=context.now(),
            seers=context.seers,
        )
        if len(context.remembered) > REMEMBERED_MAX:
            context.remembered.clear()
        batch.facts = ChainMap({}, context.remembered)
        return batch

    def _condemn(self, items: Sequence[Item], poisoned: Poisoned) -> None:
        """Mark the item on which the core failed."""
        item = next(i for i in items if i.taken is poisoned.taken)
        log.error("poison", stream=item.taken.stream, place=item.place, exc_info=poisoned.error)
        code = "too_large" if isinstance(poisoned.error, codec.TooLarge) else "poison"
        self._blame(item, code, str(poisoned))

    def _blame(self, item: Item, code: str, reason: str) -> None:
        fault.point("before_park")
        self.stats.poisoned += 1
        self._folding.poison[item.place] = Rejected(
            f"{scrub_text(reason)}; look at the dead letter, mend the cause, then redrive it", code
        )

    async def _commit(self, batch: Batch) -> None:
        write_snapshots(batch.parts.values())
        if all(part.commit.is_marks() for part in batch.parts.values()):
            return
        commits: list[ShardCommit] = []
        for part in batch.parts.values():
            part.written = True
            part.shard.catch_up(part.commit)
            acknowledged = part.shard.acknowledged()
            if acknowledged > part.shard.published_mark:
                part.commit.published_seq = acknowledged
            commits.append(part.commit)
        fault.point("before_commit")
        began = time.perf_counter()
        await self._context.store.commit(commits)
        self.stats.commit_s += time.perf_counter() - began
        fault.point("after_commit_before_publish")

    def _settle(self, batch: Batch, items: Sequence[Item]) -> None:
        """Take over what was written or can wait, and send what it says."""
        for part in batch.parts.values():
            shard = part.shard
            shard.drains(part.draining)
            shard.weight += part.weight
            shard.forget([stream for stream in part.touched if shard.is_done_with(stream)])
            if part.written:
                shard.absorb(part.commit, part.lazy, flushed=False)
            else:
                shard.put_off(part.commit)
            rush = self._last > RUSH
            shard.say(part.sending, None if rush else self._context.hand_over(shard))
            part.show(self._context.seers)
            shard.trim(self._context.streams_bytes)
            if part.commit.parked:
                fault.point("after_park")
            if part.commit.unparked:
                fault.point("after_unpark")
        for item in items:
            if not item.visited:
                break
            item.settled = True
            self._folding.poison.pop(item.place, None)
            if item.answer is not None:
                self._answered(item.shard, item.answer)
            elif not item.due and not item.taken.parked:
                gather.drop(item.shard, item.taken.record)
        for taken, kept in batch.came_again:  # now: a batch may be folded more than once
            deliveries.tell_if_other(kept, taken)
        if self._folding.known:
            self._folding.known.clear()
        counts, stats = batch.counts, self.stats
        stats.batches += 1
        stats.commands += counts.commands
        stats.events += counts.events
        stats.rejected += counts.rejected
        stats.duplicates += counts.duplicates
        stats.gaps += counts.gaps
        stats.dead_letters += counts.dead_letters
        if counts.events:
            self._context.publisher.nudge()

    def _answered(self, shard: Shard, answer: Answer) -> None:
        """Count a message that was handed over as sent: its answer is committed."""
        answer.sending.done = True
        shard.answers.remove(answer)
        shard.sent_on()
        self._context.publisher.progressed()
