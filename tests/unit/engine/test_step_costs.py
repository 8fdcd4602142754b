"""No feature makes a step dearer unnoticed: what one takes is counted, not timed.

The figures of `make bench NAME=engine` may not fall by more than a tenth for all that is built on
top. Time says that on a quiet machine only; calls, events, rows and bytes say it everywhere.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

STEP_COSTS = Path(__file__).parents[2] / "support" / "step_costs.py"

MOST = {
    "inline3": {"calls": 578, "events": 6, "rows": 10, "journal_bytes": 2_817},
    "inline10": {"calls": 1_439, "events": 13, "rows": 17, "journal_bytes": 5_908},
    "dispatched3": {"calls": 1_301, "events": 9, "rows": 16, "journal_bytes": 4_925},
    "dispatched10": {"calls": 3_849, "events": 23, "rows": 37, "journal_bytes": 12_930},
}
"""What one execution of each chain took when this was written (Python 3.11). Lower a number with
what lowers it; raise one only with a reason and its measured price in docs/performance.md."""

SPARE = {"calls": 1.1, "events": 1.0, "rows": 1.0, "journal_bytes": 1.05}
"""By how much each may grow: versions of Python call a little more or less."""


@pytest.fixture(scope="module")
def costs() -> dict[str, dict[str, int]]:
    """What the chains take now."""
    done = subprocess.run(
        [sys.executable, str(STEP_COSTS)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("chain", MOST)
def test_a_step_takes_no_more_than_it_did(chain: str, costs: dict[str, dict[str, int]]) -> None:
    found = costs[chain]
    dearer = {
        what: (count, MOST[chain][what])
        for what, count in found.items()
        if count > MOST[chain][what] * SPARE[what]
    }
    assert not dearer


@pytest.mark.parametrize("chain", MOST)
def test_the_counts_are_not_out_of_date(chain: str, costs: dict[str, dict[str, int]]) -> None:
    """A bound far above what is true would let the next feature take the difference."""
    loose = {
        what: (count, MOST[chain][what])
        for what, count in costs[chain].items()
        if count < MOST[chain][what] * 0.8
    }
    assert not loose
