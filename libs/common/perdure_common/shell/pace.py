"""How soon a lane takes its next turn: at once for a lone record, later where many come.

A turn costs a query or two, a flush and requests to Kafka, however few records it has. Where
records come faster than that pays, the cores are busy, turns wait for each other, and a rest lets
records gather: each is cheaper then. Where few come nothing is gained by waiting.
"""

import asyncio
from dataclasses import dataclass

PACE_S = 0.004
"""The least time between the starts of two turns that follow each other."""

REST_MAX_S = 0.03
"""The longest time between the starts of two turns that had records."""

PATIENCE_S = 0.02
"""How long a message that asks for no batch of its own waits for one of others."""

MANY = range(32, 250)
"""Records in a turn that tell of a rush that larger turns would serve better.

Fewer are somebody's few; more are as cheap as they get (docs/performance.md)."""


class Bell(asyncio.Event):
    """Calls a lane to its next turn: at once (`set`), or when a moment is over (`set_soon`)."""

    _soon: asyncio.TimerHandle | None = None

    def set_soon(self) -> None:
        """Call within `PATIENCE_S`, for what can wait for a turn that others ask for."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(PATIENCE_S, self.set)

    def clear(self) -> None:
        """Begin anew: the turn that begins now has what was called for."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        super().clear()


@dataclass
class Pace:
    """What is remembered of a lane's last turn: when it began, how long it took, what it had."""

    _began: float = 0.0
    _took: float = 0.0
    _records: int = 0

    def rest_s(self, now: float) -> float:
        """Return how long to wait before the next turn; 0 or less is not at all.

        One that had a single record is not waited for: nobody sends so much that batching would
        help. One that had many gives the others as much time as it took itself.
        """
        if self._records <= 1:
            return 0.0
        rest_s = min(2 * self._took, REST_MAX_S) if self._records in MANY else 0.0
        return max(PACE_S, rest_s) - (now - self._began)

    def begins(self, now: float) -> None:
        """Note that a turn begins."""
        self._began = now

    def ends(self, now: float, records: int) -> None:
        """Note that it has ended, and how many records it had."""
        self._took, self._records = now - self._began, records
