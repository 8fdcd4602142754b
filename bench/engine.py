"""How fast the engine runs chains of steps, and what a step costs.

Starts a platform of its own in a folder that is removed at the end: real PostgreSQL (fsync on)
and Kafka, all services, all tables written. The load shares the machine. Inline steps are
ACTION SET; dispatched ones are EXTERNAL_ACTION HTTP_REQUEST, the only kind of node that the
runner has, to a tiny server on this machine: a dispatched step includes a whole HTTP request.

    QUICK=1 python -m bench.engine
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import asyncpg
import psutil
from perdure_cli import platform
from perdure_cli.client import Client
from perdure_common.embedded import Embedded
from perdure_contracts.engine import SaveWorkflow
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.load import Load, percentile

QUICK = os.environ.get("QUICK") == "1"
MEASURE_S = 3.0 if QUICK else 15.0
WARM_S = 1.0 if QUICK else 5.0
INLINE_MOST = 1_000
DISPATCHED_MOST = 150
"""Executions under way at saturation: enough that nobody waits for the load."""

TEXT = "x" * 180
"""What makes a result of some 200 bytes."""


@dataclass
class Marks:
    """CPU time and place in the write-ahead log at the two ends of a measurement."""

    groups: dict[str, psutil.Process]
    cpu: list[machine.Seconds] = field(default_factory=list[machine.Seconds])
    at: list[float] = field(default_factory=list[float])

    def mark(self) -> None:
        """Note where the machine stands."""
        self.cpu.append(machine.cpu_s(self.groups))
        self.at.append(time.perf_counter())

    def per_step_us(self, steps_per_s: float) -> dict[str, float]:
        """Return the CPU microseconds of each step, by group of processes."""
        first, last = self.cpu[-2:]
        steps = steps_per_s * (self.at[-1] - self.at[-2])
        return {name: (last[name] - first[name]) / steps * 1e6 for name in last}


def chain(name: str, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a workflow whose nodes run one after the other."""
    start = {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL", "name": "start"}
    ids = ["start", *(node["node_id"] for node in nodes)]
    connections = [{"source_node_id": a, "target_node_id": b} for a, b in pairwise(ids)]
    return {"name": name, "nodes": [start, *nodes], "connections": connections}


def inline(count: int) -> dict[str, Any]:
    """Return a chain of steps that the engine runs itself."""
    values = {"values": {"text": TEXT}, "keep": "none"}
    return chain(
        f"inline-{count}",
        [
            {
                "node_id": f"n{i}",
                "node_type": "ACTION",
                "node_subtype": "SET",
                "name": f"n{i}",
                "parameters": values,
            }
            for i in range(count)
        ],
    )


def dispatched(count: int, port: int) -> dict[str, Any]:
    """Return a chain of steps that the runner runs."""
    parameters = {"method": "GET", "url": f"http://127.0.0.1:{port}/"}
    return chain(
        f"dispatched-{count}",
        [
            {
                "node_id": f"n{i}",
                "node_type": "EXTERNAL_ACTION",
                "node_subtype": "HTTP_REQUEST",
                "name": f"n{i}",
                "parameters": parameters,
            }
            for i in range(count)
        ],
    )


async def save(running: platform.Running, definition: dict[str, Any]) -> str:
    """Save a workflow and return its id."""
    workflow_id = str(uuid.uuid4())
    message = SaveWorkflow(workflow_id=workflow_id, definition=definition, saved_by="bench")
    async with Client(running) as client:
        await client.command("engine", workflow_id, message)
    return workflow_id


async def wal(running: platform.Running) -> int:
    """Return how far the write-ahead log has been written, in bytes."""
    connection = await asyncpg.connect(running.database_url)
    try:
        return int(await connection.fetchval("select pg_current_wal_lsn() - '0/0'::pg_lsn"))
    finally:
        await connection.close()


async def measure(running: platform.Running, port: int, answering: int) -> dict[str, Any]:
    """Return every figure but the time of the start, with the parts of some as dicts."""
    groups = machine.processes(running, answering)
    memory = machine.pss_mb({n: g for n, g in groups.items() if n not in ("load", "answering")})
    definitions = {
        "inline3": inline(3),
        "inline10": inline(10),
        "dispatched3": dispatched(3, port),
        "dispatched10": dispatched(10, port),
    }
    ids = {name: await save(running, each) for name, each in definitions.items()}
    partitions = int(os.environ.get("PERDURE_PARTITIONS") or 8)
    load, marks = Load(running.kafka_bootstrap, partitions), Marks(groups)
    await load.begin()
    found: dict[str, Any] = {"memory": memory, "rss_mb": sum(memory.values())}
    try:
        for name, most in (("inline3", INLINE_MOST), ("dispatched3", DISPATCHED_MOST)):
            alone = await load.alone(ids[name], MEASURE_S)
            found[f"{name}_p50_ms"] = percentile(alone, 0.5)
            found[f"{name}_p99_ms"] = percentile(alone, 0.99)
            before, steps = await wal(running), load.steps
            rate = await load.saturate(ids[name], WARM_S, MEASURE_S, most, marks.mark)
            found[f"{name}_wal"] = (await wal(running) - before) / (load.steps - steps)
            found[f"{name}_steps_per_s"] = rate
            found[f"{name}_cpu"] = marks.per_step_us(rate)
        paced = await load.paced(ids["dispatched3"], 250, MEASURE_S)
        found["at250_p50_ms"], found["at250_p99_ms"] = (percentile(paced, p) for p in (0.5, 0.99))
        tens = {"dispatched10": DISPATCHED_MOST} | ({} if QUICK else {"inline10": INLINE_MOST})
        for name, most in tens.items():
            rate = await load.saturate(ids[name], WARM_S, MEASURE_S, most, lambda: None)
            found[f"{name}_steps_per_s"] = rate
    finally:
        await load.end()
    found["failed"] = load.failed
    return found


def show(found: dict[str, Any], up_s: float, before: str) -> dict[str, float]:
    """Print the figures with what they mean, and return the keys of the result."""
    cpu = {n: v for n, v in found["dispatched3_cpu"].items() if n != "answering"}
    result = {
        "dispatched_steps_per_s": found["dispatched3_steps_per_s"],
        "inline_steps_per_s": found["inline3_steps_per_s"],
        "dispatched10_steps_per_s": found["dispatched10_steps_per_s"],
        "dispatched3_p50_ms": found["dispatched3_p50_ms"],
        "dispatched3_p99_ms": found["dispatched3_p99_ms"],
        "inline3_p50_ms": found["inline3_p50_ms"],
        "at250_p50_ms": found["at250_p50_ms"],
        "at250_p99_ms": found["at250_p99_ms"],
        "cpu_us_per_step": sum(cpu.values()),
        "wal_bytes_per_step": found["dispatched3_wal"],
        "rss_mb": found["rss_mb"],
        "up_s": up_s,
    }
    table = Table(title=f"engine ({before}; each measured for {MEASURE_S:.0f} s)")
    for heading, side in (("key", "left"), ("figure", "right"), ("what it is", "left")):
        table.add_column(heading, justify="right" if side == "right" else "left")
    for name, value in result.items():
        table.add_row(name, f"{value:,.1f}", MEANING[name])
    if "inline10_steps_per_s" in found:
        table.add_row("(inline, 10 steps)", f"{found['inline10_steps_per_s']:,.1f}", "steps/s")
    console = Console(width=150)
    console.print(table)
    for title, parts in (
        ("CPU µs per dispatched step", found["dispatched3_cpu"]),
        ("CPU µs per inline step", found["inline3_cpu"]),
        ("idle memory, MiB (PSS)", found["memory"]),
    ):
        ordered = sorted(parts.items(), key=lambda each: -each[1])
        console.print(f"{title}: " + ", ".join(f"{name} {value:.0f}" for name, value in ordered))
    console.print(f"WAL bytes per inline step: {found['inline3_wal']:.0f}")
    if found["failed"]:
        console.print(f"[red]{found['failed']} executions failed[/red]")
    return {name: round(value, 2) for name, value in result.items()}


MEANING = {
    "dispatched_steps_per_s": "steps/s at saturation, chains of 3 HTTP requests: starts topic, "
    "engine, tasks topic, runner, HTTP, commands topic, engine, events topic",
    "inline_steps_per_s": "steps/s at saturation, chains of 3 SET: starts topic, engine, events",
    "dispatched10_steps_per_s": "steps/s at saturation, chains of 10 HTTP requests",
    "dispatched3_p50_ms": "start to completed event, one in flight, 3 HTTP requests, handed over",
    "dispatched3_p99_ms": "the same, 99th percentile",
    "inline3_p50_ms": "start to completed event, one in flight, 3 SET",
    "at250_p50_ms": "start to completed event at 250 executions/s of 3 HTTP requests; "
    "seconds mean that the machine does not keep up with that rate",
    "at250_p99_ms": "the same, 99th percentile",
    "cpu_us_per_step": "all processes and the load, at saturation with 3 HTTP requests; "
    "without the server that answers them",
    "wal_bytes_per_step": "PostgreSQL's log for a dispatched step, the execution's share included",
    "rss_mb": "MiB, PSS of all processes and servers, idle after the start",
    "up_s": "seconds of `perdure up --detach` in an empty folder, database made anew",
}


def main() -> int:
    """Run the benchmark; the exit code is 0 if every execution succeeded."""
    before = machine.about()
    folder = tempfile.mkdtemp(prefix="perdure-bench-")
    for name in ("PERDURE_DATABASE_URL", "PERDURE_KAFKA_BOOTSTRAP", "PERDURE_TOPIC_PREFIX"):
        os.environ.pop(name, None)
    os.environ["PERDURE_HOME"] = folder
    answering = subprocess.Popen(
        [sys.executable, "-m", "bench.answering"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert answering.stdout is not None
        port = int(answering.stdout.readline())
        os.environ["PERDURE_HTTP_ALLOW"] = f"127.0.0.1:{port}"
        began = time.perf_counter()
        running = platform.start_detached(platform.SERVICES)
        up_s = time.perf_counter() - began
        try:
            time.sleep(1.0)
            found = asyncio.run(measure(running, port, answering.pid))
        finally:
            platform.stop()
            Embedded(platform.home()).stop()
    finally:
        answering.terminate()
        answering.wait()
        shutil.rmtree(folder)
    print("RESULT", json.dumps(show(found, up_s, before)))
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
