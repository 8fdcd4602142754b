"""What must hold of every gate's stream; for `perdure verify`. I7: no more run than have slots."""

from collections.abc import Iterable
from typing import TypeAlias

from perdure_contracts.admission import GateEvent, SlotAwaited, SlotLeft, SlotTaken

Broken: TypeAlias = tuple[str, str, str]


class GateJudge:
    """Sees the events of one gate, as its decider does not: with sets of its own."""

    def __init__(self) -> None:
        self._limit = 0
        self._running: set[str] = set()
        self._waiting: set[str] = set()

    def see(self, event: GateEvent) -> Iterable[Broken]:
        """Return what the next event breaks."""
        who = event.execution_id
        if isinstance(event, SlotTaken) and event.again:
            if who not in self._running:
                yield "I7", who, "it was told of a slot that it has not"
        elif isinstance(event, SlotTaken):
            yield from self._taken(event)
        elif isinstance(event, SlotAwaited):
            self._limit = event.gate.limit
            if who in self._waiting or who in self._running:
                yield "I7", who, "it waits for a slot though it is there already"
            self._waiting.add(who)
        elif isinstance(event, SlotLeft):
            if who not in self._waiting and who not in self._running:
                yield "I7", who, "it left a gate where it was not"
            self._waiting.discard(who)
            self._running.discard(who)

    def _taken(self, event: SlotTaken) -> Iterable[Broken]:
        who = event.execution_id
        if event.gate is not None:
            self._limit = event.gate.limit
        elif who not in self._waiting:
            yield "I7", who, "it was let in though it did not wait"
        if who in self._running:
            yield "I7", who, "it took a slot twice"
        self._waiting.discard(who)
        if len(self._running) >= self._limit and not event.forced:
            yield (
                "I7",
                who,
                f"it took a slot where {len(self._running)} of {self._limit} were taken",
            )
        self._running.add(who)
