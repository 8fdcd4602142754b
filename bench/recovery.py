"""Recovery on a whole platform: the failure laboratory, a storm, and how fast decisions come.

Every scenario of the laboratory (docs/laboratory.md) runs beside the others on one platform of real
servers and services, then a storm of failures of one dependency. What was mended, how soon, what
was tried in vain and what was missed is told with intervals, by type. Then, on another platform,
recovery alone is told of failures as the engine tells them, and its verdicts are waited for.

    QUICK=1 python -m bench.recovery
    RECOVERIES=1 python -m bench.recovery
"""

import asyncio
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import machine, recovery_text
from bench.failing import Failures
from bench.load import percentile
from bench.stack import QUICK

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from laboratory import measures
from laboratory.catalogue import KILLED, SCENARIOS
from laboratory.running import Laboratory, Seen, laboratory_stage
from laboratory.storm import Storm
from platform_stage import PARTITIONS
from stage_ground import own_ground

STORM = 100 if QUICK else 1_000
RATE_PER_S = 200.0
RATE_S = 3.0 if QUICK else 10.0
SUSTAINED = 2_000 if QUICK else 10_000
PROCESSES = int(os.environ.get("RECOVERIES") or min(2, os.cpu_count() or 1))
"""Processes of recovery that share the failures whose verdicts are timed: one for each core."""

SHARED_OUT_S = 8.0
"""What the group takes to share the shards out anew; who loses some goes on with the others."""

MEANING = {
    "scenarios": "failures that are staged, each with what must become of it",
    "success_rate": "share of the failures that can be mended that recovery mended (target > .90)",
    "mttr_median_s": "seconds from the failure until the node was done, median (target < 300)",
    "false_positive_rate": "share of episodes in which trying again was in vain (target < .05)",
    "missed_rate": "share of what can be mended that was left to people",
    "completeness": "share of explanations that say everything (target > .95)",
    "decision_p50_ms": f"ms from a failure to its verdict, {RATE_PER_S:.0f} failures/s (target 15)",
    "decision_p99_ms": "the same, of a hundred the slowest (target 60)",
    "heard_p50_ms": "ms until the verdict is here: with the ways to Kafka and from it",
    "failures_per_s": "failures decided in a second when many come at once (target 2,000)",
    "signature_median_us": "us for the signature and the type of a failure (target 150)",
    "grouping_accuracy": "share of log lines in exactly the family of their template (target .82)",
    "masks_only_accuracy": "the same by masked text alone",
    "secrets_removed": "share of secrets of unknown formats that are taken out (target .90)",
    "plain_words_masked": "share of plain words that are taken for secrets (target < .005)",
}


def show(seen: Sequence[Seen]) -> None:
    """Print what became of each scenario."""
    for each in seen:
        mark = "ok " if not each.problems else "NOT"
        took = f"{each.took_s:5.1f} s"
        what = ", ".join(each.strategies) or "nothing to decide"
        print(f"{mark} {took}  {each.scenario.name}: {what}; {each.status}")
        for problem in each.problems:
            print(f"             {problem}")


def decisions(bootstrap: str) -> Mapping[str, float]:
    """Return how fast verdicts come."""
    failures = Failures(bootstrap, PARTITIONS)
    failures.begin()
    try:
        failures.sustained(200)  # the first ones meet cold caches
        took, heard = failures.paced(RATE_PER_S, RATE_S)
        return {
            "decision_p50_ms": round(percentile(took, 0.5), 2),
            "decision_p99_ms": round(percentile(took, 0.99), 2),
            "heard_p50_ms": round(percentile(heard, 0.5), 2),
            "failures_per_s": round(failures.sustained(SUSTAINED)),
        }
    finally:
        failures.end()


async def laboratory() -> measures.Measures:
    """Return what the laboratory gives on a platform of its own, with a storm at its end."""
    async with own_ground() as ground, laboratory_stage(ground=ground) as stage:
        seen = await Laboratory(stage).run(SCENARIOS, () if QUICK else KILLED)
        show(seen)
        print((await Storm(stage, STORM).run()).told(), flush=True)
    found = measures.measured(seen)
    print("\n".join(measures.lines(found)))
    return found


async def speed() -> Mapping[str, float]:
    """Return how fast verdicts come on a platform that does nothing else."""
    async with own_ground() as ground, laboratory_stage(ground=ground) as stage:
        for n in range(2, PROCESSES + 1):
            stage.begin("recovery", beside=f"recovery-{n}")
            await stage.until_ready([f"recovery-{n}"])
        await asyncio.sleep(SHARED_OUT_S)
        return await asyncio.to_thread(decisions, ground.kafka_bootstrap)


async def measure() -> Mapping[str, float]:
    """Run everything."""
    found = await laboratory()
    result = {
        "scenarios": float(found.scenarios),
        "success_rate": found.success.value,
        "mttr_median_s": measures.quantile(found.mttr_s, 0.5),
        "false_positive_rate": found.false_positives.value,
        "missed_rate": found.missed.value,
        "completeness": found.complete.value,
        **await speed(),
        **recovery_text.measure(),
    }
    return {key: value if math.isfinite(value) else -1.0 for key, value in result.items()}


def main() -> int:
    """Run the benchmark."""
    print(f"recovery ({machine.about()})")
    result = asyncio.run(measure())
    for key, value in result.items():
        print(f"{key:>20} {value:10.3f}  {MEANING[key]}")
    print("RESULT", json.dumps({key: round(value, 4) for key, value in result.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
