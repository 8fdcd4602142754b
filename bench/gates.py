"""What a limit for a whole tenant costs: the same executions with and without a gate before them.

Two platforms, one after the other, each in a folder of its own that is removed at the end; chains
of three inline steps at saturation. The limit is so high that nobody waits: what is measured is
the asking, the answer and the giving back (ADR 33), which all go through the tenant's one stream.

    QUICK=1 python -m bench.gates
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass

from bench import machine, stack
from bench.engine import CHAINS, Marks, lengths, save
from bench.load import Load
from bench.stack import MEASURE_S, WARM_S

MOST = 1_000
LIMIT = 100_000
"""Executions that may be open: more than ever are."""

MEANING = {
    "free_executions_per_s": "executions a second of 3 inline steps, without a limit",
    "gated_executions_per_s": "the same where the tenant has a limit that is never reached",
    "free_cpu_us": "CPU microseconds of all processes for an execution without a limit",
    "gated_cpu_us": "the same with the limit",
    "gate_cpu_ratio": "how much more CPU an execution takes behind the tenant's gate",
}


@dataclass
class Measured:
    """What one platform gave."""

    per_s: float
    cpu_us: float
    failed: int


def measured(limit: int) -> Measured:
    """Saturate a platform whose tenants may have so many executions open; 0 is any number."""
    os.environ["PERDURE_OPEN_EXECUTIONS_MAX"] = str(limit)
    try:
        with stack.whole() as running:
            time.sleep(1.0)
            ids = {"inline3": asyncio.run(save(running, CHAINS["inline3"]))}
            load = Load(running.kafka_bootstrap, 8, {ids["inline3"]: lengths(ids)[ids["inline3"]]})
            load.begin()
            marks = Marks(machine.processes(running))
            steps = load.saturate(ids["inline3"], WARM_S, MEASURE_S, MOST, marks.mark)
            load.end()
            per_s = steps / load.lengths[ids["inline3"]]
            return Measured(per_s, sum(marks.per_step_us(per_s).values()), load.failed)
    finally:
        del os.environ["PERDURE_OPEN_EXECUTIONS_MAX"]


def main() -> int:
    """Measure both; the exit code is 0 if every execution succeeded."""
    free, gated = measured(0), measured(LIMIT)
    result = {
        "free_executions_per_s": round(free.per_s),
        "gated_executions_per_s": round(gated.per_s),
        "free_cpu_us": round(free.cpu_us),
        "gated_cpu_us": round(gated.cpu_us),
        "gate_cpu_ratio": round(gated.cpu_us / free.cpu_us, 2),
    }
    for key, value in result.items():
        print(f"{key:<24} {value:>8}  {MEANING[key]}")
    print("RESULT", json.dumps(result))
    return 1 if free.failed or gated.failed else 0


if __name__ == "__main__":
    sys.exit(main())
