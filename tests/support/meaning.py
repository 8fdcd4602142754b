"""Compares what an execution came to with what the specification says that it means."""

from collections.abc import Sequence
from typing import Any, cast

from perdure_contracts.engine import ExecutionCompleted, ExecutionFailed, Scope
from perdure_contracts.executions import ExecutionEvent
from perdure_engine.executions.state import Execution, Run
from specification import Meaning

NAMED = ("type", "node")
"""What is compared of errors in items: all but their text, which people read."""


def plain(value: Any, named: Sequence[str] = NAMED) -> Any:
    """Return items with no more of their errors than what is `named`."""
    if isinstance(value, list):
        return [plain(each, named) for each in cast("list[Any]", value)]
    if isinstance(value, dict) and "error" in value:
        item = cast("dict[str, Any]", value)
        return {**item, "error": {name: item["error"][name] for name in named}}
    return cast("Any", value)


def live_runs(
    state: Execution, named: Sequence[str] = NAMED
) -> dict[tuple[str, Scope], dict[str, Any]]:
    """Return what the runs that succeeded have emitted, by node and scope."""

    def data_of(run: Run) -> dict[str, Any]:
        ports = run.ports.items()
        return {port: plain([item["json"] for item in items], named) for port, items in ports}

    runs = [run for run in state.runs.values() if run.status == "SUCCESS"]
    return {(run.node_id, run.scope): data_of(run) for run in runs}


def difference(
    state: Execution, end: ExecutionEvent, meaning: Meaning, named: Sequence[str] = NAMED
) -> str:
    """Return where what happened differs from what the specification says, empty if nowhere.

    `state` is that of the execution after its last event, `end`.
    """
    if meaning.wrong:
        return f"{meaning.wrong}"
    if meaning.stopped is not None:
        stopped = isinstance(end, ExecutionFailed) and end.error.type != "stalled"
        return "" if stopped else f"it should have stopped: {end}"
    if not isinstance(end, ExecutionCompleted):
        return f"it should have completed: {end}"
    if plain(end.result, named) != plain(meaning.result, named):
        return f"result {end.result} is not {meaning.result}"
    live = live_runs(state, named)
    runs = {at: ports for at, ports in live.items() if not meaning.undecided(at[1])}
    expected = {
        at: {port: plain(items, named) for port, items in ports.items()}
        for at, ports in meaning.runs.items()
        if ports is not None and not meaning.undecided(at[1])
    }
    others = {at for at in set(runs) ^ set(expected) if not meaning.stoppable(*at)}
    if others:
        return f"other runs: {others}"
    for at, ports in expected.items():
        if at not in runs:
            continue  # a race that was won stopped it in time
        found = {port: items for port, items in runs[at].items() if port in ports}
        if found != ports:
            return f"{at} emitted {found}, not {ports}"
    skipped = {
        run.node_id for run in state.runs.values() if run.status == "SKIPPED" and not run.scope
    }
    expected_skips = {at[0] for at, ports in meaning.runs.items() if ports is None and not at[1]}
    if {name for name in skipped ^ expected_skips if not meaning.stoppable(name, ())}:
        return f"{skipped} were skipped"
    return ""
