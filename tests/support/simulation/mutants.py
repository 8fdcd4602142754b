"""Defects of the shell and the runner, one function each, that a run of some seeds must find.

Each takes away what a sentence of the protocol asks for. A mutant that survives says that the
checks are too weak: they are to be improved then, not the list.
"""
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell import fold, remake, upkeep
from perdure_common.shell.due import Dues
from perdure_common.shell.fold import Batch
from perdure_common.shell.intake import Link, Taken
from perdure_common.shell.lane import Lane
from perdure_common.shell.part import Part
from perdure_common.shell.ports import Fenced, Heard, Record, ShardCommit, Unanswered
from perdure_common.shell.publisher import Publisher
from perdure_common.shell.remake import Remade
from perdure_common.shell.shard import Held, Sending, Shard
from perdure_engine.runner import claims
from perdure_engine.runner.claims import MemoryClaims
from perdure_engine.runner.claims import Owner as Whose
from perdure_engine.runner.prefix import Prefix
from perdure_engine.runner.work import Run, Work


@dataclass(frozen=True)
class Mutant:
    """A defect: what it leaves out, who must find it (any of `found_by`), and how to make it.

    `first` is the seed from which on it is looked for: a rare one is not looked for long.
    """

    name: str
    about: str
    found_by: frozenset[str]
    make: Callable[[ExitStack], None]
    first: int = 0


MUTANTS: list[Mutant] = []


def mutant(
    about: str, *found_by: str, first: int = 0
) -> Callable[[Callable[[ExitStack], None]], None]:
    """Register what a function makes as a defect that one of these checks must find."""

    def register(make: Callable[[ExitStack], None]) -> None:
        name = make.__name__.strip("_")
        MUTANTS.append(Mutant(name, about, frozenset(found_by), make, first))

    return register


def put(stack: ExitStack, target: Any, name: str, value: Any) -> None:
    """Replace a function, which must be there: a mutant of what is gone would test nothing."""
    stack.enter_context(patch.object(target, name, value))


# Hearing ---------------------------------------------------------------------------------


@mutant("a message that was heard before is taken again", "I5", "I6")
def _ignore_heard(stack: ExitStack) -> None:
    def hearing(heard: Heard | None, link: Link) -> tuple[bool, Heard]:
        known = heard or Heard()
        if link.prev > known.seq:
            return False, Heard(known.seq, max(known.gap, link.number))
        gap = known.gap if known.gap > link.number else 0
        return True, Heard(max(link.number, known.seq), gap)

    put(stack, fold, "hearing", hearing)


@mutant("a message is taken though one before it is missing", "I10", "I2", "liveness")
def _accept_gaps(stack: ExitStack) -> None:
    def hearing(heard: Heard | None, link: Link) -> tuple[bool, Heard]:
        known = heard or Heard()
        return (False, known) if link.number <= known.seq else (True, Heard(link.number))

    put(stack, fold, "hearing", hearing)


@mutant("nobody asks for what is missing", "liveness")
def _never_ask_for_gaps(stack: ExitStack) -> None:
    async def nothing(self: object) -> None:
        del self

    put(stack, upkeep.Upkeep, "_ask_for_gaps", nothing)


@mutant("an idle source does not say how far it has come", "liveness")
def _no_tails(stack: ExitStack) -> None:
    put(stack, upkeep.Upkeep, "_say_tails", lambda self: None)  # pyright: ignore[reportUnknownLambdaType]


@mutant("outsiders' messages are forgotten", "I10", "I2", "I6", "liveness")
def _forget_deliveries(stack: ExitStack) -> None:
    def nothing(self: object, part: object, outsider: object, fields: object) -> None:
        del self, part, outsider, fields

    put(stack, Batch, "deliver", nothing)


@mutant("a message of another service is applied twice within one batch", "I6")
def _apply_twice(stack: ExitStack) -> None:
    apply = Batch.apply

    def twice(self: Batch, part: Part, taken: Taken, held: Held) -> None:
        apply(self, part, taken, held)
        if taken.link is not None:
            apply(self, part, taken, held)

    put(stack, Batch, "apply", twice)


# Committing ------------------------------------------------------------------------------


@mutant("messages leave before their batch is committed", "I5")
def _publish_before_commit(stack: ExitStack) -> None:
    commit = Lane._commit

    async def early(self: Lane, batch: Batch) -> None:
        for part in batch.parts.values():
            part.shard.say(part.sending)
            part.sending = []
        self._context.publisher.nudge()
        await commit(self, batch)

    put(stack, Lane, "_commit", early)


@mutant("what was read is acknowledged before it is committed", "I10", "I2", "liveness")
def _acknowledge_before_commit(stack: ExitStack) -> None:
    commit = Lane._commit

    async def early(self: Lane, batch: Batch) -> None:
        marks: list[ShardCommit] = []
        for part in batch.parts.values():
            mark = part.commit
            first = ShardCommit(mark.shard, mark.epoch, mark.next_seq, mark.format)
            first.consumed, first.heard = dict(mark.consumed), dict(mark.heard)
            marks.append(first)
        if marks:
            await self._context.store.commit(marks)
        await commit(self, batch)

    put(stack, Lane, "_commit", early)


@mutant("an owner that lost its shard may write", "I7")
def _no_epoch_check(stack: ExitStack) -> None:
    def numbers_only(self: MemoryStore, batch: Sequence[ShardCommit]) -> None:
        known = {claim.shard: claim.next_seq for claim in self.shards()}
        fenced = [c.shard for c in batch if known.get(c.shard) != c.next_seq]
        if fenced:
            raise Fenced(fenced)

    put(stack, MemoryStore, "_check_fences", numbers_only)


@mutant("an owner goes on after a commit whose answer is lost", "I5", "I4", "I7")
def _go_on_without_answer(stack: ExitStack) -> None:
    commit = Lane._commit

    async def hopeful(self: Lane, batch: Batch) -> None:
        try:
            await commit(self, batch)
        except Unanswered:
            return

    put(stack, Lane, "_commit", hopeful)


@mutant("numbers come from a sequence, which failed batches use up", "I4")
def _numbers_from_a_sequence(stack: ExitStack) -> None:
    part, drawn = Batch.part, dict[tuple[str, str], int]()
    commit = Lane._commit

    def numbered(self: Batch, shard: Shard) -> Part:
        known = self.parts.get(shard.id)
        if known is None:
            service = self._service.name
            shard.next_seq = max(shard.next_seq, drawn.get((service, shard.id), 1))
        return part(self, shard)

    async def draw(self: Lane, batch: Batch) -> None:
        for each in batch.parts.values():
            last = each.commit.next_seq + len(each.commit.rows)
            drawn[self._context.registry.service.name, each.shard.id] = last
        await commit(self, batch)

    def epochs_only(self: MemoryStore, batch: Sequence[ShardCommit]) -> None:
        known = {claim.shard: claim.epoch for claim in self.shards()}
        fenced = [c.shard for c in batch if known.get(c.shard) != c.epoch]
        if fenced:
            raise Fenced(fenced)
        for each in batch:
            self._shards[each.shard].next_seq = each.next_seq

    put(stack, Batch, "part", numbered)
    put(stack, Lane, "_commit", draw)
    put(stack, MemoryStore, "_check_fences", epochs_only)


@mutant("the instant of a batch may precede what is recorded", "I4")
def _time_goes_back(stack: ExitStack) -> None:
    part = Batch.part

    def unchecked(self: Batch, shard: Shard) -> Part:
        made = part(self, shard)
        made.now = self._clock_now
        return made

    put(stack, Batch, "part", unchecked)


# Publishing ------------------------------------------------------------------------------


@mutant("messages are marked as published before Kafka has acknowledged them", "I5")
def _mark_before_acknowledgement(stack: ExitStack) -> None:
    def everything(self: Shard) -> int:
        return self.next_seq - 1

    put(stack, Shard, "acknowledged", everything)


@mutant("a message that could not be sent is passed over", "I5", "liveness")
def _skip_what_failed(stack: ExitStack) -> None:
    round_of = Publisher._round

    async def hasty(self: Publisher) -> bool:
        waiting = [m for s in self._shards() for m in s.next_to_send(4_000)]
        clean = await round_of(self)
        for message in waiting:
            message.done = True
        for shard in self._shards():
            shard.sent_on()
        return clean

    put(stack, Publisher, "_round", hasty)


@mutant("what is handed over counts as done before its answer is committed", "I5")
def _handed_over_is_done(stack: ExitStack) -> None:
    say = Shard.say

    def trusting(
        self: Shard, messages: Any, hand_over: Callable[[Sending], bool] | None = None
    ) -> None:
        def done(message: Sending) -> bool:
            taken = hand_over is not None and hand_over(message)
            message.done = message.done or taken
            return taken

        say(self, messages, done)

    put(stack, Shard, "say", trusting)


@mutant("lazy rows that were not written before a crash are not made again", "I3")
def _remake_skips_lazy_rows(stack: ExitStack) -> None:
    made_again = remake.remake

    async def forgetful(*given: Any) -> tuple[Remade, Mapping[str, Any]]:
        made, streams = await made_again(*given)
        made.upserts.clear()
        return made, streams

    put(stack, remake, "remake", forgetful)


@mutant("what was unsent before a crash is not made again", "I5", "liveness", "I2")
def _remake_sends_nothing(stack: ExitStack) -> None:
    made_again = remake.remake

    async def forgetful(*given: Any) -> tuple[Remade, Mapping[str, Any]]:
        made, streams = await made_again(*given)
        made.sent.clear()
        return made, streams

    put(stack, remake, "remake", forgetful)


# Time ------------------------------------------------------------------------------------


@mutant("a time-out fires before the backlog is read", "wake")
def _wake_before_backlog(stack: ExitStack) -> None:
    put(stack, Dues, "_reached", lambda self, waiting, now: True)  # pyright: ignore[reportUnknownLambdaType]


@mutant("a wake of the last owner is forgotten", "liveness", "I2")
def _forget_wakes(stack: ExitStack) -> None:
    of = Shard.of

    def asleep(claim: Any) -> Shard:
        shard = of(claim)
        shard.heap.clear()
        return shard

    put(stack, Shard, "of", staticmethod(asleep))


# The runner ------------------------------------------------------------------------------


@mutant("a lease is renewed by a runner that lost it", "lease")
def _renew_lost_leases(stack: ExitStack) -> None:
    async def renew(
        self: MemoryClaims, runner: str, tokens: Sequence[str]
    ) -> Mapping[str, float | None]:
        for token in tokens:
            lease = self.leases[token]
            lease.runner, lease.until = runner, self.now_s + claims.LEASE_S
        return {token: 0.0 if self.leases[token].canceled else None for token in tokens}

    put(stack, MemoryClaims, "renew", renew)


@mutant("a runner goes on though its lease is lost", "lease")
def _work_on_without_lease(stack: ExitStack) -> None:
    async def renew(self: Work) -> None:
        held = [run for run in self.runs.values() if run.claimed]
        if held:
            await self.claims.renew(self.name, [run.task.token for run in held])

    put(stack, Work, "_renew", renew)


@mutant("a task is claimed though it was claimed before", "lease", "I1")
def _claim_twice(stack: ExitStack) -> None:
    claim = MemoryClaims.claim

    async def generous(
        self: MemoryClaims, runner: str, tasks: Mapping[str, Whose]
    ) -> frozenset[str]:
        await claim(self, runner, tasks)
        return frozenset(tasks)

    put(stack, MemoryClaims, "claim", generous)


@mutant("an unsafe task runs without a claim", "I1", "I2", "runner", "lease")
def _unsafe_without_claim(stack: ExitStack) -> None:
    begin = Work._begin

    def careless(self: Work, record: Record) -> Run | None:
        run = begin(self, record)
        if run is not None:
            run.claimed = False
        return run

    put(stack, Work, "_begin", careless)


@mutant("a task is done with as soon as it is begun", "runner")
def _task_done_when_begun(stack: ExitStack) -> None:
    begin = Prefix.begin

    def hasty(self: Prefix, offset: int) -> bool:
        begun = begin(self, offset)
        self.done(offset)
        return begun

    put(stack, Prefix, "begin", hasty)


def applied(mutant: Mutant) -> ExitStack:
    """Put a mutant in; closing what is returned takes it out."""
    stack = ExitStack()
    mutant.make(stack)
    return stack
