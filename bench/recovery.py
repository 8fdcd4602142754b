"""Recovery on a whole platform: the failure laboratory, a storm, and how fast decisions come.

Every scenario of the laboratory (docs/laboratory.md) runs beside the others on one platform of real
servers and services, then a storm of failures of one dependency. What was mended, how soon, what
was tried in vain and what was missed is told with intervals, by type. Then, on another platform,
recovery alone is told of failures as the engine tells them, and its verdicts are waited for.

    QUICK=1 python -m bench.recovery
    RECOVERIES=1 python -m bench.recovery

`QUICK=1` has one platform for both, one after the other, runs the scenarios of `SHORT`
(tests/support/laboratory/catalogue.py) and fewer texts, and no storm: the breaker of what is down
opens for half a minute. There is no `storm_recovered` then. The seconds of each part are told.

It ends with 1 if a scenario, or the storm, did not come out as stated; all is measured even so.
"""

import asyncio
import json
import math
import os
import re
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from perdure_contracts.failures import RecoveryMode
from perdure_contracts.recovery import SetMode

from bench import machine, recovery_text
from bench.failing import Failures
from bench.load import percentile
from bench.stack import QUICK

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from laboratory import measures
from laboratory.catalogue import KILLED, SCENARIOS, SHORT
from laboratory.running import Laboratory, Seen, laboratory_stage
from laboratory.storm import Storm
from platform_stage import PARTITIONS, Stage
from stage_ground import own_ground

STORM = 1_000
RATE_PER_S = 200.0
RATE_S = 3.0 if QUICK else 10.0
SUSTAINED = 2_000 if QUICK else 10_000
PROCESSES = int(os.environ.get("RECOVERIES") or min(2, os.cpu_count() or 1))
"""Processes of recovery that share the failures whose verdicts are timed: one for each core."""

SWITCHES = 3 if QUICK else 11
SHARED_OUT_S = 60.0
"""The most that the processes of recovery may take until each of them owns shards."""
OWNED = re.compile(r"^perdure_shards_owned(?:\{[^}]*\})? (\d+)", re.MULTILINE)

MEANING = {
    "scenarios": "failures that are staged, each with what must become of it",
    "scenarios_as_stated": "of them, those of which it did become that",
    "storm_recovered": f"share of {STORM:,} executions that a storm stopped and that recovered (1)",
    "success_rate": "share of the failures that can be mended that recovery mended (target > .90)",
    "mttr_median_s": "seconds from the failure until the node was done, median (target < 300)",
    "false_positive_rate": "share of episodes in which trying again was in vain (target < .05)",
    "missed_rate": "share of what can be mended that was left to people",
    "completeness": "share of explanations that say everything (target > .95)",
    "decision_p50_ms": f"ms from a failure to its verdict, {RATE_PER_S:.0f} failures/s (target 15)",
    "decision_p99_ms": "the same, of a hundred the slowest (target 60)",
    "heard_p50_ms": "ms until the verdict is here: with the ways to Kafka and from it",
    "switch_s": "s from asking for the kill switch until it holds, median (target < 1)",
    "failures_per_s": "failures decided in a second when many come at once (target 2,000)",
    "signature_median_us": "us for the signature and the type of a failure (target 150)",
    "grouping_accuracy": "share of log lines in exactly the family of their template (target .82)",
    "masks_only_accuracy": "the same by masked text alone",
    "secrets_removed": "share of secrets of unknown formats that are taken out (target .90)",
    "plain_words_masked": "share of plain words that are taken for secrets (target < .005)",
    "scrub_us_per_kb": "us for a kilobyte of a body out of which secrets are taken",
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


@contextmanager
def timed(part: str) -> Generator[None]:
    """Tell how many seconds a part of the benchmark took."""
    began = time.perf_counter()
    try:
        yield
    finally:
        print(f"    {time.perf_counter() - began:5.1f} s  {part}", flush=True)


async def laboratory(stage: Stage) -> tuple[measures.Measures, Storm | None]:
    """Return what the laboratory gives; a whole one has a storm at its end."""
    with timed("laboratory"):
        seen = await Laboratory(stage).run(SHORT if QUICK else SCENARIOS, () if QUICK else KILLED)
    show(seen)
    storm: Storm | None = None
    if not QUICK:
        with timed("storm"):
            storm = await Storm(stage, STORM).run()
        print(storm.told(), flush=True)
    found = measures.measured(seen)
    print("\n".join(measures.lines(found)))
    return found, storm


def recoveries(stage: Stage) -> list[str]:
    """Start the other processes of recovery; return the names of all."""
    others = [f"recovery-{n}" for n in range(2, PROCESSES + 1)]
    for name in others:
        stage.begin("recovery", beside=name)
    return ["recovery", *others]


async def shared_out(stage: Stage, names: Sequence[str]) -> None:
    """Wait until every shard has an owner, and every process shards.

    Raises:
        TimeoutError: They are not shared out in `SHARED_OUT_S`.
    """
    async with (
        asyncio.timeout(SHARED_OUT_S),
        httpx.AsyncClient(timeout=5.0, trust_env=False) as client,
    ):
        while True:
            owned: list[int] = []
            for name in names:
                try:
                    told = await client.get(f"http://127.0.0.1:{stage.ports[name]}/metrics")
                except httpx.TransportError:  # it has only begun
                    break
                found = OWNED.search(told.text)
                owned.append(int(found[1]) if found else 0)
            if len(owned) == len(names) and all(owned) and sum(owned) == PARTITIONS:
                return
            await asyncio.sleep(0.1)


async def speed(stage: Stage, names: Sequence[str]) -> Mapping[str, float]:
    """Return how fast verdicts come on a platform that does nothing else."""
    with timed("shards shared out"):
        await shared_out(stage, names)
    with timed("decisions"):
        found = await asyncio.to_thread(decisions, stage.ground.kafka_bootstrap)
    with timed("kill switch"):
        return {**found, "switch_s": await switched(stage)}


async def switched(stage: Stage) -> float:
    """Return the seconds from asking for the kill switch until it is answered.

    What fails after the answer is not tried: `tests/e2e/test_recovery_decides.py` counts that.
    """
    took: list[float] = []
    for _ in range(SWITCHES):
        modes: Sequence[RecoveryMode] = ("off", "auto")
        for mode in modes:
            command = SetMode(workspace_id="*", mode=mode, set_by="bench")
            began = time.perf_counter()
            await stage.ask("recovery", "*/mode", command)
            took += [time.perf_counter() - began] if mode == "off" else []
    return measures.quantile(took, 0.5)


async def platform() -> tuple[measures.Measures, Storm | None, Mapping[str, float]]:
    """Return what the laboratory gives, and how fast verdicts come."""
    async with own_ground() as ground, laboratory_stage(ground=ground) as stage:
        if QUICK:
            # They share the shards out while the laboratory waits for what it stages.
            names = recoveries(stage)
            return *await laboratory(stage), await speed(stage, names)
        found, storm = await laboratory(stage)
    async with own_ground() as ground, laboratory_stage(ground=ground) as stage:
        return found, storm, await speed(stage, recoveries(stage))


async def measure() -> Mapping[str, float]:
    """Run everything."""
    with timed("platform, all in all"):
        found, storm, decided = await platform()
    with timed("texts"):
        texts = recovery_text.measure()
    result = {
        "scenarios": float(found.scenarios),
        "scenarios_as_stated": float(found.as_expected),
        **({} if storm is None else {"storm_recovered": storm.recovered / storm.count}),
        "success_rate": found.success.value,
        "mttr_median_s": measures.quantile(found.mttr_s, 0.5),
        "false_positive_rate": found.false_positives.value,
        "missed_rate": found.missed.value,
        "completeness": found.complete.value,
        **decided,
        **texts,
    }
    return {key: value if math.isfinite(value) else -1.0 for key, value in result.items()}


def as_stated(result: Mapping[str, float]) -> bool:
    """Return whether every scenario, and the storm if there was one, came out as stated."""
    calm = result.get("storm_recovered", 1.0) == 1.0
    return calm and result["scenarios_as_stated"] == result["scenarios"]


def main() -> int:
    """Run the benchmark; the exit code is 1 if something did not come out as stated."""
    print(f"recovery ({machine.about()})")
    result = asyncio.run(measure())
    for key, value in result.items():
        print(f"{key:>20} {value:10.3f}  {MEANING[key]}")
    print("RESULT", json.dumps({key: round(value, 4) for key, value in result.items()}))
    return 0 if as_stated(result) else 1


if __name__ == "__main__":
    sys.exit(main())
