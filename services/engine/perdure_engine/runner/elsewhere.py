"""Tasks that another runner is to have: what recovery reassigns because this one failed.

Which runner reads a partition is the group's business, so a task is given away by sending it to a
partition that is not ours. Should its reader be us by then, after a rebalance, it comes once more.
"""

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet

import structlog
from perdure_common.shell.ports import Bus, Outbound, Record, Unreachable

PAUSE_S = 0.5
"""Between two tries to send a task on."""

log = structlog.get_logger(__name__)


def elsewhere(partition: int, ours: AbstractSet[int], partitions: int) -> int | None:
    """Return the next partition after `partition` that others read; None if we read them all."""
    for step in range(1, partitions):
        other = (partition + step) % partitions
        if other not in ours:
            return other
    return None


async def pass_on(bus: Bus, record: Record, partition: int, done: Callable[[Record], None]) -> None:
    """Send a task to another partition; here it is done when it is safely there."""
    sent = Outbound(record.topic, partition, record.value, record.key, record.headers)
    while True:
        try:
            (failed,) = await bus.send([sent])
        except Unreachable as error:
            failed = error
        if failed is None:
            done(record)
            return
        log.warning("task_not_passed_on", error=str(failed), wait_s=PAUSE_S)
        await asyncio.sleep(PAUSE_S)
