"""Runs chaos: `python -m chaos --seconds 120`, or with what happened before: `--seed 17`."""

import argparse
import asyncio
import secrets
import sys
import time

import structlog

from chaos.story import Verdict, run

TOLD_MAX = 20


def summary(found: Verdict, seconds: float, seed: int) -> str:
    """Return what a run found, in one line."""
    happened = ", ".join(f"{count} {kind}" for kind, count in sorted(found.happened.items()))
    if found.broken:
        verdict = f"{len(found.broken)} PROMISES BROKEN"
    elif found.missing:
        verdict = f"too little happened, it lacks: {', '.join(found.missing)}"
    else:
        verdict = "every promise holds"
    return (
        f"chaos: {verdict}. {found.triggers:,} triggers ({found.random:,} of "
        f"random workflows) in {seconds:g} s ({happened}), drained "
        f"{found.drained_s:.1f} s later; {found.watch}; seed {seed}"
    )


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long the load lasts")
    parser.add_argument("--seed", type=int, help="what decides what happens, and to whom")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    say(f"a platform starts (seed {seed}: make chaos SEED={seed} lets the same happen)")
    found = asyncio.run(run(given.seconds, seed, say))
    for each in found.broken[:TOLD_MAX]:
        print(f"broken: {each}")
    print(summary(found, given.seconds, seed))
    return 1 if found.broken or found.missing else 0


if __name__ == "__main__":
    sys.exit(main())
