"""When more records are asked for: not while those that came are still being worked on.

A broker answers as soon as one record is there. Asked at once each time, it answers hundreds of
times a second with a record or two, and the answer costs it and us more than the records. While a
batch is being written nothing could be done with more of them: they are better fetched together,
right after it. Where many come, requests lie apart whether anything is written or not: the cores
are what records wait for then, and each request saved leaves them more.
"""

import asyncio
import math
from collections.abc import Callable

from perdure_common.adapters.kafka_clients import Client

HOLD_S = 0.003
"""How long a request waits at most where few records come, counted from the one before it."""

HOLD_MAX_S = 0.025
"""How far requests lie apart where many come."""

MANY_PER_S = 1_000.0
"""How many records a second are many: from here on requests took a large share of two cores."""

MEMORY_S = 0.25
"""How long back the rate looks: a rush is seen within a tenth of a second, and forgotten soon."""

LOOKS = 3
"""How often a request that waits looks whether it still has to."""


class Rate:
    """How many records a second came of late, older ones counting less and less."""

    def __init__(self) -> None:
        self._per_s = 0.0
        self._at = 0.0

    def count(self, records: int, now: float) -> None:
        """Note that records came at `now`, in seconds of a clock that never goes back."""
        self._per_s = self.per_s(now) + records / MEMORY_S
        self._at = now

    def per_s(self, now: float) -> float:
        """Return the rate as it is felt at `now`."""
        return self._per_s * math.exp((self._at - now) / MEMORY_S)


def pace(fetcher: Client, busy: Callable[[], bool], rate: Rate) -> None:
    """Let a consumer's fetcher ask for more once there is nothing else to do, or it is time."""
    loop = asyncio.get_running_loop()
    ask: Callable[..., Client] = fetcher._proc_fetch_request
    last = 0.0

    async def waits() -> None:
        now = loop.time()
        if rate.per_s(now) >= MANY_PER_S:
            await asyncio.sleep(last + HOLD_MAX_S - now)
            return
        for _ in range(LOOKS):
            if loop.time() >= last + HOLD_S or not busy():
                return
            await asyncio.sleep(HOLD_S / LOOKS)

    async def asks_later(*request: Client) -> Client:
        nonlocal last
        try:
            await waits()
        except asyncio.CancelledError:
            return False  # as in aiokafka: nobody wants the answer any more
        last = loop.time()
        return await ask(*request)

    # There is no other place to say so: aiokafka asks again as soon as it can.
    fetcher._proc_fetch_request = asks_later
