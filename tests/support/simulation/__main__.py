"""Runs seeds: `python -m simulation --seeds 200`, or one of them: `--seed 17`."""

import argparse
import sys
import time
from collections import Counter

from simulation.run import Result, simulate
from simulation.stage import quiet


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--log", action="store_true")
    given = parser.parse_args()
    seeds = [given.seed] if given.seed is not None else range(given.seeds)
    began = time.perf_counter()
    faults: Counter[str] = Counter()
    results: list[Result] = []
    with quiet():
        for seed in seeds:
            log: list[str] | None = [] if given.log else None
            result = simulate(seed, log)
            results.append(result)
            faults.update(result.faults)
            for line in log or ():
                print(line)
            for each in result.broken[:3]:
                print(f"seed {seed} ({result.kind}): {each}")
    took = time.perf_counter() - began
    for what, count in sorted(faults.items()):
        print(f"{count:8,}  {what}")
    print(
        f"{len(results)} seeds in {took:.1f} s, {sum(r.events for r in results)} events, "
        f"{sum(r.executions for r in results)} executions, {sum(r.steps for r in results)} steps, "
        f"virtual {sum(r.virtual_s for r in results):.0f}s, rest max {max(r.rested_s for r in results):.0f}"
    )
    return any(r.broken for r in results)


if __name__ == "__main__":
    sys.exit(main())
