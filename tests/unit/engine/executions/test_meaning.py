"""The engine against the specification: random workflows, answers in any order."""

import json
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meaning import NAMED, difference, still_running
from met_world import winners_of
from perdure_engine.definition import validate
from perdure_engine.executions.state import wake_at
from playing import Play, failed
from random_workflows import data, definition
from specification import Endless, Scope, World, evaluate
from specification.words import number

STEPS_MAX = 600
SOON = timedelta(seconds=1)
"""Before that no attempt is lost, and no retry due: only a WAIT has such instants."""


def fails(node_id: str, scope: Scope, json: dict[str, Any]) -> str | None:
    """Say how the runner fails an item for good: every sixth, by its number."""
    del scope
    return "lasting" if number(json) % 6 == int(node_id[1:]) % 6 else None


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
    task, scope = play.task(place), play.state.runs[place].scope
    errors = {
        at: failed("lasting", retryable=task.attempt < 2)
        for at, json in enumerate(task.items)
        if fails(task.node_id, scope, json)
    }
    play.answer(place, errors=errors)


def compared(random: Random, *, loops: bool, races: bool) -> str:
    """Make a workflow, play it, and compare; one that is refused is passed over."""
    made = definition(random, loops=loops, races=races, lists=True)
    items = data(random, wide=True)
    if validate(made).workflow is None:
        return ""
    try:
        meaning = evaluate(made, items, World(fails))
        play = played(made, items, random)
        if races:
            meaning = evaluate(made, items, World(fails, winners_of(play)))
    except Endless:
        return ""
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
