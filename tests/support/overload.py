"""More comes than the platform can take: floods it with triggers, and watches what it holds.

`Flood` publishes faster than executions end, up to a backlog; `Watch` measures what every
process has in memory and when the engine lets new starts wait; `Held` are executions that were
open before, whose results and cancels have to come through. Used by the suite and by chaos.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import psutil
from definitions_for_tests import chain, node, request
from outside_world import World
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.adapters.kafka_reader import BUFFER_BYTES
from perdure_common.shell.ports import Outbound, Unreachable
from perdure_common.shell.pressure import FETCH_MAX, MB, Limits
from perdure_contracts.cloudevents import encode
from perdure_contracts.engine import CancelExecution
from perdure_contracts.publish import TRIGGERS, make_event
from platform_stage import ENDED, MANUAL, SOURCE, Stage
from prometheus_client.parser import text_string_to_metric_families

MEMORY_MB = 64
"""What each service may hold in these runs: little, so that the limit is met soon."""

PAD_BYTES = 3_000
"""What a trigger carries beside its mark."""

BATCH = 250
"""Triggers that are published at once."""

BACKLOG_MAX = 2_000
"""Triggers that may be under way: no more are published until some have ended."""

THINK = "{{ $json.pad.split('').map(c => c + c).filter(c => c === 'xx').length }}"
"""What takes a step of the engine a millisecond or more: a load is above capacity by its work."""

SAMPLE_S = 0.3
WORKFLOWS = {"think": 14, "ran": 4, "post": 2}
"""What the flood starts, with weights: steps of the engine, of a runner, and of the world."""

STARTS = "perdure.engine.starts.v1"


async def deploy_all(stage: Stage, world: World) -> None:
    """Deploy what the flood starts, and what is held open."""
    think = [node(f"count{n}", "ACTION.SET", values={f"n{n}": THINK}) for n in range(2)]
    ran = {**node("step", "FLOW.NOOP"), "run_in": "runner"}
    post = request("post", world.url("/ok"), json="{{ {mark: $json.mark} }}")
    gate = request("wait", world.url("/gate"), json="{{ {mark: $json.mark} }}", timeout_s=110)
    for definition in (
        chain("think", *think),
        chain("ran", ran),
        chain("post", post),
        chain("held", gate),
    ):
        await stage.deploy(definition)


@dataclass
class Flood:
    """Publishes triggers until it is told to stop. `accepted` are the acknowledged ones' ids."""

    stage: Stage
    chance: Random
    accepted: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    refused: int = 0

    async def run(self) -> None:
        """Publish; what was not acknowledged is published again under the same id."""
        ground = self.stage.ground
        bus = KafkaBus(ground.kafka_bootstrap, "flood", ground.prefix)
        try:
            partitions = await bus.partitions(TRIGGERS)
            while not self.over.is_set():
                if len(self.accepted) - await self.ended() > BACKLOG_MAX:
                    await asyncio.sleep(0.1)
                    continue
                await self._publish(bus, [self._record(n % partitions) for n in range(BATCH)])
        finally:
            await bus.close()

    async def ended(self) -> int:
        """Return how many executions have ended."""
        [row] = await self.stage.rows(
            "select count(*) as n from engine.workflow_executions where status = any ($1)",
            list(ENDED),
        )
        return int(row["n"])

    def _record(self, partition: int) -> tuple[str, Outbound]:
        names, weights = list(WORKFLOWS), list(WORKFLOWS.values())
        name: str = self.chance.choices(names, weights)[0]
        mark = str(uuid.UUID(int=self.chance.getrandbits(128)))
        data = {"mark": mark, "pad": "x" * PAD_BYTES}
        headers, value = encode(make_event(MANUAL, name, data, id=mark, source=SOURCE))
        return mark, Outbound(TRIGGERS, partition, value, name.encode(), headers)

    async def _publish(self, bus: KafkaBus, events: list[tuple[str, Outbound]]) -> None:
        while events:
            try:
                results = await bus.send([record for _, record in events])
            except Unreachable:
                results = [TimeoutError()] * len(events)
            pairs = list(zip(events, results, strict=True))
            self.accepted.extend(event_id for (event_id, _), error in pairs if error is None)
            events = [event for event, error in pairs if error is not None]
            self.refused += len(events)
            if events:
                await asyncio.sleep(0.2)


@dataclass
class Watch:
    """What was seen of the processes: megabytes at rest and at most, and the engine's figures."""

    stage: Stage
    idle: dict[str, float] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)
    samples: int = 0
    paused: int = 0
    queued_bytes: float = 0.0
    lag: float = 0.0

    def weigh(self) -> dict[str, float]:
        """Return the megabytes that each service has in memory now."""
        found: dict[str, float] = {}
        for name, process in self.stage.processes.items():
            try:
                found[name] = psutil.Process(process.pid).memory_info().rss / MB
            except psutil.NoSuchProcess:
                continue
        return found

    async def run(self) -> None:
        """Look until cancelled."""
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            while True:
                for name, mb in self.weigh().items():
                    self.most[name] = max(self.most.get(name, 0.0), mb)
                figures = await figures_of(client, self.stage.ports["engine"])
                if figures:
                    self.samples += 1
                    self.paused += bool(figures.get("perdure_starts_paused"))
                    queued = figures.get("perdure_starts_queued_bytes", 0.0)
                    self.queued_bytes = max(self.queued_bytes, queued)
                    self.lag = max(self.lag, figures.get(STARTS, 0.0))
                await asyncio.sleep(SAMPLE_S)

    def too_large(self) -> dict[str, str]:
        """Return the processes that held more than their settings let them."""
        above = MEMORY_MB + BUFFER_BYTES / MB
        return {
            name: f"{most:.0f} MB, {self.idle[name]:.0f} at rest, {above:.0f} more allowed"
            for name, most in self.most.items()
            if most > self.idle[name] + above
        }

    def queue_max(self) -> float:
        """Return what the starts that wait in the engine may weigh: the limit, and one fetch."""
        return Limits.of(MEMORY_MB).waiting + FETCH_MAX * 2.0 * PAD_BYTES

    def __str__(self) -> str:
        """What was seen, in a line."""
        memory = ", ".join(
            f"{name} {self.idle[name]:.0f}→{most:.0f} MB" for name, most in self.most.items()
        )
        return (
            f"starts paused in {self.paused} of {self.samples} samples, at most "
            f"{self.lag:,.0f} starts behind and {self.queued_bytes / MB:.1f} MB queued; {memory}"
        )


async def figures_of(client: httpx.AsyncClient, port: int) -> dict[str, float]:
    """Return the figures of a process by metric, and how far it is behind by topic."""
    try:
        text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    except httpx.HTTPError:
        return {}
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.labels.get("topic", sample.name)] = sample.value
    return found


@dataclass
class Held:
    """Executions that were open before the flood: some are cancelled in it, some answered."""

    stage: Stage
    world: World
    ids: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    async def begin(self, count: int) -> None:
        """Start executions, and wait until each of them waits for the world."""
        for n in range(count):
            self.accepted.append(await self.stage.trigger("held", {"mark": f"held-{n}"}))

        async def waiting() -> bool:
            return len(self.world.to("/gate")) >= count

        await self.stage.until(waiting, "calls that wait")
        rows = [row for each in self.accepted for row in await self.stage.executions_of(each)]
        self.ids = [row["execution_id"] for row in rows]
        assert len(self.ids) == count

    async def come_through(self) -> dict[str, int]:
        """Cancel half, let the world answer the others; wait for all ends, and count them.

        Everything that was in `engine.starts` when this was called is behind them in time.
        """
        half = len(self.ids) // 2
        for execution_id in self.ids[:half]:
            cancel = CancelExecution(execution_id=execution_id, reason="enough")
            await self.stage.send("engine", execution_id, cancel)

        async def canceled() -> bool:
            return len(await self._with("CANCELED")) == half

        await self.stage.until(canceled, "cancelled executions")
        self.world.gate.set()

        async def answered() -> bool:
            return len(await self._with("SUCCESS")) == len(self.ids) - half

        await self.stage.until(answered, "answered executions")
        return {"CANCELED": half, "SUCCESS": len(self.ids) - half}

    async def _with(self, status: str) -> Sequence[Any]:
        return await self.stage.rows(
            "select 1 from engine.workflow_executions "
            "where execution_id = any ($1) and status = $2",
            self.ids,
            status,
        )


@asynccontextmanager
async def flooded(flood: Flood) -> AsyncGenerator[Flood]:
    """Let a flood come in for as long as the block lasts; what is on its way is waited for."""
    task = asyncio.create_task(flood.run())
    try:
        yield flood
        flood.over.set()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def watched(stage: Stage) -> AsyncGenerator[Watch]:
    """Watch for as long as the block lasts."""
    watch = Watch(stage)
    watch.idle = watch.weigh()
    task = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def starts_begun(stage: Stage) -> int:
    """Return how many executions have begun."""
    [row] = await stage.rows("select count(*) as n from engine.workflow_executions")
    return int(row["n"])


async def not_once(stage: Stage, accepted: Sequence[str]) -> list[str]:
    """Return what is wrong with the executions of accepted triggers: each has one, that ended."""
    rows = await stage.rows(
        """
        select a.id, count(x.execution_id) as n, min(x.status) as status,
               min(x.error_message) as error
          from unnest($1::text[]) as a (id)
          left join scheduler.trigger_deliveries d on d.id = a.id
          left join lateral jsonb_array_elements_text(d.executions) as started (id) on true
          left join engine.workflow_executions x on x.execution_id = started.id
         group by a.id
        having count(x.execution_id) <> 1 or min(x.status) <> 'SUCCESS'
        """,
        list(accepted),
    )
    found = [f"{row['id']}: {row['n']} executions, {row['status']} {row['error']}" for row in rows]
    begun = await stage.rows(
        """
        select count(*) as n, count(distinct stream) as streams
          from engine.journal where type = 'engine.execution-started.v1'
        """
    )
    if begun[0]["n"] != begun[0]["streams"]:
        found.append(f"{begun[0]['n']} began, {begun[0]['streams']} were to")
    return found


async def until_drained(stage: Stage, count: int, limit_s: float) -> float:
    """Wait until `count` executions have ended; return how long that took, in seconds.

    That may take as long as it does on this machine, but something has to end every `limit_s`.
    """
    began = since = time.monotonic()
    most = -1
    while True:
        rows = await stage.rows(
            "select count(*) as n from engine.workflow_executions where status = any ($1)",
            list(ENDED),
        )
        ended = int(rows[0]["n"])
        now = time.monotonic()
        if ended >= count:
            return now - began
        if ended > most:
            most, since = ended, now
        told = f"{ended} of {count} executions have ended, and no other for {limit_s:.0f} s"
        assert now - since < limit_s, f"{told}\n{stage.complaints()}"
        await asyncio.sleep(0.1)
