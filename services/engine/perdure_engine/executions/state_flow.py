"""What only some executions remember: races that were won, waits, signals, a parent.

It hangs on an `Execution` as one value, so that all others carry nothing of it.
"""

from msgspec import Struct, field


class Flow(Struct, gc=False):
    """The rarer part of an execution's state; like it, changed in place by `evolve` alone.

    `raced` has the places of runs that were cancelled because a race was won, `lost` the edges
    that brought items to a race that had been won.
    """

    raced: dict[str, None] = field(default_factory=dict[str, None])
    lost: dict[str, None] = field(default_factory=dict[str, None])

    def scratch(self) -> "Flow":
        """Return a copy that can be changed without changing this one."""
        return Flow(raced=self.raced.copy(), lost=self.lost.copy())
