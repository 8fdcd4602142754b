"""When Python looks for cycles of garbage: between batches, not in the middle of one.

A batch makes tens of thousands of objects that all go when it is over, by their reference
counts alone. The collector would look at them each time their number passes its threshold,
while nearly all of them are still in use. It looks once a minute instead, at what is left then:
each look stops the process for as long as it takes to see every object that is in use.
"""

import asyncio
import gc

YOUNG_MAX = 2_000_000
"""New objects at which Python looks by itself all the same: a batch out of all proportion."""

LOOK_S = 60.0
"""Seconds between two looks at what is new."""

MIDDLE_EVERY, FULL_EVERY = 5, 60
"""Every so many looks it is at what outlived one, and at everything: that takes longer."""


def freeze() -> None:
    """Keep the collector away from what lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 20)


async def look_for_cycles(stop: asyncio.Event) -> None:
    """Collect garbage that refers to itself, until the event is set."""
    looks = 0
    while not stop.is_set():
        try:
            async with asyncio.timeout(LOOK_S):
                await stop.wait()
        except TimeoutError:
            looks += 1
            oldest = 2 if looks % FULL_EVERY == 0 else 1 if looks % MIDDLE_EVERY == 0 else 0
            gc.collect(oldest)
