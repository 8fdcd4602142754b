"""Runs seeds without logs, and says how to run one again that failed."""

from collections.abc import Callable, Iterable, Iterator

import pytest
from simulation.__main__ import told
from simulation.run import Result, simulate
from simulation.stage import quiet

Seeds = Callable[[Iterable[int]], list[Result]]


@pytest.fixture
def seeds() -> Iterator[Seeds]:
    """Run seeds; the test fails with what broke and the command that breaks it again."""

    def run(wanted: Iterable[int]) -> list[Result]:
        results = [simulate(seed) for seed in wanted]
        failed = [told(result) for result in results if result.broken]
        assert not failed, "\n".join(failed)
        return results

    with quiet():
        yield run
