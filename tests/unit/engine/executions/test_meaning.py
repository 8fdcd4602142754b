"""The engine against the specification: random workflows, answers in any order."""

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perdure_contracts.engine import ExecutionCompleted, ExecutionFailed
from perdure_engine.definition import validate
from perdure_engine.executions.state import Scope, wake_at
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


def plain(value: Any) -> Any:
    """Return items without the text of their errors, which people read."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        error = {name: value["error"][name] for name in ("type", "node")}
        return {**value, "error": error}
    return value


def live_runs(play: Play) -> dict[tuple[str, Scope], dict[str, Any]]:
    return {
        (run.node_id, run.scope): {
            port: plain([item["json"] for item in items]) for port, items in run.ports.items()
        }
        for run in play.state.runs.values()
        if run.status == "SUCCESS"
    }


def agree(play: Play, meaning: Meaning) -> None:
    """Compare what happened with what the specification says."""
    end = play.events[-1]
    if meaning.stopped is not None:
        assert isinstance(end, ExecutionFailed), end
        assert end.error.type != "stalled", end
        return
    assert isinstance(end, ExecutionCompleted), end
    assert plain(end.result) == meaning.result
    runs = {at: ports for at, ports in live_runs(play).items() if not meaning.undecided(at[1])}
    expected = {
        at: ports
        for at, ports in meaning.runs.items()
        if ports is not None and not meaning.undecided(at[1])
    }
    assert {at for at in runs} == {at for at in expected}
    for at, ports in expected.items():
        assert {k: v for k, v in runs[at].items() if k in ports} == ports, at
    skipped = {
        run.node_id for run in play.state.runs.values() if run.status == "SKIPPED" and not run.scope
    }
    assert skipped == {at[0] for at, ports in meaning.runs.items() if ports is None and not at[1]}


def compared(random: Random, *, loops: bool) -> None:
    """Make a workflow, play it, and compare; one that is refused is passed over."""
    made, items = definition(random, loops=loops), data(random)
    if validate(made).workflow is None:
        return
    try:
        meaning = evaluate(made, items, fails)
    except Endless:
        return
    agree(played(made, items, random), meaning)


@pytest.mark.parametrize("loops", [False, True])
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_a_workflow_means_what_the_specification_says(loops: bool, random: Random) -> None:
    compared(random, loops=loops)
