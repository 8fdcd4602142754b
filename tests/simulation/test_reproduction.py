"""A seed decides everything: the same one goes the same way, in any process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation.run import simulate
from simulation.stage import quiet

SUPPORT = Path(__file__).parents[1] / "support"
SEEDS = (6, 7)


def traces() -> list[str]:
    with quiet():
        return [simulate(seed).trace for seed in SEEDS]


def test_a_seed_leaves_the_same_trace_each_time_and_another_one_another() -> None:
    first = traces()
    with quiet():
        simulate(8)  # what ran before makes no difference
    assert traces() == first
    assert len(set(first)) == len(SEEDS)


@pytest.mark.parametrize("hash_seed", ["1", "4711"])
def test_a_seed_leaves_the_same_trace_in_another_process(hash_seed: str) -> None:
    script = f"""
from simulation.run import simulate
from simulation.stage import quiet
with quiet():
    print(*(simulate(seed).trace for seed in {SEEDS}))
"""
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(SUPPORT)}
    said = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=300
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.split() == traces()


def test_one_seed_is_told_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    from simulation.__main__ import one

    assert one(SEEDS[0]) == 0
    said = capsys.readouterr().out
    assert f"seed {SEEDS[0]} (safety): trace {traces()[0]}" in said
    assert "fault " in said and "row ('engine'" in said
