"""Random executions, loops in loops, on real servers: killed between any two steps, then replayed.

The engine and the runner are always on their way to a named point at which they die by SIGKILL;
which, and at which time, chance decides. At the end everything is stopped and compared: the
tables with the journal, snapshots with it, and each execution with the specification.
"""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from random import Random

import pytest
import pytest_asyncio
from crash_stage import crash_stage
from outside_world import World
from perdure_common.embedded import Addresses
from platform_stage import ENDED, PARTITIONS, Stage
from promises import broken_promises, until_settled
from random_ground import Randoms
from stage_ground import shared_ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKFLOWS, KILLS = 40, 20
EXECUTIONS = (80, 500)
"""At least, and at most if the kills take longer."""

OPEN_MAX = 6
"""Executions that are under way at once: few, so that a batch has few steps."""

PLACES = {
    "engine": (
        "before_commit",
        "after_commit_before_publish",
        "during_publish",
        "after_publish",
        "after_hand_over",
        "before_effect",
        "after_effect",
        "before_flush",
    ),
    "runner": ("before_effect", "after_effect", "during_publish", "after_answer_before_offset"),
}
"""Where they die: points between two steps of an execution."""

NTH_MAX = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ready(servers: Addresses, world: World) -> AsyncGenerator[Stage]:
    """The platform; its processes are forked, for there are many."""
    async with shared_ground(servers) as ground, crash_stage(ground, world) as stage:
        yield stage


def fault(chance: Random, victim: str) -> str:
    """Return where and when a process is to die next."""
    return f"{victim}.{chance.choice(PLACES[victim])}:kill@{chance.randint(1, NTH_MAX)}"


async def test_random_executions_that_were_killed_between_steps_are_what_their_journals_say(
    ready: Stage, world: World
) -> None:
    seed = os.environ.get("PERDURE_TEST_SEED") or str(secrets.randbelow(1_000_000))
    print(f"seed {seed}: repeat with PERDURE_TEST_SEED={seed}")
    chance = Random(seed)
    randoms = Randoms(ready, world, chance)
    await randoms.deploy(WORKFLOWS)
    for victim in PLACES:
        assert await ready.end(victim) == 0
        ready.begin(victim, fault(chance, victim))
    kills = dict.fromkeys(PLACES, 0)
    while True:
        least, most = EXECUTIONS
        over = len(randoms.asked) >= (least if sum(kills.values()) >= KILLS else most)
        still = len(randoms.asked) - await ended(ready, list(randoms.asked))
        if over and still == 0:
            break
        if not over and still < OPEN_MAX:
            await randoms.trigger()
        for victim in PLACES:
            code = ready.processes[victim].poll()
            if code is not None:
                assert code == -signal.SIGKILL, ready.complaints()
                kills[victim] += 1
                more = sum(kills.values()) < KILLS
                ready.begin(victim, fault(chance, victim) if more else "")
        await asyncio.sleep(0.03)
    print(f"killed {kills}")
    assert min(kills.values()) > 0 and sum(kills.values()) >= KILLS, kills
    for victim in PLACES:  # none is to die while it is judged
        assert await ready.end(victim) in (0, -signal.SIGKILL)
        ready.begin(victim)
    await ready.until_ready()
    await until_settled(ready)
    assert await broken_promises(ready, list(randoms.asked), world) == []
    for name in ready.names:
        assert await ready.end(name) == 0
    checked = await replay_check(ready)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert await randoms.differing() == []
    print(randoms.seen)
    assert all(randoms.seen[kind] > 0 for kind in ("loop", "foreach", "each"))


async def ended(stage: Stage, accepted: list[str]) -> int:
    """Return how many accepted events' executions have ended."""
    [row] = await stage.rows(
        """
        select count(*) as n
          from scheduler.trigger_deliveries d,
               jsonb_array_elements_text(d.executions) as started (id)
          join engine.workflow_executions x on x.execution_id = started.id
         where d.id = any ($1) and x.status = any ($2)
        """,
        accepted,
        list(ENDED),
    )
    return int(row["n"])


async def replay_check(stage: Stage) -> subprocess.CompletedProcess[str]:
    """Run `perdure replay --check` on everything."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PERDURE_")}
    env |= {
        "PERDURE_DATABASE_URL": stage.ground.database_url,
        "PERDURE_KAFKA_BOOTSTRAP": stage.ground.kafka_bootstrap,
        "PERDURE_TOPIC_PREFIX": stage.ground.prefix,
        "PERDURE_PARTITIONS": str(PARTITIONS),
    }
    command = [sys.executable, "-m", "perdure_cli.main", "replay", "--check"]
    return await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, check=False
    )
