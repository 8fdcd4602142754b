"""The engine against the specification: random workflows, answers in any order."""

import json
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meaning import difference
from perdure_contracts.executions import IterationFailed, RegionEntered
from perdure_engine.definition import validate
from perdure_engine.executions.state import wake_at
from playing import Play, failed
from random_workflows import data, definition
from specification import Endless, evaluate

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


def compared(random: Random, *, loops: bool, seen: Counter[str] | None = None) -> str:
    """Make a workflow, play it, and compare; one that is refused is passed over."""
    made, items = definition(random, loops=loops), data(random)
    if validate(made).workflow is None:
        return ""
    try:
        meaning = evaluate(made, items, fails)
    except Endless:
        return ""
    play = played(made, items, random)
    if seen is not None:
        seen.update({meaning.status, *(e.kind for e in play.told(RegionEntered))})
        seen["nested"] += any(len(run.scope) > 1 for run in play.state.runs.values())
        seen["iteration failed"] += bool(play.told(IterationFailed))
    found = difference(play.state, play.events[-1], meaning)
    return f"{found}\nin {json.dumps(made)} with {json.dumps(items)}" if found else ""


@pytest.mark.parametrize("loops", [False, True])
@settings(max_examples=150, deadline=None, suppress_health_check=(HealthCheck.too_slow,))
@given(st.randoms(use_true_random=False))
def test_a_workflow_means_what_the_specification_says(loops: bool, random: Random) -> None:
    assert compared(random, loops=loops) == ""


@pytest.mark.parametrize("part", range(4))
def test_five_thousand_workflows_with_loops_mean_what_the_specification_says(part: int) -> None:
    seen: Counter[str] = Counter()
    differing = [
        f"seed {seed}: {found}"
        for seed in range(part * 5_000, (part + 1) * 5_000)
        if (found := compared(Random(seed), loops=True, seen=seen))
    ]
    assert differing[:3] == []
    assert min(seen[kind] for kind in COVERED) >= 100, seen


COVERED = ("loop", "foreach", "cycle", "each", "nested", "iteration failed", "SUCCESS", "ERROR")
"""What so many random workflows must have gone through, or they prove little."""
