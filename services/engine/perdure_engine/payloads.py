"""Sweeps payloads and files that no execution names any more: a few at a time, once an hour."""

import asyncio
from contextlib import suppress

import structlog
from perdure_common.settings import Settings
from perdure_common.shell.files import FileStore
from perdure_common.shell.owner import Owner
from perdure_common.shell.payloads import PayloadStore
from perdure_common.shell.ports import Unreachable

EVERY_S = 3_600.0
GRACE_S = 3_600.0
"""How long a payload is kept in any case: what was put is named by an event a moment later."""

BATCH_MAX = 200
PAUSE_S = 0.5

log = structlog.get_logger(__name__)


async def sweep(payloads: PayloadStore, grace_s: float = GRACE_S) -> int:
    """Forget everything that nobody names, batch by batch, and return how much it was."""
    total = 0
    while count := await payloads.sweep(grace_s, BATCH_MAX):
        total += count
        await asyncio.sleep(PAUSE_S)
    return total


async def sweep_files(files: FileStore, grace_s: float = GRACE_S) -> int:
    """Forget the files that nothing has referred to for long, and return how many these were."""
    total = 0
    while count := await files.sweep_files(grace_s, BATCH_MAX):
        total += count
        await asyncio.sleep(PAUSE_S)
    return total


async def keep_sweeping(
    payloads: PayloadStore, files: FileStore, settings: Settings, owner: Owner, stop: asyncio.Event
) -> None:
    """Sweep beside the owner, while shard 0 is its own."""
    del settings
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY_S)
        if stop.is_set() or "0" not in owner.shards:
            continue
        try:
            count, gone = await sweep(payloads), await sweep_files(files)
        except Unreachable as error:
            log.warning("payloads_not_swept", error=str(error))
        else:
            if count or gone:
                log.info("payloads_forgotten", count=count, files=gone)
