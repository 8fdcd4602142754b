"""When a wake may fire: not before everything that was there when it fell due is read.

After an outage both a time-out and the answer it waited for may be there. The answer wins:
a wake waits until its shard has consumed every topic (but the pausable ones) up to the end
that was seen after it fell due, and has no open gap.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from perdure_common.shell.ports import Bus, TopicPartition
from perdure_common.shell.shard import Shard

GAP_WAIT = timedelta(seconds=60)
"""How long an open gap may hold back the wakes of a shard."""

log = structlog.get_logger(__name__)


@dataclass
class Waiting:
    """Wakes of one shard that fell due: `fresh` ones, and `asked` ones with the ends to reach."""

    shard: Shard
    fresh: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    asked_at: datetime | None = None
    ends: Mapping[TopicPartition, int] | None = None


class Dues:
    """The wakes of a lane's shards that are due and not fired yet."""

    def __init__(self, bus: Bus, topics: Mapping[str, Iterable[str]]) -> None:
        """Take the bus and, for each kind of shard, the topics whose ends count."""
        self._bus = bus
        self._topics = topics
        self._waiting: dict[str, Waiting] = {}
        self._asking: asyncio.Task[None] | None = None
        self.poke: Callable[[], None] = lambda: None

    def forget(self, shard: str) -> None:
        """Drop what is known of a shard that was lost."""
        self._waiting.pop(shard, None)

    def ready(self, shards: Collection[Shard], now: datetime, most: int) -> list[tuple[Shard, str]]:
        """Return the wakes that may fire now, and find out what the others wait for.

        At most `most` at once, fair between the shards: after an outage there may be any number.
        """
        found: list[tuple[Shard, str]] = []
        share = max(1, most // max(1, len(shards)))
        for shard in shards:
            waiting = self._waiting.get(shard.id)
            if waiting is None or waiting.shard is not shard:
                waiting = self._waiting[shard.id] = Waiting(shard)
            waiting.fresh.extend(shard.due(now))
            if waiting.asked and self._reached(waiting, now):
                found.extend((shard, stream) for stream in waiting.asked[:share])
                del waiting.asked[:share]
        self._ask(now)
        return found

    def pending(self) -> bool:
        """Return whether wakes wait for their shard to catch up."""
        return any(w.fresh or w.asked for w in self._waiting.values())

    def _reached(self, waiting: Waiting, now: datetime) -> bool:
        if waiting.ends is None or waiting.asked_at is None:
            return False
        consumed = waiting.shard.consumed
        if any(consumed.get(place, 0) < end for place, end in waiting.ends.items()):
            return False
        gap = any(heard.gap for heard in waiting.shard.heard.values())
        return not gap or now - waiting.asked_at > GAP_WAIT

    def _ask(self, now: datetime) -> None:
        """Ask for the ends of all shards that have fresh wakes and nothing asked."""
        if self._asking is not None and not self._asking.done():
            return
        asked = [w for w in self._waiting.values() if w.fresh and not w.asked]
        if not asked:
            return
        for waiting in asked:
            waiting.asked, waiting.fresh, waiting.asked_at = waiting.fresh, [], now
            waiting.ends = None
        self._asking = asyncio.create_task(self._find_ends(asked))

    async def _find_ends(self, asked: list[Waiting]) -> None:
        places = {id(w): self._places(w.shard) for w in asked}
        everything = [place for each in places.values() for place in each]
        try:
            bounds = await self._bus.bounds(everything)
        except Exception as error:  # whatever it was, the wakes must not wait for ever
            log.warning("ends_unknown", error=repr(error))
            for waiting in asked:  # ask again at the next turn
                waiting.fresh, waiting.asked = waiting.asked + waiting.fresh, []
            return
        for waiting in asked:
            # An empty log (begin == end) has nothing to wait for, whatever was consumed.
            waiting.ends = {
                place: bounds[place][1]
                for place in places[id(waiting)]
                if bounds[place][0] < bounds[place][1]
            }
        self.poke()

    def _places(self, shard: Shard) -> list[TopicPartition]:
        kind, _, last = shard.id.rpartition("/")
        return [(topic, int(last)) for topic in self._topics[kind]]
