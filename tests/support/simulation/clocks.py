"""Clocks that start executions, and workflows that want one path, while everything fails.

People deploy and undeploy them, let clocks rest and fire again, and have executions purged that
clocks started. At rest no clock serves any more, so that everything can come to its end.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell import codec
from perdure_contracts.cron import CronFired, PauseTrigger, ResumeTrigger
from perdure_contracts.message import NAMES
from perdure_contracts.purging import PurgeExecution
from perdure_scheduler.cron_decide import stream_of

from simulation.clocked import CONTESTED
from simulation.load import CLOCKS, RIVALS, Load, workflow_id

EVERY_S = (1.0, 5.0)
"""How long people wait between two things, at least and at most, in virtual seconds."""


async def use(load: Load, store: MemoryStore, chance: random.Random, until_s: float) -> None:
    """Do things to clocks and rivals until an instant of the loop."""
    loop, n = asyncio.get_running_loop(), 0
    while loop.time() < until_s:
        await asyncio.sleep(chance.uniform(*EVERY_S))
        n += 1
        await _one(load, store, chance, n)


async def _one(load: Load, store: MemoryStore, chance: random.Random, n: int) -> None:
    what, clock = chance.random(), chance.choice(CLOCKS)
    if what < 0.35:
        await load.deploy(chance.choice(RIVALS), f"rival-{n}")
    elif what < 0.45:
        await load.undeploy(chance.choice(RIVALS), f"rival-{n}")
    elif what < 0.6:
        await load.undeploy(clock, f"no-clock-{n}")
        await load.deploy(clock, f"clock-{n}")
    elif what < 0.75:
        named: Mapping[str, Any] = {"workflow_id": workflow_id(clock), "node_id": "start"}
        stream = stream_of(workflow_id(clock), "start")
        await load.command("scheduler", stream, PauseTrigger(**named), f"rests-{n}")
        await asyncio.sleep(chance.uniform(0.1, 3.0))
        await load.command("scheduler", stream, ResumeTrigger(**named), f"again-{n}")
    else:
        begun = _purgeable(store)
        if begun:
            await purge(load, chance.choice(begun), f"purge-{n}")


async def stop(load: Load) -> None:
    """Let no clock serve any more."""
    for clock in CLOCKS:
        await load.undeploy(clock, f"at-last-{clock}")


async def purge(load: Load, execution_id: str, id: str) -> None:
    """Ask for an execution to be purged; one that is open is not."""
    message = PurgeExecution(execution_id=execution_id, asked_by="simulation")
    await load.command("engine", execution_id, message, id)


def _purgeable(store: MemoryStore) -> Sequence[str]:
    """Return executions that clocks have started and whose steps have no effect, in their order.

    The latest one of each is left out: the row of its workflow shows it.
    """
    found: list[str] = []
    for clock in CLOCKS[1:]:
        rows = store.streams.get(stream_of(workflow_id(clock), "start"), ())
        fired: list[CronFired] = [codec.event_of(r) for r in rows if r.type == NAMES[CronFired]]
        found += [each.execution_id for each in fired[:-1]]
    return found


def rivals_served(store: MemoryStore) -> set[str]:
    """Return the workflows that serve the contested path; there may be one."""
    return {
        str(row["workflow_id"])
        for row in store.tables.get("trigger_index", ())
        if row["deployment_status"] == "active" and str(row["path"] or "").endswith(CONTESTED)
    }
