"""Compares what an execution came to with what the specification says that it means."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from perdure_contracts.engine import (
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    NodeCompleted,
    NodeErrored,
    Scope,
)
from perdure_contracts.executions import (
    AttemptFailed,
    ExecutionEvent,
    IterationStarted,
    NodeScheduled,
    RegionEntered,
)
from perdure_engine.executions.state import Execution, Run
from playing import Play
from specification import At, Items, Meaning

NAMED = ("type", "node")
"""What is compared of errors in items: all but their text, which people read."""

ANSWERED = ("outcome", "by")
"""What is compared of the answers of people: all but ids and instants."""


def plain(value: Any, named: Sequence[str] = NAMED) -> Any:
    """Return items with no more of their errors than what is `named`."""
    if isinstance(value, list):
        return [plain(each, named) for each in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    item = {name: plain(each, named) for name, each in cast("dict[str, Any]", value).items()}
    if isinstance(item.get("error"), dict):
        errors: list[Any] = item["error"].get("either", [item["error"]])
        cut = [{name: error[name] for name in named} for error in errors]
        item["error"] = cut[0] if cut.count(cut[0]) == len(cut) else {"either": cut}
    if isinstance(item.get("interaction"), dict):
        item["interaction"] = {name: item["interaction"][name] for name in ANSWERED}
    return item


def agree(found: Items, expected: Items, named: Sequence[str] = NAMED) -> bool:
    """Tell whether items, made `plain`, are what the specification expects, or may be it."""
    return _may_be(found, plain(expected, named))


def _may_be(found: Any, expected: Any) -> bool:
    """Tell whether a value is as expected; of errors beside each other the first is, by chance."""
    if isinstance(expected, list) and isinstance(found, list):
        wanted, values = cast("list[Any]", expected), cast("list[Any]", found)
        return len(values) == len(wanted) and all(map(_may_be, values, wanted))
    if isinstance(expected, dict) and isinstance(found, dict):
        fields, there = cast("dict[str, Any]", expected), cast("dict[str, Any]", found)
        if "either" in fields:
            return there in fields["either"]
        same = set(fields) == set(there)
        return same and all(_may_be(there[name], fields[name]) for name in fields)
    return bool(found == expected)


def with_ids(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item's data, with the ids of its files by name where it has any."""
    files = {name: ref["file_id"] for name, ref in item.get("binary_ref", {}).items()}
    return {**item["json"], "files": files} if files else item["json"]


def live_runs(
    state: Execution, named: Sequence[str] = NAMED
) -> dict[tuple[str, Scope], dict[str, Any]]:
    """Return what the runs that succeeded have emitted, by node and scope."""

    def data_of(run: Run) -> dict[str, Any]:
        ports = run.ports.items()
        return {port: plain([with_ids(item) for item in items], named) for port, items in ports}

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
    if found := difference_so_far(state, meaning, named):
        return found
    if isinstance(end, ExecutionCanceled):
        return ""
    if meaning.stopped is not None:
        stopped = isinstance(end, ExecutionFailed) and end.error.type != "stalled"
        return "" if stopped else f"it should have stopped: {end}"
    if not isinstance(end, ExecutionCompleted):
        return f"it should have completed: {end}"
    if not agree(plain(end.result, named), meaning.result, named):
        return f"result {end.result} is not {meaning.result}"
    runs = {at for at in live_runs(state, named) if not meaning.undecided(at[1])}
    expected = {
        at
        for at, ports in meaning.runs.items()
        if ports is not None and not meaning.undecided(at[1])
    }
    others = {at for at in runs ^ expected if not meaning.stoppable(*at)}
    if others:
        return f"other runs: {others}"
    skipped = {
        run.node_id for run in state.runs.values() if run.status == "SKIPPED" and not run.scope
    }
    expected_skips = {at[0] for at, ports in meaning.runs.items() if ports is None and not at[1]}
    if {name for name in skipped ^ expected_skips if not meaning.stoppable(name, ())}:
        return f"{skipped} were skipped"
    return ""


def difference_so_far(state: Execution, meaning: Meaning, named: Sequence[str] = NAMED) -> str:
    """Return which run that succeeded emitted something else, wherever the execution ended.

    What the specification does not know, because it stops at the first failure, is passed over.
    """
    for at, emitted in live_runs(state, named).items():
        if at not in meaning.runs:
            if meaning.stopped is None and not meaning.undecided(at[1]):
                return f"{at} has run, which should not"
            continue
        ports = meaning.runs[at]
        if meaning.undecided(at[1]):
            continue
        if ports is None:
            return f"{at} has run, which should have been skipped"
        found = {port: items for port, items in emitted.items() if port in ports}
        if any(not agree(found.get(port, []), items, named) for port, items in ports.items()):
            return f"{at} emitted {found}, not {ports}"
    return ""


def still_running(play: Play, meaning: Meaning) -> str:
    """Return what went on though it ran only for a race that had been won, empty if nothing."""
    won: dict[At, int] = {}
    for at, event in enumerate(play.events):
        if isinstance(event, RegionEntered):  # once more, after a revival: with races of its own
            depth = len(event.scope)
            won = {
                (node_id, scope): when
                for (node_id, scope), when in won.items()
                if scope[:depth] != event.scope or scope[depth : depth + 1] == ()
                or scope[depth][0] != event.node_id
            }  # fmt: skip
            continue
        if isinstance(event, NodeCompleted):
            won.setdefault((event.node_id, event.scope), at)
        elif not isinstance(event, NodeScheduled | AttemptFailed | NodeErrored | IterationStarted):
            continue
        units = [(event.node_id, event.scope)]
        units += [(region, event.scope[:depth]) for depth, (region, _) in enumerate(event.scope)]
        for unit, scope in units:
            for race in meaning.raced.get((unit, scope), ()):
                if won.get((race, scope), at) < at:
                    return f"{unit} in {scope} went on when {race} had been won: {event}"
    return ""
