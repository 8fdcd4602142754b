"""The engine against the specification: random workflows, answers in any order."""

import json
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perdure_contracts.engine import (
    ExecutionCompleted,
    ExecutionFailed,
    NodeCanceled,
    NodeCompleted,
    NodeErrored,
    Scope,
)
from perdure_contracts.executions import (
    AttemptFailed,
    IterationFailed,
    IterationStarted,
    NodeScheduled,
    RegionEntered,
    RegionExited,
)
from perdure_contracts.flow import RaceLost
from perdure_engine.definition import validate
from perdure_engine.executions.state import Run, wake_at
from playing import Play, failed
from random_workflows import data, definition
from specification import Endless, Meaning, evaluate

STEPS_MAX = 600


def fails(node_id: str, json: dict[str, Any]) -> str | None:
    """Say how the runner fails an item for good: every sixth, by its number."""
    return "lasting" if json["n"] % 6 == int(node_id[1:]) % 6 else None


def played(definition: dict[str, Any], data: Any, order: Random) -> Play:
    """Play an execution to its end; `order` chooses what is answered first."""
    play = Play(definition, snapshots=False).start(data)
    for _ in range(STEPS_MAX):
        if play.state.status != "RUNNING":
            return play
        places = sorted(play.state.tokens.values())
        if not places:
            assert wake_at(play.state) is not None, "it waits for nothing"
            play.wake()
            continue
        answer(play, order.choice(places))
    raise AssertionError("the execution does not end")


def answer(play: Play, place: str) -> None:
    """Answer the attempt under way at a place as the items say."""
    task = play.task(place)
    errors = {
        at: failed("lasting", retryable=task.attempt < 2)
        for at, json in enumerate(task.items)
        if fails(task.node_id, json)
    }
    play.answer(place, errors=errors)


def plain(value: Any, named: Sequence[str] = ("type", "node")) -> Any:
    """Return items without the text of their errors, which people read."""
    if isinstance(value, list):
        return [plain(each, named) for each in cast("list[Any]", value)]
    if isinstance(value, dict) and "error" in value:
        item = cast("dict[str, Any]", value)
        return {**item, "error": {name: item["error"][name] for name in named}}
    return cast("Any", value)


def winners_of(play: Play) -> dict[tuple[str, Scope], int]:
    """Return which connection won each race, by its place in the file."""
    return {
        (run.node_id, run.scope): play.workflow.edges[run.inputs[0][0]].place
        for run in play.state.runs.values()
        if run.status == "SUCCESS"
        and play.workflow.by_id[run.node_id].position in play.workflow.races.order
    }


def still_running(play: Play, meaning: Meaning) -> str:
    """Return what went on though it ran only for a race that had been won, empty if nothing."""
    won: dict[tuple[str, Scope], int] = {}
    for at, event in enumerate(play.events):
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


def live_runs(play: Play, named: Sequence[str]) -> dict[tuple[str, Scope], dict[str, Any]]:
    def data_of(run: Run) -> dict[str, Any]:
        ports = run.ports.items()
        return {port: plain([item["json"] for item in items], named) for port, items in ports}

    runs = [run for run in play.state.runs.values() if run.status == "SUCCESS"]
    return {(run.node_id, run.scope): data_of(run) for run in runs}


def difference(play: Play, meaning: Meaning, named: Sequence[str] = ("type", "node")) -> str:
    """Return where what happened differs from what the specification says, empty if nowhere.

    Of errors in items what is `named` is compared.
    """
    end = play.events[-1]
    found = still_running(play, meaning)
    if meaning.wrong or found:
        return f"{meaning.wrong} {found}"
    if meaning.stopped is not None:
        stopped = isinstance(end, ExecutionFailed) and end.error.type != "stalled"
        return "" if stopped else f"it should have stopped: {end}"
    if not isinstance(end, ExecutionCompleted):
        return f"it should have completed: {end}"
    if plain(end.result, named) != plain(meaning.result, named):
        return f"result {end.result} is not {meaning.result}"
    live = live_runs(play, named)
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
            continue
        found = {port: items for port, items in runs[at].items() if port in ports}
        if found != ports:
            return f"{at} emitted {found}, not {ports}"
    skipped = {
        run.node_id for run in play.state.runs.values() if run.status == "SKIPPED" and not run.scope
    }
    expected_skips = {at[0] for at, ports in meaning.runs.items() if ports is None and not at[1]}
    if {name for name in skipped ^ expected_skips if not meaning.stoppable(name, ())}:
        return f"{skipped} were skipped"
    return ""


def compared(
    random: Random, *, loops: bool, races: bool = False, seen: Counter[str] | None = None
) -> str:
    """Make a workflow, play it, and compare; one that is refused is passed over."""
    made, items = definition(random, loops=loops, races=races), data(random)
    if validate(made).workflow is None:
        return ""
    try:
        meaning = evaluate(made, items, fails)
        play = played(made, items, random)
        if races:
            meaning = evaluate(made, items, fails, winners_of(play))
    except Endless:
        return ""
    if seen is not None:
        seen.update({meaning.status, *(e.kind for e in play.told(RegionEntered))})
        seen["nested"] += any(len(run.scope) > 1 for run in play.state.runs.values())
        seen["iteration failed"] += bool(play.told(IterationFailed))
        seen["race"] += bool(winners_of(play))
        seen["stopped by a race"] += any(each.raced for each in play.told(NodeCanceled))
        seen["region stopped"] += any(
            each.failed and not play.told(IterationFailed) for each in play.told(RegionExited)
        )
        seen["came too late"] += bool(play.told(RaceLost))
    # Branches of a race run side by side: which of two errors was first, the world decides.
    found = difference(play, meaning, () if races else ("type", "node"))
    return f"{found}\nin {json.dumps(made)} with {json.dumps(items)}" if found else ""


@pytest.mark.parametrize("races", [False, True])
@pytest.mark.parametrize("loops", [False, True])
@settings(max_examples=150, deadline=None, suppress_health_check=(HealthCheck.too_slow,))
@given(st.randoms(use_true_random=False))
def test_a_workflow_means_what_the_specification_says(
    loops: bool, races: bool, random: Random
) -> None:
    assert compared(random, loops=loops, races=races) == ""


@pytest.mark.parametrize("part", range(4))
def test_five_thousand_workflows_with_loops_and_races_mean_what_the_specification_says(
    part: int,
) -> None:
    seen: Counter[str] = Counter()
    differing = [
        f"seed {seed}: {found}"
        for seed in range(part * 5_000, (part + 1) * 5_000)
        if (found := compared(Random(seed), loops=True, races=True, seen=seen))
    ]
    assert differing[:3] == []
    assert min(seen[kind] for kind in COVERED) >= 100, seen


COVERED = (
    "loop", "foreach", "cycle", "each", "nested", "iteration failed", "SUCCESS", "ERROR",
    "race", "stopped by a race", "region stopped", "came too late",
)  # fmt: skip
"""What so many random workflows must have gone through, or they prove little."""
