"""Defects of the shell and the runner by one: a number, a record, a state; listed as in mutants.py.

Each is right most of the time. It does harm only where something else goes wrong beside it.
"""
# pyright: reportPrivateUsage=false

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from perdure_common.shell import remake, upkeep
from perdure_common.shell.fold import Batch
from perdure_common.shell.intake import Registry
from perdure_common.shell.part import Part
from perdure_common.shell.ports import Outbound, Record, Store
from perdure_common.shell.shard import Held, Shard
from perdure_engine.runner.prefix import Prefix

from simulation.mutants import mutant, put


@mutant("the mark of what was read stands behind the record after the last one of a batch", "I10",
        "I2", "liveness", "webhook")  # fmt: skip
def _mark_one_too_far(stack: ExitStack) -> None:
    def too_far(self: Batch, part: Part, record: Record) -> None:
        del self
        part.commit.consumed[record.topic, record.partition] = record.offset + 2

    put(stack, Batch, "consume", too_far)


@mutant("what is published is marked up to the first message that is not", "I5", "liveness")
def _acknowledged_one_too_far(stack: ExitStack) -> None:
    def too_far(self: Shard) -> int:
        return self.unsent[0].seq if self.unsent else self.next_seq - 1

    put(stack, Shard, "acknowledged", too_far)


@mutant("what is sent again begins with the second message that is missing", "liveness")
def _resent_one_too_late(stack: ExitStack) -> None:
    said = upkeep.Upkeep._said

    async def too_late(self: upkeep.Upkeep, message: Any) -> list[Outbound]:
        return (await said(self, message))[1:]

    put(stack, upkeep.Upkeep, "_said", too_late)


@mutant("what is made again after a crash is made of the newest snapshot", "I3", "I4", "I5",
        "shell", "liveness")  # fmt: skip
def _remade_of_a_later_state(stack: ExitStack) -> None:
    async def newest(
        registry: Registry, store: Store, streams: dict[str, Held], first: Mapping[str, int]
    ) -> None:
        found = await store.load(dict.fromkeys(first, -1))
        for stream, version in first.items():
            snapshot, rows = found.get(stream, (None, ()))
            streams[stream] = remake.restore(
                registry, snapshot, [r for r in rows if r.version < version]
            )

    put(stack, remake, "_begin", newest)


@mutant("a wake that comes before the one that stands is not moved", "I2", "liveness")
def _wakes_stand(stack: ExitStack) -> None:
    wake = Batch._wake

    def only_new(self: Batch, part: Part, stream: str, held: Held) -> None:
        stands = part.commit.wakes.get(stream, part.shard.wakes.get(stream))
        if stands is None or held.decider is None or held.decider.wake_at(held.state) is None:
            wake(self, part, stream, held)

    put(stack, Batch, "_wake", only_new)


@mutant("the offset of tasks is committed behind the first one that is not done", "runner", "I2",
        "liveness")  # fmt: skip
def _tasks_one_too_far(stack: ExitStack) -> None:
    done = Prefix.done

    def too_far(self: Prefix, offset: int) -> None:
        done(self, offset)
        if self.open:
            self.next += 1

    put(stack, Prefix, "done", too_far)
