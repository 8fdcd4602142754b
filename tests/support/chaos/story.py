"""One chaos run: a platform above its capacity, everything that happens to it, the verdict."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from cutting_proxy import Proxy, proxy_to
from outside_world import World, outside_world
from overload import (
    MEMORY_MB,
    Flood,
    Held,
    Watch,
    deploy_all,
    flooded,
    not_once,
    starts_begun,
    until_drained,
    watched,
)
from platform_stage import PATIENT, Stage
from promises import broken_promises
from random_ground import Randoms
from stage_ground import own_ground

from chaos.happenings import Happenings

HELD = 20
WORKFLOWS = 60
"""Random workflows that are run beside the flood."""

KAFKA_STILL_S = 30.0
DATABASE_WAIT_S = 3.0
"""How long a silent PostgreSQL is waited for: less than by default, so that it happens often."""

DRAIN_S = 600.0
KILLS_MIN = 2
"""Kills of working services without which a run proves nothing."""


@dataclass
class Verdict:
    """What a run found. `broken` are promises that did not hold, `missing` is lacking evidence."""

    triggers: int = 0
    drained_s: float = 0.0
    broken: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=dict)
    watch: str = ""
    random: int = 0


@asynccontextmanager
async def platform(world: World) -> AsyncGenerator[tuple[Stage, Proxy]]:
    """A platform on servers of its own, with a way to PostgreSQL that can be made slow."""
    async with own_ground() as ground, proxy_to(ground.database_url) as proxy:
        settings = {
            **PATIENT,
            "PERDURE_DATABASE_URL": proxy.through(ground.database_url),
            "PERDURE_MEMORY_MB": str(MEMORY_MB),
            "PERDURE_DATABASE_WAIT_S": str(DATABASE_WAIT_S),
        }
        allow = (f"{world.host}:{world.port}",)
        async with Stage(ground, allow=allow, settings=settings) as stage:
            await deploy_all(stage, world)
            yield stage, proxy


async def run(seconds: float, seed: int, say: Callable[[str], None]) -> Verdict:
    """Let it all happen for so long, wait until the load has drained, and judge."""
    chance, found = Random(seed), Verdict()
    with outside_world() as world:
        async with platform(world) as (stage, proxy):
            held, flood = Held(stage, world), Flood(stage, Random(seed))
            happenings = Happenings(stage, proxy, flood, chance, say)
            randoms = Randoms(stage, world, Random(seed))
            await randoms.deploy(WORKFLOWS)
            await held.begin(HELD)
            async with watched(stage) as watch:
                async with flooded(flood):
                    trickle = asyncio.create_task(randoms.trickle(flood.over))
                    await _happens(seconds, happenings, held, flood, watch, found)
                await trickle
                found.triggers = len(flood.accepted) + len(randoms.asked) + HELD
                say(f"the load ends after {found.triggers:,} triggers")
                found.drained_s = await until_drained(stage, found.triggers, DRAIN_S)
                say(f"all of them have ended {found.drained_s:.1f} s later")
            found.watch, found.random = str(watch), len(randoms.asked)
            found.happened = dict(happenings.counts)
            found.broken += [f"memory: {k} held {v}" for k, v in watch.too_large().items()]
            if watch.queued_bytes > watch.queue_max():
                found.broken.append(f"memory: starts of {watch.queued_bytes:,.0f} bytes waited")
            found.broken += await not_once(stage, flood.accepted)
            say("every promise is checked")
            accepted = [*flood.accepted, *held.accepted, *randoms.asked]
            found.broken += await broken_promises(stage, accepted, world)
            say("random executions are compared with their journals and the specification")
            found.broken += await randoms.differing()
    found.missing = _missing(found, watch)
    return found


async def _happens(
    seconds: float,
    happenings: Happenings,
    held: Held,
    flood: Flood,
    watch: Watch,
    found: Verdict,
) -> None:
    stage, end = happenings.stage, time.monotonic() + seconds
    happenings.say("the load begins")

    async def behind() -> bool:
        return watch.paused > 0

    await stage.until(behind, "starts that wait")
    before = len(flood.accepted) + HELD
    ends = await held.come_through()
    if await starts_begun(stage) >= before:
        found.missing.append("results and cancels that overtook starts")
    happenings.say(f"starts wait; what was open before came through: {ends}")
    await happenings.opening()
    still_s = min(KAFKA_STILL_S, seconds / 4)
    first = time.monotonic() + max(0.0, (end - time.monotonic() - still_s) / 2)
    await happenings.until(first)
    await happenings.kafka_stands_still(still_s)
    await happenings.until(end)
    await happenings.over()


def _missing(found: Verdict, watch: Watch) -> list[str]:
    """Return what did not happen and without which the run proves too little."""
    wanted = {"kills under load": KILLS_MIN, "stops of Kafka": 1, "slow spells": 1}
    missing = [k for k, count in wanted.items() if found.happened.get(k, 0) < count]
    if not watch.paused:
        missing.append("starts that wait")
    return found.missing + missing
