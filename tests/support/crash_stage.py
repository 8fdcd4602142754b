"""Kills a process of the platform at a named point, under load, and judges what came of it.

`Crash` is one such kill: some workflows are triggered, the process dies where it was told to,
is started again, and everything that was accepted has to end. Nothing else is stopped.
"""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from definitions_for_tests import branching, chain, node, request
from outside_world import World
from perdure_common.ids import partition_of
from perdure_contracts.shell import Resend, Unpark
from platform_stage import ENDED, PARTITIONS, PATIENT, Stage
from stage_ground import Ground

WORKFLOWS = ("branches", "inline", "flaky", "unsafe")
ROUND = ("branches", "inline", "flaky", "unsafe", "branches", "inline")
"""What one kill is staged under: a few of each, as they come."""

PARKS = {"before_park": 2, "after_park": 2, "after_unpark": 2}
"""Points that only a mistake of the core leads to: at which command it is made."""

NTH = {"before_commit": 3, "after_commit_before_publish": 2, "after_publish": 2}
"""Points that the engine passes often: which time is the last."""


@dataclass
class Crash:
    """One kill of `victim` at `place`."""

    stage: Stage
    world: World
    victim: str
    place: str
    accepted: dict[str, str] = field(default_factory=dict)

    async def happens(self) -> None:
        """Stage it, and wait until everything that was accepted has ended."""
        stage, victim = self.stage, self.victim
        assert await stage.end(victim) == 0, f"{victim} did not end in good order"
        if self.place == "before_wake":
            await self._wake_somebody()
        stage.begin(victim, self._fault())
        await self._run()
        await self._lead_there()
        await stage.until_killed(victim)
        stage.begin(victim)
        await stage.until_ready([victim])
        await self._end()

    def _fault(self) -> str:
        if self.place in PARKS:
            at = f"{self.victim}.while_deciding:fail@{PARKS[self.place]}"
            return f"{at},{self.victim}.{self.place}:kill"
        nth = NTH.get(self.place, 1) if self.victim == "engine" else 1
        return f"{self.victim}.{self.place}:kill@{nth}"

    async def _run(self) -> None:
        for name in ROUND:
            mark = str(uuid.uuid4())
            data = {"amount": 150, "customer": "gold", "mark": mark}
            self.accepted[await self.stage.trigger(name, data)] = mark

    async def _lead_there(self) -> None:
        """Do what the way to some places needs beside the load."""
        stage, victim = self.stage, self.victim
        if self.place in ("before_release", "after_release"):
            await stage.until_ready([victim])
            stage.processes[victim].terminate()
        elif self.place == "before_resend":
            message = Resend(shard="0", topic=f"perdure.{victim}.events.v1", partition=0, after=0)
            await stage.send(victim, await self._key_of_shard_0(), message)
        elif self.place == "after_unpark":
            await stage.until(self._parked, f"a parked stream of {victim}")
            await self._let_go()
        elif self.place == "after_lost":
            await stage.until(self._lose_a_claim, "a claim of the runner")

    async def _key_of_shard_0(self) -> str:
        return next(str(n) for n in range(100) if partition_of(str(n), PARTITIONS) == 0)

    async def _parked(self) -> list[Any]:
        return await self.stage.rows(f"select stream from {self.victim}.parked_stream")

    async def _let_go(self) -> None:
        """Let every parked stream go on, as a person does who has mended the mistake."""
        if self.victim == "runner":
            return
        for row in await self._parked():
            await self.stage.send(self.victim, row["stream"], Unpark(stream=row["stream"]))

    async def _age_leases(self) -> None:
        """Let the leases of runners that are dead run out."""
        await self.stage.rows(
            """
            update engine.node_claims set lease_until = now() - interval '1 second'
             where finished_at is null and runner not like $1
            """,
            f"%/{self.stage.processes['runner'].pid}",
        )

    async def _lose_a_claim(self) -> list[Any]:
        """Let a claim be that of a runner that died before it could say that it had answered."""
        return await self.stage.rows(
            """
            update engine.node_claims
               set finished_at = null, lease_until = now() - interval '1 second', runner = 'dead'
             where token in (select token from engine.node_claims limit 1) returning token
            """
        )

    async def _wake_somebody(self) -> None:
        """Let a wake of the service be due, while nobody is there to see it."""
        rows = await self.stage.rows(
            f"""
            insert into {self.victim}.wake (shard, stream, at)
            select shard, stream, now() from {self.victim}.journal order by seq desc limit 1
                on conflict (shard, stream) do update set at = now() returning stream
            """
        )
        assert rows, f"{self.victim} has done nothing yet"

    async def _end(self) -> None:
        let_go = asyncio.get_running_loop().time()

        async def ended() -> bool:
            nonlocal let_go
            await self._age_leases()
            if asyncio.get_running_loop().time() > let_go:
                await self._let_go()
                let_go += 1.0
            rows = await self._executions()
            return len(rows) == len(self.accepted) and all(r["status"] in ENDED for r in rows)

        await self.stage.until(ended, f"the end of {len(self.accepted)} executions")
        await self._judge()

    async def _executions(self) -> list[Any]:
        return await self.stage.rows(
            """
            select d.id, x.status, x.error_message, w.name
              from scheduler.trigger_deliveries d,
                   jsonb_array_elements_text(d.executions) as started (id)
              join engine.workflow_executions x on x.execution_id = started.id
              join engine.workflows w on w.id = x.workflow_id
             where d.id = any ($1)
            """,
            list(self.accepted),
        )

    async def _judge(self) -> None:
        """What may run twice succeeds; what may not has run once at most, and says if it failed."""
        rows = await self._executions()
        failed = [dict(r) for r in rows if r["status"] != "SUCCESS" and r["name"] != "unsafe"]
        assert failed == [], "what was killed was to be taken up again"
        calls = Counter(call.body["mark"] for call in self.world.to("/ok?unsafe"))
        twice = [mark for mark in self.accepted.values() if calls[mark] > 1]
        assert twice == [], "an effect that may not happen twice did"
        for row in rows:
            if row["name"] == "unsafe" and row["status"] == "SUCCESS":
                assert calls[self.accepted[row["id"]]] == 1, "recorded as done but never done"


async def deploy_all(stage: Stage, world: World) -> None:
    """Deploy the workflows of `ROUND`."""
    steps = [node(f"step{n}", "ACTION.SET", values={"n": n}) for n in range(2)]
    once = request("post", world.url("/ok?unsafe"), json="{{ {mark: $json.mark} }}")
    del once["parameters"]["idempotency_header"]
    for definition in (
        branching("branches", world.url("/ok")),
        chain("inline", *steps),
        chain("flaky", request("ask", world.url("/flaky/1"), json={})),
        chain("unsafe", once),
    ):
        await stage.deploy(definition)


@asynccontextmanager
async def crash_stage(ground: Ground, world: World, **settings: str) -> AsyncGenerator[Stage]:
    """A platform with the workflows of `ROUND`."""
    allow = (f"{world.host}:{world.port}",)
    async with Stage(ground, allow=allow, settings={**PATIENT, **settings}) as stage:
        await deploy_all(stage, world)
        yield stage
