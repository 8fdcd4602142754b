"""Once nothing fails any more everything comes to an end: no gap is open, nothing is unsent.

The odd seeds. Each run must come to rest within bounded virtual time after its last fault.
"""

from collections.abc import Callable, Iterable

import pytest
from simulation.run import REST_S, Result

AT_ONCE = 10


@pytest.mark.parametrize("first", range(1, 300, 2 * AT_ONCE))
def test_everything_comes_to_rest_when_nothing_fails_any_more(
    first: int, seeds: Callable[[Iterable[int]], list[Result]]
) -> None:
    results = seeds(range(first, first + 2 * AT_ONCE, 2))
    assert {result.kind for result in results} == {"liveness"}
    assert all(0 < result.rested_s <= REST_S for result in results)
    assert sum(result.checked["requests"] for result in results) >= 40, "the world was not asked"
    kinds = {kind for result in results for kind in result.faults}
    assert len(kinds) >= 20, f"ten runs with {sorted(kinds)} only prove too little"
    assert sum(result.checked["trigger events"] for result in results) >= 40
