"""An event loop whose clock jumps to the next timer instead of waiting for it.

What runs in memory only (`MemoryBroker`, `MemoryStore`) then takes no time and goes the same
way every time: minutes of waiting end in milliseconds.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from unittest.mock import patch

from perdure_common.shell import folding, lane

T = TypeVar("T")
P = ParamSpec("P")

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
"""The instant at which every loop begins."""


class _Jumping(selectors.SelectSelector):
    """Never waits: what it was to wait for is added to `now`, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits for something that will never come")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; its `time()` is what was jumped over."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class Clock:
    """The functions of the module `time` that the shell reads, by the running loop."""

    @staticmethod
    def monotonic() -> float:
        return asyncio.get_running_loop().time()

    perf_counter = monotonic


def now() -> datetime:
    """Return the instant of the running loop, which is the real one on a real loop."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        return BEGIN + timedelta(seconds=loop.time())
    return datetime.now(UTC)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, with the shell's clock on it."""
    with (
        patch.object(lane, "time", Clock),
        patch.object(folding, "time", Clock),
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
    ):
        return runner.run(main)


def timeless(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Let an asynchronous test run in virtual time."""

    @wraps(test)
    def timeless_test(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return timeless_test
