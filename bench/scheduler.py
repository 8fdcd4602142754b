"""How fast triggers are: looked up among many, from topic to execution, and many clocks at once.

Starts a platform of its own in a folder that is removed at the end: real PostgreSQL (fsync on) and
Kafka, all services, all tables written. The index has many triggers of others beside those that
fire. An execution has started when its `execution-started` event is on the engine's topic; it
runs one inline step. The load shares the machine.

    QUICK=1 python -m bench.scheduler

A short look measures each figure for two seconds, has 25,000 triggers of others, lets 2,000 clocks
fire in one second, and takes webhooks on the same servers; the whole one has 100,000, lets
50,000 fire, and starts other servers for webhooks, so that nothing else is in their way.
"""

import asyncio
import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from perdure_cli import platform
from perdure_cli.client import Client
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.ids import sha256_of_json
from perdure_common.settings import DEFAULT_TENANT
from perdure_contracts.engine import ExecutionCompleted, ExecutionStarted, SaveWorkflow
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import DeployWorkflow, ReceiveTrigger
from perdure_scheduler.facts import trigger_facts
from perdure_scheduler.state import Trigger
from rich.console import Console
from rich.table import Table

from bench import machine, stack
from bench.load import percentile
from bench.scheduler_webhooks import webhooks, webhooks_here
from bench.stack import MEASURE_S, QUICK, WARM_S

SECONDS = 2.0 if QUICK else MEASURE_S
ROWS = 25_000 if QUICK else 100_000
CLOCKS = 2_000 if QUICK else 50_000
CLOCKS_EACH = 25
"""CRON nodes of one workflow: they are streams of their own, as if of as many workflows."""

DEPLOYING_S = 5 if QUICK else 300
"""How long deploying all of them may take; then they are due."""

AT_ONCE = 8
"""Workflows that are deployed side by side."""

LOOKUPS = 2_000
MOST = 1_500
"""Events under way at saturation."""

TYPE = "bench.event"
TRIGGERS = "perdure.triggers.v1"
EVENTS = "perdure.engine.events.v1"
STARTED, ENDED = NAMES[ExecutionStarted].encode(), NAMES[ExecutionCompleted].encode()
DATA = json.dumps({"customer": "c-1", "text": "x" * 370}).encode()

FILL = """
    INSERT INTO scheduler.trigger_index (
        id, tenant_id, workflow_id, workflow_name, deployment_version, node_id, position,
        trigger_type, trigger_subtype, index_key, deployment_status, is_active
    ) SELECT gen_random_uuid(), $1, gen_random_uuid(), 'workflow ' || n, 1, 'start', 0, 'TRIGGER',
        (ARRAY['WEBHOOK', 'GITHUB', 'KAFKA', 'EMAIL', 'MANUAL'])[1 + n % 5],
        CASE WHEN n % 5 = 2 THEN 'perdure.triggers.v1/' ELSE 'key/' END || n,
        CASE WHEN n % 4 = 0 THEN 'inactive' ELSE 'active' END, n % 7 <> 0
    FROM generate_series(1, $2) AS n
"""


@dataclass
class Ear:
    """Hears executions begin; `begun` has when each trigger event's did, by the event's id."""

    bootstrap: str
    partitions: int

    def __post_init__(self) -> None:
        """Listen from now on."""
        self.sent: dict[str, float] = {}
        self.latencies_s: list[float] = []
        self.count = self.ended = 0
        self._in = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "bench-triggers",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
            }
        )
        places: list[TopicPartition] = []
        for partition in range(self.partitions):
            bounds = self._in.get_watermark_offsets(TopicPartition(EVENTS, partition), timeout=10.0)
            assert bounds is not None
            places.append(TopicPartition(EVENTS, partition, bounds[1]))
        self._in.assign(places)
        self.listen(1.0)

    def listen(self, wait_s: float) -> None:
        """Take the events that are there; wait for the first one up to `wait_s`."""
        first = self._in.poll(wait_s)
        if first is None:
            return
        self._hear(first)
        for message in self._in.consume(5_000, timeout=0):
            self._hear(message)

    def _hear(self, message: Message) -> None:
        kind = next((raw for key, raw in message.headers() or () if key == "ce_type"), None)
        self.ended += kind == ENDED
        if kind != STARTED:
            return
        self.count += 1
        if self.sent:
            began = self.sent.pop(_event_of(message.value() or b""), None)
            if began is not None:
                self.latencies_s.append(time.perf_counter() - began)

    def close(self) -> None:
        """Stop listening."""
        self._in.close()


def _event_of(body: bytes) -> str:
    """Return the id of the trigger event that an execution was started by."""
    trigger: Any = json.loads(body).get("trigger") or {}
    return str(trigger.get("id", ""))


class Load:
    """Sends trigger events of a type that one workflow listens to, and hears what they start."""

    def __init__(self, running: platform.Running, partitions: int) -> None:
        self.ear = Ear(running.kafka_bootstrap, partitions)
        self._partitions = partitions
        self._run = uuid.uuid4().hex[:8]
        self._sent = 0
        self._out = Producer(
            {
                "bootstrap.servers": running.kafka_bootstrap,
                "acks": "all",
                "linger.ms": 0,
                "queue.buffering.max.messages": 100_000,
            }
        )

    def send(self, count: int) -> None:
        """Send `count` events together."""
        at = datetime.now(UTC).isoformat().encode()
        for _ in range(count):
            self._sent += 1
            event_id = f"{self._run}-{self._sent}"
            self._out.produce(
                TRIGGERS,
                DATA,
                event_id.encode(),
                self._sent % self._partitions,
                headers=[
                    ("ce_specversion", b"1.0"),
                    ("ce_id", event_id.encode()),
                    ("ce_source", b"/bench"),
                    ("ce_type", TYPE.encode()),
                    ("ce_time", at),
                    ("content-type", b"application/json"),
                ],
            )
            self.ear.sent[event_id] = time.perf_counter()
        self._out.poll(0)

    def saturate(self) -> float:
        """Keep `MOST` events under way; return how many executions began each second."""
        begin = time.perf_counter() + WARM_S
        started, counted = 0.0, 0
        while True:
            now = time.perf_counter()
            if not started and now >= begin:
                started, counted = now, self.ear.count
            if started and now >= started + SECONDS:
                rate = (self.ear.count - counted) / (now - started)
                self.drain()
                return rate
            if MOST - len(self.ear.sent) >= 250:
                self.send(250)
            else:
                time.sleep(0.004)
            self.ear.listen(0)

    def paced(self, per_s: float) -> list[float]:
        """Send at a rate; return the sorted seconds from sending to the execution's start."""
        began, sent = time.perf_counter(), 0
        self.ear.latencies_s.clear()
        while (now := time.perf_counter() - began) < SECONDS + 1.0:
            due = int(now * per_s) - sent
            if due > 0 and len(self.ear.sent) < 2 * per_s:
                self.send(due)
                sent += due
            self.ear.listen(0.001)
        self.drain()
        return sorted(self.ear.latencies_s[int(per_s) :])  # without the first second

    def drain(self) -> None:
        """Wait until everything that was sent has begun and ended: the next figure starts anew.

        Raises:
            TimeoutError: Something does not begin, or does not end.
        """
        limit = time.perf_counter() + 60.0
        while self.ear.sent or self.ear.ended < self.ear.count:
            if time.perf_counter() > limit:
                open_ = self.ear.count - self.ear.ended
                raise TimeoutError(f"{len(self.ear.sent)} start nothing, {open_} do not end")
            self.ear.listen(0.1)

    def close(self) -> None:
        """Disconnect."""
        self._out.flush(5.0)
        self.ear.close()


def definition(name: str, triggers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a workflow with triggers and one step that does nothing."""
    step = {"node_id": "step", "node_type": "FLOW", "node_subtype": "NOOP"}
    edges = [{"source_node_id": each["node_id"], "target_node_id": "step"} for each in triggers]
    return {"name": name, "nodes": [*triggers, step], "connections": edges}


async def deploy(client: Client, whole: dict[str, Any]) -> None:
    """Save a workflow and let it serve."""
    workflow_id = str(uuid.uuid4())
    saved = SaveWorkflow(workflow_id=workflow_id, definition=whole, saved_by="bench")
    await client.command("engine", workflow_id, saved)
    message = DeployWorkflow(
        workflow_id=workflow_id, version=1, sha256=sha256_of_json(whole), definition=whole
    )
    await client.command("scheduler", workflow_id, message)


async def prepare(running: platform.Running) -> None:
    """Fill the index, and deploy the workflow that events start."""
    connection = await asyncpg.connect(running.database_url)
    try:
        await connection.execute(FILL, DEFAULT_TENANT, ROWS)
        await connection.execute("VACUUM ANALYZE scheduler.trigger_index")
    finally:
        await connection.close()
    listening = {
        "node_id": "start", "node_type": "TRIGGER", "node_subtype": "KAFKA",
        "parameters": {"type": TYPE},
    }  # fmt: skip
    async with Client(running) as client:
        await deploy(client, definition("events", [listening]))


async def lookups(url: str, count: int) -> list[float]:
    """Look triggers up as the scheduler does, one after the other; return the sorted seconds."""
    store = PostgresStore(url, "scheduler", connections=1)
    seconds: list[float] = []
    try:
        for n in range(1, count + 1):
            command = ReceiveTrigger(
                tenant_id=DEFAULT_TENANT, source="/bench", event_id=str(n), time=None, data=None,
                event_type="perdure.trigger.webhook", subject=f"key/{n * 37 % ROWS}",
            )  # fmt: skip
            asked = list(trigger_facts(Trigger(), command).values())
            began = time.perf_counter()
            await store.look_up(DEFAULT_TENANT, asked)
            seconds.append(time.perf_counter() - began)
    finally:
        await store.close()
    return sorted(seconds[count // 10 :])  # without those that meet cold caches


async def deploy_clocks(running: platform.Running, due: datetime) -> None:
    """Deploy `CLOCKS` clocks that are due at one instant."""
    expression = f"{due.second} {due.minute} {due.hour} {due.day} {due.month} *"
    clocks = [
        {
            "node_id": f"c{n}", "node_type": "TRIGGER", "node_subtype": "CRON",
            "parameters": {"expression": expression, "overlap": "allow"},
        }
        for n in range(CLOCKS_EACH)
    ]  # fmt: skip
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(client: Client, n: int) -> None:
        async with turn:
            await deploy(client, definition(f"clocks {n}", clocks))

    async with Client(running) as client:
        await asyncio.gather(*(one(client, n) for n in range(CLOCKS // CLOCKS_EACH)))


async def served(running: platform.Running) -> int:
    """Return how many clocks wait for their instant."""
    connection = await asyncpg.connect(running.database_url)
    try:
        sql = "SELECT count(*) FROM scheduler.trigger_index WHERE next_fire_at IS NOT NULL"
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()


def burst(running: platform.Running, partitions: int) -> tuple[float, list[float]]:
    """Return how long it takes until all clocks of one instant have started their executions.

    Beside it triggers are looked up; their sorted seconds come too.
    """
    due = (datetime.now(UTC) + timedelta(seconds=DEPLOYING_S)).replace(microsecond=0)
    asyncio.run(deploy_clocks(running, due))
    while asyncio.run(served(running)) < CLOCKS:
        if datetime.now(UTC) > due:
            raise TimeoutError("the clocks were not deployed in time; take fewer")
        time.sleep(0.5)
    ear = Ear(running.kafka_bootstrap, partitions)
    time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
    beside: list[float] = []

    def look() -> None:
        beside.extend(asyncio.run(lookups(running.database_url, LOOKUPS)))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        while ear.count < CLOCKS:
            ear.listen(0.1)
            if (datetime.now(UTC) - due).total_seconds() > 300:
                raise TimeoutError(f"{CLOCKS - ear.count} clocks have started nothing")
        took = (datetime.now(UTC) - due).total_seconds()
    finally:
        looking.join()
        ear.close()
    return took, beside


def measure(running: platform.Running) -> dict[str, float]:
    """Return every figure."""
    partitions = int(os.environ.get("PERDURE_PARTITIONS") or 8)
    asyncio.run(prepare(running))
    found = asyncio.run(lookups(running.database_url, LOOKUPS))
    result = {"lookup_p99_ms": percentile(found, 0.99)}
    load = Load(running, partitions)
    groups = machine.processes(running)
    try:
        result["trigger_alone_p50_ms"] = percentile(load.paced(20), 0.5)
        before, counted = machine.cpu_s(groups), load.ear.count
        result["trigger_events_per_s"] = load.saturate()
        after, events = machine.cpu_s(groups), load.ear.count - counted
        spent = {name: (after[name] - before[name]) / events * 1e6 for name in after}
        told = ", ".join(f"{name} {us:.0f}" for name, us in sorted(spent.items()))
        print(f"CPU µs per event: {sum(spent.values()):.0f} ({told})", flush=True)
        result["cpu_us_per_event"] = sum(spent.values())
        result["scheduler_cpu_us_per_event"] = spent["scheduler"]
        latencies = load.paced(result["trigger_events_per_s"] / 2)
        result["trigger_p50_ms"] = percentile(latencies, 0.5)
        result["trigger_p99_ms"] = percentile(latencies, 0.99)
    finally:
        load.close()
    result["cron_burst_s"], beside = burst(running, partitions)
    result["lookup_in_burst_p99_ms"] = percentile(beside, 0.99)
    result["rss_mb"] = machine.pss_mb({"scheduler": groups["scheduler"]})["scheduler"]
    return {name: round(value, 2) for name, value in result.items()}


MEANING = {
    "lookup_p99_ms": f"a trigger found among {ROWS:,}, one after the other",
    "trigger_alone_p50_ms": "an event on the trigger topic to its execution's start, 20 a second",
    "cpu_us_per_event": "CPU of all processes and the load, at saturation",
    "scheduler_cpu_us_per_event": "of these the scheduler's",
    "trigger_events_per_s": "at saturation: an event on the trigger topic to its execution's start",
    "trigger_p50_ms": "the same at half that rate, from sending to the start",
    "trigger_p99_ms": "the same, 99th percentile",
    "cron_burst_s": f"until {CLOCKS:,} clocks of one second have started their executions",
    "lookup_in_burst_p99_ms": "a trigger found meanwhile",
    "webhook_requests_per_s": "signed requests verified, kept and answered (scheduler_webhooks)",
    "webhook_p50_ms": "the same at half that rate",
    "webhook_p99_ms": "the same, 99th percentile",
    "rss_mb": "MiB of the scheduler's process at the end (PSS)",
}


def main() -> int:
    """Run the benchmark."""
    before = machine.about()
    with stack.servers():
        names = platform.with_engines(platform.SERVICES, stack.ENGINES)
        with stack.services(names) as running:
            time.sleep(1.0)
            result = measure(running)
        if QUICK:
            result |= webhooks_here()
    if not QUICK:
        result |= webhooks()
    table = Table(title=f"scheduler ({before}; each measured for {SECONDS:.0f} s)")
    table.add_column("key")
    table.add_column("figure", justify="right")
    table.add_column("what it is")
    for name, value in result.items():
        table.add_row(name, f"{value:,.1f}", MEANING[name])
    Console(width=130).print(table)
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
