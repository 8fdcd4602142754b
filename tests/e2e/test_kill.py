"""`kill -9` under load: whatever is killed, nothing is lost and nothing is done twice.

The seed of a run is printed; `PERDURE_TEST_SEED` repeats its choices.
"""

import asyncio
import os
import random
import secrets
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from definitions_for_tests import branching, chain, node, request
from outside_world import World, outside_world
from platform_stage import ENDED, Kill, Stage
from promises import broken_promises
from stage_ground import own_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE_S = 0.05
"""The time between two triggers: 20 a second."""

LOAD_MIN, LOAD_MAX = 120, 2000
"""Triggers of one test; the load goes on for as long as there are kills to come."""

PAUSE_S = (0.8, 1.8)
"""Between a victim's being ready and its end."""

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


async def must_hold_under_load(
    stage: Stage,
    world: World,
    prefix: str,
    chance: random.Random,
    kills: Callable[[], Coroutine[None, None, list[Kill]]],
) -> None:
    """Kill while triggers come in, let the rest run to its end, and judge."""
    load = Load(stage, chance, await deploy_all(stage, world, prefix))
    running = asyncio.create_task(load.run())
    try:
        evidence = await kills()
    finally:
        load.over.set()
        await running
    for kill in evidence:
        print(kill)
    assert sum(kill.hit and kill.open_executions > 0 for kill in evidence) >= 2, evidence
    await all_ended(stage, load.accepted)
    assert await broken_promises(stage, load.accepted, world) == []
    rows = await stage.rows(
        """
        select w.name, x.status, x.error_message, x.execution_id
          from engine.workflow_executions x join engine.workflows w on w.id = x.workflow_id
         where x.status <> 'SUCCESS' and w.name like $1
        """,
        f"{prefix}-%",
    )
    assert [dict(row) for row in rows] == [], "what was killed was to be taken up again"
    print(f"{len(load.accepted)} triggers accepted, {len(world.calls)} calls outside")


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


async def test_services_that_are_killed_lose_and_double_nothing(stage: Stage, world: World) -> None:
    chance = seeded()

    async def kills() -> list[Kill]:
        """Kill each service once and the two that run nodes once more, when they are ready."""
        victims = chance.sample(list(stage.names), 4) + chance.sample(["engine", "runner"], 2)
        evidence: list[Kill] = []
        for victim in victims:
            await stage.until_ready([victim])
            await asyncio.sleep(chance.uniform(*PAUSE_S))
            await until_busy(stage)
            evidence.append(await stage.kill(victim))
            stage.begin(victim)
        await stage.until_ready()
        return evidence

    await must_hold_under_load(stage, world, "services", chance, kills)


@pytest.fixture(scope="module")
def own_world() -> Generator[World]:
    """An outside world for the stage on servers of its own."""
    with outside_world() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_stage(own_world: World) -> AsyncGenerator[Stage]:
    """A platform on servers of its own."""
    async with (
        own_ground() as ground,
        Stage(ground, allow=(f"{own_world.host}:{own_world.port}",)) as made,
    ):
        yield made


@pytest.mark.parametrize("server", ["kafka", "postgres"])
async def test_a_server_that_is_killed_loses_and_doubles_nothing(
    own_stage: Stage, own_world: World, server: str
) -> None:
    chance = seeded()

    async def kills() -> list[Kill]:
        """Kill the server twice, the second time after it has served again for a while."""
        evidence: list[Kill] = []
        for _ in range(2):
            await asyncio.sleep(chance.uniform(*PAUSE_S))
            await until_busy(own_stage)
            evidence.append(await own_stage.kill_server(server))
            await own_stage.until_served(server)
            await own_stage.until_ready()
        return evidence

    await must_hold_under_load(own_stage, own_world, server, chance, kills)
