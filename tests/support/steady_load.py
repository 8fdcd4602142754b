"""A steady load of several workflows, while something happens to the platform; judged at its end.

Used by the tests that kill processes and servers, and by those that let servers be silent or full.
The seed of a run is printed; `PERDURE_TEST_SEED` repeats its choices.
"""

import asyncio
import os
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from definitions_for_tests import branching, chain, node, request
from outside_world import World
from platform_stage import ENDED, Stage
from promises import broken_promises

T = TypeVar("T")

RATE_S = 0.05
"""The time between two triggers: 20 a second."""

LOAD_MIN, LOAD_MAX = 120, 2000
"""Triggers of one test; the load goes on for as long as there are kills to come."""

DRAIN_S = 300.0


def seeded() -> random.Random:
    """Return the chance of this run, and print what repeats it."""
    seed = int(os.environ.get("PERDURE_TEST_SEED") or secrets.randbelow(1_000_000))
    print(f"seed {seed}: repeat with PERDURE_TEST_SEED={seed}")
    return random.Random(seed)


@dataclass
class Load:
    """Publishes triggers of several workflows, one after the other, until it is told to stop."""

    stage: Stage
    chance: random.Random
    workflows: dict[str, int]
    accepted: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Publish; an event counts as accepted when it is acknowledged."""
        names, weights = list(self.workflows), list(self.workflows.values())
        while len(self.accepted) < (LOAD_MIN if self.over.is_set() else LOAD_MAX):
            [name] = self.chance.choices(names, weights)
            data = {"amount": self.chance.randrange(200), "customer": "gold", "pad": "x" * 300}
            self.accepted.append(await self.stage.trigger(name, data))
            await asyncio.sleep(RATE_S)


async def deploy_all(stage: Stage, world: World, prefix: str) -> dict[str, int]:
    """Deploy what the load runs; return each workflow's weight."""
    steps = [node(f"step{n}", "ACTION.SET", values={"n": n}) for n in range(3)]
    slow = [request(f"ask{n}", world.url("/slow/150"), json="{{ $json }}") for n in range(2)]
    workflows = (
        (branching(f"{prefix}-branches", world.url("/ok")), 5),
        (chain(f"{prefix}-inline", *steps), 2),
        (chain(f"{prefix}-slow", *slow, node("end", "FLOW.NOOP")), 3),
        (chain(f"{prefix}-flaky", request("ask", world.url("/flaky/1"), json={})), 2),
    )
    for definition, _ in workflows:
        await stage.deploy(definition)
    return {definition["name"]: weight for definition, weight in workflows}


async def holds_under_load(
    stage: Stage,
    world: World,
    prefix: str,
    chance: random.Random,
    happens: Callable[[], Awaitable[T]],
) -> T:
    """Let something happen while triggers come in, let the rest run to its end, and judge.

    Returns what `happens` returns. `prefix` begins the names of what is deployed for this.
    """
    load = Load(stage, chance, await deploy_all(stage, world, prefix))
    running = asyncio.create_task(load.run())
    try:
        evidence = await happens()
    finally:
        load.over.set()
        await running
    await all_ended(stage, load.accepted)
    broken = await broken_promises(stage, load.accepted, world)
    assert broken == [], broken[:20]
    rows = await stage.rows(
        """
        select w.name, x.status, x.error_message, x.execution_id
          from engine.workflow_executions x join engine.workflows w on w.id = x.workflow_id
         where x.status <> 'SUCCESS' and w.name like $1
        """,
        f"{prefix}-%",
    )
    assert [dict(row) for row in rows] == [], "what was interrupted was to be taken up again"
    print(f"{len(load.accepted)} triggers accepted, {len(world.calls)} calls outside")
    return evidence


async def until_busy(stage: Stage) -> None:
    """Wait until there is work that a kill can hit: more than one, as one may just be ending."""

    async def busy() -> bool:
        return await stage.open_executions() > 1

    await stage.until(busy, "executions under way")


async def all_ended(stage: Stage, accepted: list[str]) -> None:
    """Wait until every accepted event has started an execution and all have ended."""

    async def found() -> bool:
        letters = await stage.rows(
            "select error from recovery.dead_letters where headers->>'ce_id' = any ($1)", accepted
        )
        assert [row["error"] for row in letters] == [], "nothing is wrong with these events"
        [row] = await stage.rows(
            """
            select count(*) filter (where x.status = any ($2)) as ended
              from scheduler.trigger_deliveries d,
                   jsonb_array_elements_text(d.executions) as started (id)
              left join engine.workflow_executions x on x.execution_id = started.id
             where d.id = any ($1)
            """,
            accepted,
            list(ENDED),
        )
        return row["ended"] == len(accepted)

    await stage.until(found, f"the end of {len(accepted)} executions", DRAIN_S)
