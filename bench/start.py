"""How long `perdure up` takes until every service is ready, and what it costs.

Measured as a person does it: the program is started in an empty folder, and then again where
there is data. Seconds move with what else the machine does; the CPU seconds of all processes
until then move less.

    QUICK=1 python -m bench.start
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import psutil
from perdure_cli import platform
from perdure_common.embedded import Embedded

from bench import machine

QUICK = os.environ.get("QUICK") == "1"
ROUNDS = 1 if QUICK else 5
IDLE_S = 2.0
UP = [sys.executable, "-m", "perdure_cli.main", "up", "--detach"]


@dataclass(frozen=True)
class Start:
    """One start: seconds until ready, CPU seconds until then, and idle memory in MiB (PSS)."""

    wall_s: float
    cpu_s: float
    pss_mb: float


def children_s() -> float:
    """Return the CPU seconds of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def alive_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of those of its children that have ended."""
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def start() -> Start:
    """Start the platform, look at it, and stop it."""
    before, began = children_s(), time.perf_counter()
    subprocess.run(UP, check=True, stdout=subprocess.DEVNULL)
    wall_s = time.perf_counter() - began
    running = platform.find()
    assert running is not None
    try:
        groups = machine.processes(running)
        del groups["load"]
        cpu_s = children_s() - before
        for name, process in groups.items():
            cpu_s += alive_s(process)
            if name == "PostgreSQL":
                cpu_s += sum(alive_s(child) for child in process.children())
        time.sleep(IDLE_S)
        return Start(wall_s, cpu_s, sum(machine.pss_mb(groups).values()))
    finally:
        platform.stop()
        Embedded(platform.home()).stop()


def main() -> int:
    """Run the benchmark."""
    print(f"start ({machine.about()}; {ROUNDS} rounds, medians)")
    for name in ("PERDURE_DATABASE_URL", "PERDURE_KAFKA_BOOTSTRAP", "PERDURE_TOPIC_PREFIX"):
        os.environ.pop(name, None)
    empty: list[Start] = []
    again: list[Start] = []
    for _ in range(ROUNDS):
        folder = tempfile.mkdtemp(prefix="perdure-bench-")
        os.environ["PERDURE_HOME"] = folder
        try:
            empty.append(start())
            again.append(start())
        finally:
            shutil.rmtree(folder)
    result: dict[str, float] = {}
    for suffix, starts in (("", empty), ("_again", again)):
        result[f"up{suffix}_s"] = statistics.median(each.wall_s for each in starts)
        result[f"up{suffix}_cpu_s"] = statistics.median(each.cpu_s for each in starts)
    result["start_rss_mb"] = max(each.pss_mb for each in (*empty, *again))
    for name, value in result.items():
        print(f"{name:>12} {value:8.2f}  {MEANING[name]}")
    print("RESULT", json.dumps({name: round(value, 2) for name, value in result.items()}))
    return 0


MEANING = {
    "up_s": "seconds of `perdure up --detach` in an empty folder, database made anew",
    "up_cpu_s": "CPU seconds of all processes and servers until then",
    "up_again_s": "seconds of `perdure up --detach` where data is",
    "up_again_cpu_s": "CPU seconds of all processes and servers until then",
    "start_rss_mb": "MiB, PSS of all processes and servers, idle after the start",
}

if __name__ == "__main__":
    sys.exit(main())
