"""How fast the engine runs chains of steps, and what a step costs.

Starts a platform of its own in a folder that is removed at the end: real PostgreSQL (fsync on)
and Kafka, all services, all tables written. The load shares the machine. Every step does
nothing: inline ones are ACTION SET with a result of some 200 bytes, which the engine runs
itself; dispatched ones are the same nodes with `run_in: runner`, each with a task to the
runner and an answer back.

    QUICK=1 python -m bench.engine
"""

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import asyncpg
import psutil
from perdure_cli import platform
from perdure_cli.client import Client
from perdure_contracts.engine import SaveWorkflow
from rich.console import Console
from rich.table import Table

from bench import journal, machine, stack
from bench.load import Load, percentile
from bench.stack import MEASURE_S, QUICK, WARM_S

MOST = 2_000
"""Executions under way at saturation: enough that nobody waits for the load."""

TEXT = "x" * 180
"""What makes a result of some 200 bytes."""


@dataclass
class Marks:
    """CPU time of each group of processes at the two ends of a measurement."""

    groups: dict[str, psutil.Process]
    cpu: list[machine.Seconds] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    def mark(self) -> None:
        """Note where the machine stands."""
        self.cpu.append(machine.cpu_s(self.groups))
        self.at.append(time.perf_counter())

    def per_step_us(self, steps_per_s: float) -> dict[str, float]:
        """Return the CPU microseconds of each step, by group of processes."""
        first, last = self.cpu[-2:]
        steps = steps_per_s * (self.at[-1] - self.at[-2])
        return {name: (last[name] - first[name]) / steps * 1e6 for name in last}


def chain(count: int, run_in: Literal["auto", "runner"]) -> dict[str, Any]:
    """Return a workflow of `count` steps that do nothing, one after the other."""
    start = {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL", "name": "start"}
    steps = [
        {
            "node_id": f"n{i}",
            "node_type": "ACTION",
            "node_subtype": "SET",
            "name": f"n{i}",
            "parameters": {"values": {"text": TEXT}, "keep": "none"},
            "run_in": run_in,
        }
        for i in range(count)
    ]
    ids = ["start", *(str(step["node_id"]) for step in steps)]
    connections = [{"source_node_id": a, "target_node_id": b} for a, b in pairwise(ids)]
    return {"name": f"{run_in}-{count}", "nodes": [start, *steps], "connections": connections}


CHAINS = {
    "inline3": chain(3, "auto"),
    "inline10": chain(10, "auto"),
    "dispatched3": chain(3, "runner"),
    "dispatched10": chain(10, "runner"),
}


def lengths(ids: Mapping[str, str]) -> dict[str, int]:
    """Return how many steps the chain of each workflow has; `ids` has those of the chains."""
    return {each: len(CHAINS[name]["connections"]) for name, each in ids.items()}


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


async def completed(running: platform.Running) -> int:
    """Return how many node runs the tables show as ended well."""
    connection = await asyncpg.connect(running.database_url)
    try:
        sql = "select count(*) from engine.node_executions where status = 'SUCCESS'"
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()


@dataclass
class Measuring:
    """The measurements on one running platform; `found` has what they gave."""

    running: platform.Running
    load: Load
    marks: Marks
    ids: dict[str, str]
    found: dict[str, Any] = field(default_factory=dict)

    def saturated(self, name: str) -> None:
        """Measure throughput, and what a step takes of processors, log and tasks topic."""
        load = self.load
        log, steps, tasks = asyncio.run(wal(self.running)), load.steps, load.tasks()
        rate = load.saturate(self.ids[name], WARM_S, MEASURE_S, MOST, self.marks.mark)
        steps = load.steps - steps
        self.found[f"{name}_steps_per_s"] = rate
        self.found[f"{name}_wal"] = (asyncio.run(wal(self.running)) - log) / steps
        self.found[f"{name}_by_kafka"] = (load.tasks() - tasks) / steps
        self.found[f"{name}_cpu"] = self.marks.per_step_us(rate)

    def alone(self, name: str) -> None:
        """Measure latency with one execution in flight."""
        self._latency(name, self.load.alone(self.ids[name], MEASURE_S))

    def paced(self, name: str, per_s: int) -> None:
        """Measure latency at a rate of executions."""
        found = self.load.paced(self.ids[name], per_s, MEASURE_S)
        self._latency(f"{name}_at{per_s}", found)

    def _latency(self, name: str, sorted_s: list[float]) -> None:
        self.found[f"{name}_p50_ms"] = percentile(sorted_s, 0.5)
        self.found[f"{name}_p99_ms"] = percentile(sorted_s, 0.99)


def measure(running: platform.Running) -> dict[str, Any]:
    """Return every figure but the time of the start, with the parts of some as dicts."""
    groups = machine.processes(running)
    ids = {name: asyncio.run(save(running, each)) for name, each in CHAINS.items()}
    partitions = int(os.environ.get("PERDURE_PARTITIONS") or 8)
    ours = {name: group for name, group in groups.items() if name != "load"}
    memory = machine.pss_mb(ours)
    load = Load(running.kafka_bootstrap, partitions, lengths(ids))
    measuring = Measuring(running, load, Marks(groups), ids, {"memory": memory})
    load.begin()
    try:
        for name in ("inline3", "dispatched3"):
            measuring.alone(name)
            measuring.saturated(name)
        measuring.paced("dispatched3", 250)
        measuring.saturated("dispatched10")
        if not QUICK:
            measuring.saturated("inline10")
            measuring.paced("inline3", 2_000)
            measuring.paced("dispatched3", 2_000)
            measuring.found["memory_after"] = machine.pss_mb(ours)
    finally:
        load.end()
    written = asyncio.run(completed(running))
    if written != load.steps + load.ended:  # the trigger's run is no step
        raise RuntimeError(f"{load.steps} steps ended, node_executions has {written} rows of them")
    return measuring.found | {"failed": load.failed}


def result_of(found: dict[str, Any]) -> dict[str, float]:
    """Return the keys of the result."""
    result = {
        "dispatched_steps_per_s": found["dispatched3_steps_per_s"],
        "inline_steps_per_s": found["inline3_steps_per_s"],
        "dispatched10_steps_per_s": found["dispatched10_steps_per_s"],
        "dispatched3_p50_ms": found["dispatched3_p50_ms"],
        "dispatched3_p99_ms": found["dispatched3_p99_ms"],
        "inline3_p50_ms": found["inline3_p50_ms"],
        "at250_p50_ms": found["dispatched3_at250_p50_ms"],
        "at250_p99_ms": found["dispatched3_at250_p99_ms"],
        "cpu_us_per_step": sum(found["dispatched3_cpu"].values()),
        "wal_bytes_per_step": found["dispatched3_wal"],
        "rss_mb": sum(found["memory"].values()),
        "journal_ratio": found["journal"].ratio,
    }
    if not QUICK:
        result["inline10_steps_per_s"] = found["inline10_steps_per_s"]
        for name in ("inline3", "dispatched3"):
            for share in ("p50", "p99"):
                result[f"{name}_at2000_{share}_ms"] = found[f"{name}_at2000_{share}_ms"]
    return {name: round(value, 2 if value >= 1 else 4) for name, value in result.items()}


def show(found: dict[str, Any], result: dict[str, float], before: str) -> None:
    """Print the figures with what they mean."""
    table = Table(title=f"engine ({before}; each measured for {MEASURE_S:.0f} s)")
    for heading, side in (("key", "left"), ("figure", "right"), ("what it is", "left")):
        table.add_column(heading, justify="right" if side == "right" else "left")
    for name, value in result.items():
        table.add_row(name, f"{value:,.{1 if value >= 1 else 3}f}", MEANING[name])
    console = Console(width=150)
    console.print(table)
    for title, key in (
        ("CPU µs per dispatched step", "dispatched3_cpu"),
        ("CPU µs per dispatched step, 10 in a chain", "dispatched10_cpu"),
        ("CPU µs per inline step", "inline3_cpu"),
        ("CPU µs per inline step, 10 in a chain", "inline10_cpu"),
        ("memory when idle, MiB (PSS)", "memory"),
        ("memory at the end, MiB (PSS)", "memory_after"),
    ):
        parts: dict[str, float] = found.get(key, {})
        ordered = sorted(parts.items(), key=lambda each: -each[1])
        if ordered:
            told = ", ".join(f"{name} {value:.0f}" for name, value in ordered)
            console.print(f"{title}: {sum(parts.values()):.0f} ({told})")
    console.print(f"WAL bytes per inline step: {found['inline3_wal']:.0f}")
    console.print(
        "Throughput: hand-over is on and saturated, "
        f"{found['dispatched3_by_kafka']:.0%} of the tasks went by Kafka (3 steps), "
        f"{found['dispatched10_by_kafka']:.0%} (10 steps). "
        "Latency with one in flight and at 250/s: tasks are handed over."
    )
    if found["failed"]:
        console.print(f"[red]{found['failed']} executions failed[/red]")


MEANING = {
    "dispatched_steps_per_s": "steps/s at saturation, chains of 3: starts topic, engine, tasks "
    "topic, runner, commands topic, engine, events topic",
    "inline_steps_per_s": "steps/s at saturation, chains of 3: starts topic, engine, events topic",
    "dispatched10_steps_per_s": "steps/s at saturation, chains of 10 dispatched steps",
    "dispatched3_p50_ms": "start to completed event, one in flight, 3 dispatched, handed over",
    "dispatched3_p99_ms": "the same, 99th percentile",
    "inline3_p50_ms": "start to completed event, one in flight, 3 inline",
    "at250_p50_ms": "start to completed event at 250 executions/s of 3 dispatched steps",
    "at250_p99_ms": "the same, 99th percentile",
    "cpu_us_per_step": "all processes and the load, at saturation with 3 dispatched steps",
    "wal_bytes_per_step": "PostgreSQL's log for a dispatched step, the execution's share included",
    "rss_mb": "MiB, PSS of all processes and servers, idle after the start",
    "journal_ratio": journal.MEANING["journal_ratio"],
    "inline10_steps_per_s": "steps/s at saturation, chains of 10 inline steps",
    "inline3_at2000_p50_ms": "start to completed event at 2,000 executions/s of 3 inline steps; "
    "seconds mean that the machine does not keep up with that rate",
    "inline3_at2000_p99_ms": "the same, 99th percentile",
    "dispatched3_at2000_p50_ms": "the same with 3 dispatched steps",
    "dispatched3_at2000_p99_ms": "the same, 99th percentile",
}


def main() -> int:
    """Run the benchmark; the exit code is 0 if every execution succeeded."""
    before = machine.about()
    with stack.whole() as running:
        time.sleep(1.0)
        found = measure(running)
        found["journal"] = journal.measured(running.database_url, MEASURE_S)
    result = result_of(found)
    show(found, result, before)
    print("RESULT", json.dumps(result))
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
