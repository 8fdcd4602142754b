"""Whatever fails, and however long, no promise is broken at any step.

The even seeds. Faults go on to the end of a run; then everything that `perdure verify` checks
is checked on what was left in the middle of its work.
"""

from collections.abc import Callable, Iterable

import pytest
from simulation.run import Result

AT_ONCE = 10


@pytest.mark.parametrize("first", range(0, 300, 2 * AT_ONCE))
def test_no_promise_breaks_while_everything_fails(
    first: int, seeds: Callable[[Iterable[int]], list[Result]]
) -> None:
    results = seeds(range(first, first + 2 * AT_ONCE, 2))
    assert {result.kind for result in results} == {"safety"}
    assert sum(result.checked["requests"] for result in results) > 0, "the world was not asked"
    assert sum(result.checked["webhooks"] for result in results) > 0, "no request was answered"
    kinds = {kind for result in results for kind in result.faults}
    assert len(kinds) >= 20, f"ten runs with {sorted(kinds)} only prove too little"
    assert sum(result.executions for result in results) >= 10
    assert sum(result.checked["events"] for result in results) >= 150
