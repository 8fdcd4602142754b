"""After every step of random executions the journal makes the same state and the same rows."""

from collections import Counter
from itertools import count
from random import Random
from typing import Any

import pytest
from perdure_common.decider import Recorded
from perdure_contracts.engine import ExecutionFailed
from perdure_contracts.executions import ExecutionEvent
from perdure_contracts.message import NAMES
from perdure_engine.definition import validate
from perdure_engine.promises import Judge
from playing import BEGAN, EXECUTION_ID, Play, decider, node, workflow
from random_workflows import data, definition
from replaying import Replayed

EXECUTIONS = 500
"""Of each kind: straight ones, and ones with loops."""

EVENTS = {NAMES[event] for event in decider.events}
LOOPS = {
    f"engine.{name}.v1"
    for name in ("region-entered", "region-exited", "iteration-started", "iteration-failed")
}
STEERED = {f"engine.{name}.v1" for name in ("execution-paused", "execution-resumed", "node-marked")}
YIELDED = {"engine.execution-yielded.v1"}
RACES = {"engine.race-lost.v1"}
RERUNS = {f"engine.{name}.v1" for name in ("rerun-begun", "runs-adopted", "error-workflow-started")}
FLOW = {
    f"engine.{name}.v1"
    for name in (
        "resume-url-made", "wait-begun", "wait-ended", "signal-received", "child-requested",
        "child-accepted", "child-refused", "child-end-told", "execution-responded",
    )
}  # fmt: skip
ASKING = {
    f"engine.{name}.v1"
    for name in ("people-asked", "memory-asked", "answer-taken", "execution-left")
}
ADMISSION = {
    f"engine.{name}.v1" for name in ("execution-queued", "gate-passed", "execution-refused")
}
KEPT = {"engine.static-data-asked.v1", "engine.static-data-kept.v1"}
SUSPENDED = {f"engine.{name}.v1" for name in ("run-suspended", "ask-answered", "ask-dropped")}
RARE = {
    *(*YIELDED, *RACES, *STEERED, *RERUNS),
    *(*FLOW, *ASKING, *ADMISSION, *KEPT, *SUSPENDED),
    *("engine.execution-purged.v1", "engine.cancel-begun.v1"),
}

UNDO = {"method": "DELETE", "url": "https://shop.example/orders"}

HAPPENED = (
    "answer good", "answer items", "answer whole", "verdict retry", "verdict hold",
    "verdict give_up", "verdict undo", "duplicate", "canceled", "woken", "revived",
)  # fmt: skip


def replayed(
    seed: int,
    *,
    loops: bool,
    races: bool = False,
    steered: bool = False,
    waits: bool = False,
    grace_s: float = 0.0,
) -> Replayed | None:
    """Play one random execution, None where its definition is refused.

    With a grace it is often cancelled, and runners claim what they run.
    """
    random = Random(seed)
    calls: tuple[str, ...] | None = () if waits else None
    made, items = definition(random, loops=loops, races=races, calls=calls), data(random)
    for each in made["nodes"]:
        if each["node_subtype"] == "HTTP_REQUEST" and seed % 3 == 0 and not steered:
            each["parameters"] |= {"method": "POST", "compensate": UNDO}
        elif each["node_subtype"] == "HTTP_REQUEST" and grace_s:
            each["parameters"] |= {"method": "POST"}
    if validate(made).workflow is None:
        return None
    done = Replayed(Play(made, snapshots=False, grace_s=grace_s), random, steered=steered)
    done.cancels = 0.15 if grace_s else done.cancels
    done.run(items)
    return done


def broken(events: list[ExecutionEvent]) -> list[tuple[str, str, str]]:
    """Return the promises that `perdure verify` finds broken in a stream."""
    judge, found = Judge(), list[tuple[str, str, str]]()
    for version, event in enumerate(events, 1):
        found.extend(judge.see(Recorded(event, "tenant", EXECUTION_ID, version, BEGAN)))
    return found


@pytest.mark.parametrize(("loops", "races"), [(False, False), (True, False), (True, True)])
def test_an_execution_may_be_stopped_after_every_step_and_goes_on_from_its_journal(
    loops: bool, races: bool
) -> None:
    seen: Counter[str] = Counter()
    seeds = count(0)
    for _ in range(EXECUTIONS):
        while (done := replayed(next(seeds), loops=loops, races=races)) is None:
            continue
        seen.update(done.seen)
        assert broken(done.play.events) == []
    expected = (EVENTS | {*HAPPENED}) - RARE - (set[str]() if loops else LOOPS)
    expected |= {*RACES, "engine.wait-begun.v1", "engine.wait-ended.v1"} if races else set()
    assert expected - seen.keys() == set(), seen


@pytest.mark.parametrize(("loops", "races"), [(False, False), (True, False), (True, True)])
def test_an_execution_that_people_steer_goes_on_from_its_journal(loops: bool, races: bool) -> None:
    seen: Counter[str] = Counter()
    seeds = count(10_000)
    for _ in range(EXECUTIONS):
        while (done := replayed(next(seeds), loops=loops, races=races, steered=True)) is None:
            continue
        seen.update(done.seen)
        assert broken(done.play.events) == []
        end = done.play.events[-1]
        assert not (isinstance(end, ExecutionFailed) and end.error.type == "stalled")
    expected = STEERED | {"paused", "resumed", "marked done", "marked skipped"}
    assert expected - seen.keys() == set(), seen


def test_an_execution_that_waits_for_people_memory_and_signals_goes_on_from_its_journal() -> None:
    seen: Counter[str] = Counter()
    seeds = count(20_000)
    for n in range(EXECUTIONS):
        more = {"steered": n % 2 == 0, "waits": True}
        while (done := replayed(next(seeds), loops=True, races=True, **more)) is None:
            continue
        seen.update(done.seen)
        assert broken(done.play.events) == []
    told = {"signal", "called", "hil taken", "hil answered", "hil failed", "memory taken"}
    told |= {"memory answered", "memory failed"}
    happened = {"resume-url-made", "wait-begun", "wait-ended", "signal-received"}
    expected = ASKING | told | STEERED | {f"engine.{name}.v1" for name in happened}
    assert expected - seen.keys() == set(), seen


def test_an_execution_that_is_cancelled_with_a_grace_goes_on_from_its_journal() -> None:
    seen: Counter[str] = Counter()
    seeds = count(30_000)
    for n in range(EXECUTIONS):
        more: dict[str, Any] = {"steered": n % 2 == 0, "waits": n % 3 == 0, "grace_s": 10.0}
        while (done := replayed(next(seeds), loops=True, races=True, **more)) is None:
            continue
        seen.update(done.seen)
        assert broken(done.play.events) == []
    told = {"engine.cancel-begun.v1", "engine.execution-canceled.v1", "woken", "revived"}
    assert told - seen.keys() == set(), seen


@pytest.mark.parametrize("seed", [10_117, 12_166, 12_174, 14_932, 14_945, 15_176, 16_495, 16_681])
def test_a_loop_that_its_last_run_closes_in_a_revival_does_not_begin_once_more(seed: int) -> None:
    done = replayed(seed, loops=True, races=True, steered=True)
    assert done is not None
    assert broken(done.play.events) == []
    assert done.revivals > 0


def test_a_loop_that_begins_again_gives_no_number_twice() -> None:
    done = replayed(19_662, loops=True, races=True, steered=True)
    assert done is not None
    assert broken(done.play.events) == []
    assert done.revivals == 2


@pytest.mark.parametrize("seed", [126, 516, 621, 705, 1200, 1556])
def test_what_failed_in_a_loop_that_is_over_is_revived_with_the_loop(seed: int) -> None:
    done = replayed(seed, loops=True)
    assert done is not None
    assert broken(done.play.events) == []
    assert done.seen["revived"] + done.seen["revival refused"] > 0


def test_an_execution_that_yields_goes_on_from_its_journal() -> None:
    asked = node("asked", "FLOW.IF", parameters={"condition": "{{ $json.n < 700 }}"})
    counts = node("n", "ACTION.SET", parameters={"values": {"n": "{{ $json.n + 1 }}"}})
    links = ["t>n", "n>asked", "asked.true>n"]
    made = workflow([counts, asked], links, max_iterations=1_000)
    done = Replayed(Play(made, snapshots=False), Random(1))
    done.run([{"n": 0}])
    assert done.seen["engine.execution-yielded.v1"] > 0
    assert done.play.state.status == "SUCCESS"
