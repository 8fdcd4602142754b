"""What a step costs does not depend on how many others are under way, or were."""

import gc
import sys

from perdure_engine.executions import state as states
from perdure_engine.executions.state import WAITS_SLACK, wake_at
from playing import decider, http, play, workflow

WIDE = 300


def wide(count: int) -> dict[str, object]:
    nodes = [http(f"n{at}", timeout_s=100 + at) for at in range(count)]
    return workflow(nodes, [f"t>n{at}" for at in range(count)])


def test_the_wake_is_that_of_the_earliest_instant_that_is_still_waited_for() -> None:
    played = play(wide(20), {}, snapshots=False)
    for at in (0, 5, 1, 2):
        first = wake_at(played.state)
        played.answer(f"n{at}")
        after = wake_at(played.state)
        assert first is not None and after is not None
        assert (after > first) == (at in (0, 1, 2))


def test_instants_that_nobody_waits_for_do_not_pile_up() -> None:
    played = play(wide(WIDE), {}, snapshots=False)
    for at in reversed(range(1, WIDE)):
        played.answer(f"n{at}")
        assert len(played.state.waits) <= 2 * len(played.state.open) + WAITS_SLACK
    played.answer("n0")
    assert played.state.waits == []
    assert played.state.status == "SUCCESS"


def test_every_attempt_whose_time_is_over_is_lost_in_one_wake() -> None:
    mode = "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
    nodes = [http(f"n{at}", timeout_s=5, error_handling=mode, max_retries=0) for at in range(9)]
    played = play(workflow(nodes, [f"t>n{at}" for at in range(9)], recovery="off"))
    played.wake()
    assert played.state.status == "SUCCESS"
    errors = [played.emitted(f"n{at}")[0]["error"]["type"] for at in range(9)]
    assert errors == ["timeout"] * 9


def calls(count: int) -> int:
    """Return how many Python calls the answer of one of many nodes takes, folded and projected."""
    played = play(wide(count), {}, snapshots=False)
    played.answer("n1")
    result, made = played.result("n2"), 0

    def counting(frame: object, event: str, argument: object) -> None:
        nonlocal made
        made += event == "call"

    assert decider.act is not None

    def happen(event: object) -> states.Execution:
        return decider.evolve(played.state, event)  # type: ignore[arg-type]

    gc.disable()  # what others hang on to collections, as hypothesis does, is none of ours
    sys.setprofile(counting)
    try:
        assert decider.act(played.state, result, {}, played.now, happen) is None
        wake_at(played.state)
    finally:
        sys.setprofile(None)
        gc.enable()
    return made


def test_an_answer_costs_the_same_among_a_few_nodes_and_among_hundreds() -> None:
    assert calls(WIDE) == calls(20)
