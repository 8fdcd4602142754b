"""The engine against the specification, with all that others may say and do to an execution.

Signals, calls, people, memory, child executions and their cancels, marks by hand, pins and mocks,
pauses, revivals, reruns and forks, processes that die and answers that are lost or late:
`random_story` lets them happen, in any order. What differs is made small, and told as a document.
"""

from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shrinking import shrunk
from told_graphs import case_of, wrong

WORKFLOWS = 20_000
PARTS = 5

COVERED = (
    "loop", "foreach", "cycle", "each", "nested", "IterationFailed", "SUCCESS", "ERROR", "CANCELED",
    "race", "stopped by a race", "RaceLost", "wait ended by time", "wait ended by timeout",
    "wait ended by event", "wait ended by webhook", "wait ended by child", "wait ended by answer",
    "wait ended by canceled", "children", "hil answered", "memory answered", "marked done",
    "marked skipped", "paused", "resumed", "said twice", "verdict retry", "verdict give_up",
    "revived", "rerun failed", "rerun start", "rerun node", "forked failed", "pinned", "mocked",
    "crashed", "crashed with a snapshot", "late, SUCCESS", "late, CANCELED", "late, ERROR",
    "late, RUNNING", "late, RETRYING", "IF", "SWITCH", "FILTER", "COMPARE", "MERGE", "SORT",
    "LIMIT", "DEDUPE", "SPLIT_OUT", "AGGREGATE", "SUMMARIZE", "SET", "SUB_WORKFLOW", "WAIT",
)  # fmt: skip
"""What so many random workflows must have gone through, or they prove little."""


def told(seed: int, seen: Counter[str] | None = None) -> str:
    """Return the smallest workflow that differs as that of a seed does, empty if that does not."""
    case = case_of(seed)
    found = wrong(case, seen)
    if not found:
        return ""
    small, found = shrunk(case, found)
    return f"seed {seed}\n{small.told(found)}"


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow,),
    phases=(Phase.explicit, Phase.generate),
)
@given(st.integers(10**6, 2**32))
def test_whatever_is_said_and_done_it_means_what_the_specification_says(seed: int) -> None:
    differs = told(seed)
    assert not differs, differs


@pytest.mark.parametrize("part", range(PARTS), ids="part {}".format)
def test_thousands_of_workflows_mean_what_the_specification_says(part: int) -> None:
    seen: Counter[str] = Counter()
    many = WORKFLOWS // PARTS
    for seed in range(part * many, (part + 1) * many):
        differs = told(seed, seen)
        assert not differs, differs
    rare = [kind for kind in COVERED if seen[kind] < 20]
    assert rare == [], seen
