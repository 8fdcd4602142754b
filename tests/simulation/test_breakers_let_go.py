"""Once a dependency answers again, nobody is held up for long, in whatever order the news come.

Worlds (tests/support/breaker_world.py) in which a dependency is down for a while: its breaker, the
line before it, incidents, attempts and what runners know of breakers are the real ones.
"""

import pytest
from breaker_world import BreakerWorld
from perdure_recovery import lines
from perdure_recovery.breakers import PROBER_S

WORLDS = 600
GROUPS = 4
LONGEST_S = PROBER_S + 10.0
"""After the first instant at which a breaker and an incident let a call through: as long as one
runner alone may make it; and the news (3 s), a next one to see (4 s), and the pace of the rest."""
FOLLOWED_S = 12.0
"""After the first call that is answered: until it is, and the same of those that were held then."""
ORDERS = {"open", "not the prober", "early", "elsewhere", "incident"}
"""The orders of events that each group of worlds must have seen, or it proves nothing."""


@pytest.mark.parametrize("group", range(GROUPS))
def test_everybody_goes_on_soon_after_the_dependency_answers(group: int) -> None:
    seen: set[str] = set()
    late: dict[int, tuple[float, float]] = {}
    for seed in range(group, WORLDS, GROUPS):
        world = BreakerWorld(seed).play()
        seen.update(world.orders)
        assert world.unjust == [], f"world {seed}: no look counts as failed that was none"
        longest_s = max(world.waits_s.values(), default=0.0)
        followed_s = max(world.followed_s.values(), default=0.0)
        if longest_s > LONGEST_S or followed_s > FOLLOWED_S:
            late[seed] = longest_s, followed_s
    assert late == {}
    assert seen == ORDERS


def test_a_probe_that_is_forgotten_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLIND_MAX", 0)
    waits_s = [max(BreakerWorld(seed).play().waits_s.values(), default=0.0) for seed in range(100)]
    assert max(waits_s) > LONGEST_S
