"""When more records are asked for: not while those that came are still being worked on.

A broker answers as soon as one record is there. Asked at once each time, it answers hundreds of
times a second with a record or two, and the answer costs it and us more than the records. While a
batch is being written nothing could be done with more of them: they are better fetched together,
right after it.
"""

import asyncio
from collections.abc import Callable

from perdure_common.adapters.kafka_clients import Client

HOLD_S = 0.003
"""How long a request waits at most, counted from the one before it."""

LOOKS = 3
"""How often a request that waits looks whether it still has to."""


def pace(fetcher: Client, busy: Callable[[], bool]) -> None:
    """Let a consumer's fetcher ask for more only once there is nothing else to do (`busy`)."""
    loop = asyncio.get_running_loop()
    ask: Callable[..., Client] = fetcher._proc_fetch_request
    last = 0.0

    async def asks_later(*request: Client) -> Client:
        nonlocal last
        until = last + HOLD_S
        try:
            for _ in range(LOOKS):
                if loop.time() >= until or not busy():
                    break
                await asyncio.sleep(HOLD_S / LOOKS)
        except asyncio.CancelledError:
            return False  # as in aiokafka: nobody wants the answer any more
        last = loop.time()
        return await ask(*request)

    # There is no other place to say so: aiokafka asks again as soon as it can.
    fetcher._proc_fetch_request = asks_later
