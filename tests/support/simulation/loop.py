"""Virtual time, and processes that can be paused and killed between any two of their steps.

A process is a name in the context of its tasks. The loop looks whose step comes next: steps
of a paused process wait until it goes on, those of a dead one wait for ever.
"""
# pyright: reportPrivateUsage=false

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
"""The instant at which every run begins."""


BURIALS_MAX = 50
"""How often what is left is cancelled: cleaning up may wait once more."""


class Stuck(Exception):
    """Everything waits for something that will never come."""


class Killed(BaseException):
    """The process was killed in the middle of a step."""


class State(Enum):
    """Whether the steps of a process are taken."""

    RUNNING = "running"
    PAUSED = "paused"
    DEAD = "dead"


class Process:
    """A process. `fuse` counts its steps down until `blow` is called; `skew_s` is its clock's."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.state = State.RUNNING
        self.stopping = False
        self.fuse = 0
        self.blow: Callable[[], None] = lambda: None
        self.held: list[asyncio.Handle] = []
        self.skew_s = 0.0
        self.context: Context = copy_context()
        self.context.run(_PROCESS.set, self)


_PROCESS: ContextVar[Process | None] = ContextVar("simulated process", default=None)


def current() -> Process | None:
    """Return the process that takes the step."""
    return _PROCESS.get()


class SimLoop(asyncio.BaseEventLoop):
    """An event loop without a selector: nothing comes from outside, time jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self.over = False
        self._stopped: list[Process] = []
        self._ready: deque[asyncio.Handle] = deque()
        self._scheduled: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        """Return the seconds since the run began."""
        return self.now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                raise Stuck
            self.now = max(self.now, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self.now:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        self.steps += len(ready)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(_PROCESS)
            if process is not None and not self._may(process):
                self._hold(process, handle)
                continue
            handle._run()

    def _hold(self, process: Process, handle: asyncio.Handle) -> None:
        if not process.held:
            self._stopped.append(process)
        process.held.append(handle)

    def _may(self, process: Process) -> bool:
        """Return whether a process takes its next step; its fuse burns down by it."""
        if process.state is not State.RUNNING:
            return self.over
        if process.fuse:
            process.fuse -= 1
            if not process.fuse:
                process.blow()
                return process.state is State.RUNNING
        return True

    def go_on(self, process: Process) -> None:
        """Let a paused process take the steps that it was kept from."""
        if process.state is State.PAUSED:
            process.state = State.RUNNING
            held, process.held = process.held, []
            self._ready.extend(held)

    def bury(self) -> None:
        """Cancel what is left, of dead processes too, so that nothing ends at random later."""
        self.over = True
        for _ in range(BURIALS_MAX):
            tasks = asyncio.all_tasks(self)
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            for process in self._stopped:
                process.fuse = 0
                self._ready.extend(process.held)
                process.held.clear()
            self._stopped.clear()
            self.run_until_complete(_ended(tasks))

    def _write_to_self(self) -> None:
        """Nobody waits outside of the loop."""

    def _process_events(self, event_list: object) -> None:
        """Nothing comes from outside."""


class Clock:
    """The functions of the module `time` that the services read, in virtual time."""

    @staticmethod
    def monotonic() -> float:
        """Return the running loop's time."""
        return events.get_running_loop().time()

    perf_counter = monotonic


def now() -> datetime:
    """Return the instant of the running loop, as the clock of the process shows it."""
    process = _PROCESS.get()
    skew_s = process.skew_s if process is not None else 0.0
    return BEGIN + timedelta(seconds=events.get_running_loop().time() + skew_s)


def spawn(process: Process, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Run something as a process."""
    return asyncio.get_running_loop().create_task(work, context=process.context)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, then end everything that it left behind."""
    loop = SimLoop()

    def quiet(loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
        del loop, told  # what fails in a process is told by its owner

    loop.set_exception_handler(quiet)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.bury()
        loop.close()


async def _ended(tasks: "set[asyncio.Task[Any]]") -> None:
    await asyncio.wait(tasks, timeout=1.0)
