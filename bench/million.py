"""What a million finished executions in the database cost: throughput and latency with them.

One platform is measured with ten thousand finished executions in its tables, filled up to a
million, and measured again. The rows are copies of an execution that really ran (dispatched,
3 steps), in every table that has rows of it, with all indexes (`bench.filling`). Everything
else is as in `bench.engine`.

    QUICK=1 python -m bench.million

A short look fills up to fifty thousand, and measures dispatched steps only.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from statistics import fmean

import asyncpg
from perdure_cli import platform
from rich.console import Console
from rich.table import Table

from bench import engine, filling, machine, stack
from bench.load import Load, percentile
from bench.stack import MEASURE_S, QUICK, WARM_S

FEW = 10_000
MANY = 50_000 if QUICK else 1_000_000
ROUNDS = 1 if QUICK else 2
FIRST_WARM_S = 3.0 if QUICK else 30.0
"""The first load of a platform meets a cold Kafka: it is not measured."""

LAZY_S = 2.5
"""After which the rows that are written lazily are there."""

Figures = Mapping[str, float]

THROUGHPUT, LATENCY = "steps/s", "p50 ms"


async def template(running: platform.Running, workflow_id: str) -> str:
    """Return the id of an execution that has ended and whose rows are all written."""
    await asyncio.sleep(LAZY_S)
    connection = await asyncpg.connect(running.database_url)
    try:
        found = await connection.fetchval(
            "SELECT execution_id FROM engine.workflow_executions"
            " WHERE workflow_id = $1 AND status = 'SUCCESS' ORDER BY id LIMIT 1",
            workflow_id,
        )
    finally:
        await connection.close()
    assert found is not None
    return str(found)


async def fill(running: platform.Running, execution_id: str, first: int, last: int) -> str:
    """Add copies of an execution; return what was added, in words."""
    connection = await asyncpg.connect(running.database_url)
    began = time.perf_counter()
    try:
        added = await filling.fill(connection, execution_id, first, last)
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await connection.close()
    rows = ", ".join(f"{name} {count:,}" for name, count in added.items())
    took_s = time.perf_counter() - began
    return f"rows added in {took_s:.0f} s: {rows}; the database has {size / 2**30:.1f} GiB"


def measure(running: platform.Running, load: Load, ids: Mapping[str, str]) -> Figures:
    """Measure throughput at saturation, what a step takes of PostgreSQL, and latency alone."""
    marks = engine.Marks(machine.processes(running))
    found: dict[str, float] = {}
    for name, workflow_id in ids.items():
        log, steps = asyncio.run(engine.wal(running)), load.steps
        rate = load.saturate(workflow_id, WARM_S, MEASURE_S, engine.MOST, marks.mark)
        log = asyncio.run(engine.wal(running)) - log
        found[f"{name} {THROUGHPUT}"] = rate
        found[f"{name} PostgreSQL's CPU µs a step"] = marks.per_step_us(rate)["PostgreSQL"]
        found[f"{name} PostgreSQL's log bytes a step"] = log / (load.steps - steps)
        found[f"{name} {LATENCY}"] = percentile(load.alone(workflow_id, MEASURE_S), 0.5)
    return found


def ratios(few: Figures, many: Figures) -> dict[str, float]:
    """Return how each figure fares with many executions; 1 is as well, below 1 is worse."""
    return {
        name: many[name] / few[name] if name.endswith(THROUGHPUT) else few[name] / many[name]
        for name in few
    }


def worst(found: Mapping[str, float]) -> float:
    """Return the worst ratio of what a user feels: throughput and latency."""
    return min(ratio for name, ratio in found.items() if name.endswith((THROUGHPUT, LATENCY)))


def mean(rounds: list[Figures]) -> Figures:
    """Return the mean of each figure."""
    return {name: fmean(each[name] for each in rounds) for name in rounds[0]}


def run(running: platform.Running, console: Console) -> tuple[list[Figures], list[Figures]]:
    """Return the rounds with few, and with many executions."""
    names = ("dispatched3",) if QUICK else ("dispatched3", "inline3")
    ids = {name: asyncio.run(engine.save(running, engine.CHAINS[name])) for name in names}
    partitions = int(os.environ.get("PERDURE_PARTITIONS") or 8)
    load = Load(running.kafka_bootstrap, partitions, engine.lengths(ids))
    load.begin()
    try:
        load.alone(ids["dispatched3"], 0.1)
        execution_id = asyncio.run(template(running, ids["dispatched3"]))
        console.print(asyncio.run(fill(running, execution_id, 0, FEW - 1)))
        load.saturate(ids["dispatched3"], 0.0, FIRST_WARM_S, engine.MOST, lambda: None)
        few = [measure(running, load, ids) for _ in range(ROUNDS)]
        console.print(asyncio.run(fill(running, execution_id, FEW, MANY - 1)))
        many = [measure(running, load, ids) for _ in range(ROUNDS)]
    finally:
        load.end()
    if load.failed:
        raise RuntimeError(f"{load.failed} executions failed")
    return few, many


def show(console: Console, few: list[Figures], many: list[Figures], before: str) -> None:
    """Print each round, and the ratios of the means."""
    title = f"executions in the database ({before}; {ROUNDS} x {MEASURE_S:.0f} s each)"
    table = Table(title=title)
    for heading in ("figure", f"{FEW:,} finished", f"{MANY:,} finished", "ratio"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, ratio in ratios(mean(few), mean(many)).items():
        rounds = [" ".join(f"{each[name]:,.1f}" for each in level) for level in (few, many)]
        table.add_row(name, *rounds, f"{ratio:.3f}")
    console.print(table)


MEANING = {
    "million_ratio": "the worst of the ratios: throughput with many finished executions against "
    "few, latency with few against many; 1 is no loss, 0.9 the most that is allowed",
    "million_steps_ratio": "dispatched steps/s, chains of 3, with many against few",
    "million_p50_ratio": "median latency of 3 dispatched steps, one in flight, few against many",
    "million_executions": "how many are many: a million, but in a short look",
}


def main() -> int:
    """Run the benchmark."""
    console, before = Console(width=150), machine.about()
    with stack.whole() as running:
        few, many = run(running, console)
    show(console, few, many, before)
    found = ratios(mean(few), mean(many))
    if QUICK:
        console.print(f"A short look: {MANY:,} executions instead of 1,000,000.")
    result = {
        "million_ratio": round(worst(found), 3),
        "million_steps_ratio": round(found[f"dispatched3 {THROUGHPUT}"], 3),
        "million_p50_ratio": round(found[f"dispatched3 {LATENCY}"], 3),
        "million_executions": MANY,
    }
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
