"""The engine against the specification: random workflows, answers in any order."""

import json
from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meaning import NAMED, difference
from perdure_contracts.engine import (
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
from perdure_contracts.flow import RaceLost, WaitBegun
from perdure_engine.definition import validate
from perdure_engine.executions.state import wake_at
from playing import Play, failed
from random_workflows import data, definition
from specification import Endless, Meaning, evaluate

STEPS_MAX = 600
SOON = timedelta(seconds=1)
"""Before that no attempt is lost, and no retry due: only a WAIT has such instants."""


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
        at = wake_at(play.state)
        soon = at is not None and at - play.now < SOON and order.random() < 0.3
        if not places or soon:
            assert at is not None, "it waits for nothing"
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
        seen["waited"] += bool(play.told(WaitBegun))
        seen["race"] += bool(winners_of(play))
        seen["stopped by a race"] += any(each.raced for each in play.told(NodeCanceled))
        seen["region stopped"] += any(
            each.failed and not play.told(IterationFailed) for each in play.told(RegionExited)
        )
        seen["came too late"] += bool(play.told(RaceLost))
    # Branches of a race run side by side: which of two errors was first, the world decides.
    found = still_running(play, meaning) or difference(
        play.state, play.events[-1], meaning, () if races else NAMED
    )
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
    "race", "stopped by a race", "region stopped", "came too late", "waited",
)  # fmt: skip
"""What so many random workflows must have gone through, or they prove little."""
