"""Every benchmark keeps to the contract that `make bench` and the documents count on."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHMARKS, TOOLS, joined, result_of, usage

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_can_be_run_and_says_what_its_keys_mean(name: str) -> None:
    module = importlib.import_module(f"bench.{name}")
    assert callable(module.main)
    assert module.__doc__ and f"python -m bench.{name}" in module.__doc__
    assert module.MEANING and all(module.MEANING.values())


def test_every_module_that_can_be_run_is_named() -> None:
    runnable = {
        path.stem
        for path in (ROOT / "bench").glob("[a-z]*.py")
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    }
    assert runnable == set(BENCHMARKS) | set(TOOLS)


def test_no_key_stands_for_two_things_where_all_are_told_together() -> None:
    keys: dict[str, float] = {}
    count = 0
    for name in BENCHMARKS:
        own = dict.fromkeys(importlib.import_module(f"bench.{name}").MEANING, 1.0)
        keys, count = joined(keys, name, own), count + len(own)
    assert len(keys) == count
    assert joined({"a": 1.0}, "other", {"a": 2.0, "b": 3.0}) == {"a": 1.0, "other_a": 2.0, "b": 3.0}


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    command = [sys.executable, "-m", "bench", "nothing-like-it"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nothing-like-it" in done.stderr
    assert all(f"NAME={name}" in done.stderr for name in BENCHMARKS)
    assert done.stdout == ""


def test_make_runs_them_all_or_the_one_that_is_named() -> None:
    for given, last in ((["NAME=journal"], "-m bench journal"), ([], "-m bench ")):
        done = subprocess.run(
            ["make", "--dry-run", "bench", *given], cwd=ROOT, capture_output=True, text=True
        )
        assert last in done.stdout.splitlines()[-1] + " "


def test_the_last_line_is_read_and_no_other() -> None:
    assert result_of('RESULT {"a": 1.5}\n') == {"a": 1.5}
    assert result_of("The RESULT is fine\n") is None
    assert usage().count("make bench") == len(BENCHMARKS | TOOLS) + 1
