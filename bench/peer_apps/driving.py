"""The load and the stop-watch that the peers share, whatever one execution is there.

A load generator is a process that is told on its standard input what to do, one JSON object a
line, and answers in the same way (`serve`). What it does is timed by the machine's monotonic
clock, which all processes share: so several generators measure the same seconds, in which the
benchmark reads the CPU time of everybody. The standard library alone: this runs in each peer's
own environment.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

One = Callable[[int], Awaitable[None]]
"""Runs an execution of so many steps, from its start to the moment its end is known."""

INPUT: dict[str, Any] = {"customer": "c-1", "text": "x" * 370}
"""What every execution starts with, some 400 bytes."""

RESULT: dict[str, Any] = {"text": "x" * 180}
"""What every step returns, some 200 bytes."""


@dataclass(frozen=True)
class Order:
    """What to measure: `kind` is saturate, alone or paced.

    The window is [begin, end) on the monotonic clock; what runs before it warms up.
    `most` executions are under way at saturation; a paced load starts `per_s` a second.
    """

    kind: str
    steps: int
    begin: float
    end: float
    most: int = 1
    per_s: float = 0.0


@dataclass
class Seen:
    """Executions that ended in the window, and how many milliseconds each took."""

    ended: int = 0
    failed: int = 0
    latencies_ms: list[float] | None = None

    def add(self, began: float, now: float) -> None:
        """Count one that ended."""
        self.ended += 1
        if self.latencies_ms is None:
            self.latencies_ms = []
        self.latencies_ms.append((now - began) * 1000)


async def measure(one: One, order: Order) -> Seen:
    """Do what is ordered; return when nothing is under way any more."""
    seen = Seen()
    if order.kind == "paced":
        await _paced(one, order, seen)
    else:
        most = 1 if order.kind == "alone" else order.most
        await asyncio.gather(*(_loop(one, order, seen) for _ in range(most)))
    return seen


async def _loop(one: One, order: Order, seen: Seen) -> None:
    """Run one execution after the other until the window closes."""
    while (began := time.monotonic()) < order.end:
        await _timed(one, order, seen, began)


async def _paced(one: One, order: Order, seen: Seen) -> None:
    """Start executions when they are due, however many are under way.

    The time of each counts from the instant at which it was due: a load that cannot be kept
    up shows as waiting and is not left out.
    """
    first, sent = time.monotonic(), 0
    running: set[asyncio.Task[None]] = set()
    while (due := first + sent / order.per_s) < order.end:
        if (wait_s := due - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        task = asyncio.create_task(_timed(one, order, seen, due))
        running.add(task)
        task.add_done_callback(running.discard)
        sent += 1
    await asyncio.gather(*running)


async def _timed(one: One, order: Order, seen: Seen, began: float) -> None:
    try:
        await one(order.steps)
    except Exception as error:
        seen.failed += 1
        print(f"an execution failed: {error!r}", file=sys.stderr, flush=True)
        await asyncio.sleep(0.1)
        return
    now = time.monotonic()
    # At saturation what counts is what ends in the window; of a paced load everything that
    # was due in it counts, whenever it ended.
    if order.begin <= (began if order.kind == "paced" else now) < order.end:
        seen.add(began, now)


async def serve(one: One) -> None:
    """Say that the generator is ready, then do what is ordered until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"ready": True}), flush=True)
    while line := await reader.readline():
        seen = await measure(one, Order(**json.loads(line)))
        print(json.dumps(asdict(seen)), flush=True)
