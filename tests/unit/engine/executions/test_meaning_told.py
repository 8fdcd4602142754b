"""The engine against the specification, with all that others may say and do to an execution.

Signals, calls, people, memory, child executions and their cancels, marks by hand, pins and mocks,
pauses, revivals, reruns and forks: `random_story` lets them happen, in any order.
"""

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from told_graphs import compared

WORKFLOWS = 20_000
PARTS = 5

COVERED = (
    "loop", "foreach", "cycle", "each", "nested", "IterationFailed", "SUCCESS", "ERROR", "CANCELED",
    "race", "stopped by a race", "RaceLost", "wait ended by time", "wait ended by timeout",
    "wait ended by event", "wait ended by webhook", "wait ended by child", "wait ended by answer",
    "wait ended by canceled", "children", "hil answered", "memory answered", "marked done",
    "marked skipped", "paused", "resumed", "said twice", "verdict retry", "verdict give_up",
    "revived", "rerun failed", "rerun start", "rerun node", "forked failed", "pinned", "mocked",
)  # fmt: skip
"""What so many random workflows must have gone through, or they prove little."""


@settings(max_examples=300, deadline=None, suppress_health_check=(HealthCheck.too_slow,))
@given(st.randoms(use_true_random=False))
def test_whatever_is_said_and_done_it_means_what_the_specification_says(random: Random) -> None:
    assert compared(random) == ""


@pytest.mark.parametrize("part", range(PARTS), ids="part {}".format)
def test_thousands_of_workflows_mean_what_the_specification_says(part: int) -> None:
    seen: Counter[str] = Counter()
    many = WORKFLOWS // PARTS
    differing = [
        f"seed {seed}: {found}"
        for seed in range(part * many, (part + 1) * many)
        if (found := compared(Random(seed), seen))
    ]
    assert differing[:3] == []
    rare = [kind for kind in COVERED if seen[kind] < 20]
    assert rare == [], seen
