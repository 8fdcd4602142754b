"""Which reads of a service's tables took long lately: told until each is fast again, or an hour."""

import time
from collections.abc import Callable, Mapping
from typing import Final

QUERY_S_MAX: Final = 0.5
"""Seconds that a read may take until it is told …"""
SLOW_FOR_S: Final = 3_600.0
"""… for so long, or until it is fast again."""


class Slow:
    """Reads by name, and how long the last one of each took if that was long."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._took: dict[str, tuple[float, float]] = {}

    def note(self, name: str, began: float) -> None:
        """Note that a read of this name is over, which `began` then by the clock."""
        now = self.clock()
        self._took.pop(name, None)
        if now - began > QUERY_S_MAX:
            self._took[name] = (now, now - began)

    def lately(self) -> Mapping[str, float]:
        """Return the seconds of each read that took long, by name."""
        now = self.clock()
        return {name: took for name, (at, took) in self._took.items() if now - at < SLOW_FOR_S}
