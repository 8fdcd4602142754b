"""The document of the laboratory has every scenario as it is, and the catalogue is in order."""

import os
import subprocess
import sys
from pathlib import Path

from laboratory.catalogue import KILLED, LONG_NAMES, SCENARIOS, SHORT

ROOT = Path(__file__).parents[2]


def test_the_table_in_the_document_is_the_newest() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "laboratory", "--check", "docs/laboratory.md"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "tests/support"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_scenarios_have_names_of_their_own_and_are_many() -> None:
    names = [each.name for each in (*SCENARIOS, *KILLED)]
    assert len(names) == len(set(names)) >= 40


def test_every_scenario_says_what_must_happen() -> None:
    for each in (*SCENARIOS, *KILLED):
        assert each.expected, each.name
        for expected in each.expected:
            assert set(expected.calls) <= set(each.servers), each.name
            assert len(expected.types) == len(expected.strategies), each.name


def test_a_short_look_has_forty_scenarios_of_every_group_at_least() -> None:
    assert len(SHORT) == len(SCENARIOS) - len(LONG_NAMES) >= 40
    assert {each.group for each in SHORT} == {each.group for each in SCENARIOS}
    decided = {strategy for each in SHORT for one in each.expected for strategy in one.strategies}
    assert decided >= {
        *("retry_now", "backoff", "fallback_model", "reduce_input", "reprompt"),
        *("refresh_credentials", "skip_compensate", "escalate_human"),
    }
