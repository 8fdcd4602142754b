"""Runs the benchmarks: all of them one after the other, or the one that is named.

Each runs in a process of its own, so that none meets what another left in memory. When all
have run, the last line has the keys of all.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

BENCHMARKS: dict[str, str] = {
    "engine": "executions and steps a second, latency, CPU, log and memory of the whole platform",
    "core": "microseconds of the engine's core for a step, without shell and servers",
    "start": "how long `perdure up` takes, and what it costs",
    "journal": "events a second through the shell alone, against a bare COPY of the same rows",
    "foreach": "large executions: many items, branches, node runs and nodes",
    "expressions": "how long expressions take, beside V8, and the worst of them",
    "recovery": "failures staged on a whole platform: what is mended, how soon, how decisions come",
    "scheduler": "triggers: lookups among many, topic to execution, many clocks in one second",
    "million": "what a million finished executions in the database cost",
    "peers": "the same workflows on DBOS and Restate, installed on demand, in the same run",
}
"""Every benchmark and what it measures, in the order in which they run."""

TOOLS: dict[str, str] = {
    "profile": "where the engine's time goes, function by function",
    "gates": "what a limit for a whole tenant costs an execution",
    "scheduler_webhooks": "requests that are taken, and how soon; `scheduler` has its figures",
    "recovery_text": "what recovery understands of texts, style by style; `recovery` has its sums",
}
"""What is run by its name only: it helps to see why, and proves nothing."""

MARK = "RESULT "


def result_of(line: str) -> dict[str, float] | None:
    """Return the keys of a last line, None if it is any other line."""
    if not line.startswith(MARK):
        return None
    return json.loads(line.removeprefix(MARK))


def joined(keys: dict[str, float], name: str, found: dict[str, float]) -> dict[str, float]:
    """Return keys with those of one more benchmark; it tells those apart that are there already."""
    return keys | {(f"{name}_{key}" if key in keys else key): each for key, each in found.items()}


def usage() -> str:
    """Return what there is to run."""
    named = BENCHMARKS | TOOLS
    width = max(map(len, named))
    lines = [f"  make bench NAME={name:<{width}}  {what}" for name, what in named.items()]
    every = f"{'  make bench':<{width + 18}}  all but the last {len(TOOLS)}"
    return "\n".join([every, *lines])


def run(name: str) -> tuple[int, dict[str, float]]:
    """Run one benchmark, passing on what it says; return its exit code and its keys."""
    command = [sys.executable, "-m", f"bench.{name}"]
    found: dict[str, float] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                print(line, end="", flush=True)
                found = result_of(line) or found
            return child.wait(), found
        except BaseException:
            child.send_signal(signal.SIGTERM)  # it takes its servers with it
            child.wait()
            raise


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; the exit code is 0 if everything ran."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if len(arguments) > 1 or (arguments and arguments[0] not in BENCHMARKS | TOOLS):
        print(f"There is no benchmark {' '.join(arguments)!r}. There are:", file=sys.stderr)
        print(f"{usage()}\nQUICK=1 before it takes a short look.", file=sys.stderr)
        return 2
    if arguments:
        return run(arguments[0])[0]
    codes: list[int] = []
    keys: dict[str, float] = {}
    for name, what in BENCHMARKS.items():
        print(f"\n{name}: {what}", flush=True)
        code, found = run(name)
        codes.append(code)
        keys = joined(keys, name, found)
        if code:
            print(f"{name} ended with code {code}", file=sys.stderr, flush=True)
    print(MARK + json.dumps(keys))
    return max(codes)


if __name__ == "__main__":
    # A benchmark looks at its terminal's width; what it prints here goes through a pipe.
    os.environ.setdefault("COLUMNS", "120")
    sys.exit(main([argument for argument in sys.argv[1:] if argument]))
