"""The same workflows on perdure, Restate and DBOS, one after the other in the same run.

Chains of 3 and of 10 steps that do nothing; some 400 bytes go in, each step returns some 200.
Everything is durable: fsync is on wherever something is written. Each system runs as its own
documentation makes it fastest for Python, on servers of its own, which are gone before the
next one starts; DBOS and Restate are installed on demand, into a cache. docs/performance.md
says what is compared with what.

    QUICK=1 python -m bench.peers

A short look measures the three keys alone: 3 steps, throughput, and one in flight.
"""

import asyncio
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

from rich.console import Console
from rich.table import Table

from bench import engine, machine
from bench.peer_apps import subjects
from bench.peer_apps.installing import NotInstalled
from bench.peer_apps.subjects import Peer, Saturated, Subject
from bench.stack import QUICK

MEASURE_S, WARM_S = (3.0, 1.0) if QUICK else (10.0, 3.0)
TRY_S = 4.0
"""How long each number of executions in flight is tried before the best is measured."""


@dataclass
class Figures:
    """What was measured of one system; empty where it was not."""

    name: str
    most: int
    saturated: dict[int, Saturated] = field(default_factory=dict)
    alone: dict[int, list[float]] = field(default_factory=dict)
    half: list[float] = field(default_factory=list)

    def steps_per_s(self, steps: int) -> float:
        """Return the steps a second at saturation."""
        found = self.saturated.get(steps)
        return found.per_s * steps if found else math.nan

    def p50_ms(self, steps: int) -> float:
        """Return the median latency of executions with one in flight."""
        return percentile(self.alone.get(steps, ()), 0.5)

    def cpu_us(self, *, load: bool) -> float:
        """Return the CPU microseconds of an execution of 3 steps: the load's, or all others'."""
        parts = self.saturated[3].cpu_us
        return sum(us for name, us in parts.items() if (name == "load") == load)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie."""
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(subject: Subject, *, alone: bool = True) -> Figures:
    """Measure one system, with the number of executions in flight that suits it best.

    A short look leaves out the latency of one in flight where `alone` is False.
    """
    print(f"measuring {subject.name}", flush=True)
    found = Figures(subject.name, subject.mosts[0])
    if not QUICK:
        tried = {most: subject.saturate(3, most, 1.0, TRY_S).per_s for most in subject.mosts}
        found.most = max(tried, key=lambda most: tried[most])
    found.saturated[3] = subject.saturate(3, found.most, WARM_S, MEASURE_S)
    if alone or not QUICK:
        found.alone[3] = subject.alone(3, WARM_S / 3, MEASURE_S)
    if not QUICK:
        found.saturated[10] = subject.saturate(10, found.most, WARM_S, MEASURE_S)
        found.alone[10] = subject.alone(10, WARM_S / 3, MEASURE_S)
        half = found.saturated[3].per_s / 2
        found.half = subject.paced(3, half, WARM_S, MEASURE_S)
    return found


def of_perdure() -> list[Figures]:
    """Measure perdure, dispatched and (at length) inline steps."""

    def save(running: subjects.platform.Running, name: str) -> str:
        return asyncio.run(engine.save(running, engine.CHAINS[name]))

    with subjects.perdure(save) as both:
        return [measure(subject) for subject in (both[:1] if QUICK else both)]


def of_peer(
    name: str, made: Callable[[], AbstractContextManager[Peer]], console: Console
) -> Figures | None:
    """Measure another system, or say loudly why it is not there."""
    try:
        with made() as peer:
            return measure(peer, alone=name != "DBOS")
    except NotInstalled as why:
        console.print(f"[bold red]{name} IS NOT MEASURED: {why}. Its keys are missing.[/bold red]")
        return None


def keys(ours: Figures, theirs: Mapping[str, Figures | None]) -> dict[str, float]:
    """Return the keys of the result; those of a system that is not there are left out."""
    result: dict[str, float] = {}
    for name, other in theirs.items():
        if other:
            result[f"steps_vs_{name}"] = ours.steps_per_s(3) / other.steps_per_s(3)
            result[f"p50_vs_{name}"] = ours.p50_ms(3) / other.p50_ms(3)
    for name, each in {"perdure": ours, **theirs}.items():
        if each:
            result[f"peers_{name}_steps_per_s"] = each.steps_per_s(3)
            result[f"peers_{name}_p50_ms"] = each.p50_ms(3)
    return {name: round(value, 3) for name, value in result.items() if not math.isnan(value)}


COLUMNS = (
    "system",
    "steps/s\n3 steps",
    "steps/s\n10 steps",
    "in\nflight",
    "one in flight, 3\np50 / p99 ms",
    "one in flight, 10\np50 / p99 ms",
    "half load, 3\np50 / p99 ms",
    "CPU µs of an\nexecution of 3",
    "and of\nits load",
)
NOTHING = "-"


def _pair(ordered: Sequence[float]) -> str:
    if not ordered:
        return NOTHING
    return f"{percentile(ordered, 0.5):.1f} / {percentile(ordered, 0.99):.1f}"


def _number(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:,.0f}"


def row(found: Figures) -> list[str]:
    """Return a line of the table."""
    has_load = "load" in found.saturated[3].cpu_us
    return [
        found.name,
        _number(found.steps_per_s(3)),
        _number(found.steps_per_s(10)),
        str(found.most),
        _pair(found.alone.get(3, ())),
        _pair(found.alone.get(10, ())),
        _pair(found.half),
        _number(found.cpu_us(load=False)),
        _number(found.cpu_us(load=True)) if has_load else "in it",
    ]


def show(console: Console, before: str, found: Sequence[Figures]) -> None:
    """Print the table, and where the processors' time went."""
    table = Table(title=f"peers ({before}; each measured for {MEASURE_S:.0f} s; fsync on)")
    rows = [row(each) for each in found]
    shown = [i for i in range(len(COLUMNS)) if any(each[i] != NOTHING for each in rows)]
    for i in shown:
        table.add_column(COLUMNS[i], justify="right" if i else "left", no_wrap=True)
    for each in rows:
        table.add_row(*(each[i] for i in shown))
    console.print(table)
    for each in found:
        parts = sorted(each.saturated[3].cpu_us.items(), key=lambda part: -part[1])
        told = ", ".join(f"{name} {us:,.0f}" for name, us in parts if us >= 0.5)
        console.print(f"CPU µs of an execution of 3 steps, {each.name}: {told}")


_TUNED = "a Restate with another HTTP server and as many partitions as cores; not in a short look"
MEANING = {
    "steps_vs_restate": "dispatched steps/s, chains of 3, against Restate as its guides set it up",
    "steps_vs_restate_tuned": f"the same against {_TUNED}",
    "steps_vs_dbos": "the same against DBOS",
    "p50_vs_restate": "median of 3 dispatched steps, one in flight, against Restate as its guides "
    "set it up; below 1 is faster",
    "p50_vs_restate_tuned": f"the same against {_TUNED}",
    "p50_vs_dbos": "the same against DBOS; not in a short look",
    "peers_perdure_steps_per_s": "perdure: dispatched steps/s at saturation, chains of 3",
    "peers_perdure_p50_ms": "perdure: start to end of 3 dispatched steps, one in flight",
    "peers_restate_steps_per_s": "Restate: steps/s at saturation, chains of 3",
    "peers_restate_p50_ms": "Restate: call to answer, 3 steps, one in flight",
    "peers_restate_tuned_steps_per_s": f"the same on {_TUNED}",
    "peers_restate_tuned_p50_ms": f"the same on {_TUNED}",
    "peers_dbos_steps_per_s": "DBOS: steps/s at saturation, chains of 3",
    "peers_dbos_p50_ms": "DBOS: start to result, 3 steps, one in flight; not in a short look",
}


def main() -> int:
    """Run the benchmark."""
    console, before = Console(width=170), machine.about()
    ours = of_perdure()
    made: dict[str, Callable[[], AbstractContextManager[Peer]]] = {
        "restate": partial(subjects.restate, tuned=False),
        "restate_tuned": partial(subjects.restate, tuned=True),
        "dbos": subjects.dbos,
    }
    if QUICK:
        del made["restate_tuned"]
    theirs = {name: of_peer(name.upper(), each, console) for name, each in made.items()}
    show(console, before, [*ours, *(each for each in theirs.values() if each)])
    result = keys(ours[0], theirs)
    for name, value in result.items():
        console.print(f"{name:>34} {value:>10,.2f}  {MEANING[name]}")
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
