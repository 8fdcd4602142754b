"""The same workflows on perdure, Restate and DBOS, one after the other in the same run.

Chains of 3 and of 10 steps that do nothing; some 400 bytes go in, each step returns some 200.
Everything is durable: fsync is on wherever something is written. Each system runs as its own
documentation makes it fastest for Python, on servers of its own, which are gone before the
next one starts; DBOS and Restate are installed on demand, into a cache. docs/performance.md
says what is compared with what.

    QUICK=1 python -m bench.peers

A short look measures the three keys alone: 3 steps, throughput and one in flight.
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
from bench.stack import MEASURE_S, QUICK, WARM_S

TRY_S = 4.0
"""How long each number of executions in flight is tried before the best is measured."""


@dataclass
class Figures:
    """What was measured of one system; empty where it was not."""

    name: str
    most: dict[int, int] = field(default_factory=dict[int, int])
    saturated: dict[int, Saturated] = field(default_factory=dict[int, Saturated])
    alone: dict[int, list[float]] = field(default_factory=dict[int, "list[float]"])
    half: list[float] = field(default_factory=list[float])

    def steps_per_s(self, steps: int) -> float:
        """Return the steps a second at saturation."""
        found = self.saturated.get(steps)
        return found.per_s * steps if found else math.nan

    def cpu_us(self, *, load: bool) -> float:
        """Return the CPU microseconds of an execution of 3 steps: the load's, or all others'."""
        parts = self.saturated[3].cpu_us
        return sum(us for name, us in parts.items() if (name == "load") == load)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the sorted values lie."""
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(subject: Subject) -> Figures:
    """Measure one system, with the number of executions in flight that suits it best."""
    found = Figures(subject.name)
    for steps in (3,) if QUICK else (3, 10):
        found.alone[steps] = subject.alone(steps, WARM_S, MEASURE_S)
        most = subject.mosts[0]
        if not QUICK:
            tried = {m: subject.saturate(steps, m, 1.0, TRY_S).per_s for m in subject.mosts}
            most = max(tried, key=lambda m: tried[m])
        found.most[steps] = most
        found.saturated[steps] = subject.saturate(steps, most, WARM_S, MEASURE_S)
    if not QUICK:
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
            return measure(peer)
    except NotInstalled as why:
        console.print(f"[bold red]{name} IS NOT MEASURED: {why}. Its keys are missing.[/bold red]")
        return None


def keys(ours: Figures, theirs: Mapping[str, Figures | None]) -> dict[str, float]:
    """Return the keys of the result; those of a system that is not there are left out."""
    result: dict[str, float] = {}
    for name, other in theirs.items():
        if other:
            p50s = (percentile(each.alone[3], 0.5) for each in (ours, other))
            result[f"steps_vs_{name}"] = ours.steps_per_s(3) / other.steps_per_s(3)
            result[f"p50_vs_{name}"] = next(p50s) / next(p50s)
    for name, each in {"perdure": ours, **theirs}.items():
        if each:
            result[f"peers_{name}_steps_per_s"] = each.steps_per_s(3)
            result[f"peers_{name}_p50_ms"] = percentile(each.alone[3], 0.5)
    return {name: round(value, 3) for name, value in result.items()}


COLUMNS = (
    "system",
    "3 steps: steps/s",
    "10 steps: steps/s",
    "in flight",
    "alone, 3: p50 / p99 ms",
    "alone, 10: p50 / p99 ms",
    "half load, 3: p50 / p99 ms",
    "CPU µs / execution of 3",
    "and its load",
)


def _pair(ordered: Sequence[float]) -> str:
    if not ordered:
        return "-"
    return f"{percentile(ordered, 0.5):.1f} / {percentile(ordered, 0.99):.1f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


def row(found: Figures) -> list[str]:
    """Return a line of the table."""
    has_load = "load" in found.saturated[3].cpu_us
    return [
        found.name,
        _number(found.steps_per_s(3)),
        _number(found.steps_per_s(10)),
        " / ".join(str(most) for most in found.most.values()),
        _pair(found.alone.get(3, ())),
        _pair(found.alone.get(10, ())),
        _pair(found.half),
        _number(found.cpu_us(load=False)),
        _number(found.cpu_us(load=True)) if has_load else "in it",
    ]


def show(console: Console, before: str, found: Sequence[Figures]) -> None:
    """Print the table, and where the processors' time went."""
    table = Table(title=f"peers ({before}; each measured for {MEASURE_S:.0f} s; fsync on)")
    for heading in COLUMNS:
        table.add_column(heading, justify="left" if heading == "system" else "right")
    for each in found:
        table.add_row(*row(each))
    console.print(table)
    for each in found:
        parts = sorted(each.saturated[3].cpu_us.items(), key=lambda part: -part[1])
        told = ", ".join(f"{name} {us:,.0f}" for name, us in parts if us >= 0.5)
        console.print(f"CPU µs of an execution of 3 steps, {each.name}: {told}")


_RESTATE, _DEFAULT = "Restate with as many partitions as cores", "Restate with its 24 partitions"
MEANING = {
    "steps_vs_restate": f"dispatched steps/s, chains of 3, against {_RESTATE}",
    "steps_vs_restate_default": f"the same against {_DEFAULT}; not in a short look",
    "steps_vs_dbos": "the same against DBOS",
    "p50_vs_restate": f"median of 3 dispatched steps, one in flight, against {_RESTATE}; below 1 "
    "is faster",
    "p50_vs_restate_default": f"the same against {_DEFAULT}; not in a short look",
    "p50_vs_dbos": "the same against DBOS",
    "peers_perdure_steps_per_s": "perdure: dispatched steps/s at saturation, chains of 3",
    "peers_perdure_p50_ms": "perdure: start to end of 3 dispatched steps, one in flight",
    "peers_restate_steps_per_s": f"{_RESTATE}: steps/s at saturation, chains of 3",
    "peers_restate_p50_ms": f"{_RESTATE}: call to answer, 3 steps, one in flight",
    "peers_restate_default_steps_per_s": f"the same, {_DEFAULT}",
    "peers_restate_default_p50_ms": f"the same, {_DEFAULT}",
    "peers_dbos_steps_per_s": "DBOS: steps/s at saturation, chains of 3",
    "peers_dbos_p50_ms": "DBOS: start to result, 3 steps, one in flight",
}


def main() -> int:
    """Run the benchmark."""
    console, before = Console(width=170), machine.about()
    ours = of_perdure()
    made: dict[str, Callable[[], AbstractContextManager[Peer]]] = {
        "restate": partial(subjects.restate, few_partitions=True),
        "restate_default": partial(subjects.restate, few_partitions=False),
        "dbos": subjects.dbos,
    }
    if QUICK:
        del made["restate_default"]
    theirs = {name: of_peer(name.upper(), each, console) for name, each in made.items()}
    show(console, before, [*ours, *(each for each in theirs.values() if each)])
    result = keys(ours[0], theirs)
    for name, value in result.items():
        console.print(f"{name:>34} {value:>10,.2f}  {MEANING[name]}")
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
