"""Messages leave in the order in which the journal has them, and only what is committed.

One round at a time for the whole process: what waits in all shards goes out together. A place
(a partition of a topic) keeps its order: what is behind a failure there is sent again with it,
while the others go on.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from perdure_contracts.shell import NO_SUCH_TOPIC

from perdure_common import fault
from perdure_common.decider import Rejected
from perdure_common.shell import codec
from perdure_common.shell.ports import Bus, NoSuchTopic, Record, TopicPartition, Unreachable
from perdure_common.shell.shard import Answer, Sending, Shard, place_of

ROUND_MAX = 4_000
"""Messages in one round."""

BACK_OFF_S = (0.05, 2.0)
"""How long a failed round is waited out: first, doubling, and at most."""

LOOK_AGAIN_S = 2.0
"""How often it is looked whether a topic that was missing has been made."""

MISSING_S = 300.0
"""How long messages wait for a topic that does not exist (ADR 0062)."""

log = structlog.get_logger(__name__)


@dataclass
class _Missing:
    """A place that does not exist: since when it is known, and when to look again."""

    since: float
    again_at: float


class Publisher:
    """Sends what the shards of a process have to say.

    `answered` is called when a shard has got an answer to a message that cannot be sent.
    """

    def __init__(
        self,
        bus: Bus,
        shards: Callable[[], Iterable[Shard]],
        answered: Callable[[Shard], None],
        *,
        missing_s: float = MISSING_S,
    ) -> None:
        self._bus = bus
        self._shards = shards
        self._answered = answered
        self._missing_s = missing_s
        self._missing: dict[TopicPartition, _Missing] = {}
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self.failures = 0
        self.sent = 0

    def nudge(self) -> None:
        """Say that there is something to send."""
        self._wake.set()

    def progressed(self) -> None:
        """Say that messages were done with without being sent."""
        self._progress.set()

    def unsent(self) -> int:
        """Return how many messages wait."""
        return sum(len(shard.unsent) for shard in self._shards())

    def missing(self) -> Sequence[TopicPartition]:
        """Return the places that messages wait for because they do not exist."""
        return sorted(self._missing)

    async def drained(self, shards: Iterable[Shard], limit_s: float) -> bool:
        """Wait until nothing of `shards` is unsent; return False when `limit_s` is over."""
        waiting = list(shards)
        try:
            async with asyncio.timeout(limit_s):
                while any(shard.unsent and not shard.lost for shard in waiting):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Send until cancelled."""
        pause_s = BACK_OFF_S[0]
        while True:
            await self._called()
            while self._has_work():
                if await self._round():
                    pause_s = BACK_OFF_S[0]
                else:
                    self.failures += 1
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, BACK_OFF_S[1])

    async def _called(self) -> None:
        """Wait until there is something to send, or a missing place is to be looked at."""
        again_at = min((each.again_at for each in self._missing.values()), default=None)
        wait_s = None if again_at is None else max(0.0, again_at - _now())
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _resting(self) -> frozenset[TopicPartition]:
        """Return the places that need not be looked at yet."""
        now = _now()
        return frozenset(p for p, each in self._missing.items() if each.again_at > now)

    def _has_work(self) -> bool:
        if not self._missing:
            return any(shard.sending or shard.extra for shard in self._shards())
        resting, shards = self._resting(), list(self._shards())
        if any(shard.extra or shard.next_to_send(1, resting) for shard in shards):
            return True
        there = {place_of(message) for shard in shards for message in shard.sending}
        for place in [each for each in self._missing if each not in there]:
            del self._missing[place]  # whoever had something for it has it no more
        return False

    async def _round(self) -> bool:
        """Send what waits; return whether all that has a place was acknowledged."""
        resting = self._resting() if self._missing else frozenset[TopicPartition]()
        taken = [(shard, shard.next_to_send(ROUND_MAX, resting)) for shard in self._shards()]
        extra = [(shard, list(shard.extra)) for shard, _ in taken if shard.extra]
        records = [sending.record for _, waiting in taken for sending in waiting]
        records.extend(record for _, waiting in extra for record in waiting)
        try:
            results = await self._bus.send(records)
        except Unreachable as error:
            log.warning("publish_failed", unsent=len(records), error=str(error))
            return False
        fault.point("after_publish")
        begin, clean = 0, True
        for shard, waiting in taken:
            found = results[begin : begin + len(waiting)]
            begin += len(waiting)
            clean &= self._settle(shard, waiting, found)
        for shard, waiting in extra:
            for _ in waiting:
                shard.extra.popleft()
        self._progress.set()
        return clean

    def _settle(
        self, shard: Shard, waiting: Sequence[Sending], found: Sequence[BaseException | None]
    ) -> bool:
        """Take over what became of a shard's messages; return whether none has to be repeated."""
        failed: BaseException | None = None
        gaps = False
        for message, error in zip(waiting, found, strict=True):
            if error is None:
                message.done = True
                self.sent += 1
                if self._missing:
                    self._missing.pop(place_of(message), None)
                continue
            gaps = True
            if isinstance(error, NoSuchTopic):
                self._misses(shard, message)
            else:
                failed = failed or error
        shard.sent_on(behind=gaps)
        if failed is not None:
            log.warning("publish_failed", shard=shard.id, error=str(failed))
        return failed is None

    def _misses(self, shard: Shard, message: Sending) -> None:
        """Let a message wait for its topic, or go on without it when that took too long."""
        place, now = place_of(message), _now()
        missing = self._missing.get(place)
        if missing is None:
            missing = self._missing[place] = _Missing(now, now)
            log.error("no_such_topic", topic=place[0], partition=place[1], wait_s=self._missing_s)
        missing.again_at = now + LOOK_AGAIN_S
        if now - missing.since < self._missing_s:
            return
        if codec.header(message.record.headers, codec.PREV) is not None:
            # It has a number: whoever will read the topic sees that it is missing, and asks.
            log.error("not_sent", shard=shard.id, seq=message.seq, topic=place[0])
            message.done = True
            return
        made = message.record
        record = Record(*place, -1, made.value, made.key, made.headers)
        reason = f"there is no partition {place[1]} of {place[0]}; make it, then redrive this"
        shard.sending.remove(message)
        shard.answers.append(Answer(message, record, Rejected(reason, NO_SUCH_TOPIC)))
        self._answered(shard)


def _now() -> float:
    return asyncio.get_running_loop().time()
