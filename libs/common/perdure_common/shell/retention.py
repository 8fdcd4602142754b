"""Forgets deliveries that are older than anybody sends again: a few at a time, beside the batches.

An outsider's message that comes again within the retention gets the answer of the first time. What
comes later still changes nothing twice, because ids of what follows are derived: it is answered as
a duplicate by the stream that it meets. The journal is not touched here: what belongs to a stream
goes when the stream does, which is later.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog

from perdure_common.shell.ports import Unreachable

EVERY_S = 60.0
BATCH_MAX = 1_000
"""Rows of one statement: a few milliseconds, and no batch waits for it."""

PAUSE_S = 0.2
"""Between two statements, so that a sweep of many rows leaves the database to the batches."""

log = structlog.get_logger(__name__)


class Deliveries(Protocol):
    """A store that can forget deliveries."""

    async def forget_deliveries(self, older_than_s: float, limit: int) -> int:
        """Delete up to `limit` deliveries that came longer ago; return how many.

        What another one is deleting at this moment is passed over, never waited for.
        """
        ...


async def sweep(store: Deliveries, older_than_s: float) -> int:
    """Forget everything that is old enough, batch by batch, and return how much it was."""
    total = 0
    while True:
        count = await store.forget_deliveries(older_than_s, BATCH_MAX)
        total += count
        if count < BATCH_MAX:
            return total
        await asyncio.sleep(PAUSE_S)


async def keep_sweeping(
    store: Deliveries, older_than_s: float, mine: Callable[[], bool], stop: asyncio.Event
) -> None:
    """Sweep once a minute until told to stop, while `mine` says that it is this process's task."""
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY_S)
        if stop.is_set() or not mine():
            continue
        try:
            count = await sweep(store, older_than_s)
        except Unreachable as error:
            log.warning("deliveries_not_swept", error=str(error))
        else:
            if count:
                log.info("deliveries_forgotten", count=count)
