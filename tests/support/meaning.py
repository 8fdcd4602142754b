"""Compares what an execution came to with what the specification says that it means."""

from typing import Any, cast

from perdure_contracts.engine import ExecutionCompleted, ExecutionFailed, Scope
from perdure_contracts.executions import ExecutionEvent
from perdure_engine.executions.state import Execution
from specification import Meaning


def plain(value: Any) -> Any:
    """Return items without the text of their errors, which people read."""
    if isinstance(value, list):
        return [plain(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict) and "error" in value:
        item = cast("dict[str, Any]", value)
        return {**item, "error": {name: item["error"][name] for name in ("type", "node")}}
    return cast("Any", value)


def live_runs(state: Execution) -> dict[tuple[str, Scope], dict[str, Any]]:
    """Return what the runs that succeeded have emitted, by node and scope."""
    return {
        (run.node_id, run.scope): {
            port: plain([item["json"] for item in items]) for port, items in run.ports.items()
        }
        for run in state.runs.values()
        if run.status == "SUCCESS"
    }


def difference(state: Execution, end: ExecutionEvent, meaning: Meaning) -> str:
    """Return where what happened differs from what the specification says, empty if nowhere.

    `state` is that of the execution after its last event, `end`.
    """
    if meaning.stopped is not None:
        stopped = isinstance(end, ExecutionFailed) and end.error.type != "stalled"
        return "" if stopped else f"it should have stopped: {end}"
    if not isinstance(end, ExecutionCompleted):
        return f"it should have completed: {end}"
    if plain(end.result) != meaning.result:
        return f"result {end.result} is not {meaning.result}"
    runs = {at: ports for at, ports in live_runs(state).items() if not meaning.undecided(at[1])}
    expected = {
        at: ports
        for at, ports in meaning.runs.items()
        if ports is not None and not meaning.undecided(at[1])
    }
    if set(runs) != set(expected):
        return f"other runs: {set(runs) ^ set(expected)}"
    for at, ports in expected.items():
        found = {port: items for port, items in runs[at].items() if port in ports}
        if found != ports:
            return f"{at} emitted {found}, not {ports}"
    skipped = {
        run.node_id for run in state.runs.values() if run.status == "SKIPPED" and not run.scope
    }
    if skipped != {at[0] for at, ports in meaning.runs.items() if ports is None and not at[1]}:
        return f"{skipped} were skipped"
    return ""
