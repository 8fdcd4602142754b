"""Messages leave in the order in which the journal has them, and only what is committed.

One round at a time for the whole process: what waits in all shards goes out together, and
each shard goes on from the first message that was not acknowledged. What was acknowledged
behind a failure is sent again; receivers know the numbers.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from perdure_common import fault
from perdure_common.shell.ports import Bus, Unreachable
from perdure_common.shell.shard import Shard

ROUND_MAX = 4_000
"""Messages in one round."""

BACK_OFF_S = (0.05, 2.0)
"""How long a failed round is waited out: first, doubling, and at most."""

log = structlog.get_logger(__name__)


class Publisher:
    """Sends what the shards of a process have to say."""

    def __init__(self, bus: Bus, shards: Callable[[], Iterable[Shard]]) -> None:
        self._bus = bus
        self._shards = shards
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
            await self._wake.wait()
            self._wake.clear()
            while any(shard.sending or shard.extra for shard in self._shards()):
                if await self._round():
                    pause_s = BACK_OFF_S[0]
                else:
                    self.failures += 1
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, BACK_OFF_S[1])

    async def _round(self) -> bool:
        """Send what waits; return whether all of it was acknowledged."""
        taken = [(shard, shard.next_to_send(ROUND_MAX)) for shard in self._shards()]
        extra = [(shard, list(shard.extra)) for shard, _ in taken if shard.extra]
        records = [sending.record for _, waiting in taken for sending in waiting]
        records.extend(record for _, waiting in extra for record in waiting)
        try:
            results = await self._bus.send(records)
        except Unreachable as error:
            log.warning("publish_failed", unsent=len(records), error=str(error))
            return False
        fault.point("after_publish")
        place, clean = 0, True
        for shard, waiting in taken:
            done = 0
            while done < len(waiting) and results[place + done] is None:
                done += 1
            if done < len(waiting):
                clean = False
                log.warning("publish_failed", shard=shard.id, error=str(results[place + done]))
            place += len(waiting)
            for message in waiting[:done]:
                message.done = True
            shard.sent_on()
            self.sent += done
        for shard, waiting in extra:
            for _ in waiting:
                shard.extra.popleft()
        self._progress.set()
        return clean
