"""Runs seeds: `python -m simulation --seeds 200`, or one of them: `--seed 17 --log`."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from simulation.run import Result, kind_of, simulate
from simulation.stage import quiet

KINDS_MIN = 25
"""Kinds of faults that many seeds must have met together, or the simulation itself has failed."""

MANY = 50
TOLD_MAX = 3


def _simulated(seed: int) -> Result:
    with quiet():
        return simulate(seed)


def results(seeds: Iterable[int], processes: int) -> Iterator[Result]:
    """Run seeds, each on its own, and give what came of them in their order."""
    if processes <= 1:
        yield from map(_simulated, seeds)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(_simulated, seeds, chunksize=4)


def told(result: Result) -> str:
    """Return what a seed that failed found, and how to run it again."""
    found = "\n".join(f"  {each}" for each in result.broken[:TOLD_MAX])
    return (
        f"seed {result.seed} ({result.kind}) broke {len(result.broken)} promises:\n{found}\n"
        f"  again: make simulate SEED={result.seed}"
    )


def one(seed: int) -> int:
    """Run one seed and print its trace."""
    log: list[str] = []
    with quiet():
        result = simulate(seed, log)
    print("\n".join(log))
    print(f"seed {seed} ({kind_of(seed)}): trace {result.trace}, {result.faults.total()} faults")
    for each in result.broken:
        print(f"broken: {each}")
    return 1 if result.broken else 0


def many(first: int, seeds: int, processes: int) -> int:
    """Run many seeds and print what went wrong in them, by its kind."""
    began, faults, checked = time.perf_counter(), Counter[str](), Counter[str]()
    failed = events = executions = 0
    virtual_s = 0.0
    for result in results(range(first, first + seeds), processes):
        faults.update(result.faults)
        checked.update(result.checked)
        events, executions = events + result.events, executions + result.executions
        virtual_s += result.virtual_s
        if result.broken:
            failed += 1
            print(told(result), flush=True)
    took_s = time.perf_counter() - began
    print("What went wrong, over all seeds:")
    for what, count in sorted(faults.items()):
        print(f"{count:9,}  {what}")
    looked = ", ".join(f"{count:,} {what}" for what, count in sorted(checked.items()))
    print(f"Looked at: {looked}")
    if seeds >= MANY and len(faults) < KINDS_MIN:
        failed += 1
        print(f"Only {len(faults)} kinds of faults: this proves too little, {KINDS_MIN} must be.")
    print(
        f"{seeds} seeds, {executions:,} executions, {events:,} events, "
        f"{virtual_s / 3600:.1f} virtual hours in {took_s:.1f} s "
        f"({60 * seeds / took_s:,.0f} seeds a minute): {failed} failed"
    )
    return 1 if failed else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="one seed, with its trace")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    if given.seed is not None:
        return one(given.seed)
    return many(given.first, given.seeds, given.processes)


if __name__ == "__main__":
    sys.exit(main())
