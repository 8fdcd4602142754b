"""A year of clocks in several zones: schedulers die all the time, and each firing happens once.

Two and three replicas in memory and in virtual time. Each is killed sooner or later, many of them
when a firing is in the journal and its start is not in Kafka yet; then all of them, for most of a
day. What has been asked of the engine at the end is what a look at the clocks on the wall says.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import virtual_time
from cron_oracle import expected
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.ids import derived, sha256_of_json
from perdure_common.shell.codec import encode_body, header
from perdure_common.shell.ports import Outbound
from perdure_contracts.engine import StartExecution
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import DeployWorkflow
from perdure_scheduler.app import service
from tally import PARTITIONS, Memory, Process, Stage
from virtual_time import BEGIN

COMMANDS, STARTS = "perdure.scheduler.commands.v1", "perdure.engine.starts.v1"
START = NAMES[StartExecution].encode()

CLOCKS = (
    ("Europe/Berlin", "30 2 * * *"),
    ("America/New_York", "*/30 1 * * *"),
    ("Australia/Lord_Howe", "15 2,14 * * *"),
    ("Africa/Casablanca", "0 */8 * * *"),
    ("UTC", "59 23 L * *"),
)
MONTHS = range(1, 13)
MONTH = timedelta(days=31)
"""How long each of them is played: what lies before grows, and takes longer to be read again."""

ALONE = timedelta(hours=20)
"""The longest time without anybody: below the day within which `fire_all` makes up for firings."""


class Mortal:
    """A replica whose end can be waited for: it comes when it is to send a start of a firing."""

    def __init__(self, stage: Stage, *, dies: bool) -> None:
        self.at_the_point = asyncio.Event()
        self.bus = stage.bus("mortal")
        self._send = self.bus.send
        if dies:
            setattr(self.bus, "send", self._hangs)  # noqa: B010
        self.process: Process = stage.process(service, bus=self.bus)

    async def _hangs(self, records: Sequence[Outbound]) -> Any:
        if any(header(each.headers, "ce_type") == START for each in records):
            self.at_the_point.set()
            await asyncio.Event().wait()  # until it is killed
        return await self._send(records)


def ground() -> Memory:
    topics = (
        *(COMMANDS, f"{COMMANDS}.dlt", "perdure.scheduler.events.v1", STARTS),
        *("perdure.engine.commands.v1", "perdure.triggers.v1", "perdure.triggers.v1.dlt"),
    )
    broker = MemoryBroker(dict.fromkeys(topics, PARTITIONS))
    return Memory(broker, {"scheduler": MemoryStore("scheduler")})


async def deploy(stage: Stage, zone: str, expression: str) -> None:
    parameters = {"expression": expression, "timezone": zone, "overlap": "allow"}
    clock = {"node_id": "clock", "node_type": "TRIGGER", "node_subtype": "CRON"}
    node = {**clock, "parameters": {**parameters, "misfire": "fire_all"}}
    whole = {"name": zone, "nodes": [node]}
    workflow_id = derived("clock", zone)
    message = DeployWorkflow(
        workflow_id=workflow_id, version=1, sha256=sha256_of_json(whole), definition=whole
    )
    kind = NAMES[DeployWorkflow]
    await stage.put(COMMANDS, workflow_id, encode_body(message), f"deploy {zone}", kind=kind)


def asked(memory: Memory) -> dict[str, list[datetime]]:
    """Return what was asked of the engine by workflow; one execution's start counts once."""
    found: dict[str, dict[str, Any]] = {}
    for record in memory.broker.records(STARTS):
        if header(record.headers, "ce_type") == START:
            start = json.loads(record.value)
            assert found.setdefault(start["execution_id"], start) == start
    times: dict[str, list[datetime]] = {}
    for start in found.values():
        at = datetime.fromisoformat(start["data"]["scheduled_at"])
        times.setdefault(start["workflow_id"], []).append(at)
    return {name: sorted(each) for name, each in times.items()}


@pytest.mark.parametrize("replicas", [2, 3])
def test_a_year_of_deaths_fires_exactly_what_is_due(replicas: int) -> None:
    deaths: list[int] = []
    for month in MONTHS:
        with patch.object(virtual_time, "BEGIN", BEGIN.replace(month=month)):
            deaths.append(virtual_time.run(_a_month(replicas, month)))
    assert min(deaths) > 5 and sum(deaths) > 100


async def _a_month(replicas: int, month: int) -> int:
    """Play a month; return how many died with a firing in the journal alone."""
    memory, chance = ground(), random.Random(replicas * 100 + month)
    stage = memory.stage()
    living = [Mortal(stage, dies=False) for _ in range(replicas)]
    for zone, expression in CLOCKS:
        await deploy(stage, zone, expression)
    async with asyncio.timeout(60):
        while len(await stage.rows("scheduler", "trigger_index")) < len(CLOCKS):
            await asyncio.sleep(0.1)
    begin, deaths = virtual_time.now(), 0
    while virtual_time.now() < begin + MONTH:
        # One that dies at a firing joins; another one goes, so that it has something to do.
        living.append(Mortal(stage, dies=True))
        await living.pop(0).process.crash(memory)
        await asyncio.sleep(chance.uniform(2, 20))
        for each in [each for each in living if each.at_the_point.is_set()]:
            living.remove(each)
            await each.process.crash(memory)
            deaths += 1
            living.append(Mortal(stage, dies=False))
            await asyncio.sleep(chance.uniform(2, 10))
        for each in living:
            await each.process.crash(memory)
        await asyncio.sleep(chance.uniform(0.5, 1.0) * ALONE.total_seconds())
        living = [Mortal(stage, dies=chance.random() < 0.5) for _ in range(replicas)]
        await asyncio.sleep(chance.uniform(2, 20))
    for each in living:
        await each.process.crash(memory)
    last = Mortal(stage, dies=False)
    await asyncio.sleep(120)
    until = virtual_time.now() - timedelta(seconds=60)
    await last.process.end()
    found = asked(memory)
    for zone, expression in CLOCKS:
        times = [at for at in found.get(derived("clock", zone), ()) if at <= until]
        assert times == expected(expression, zone, begin, until), (zone, month)
    return deaths
