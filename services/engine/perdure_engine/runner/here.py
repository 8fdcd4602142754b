"""A runner in the engine's own process, for short tasks straight after their commit.

It saves the trip through Kafka and back. It takes only what may run twice, and only a few
at once: the rest, and whatever has no answer when the process dies, goes by Kafka to the
runners. The task counts as sent when its answer is committed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, cast

from perdure_common import fault
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound, Record
from perdure_contracts.engine import NodeResult, NodeTask
from perdure_contracts.message import NAMES

from perdure_engine.runner.answers import answer_of
from perdure_engine.runner.large import is_large, refs_of
from perdure_engine.runner.perform import is_computation
from perdure_engine.runner.work import TASKS

TASK = NAMES[NodeTask].encode()

BYTES_MAX = 100_000
"""A larger task goes to a runner: this process has others to serve."""

AT_ONCE_BYTES = 4 * BYTES_MAX
"""Tasks that are computation only, together: they stop the process until they are done."""


class Here:
    """Takes up to `most` tasks at once; `perform` does one, given its tenant, and never raises.

    Pure computation is done by `at_once` in the loop's next round, and is not among them: of
    that a batch hands over what it can up to `AT_ONCE_BYTES`. The rest goes by Kafka.
    """

    def __init__(
        self,
        perform: Callable[[NodeTask, str], Awaitable[NodeResult]],
        *,
        name: str,
        partitions: int,
        most: int,
        now: Callable[[], datetime],
        at_once: Callable[[NodeTask], NodeResult | None] = lambda task: None,
        lighten: Callable[[NodeResult, str], Awaitable[NodeResult]] | None = None,
    ) -> None:
        self._perform = perform
        self._at_once = at_once
        self._lighten = lighten
        self._name = name
        self._partitions = partitions
        self._most = most
        self._now = now
        self._running: set[asyncio.Task[None]] = set()
        self._performing = self._computing = 0

    def take(self, message: Outbound, answer: Callable[[Record], None]) -> bool:
        """Run a task here and give its answer, or decline. See `HandOver`."""
        size = len(message.value)
        room, time_left = self._performing < self._most, self._computing + size <= AT_ONCE_BYTES
        if message.topic != TASKS or size > BYTES_MAX or not (room or time_left):
            return False
        if codec.header(message.headers, "ce_type") != TASK or refs_of(message.headers):
            return False
        task: NodeTask = codec.decode_body(TASK.decode(), message.value)
        may_run_twice = task.effect in ("pure", "keyed")
        if task.length != "short" or not may_run_twice or _needs_secrets(task):
            return False
        if task.files is not None or _makes_files(task):
            return False
        if task.avoid == self._name or datetime.fromisoformat(task.deadline) <= self._now():
            return False
        computes = is_computation(task)
        if not (time_left if computes else room):
            return False
        tenant = (codec.header(message.headers, "ce_tenantid") or b"").decode()
        running = asyncio.create_task(self._run(task, tenant, answer))
        fault.point("after_hand_over")
        self._running.add(running)
        running.add_done_callback(partial(self._done, size if computes else 0))
        if computes:
            self._computing += size
        else:
            self._performing += 1
        return True

    def _done(self, computed: int, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        if computed:
            self._computing -= computed
        else:
            self._performing -= 1

    async def _run(self, task: NodeTask, tenant: str, answer: Callable[[Record], None]) -> None:
        fault.point("before_effect")
        result = self._at_once(task) or await self._perform(task, tenant)
        fault.point("after_effect")
        if self._lighten is not None and is_large(result):
            result = await self._lighten(result, tenant)
        made = answer_of(result, tenant, self._name, self._partitions)
        answer(Record(made.topic, made.partition, -1, made.value, made.key, made.headers))

    async def close(self) -> None:
        """Stop what runs; the tasks go by Kafka."""
        for running in list(self._running):
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


def _makes_files(task: NodeTask) -> bool:
    """Tell whether a task says that it makes files: megabytes go through a runner's process."""
    if task.node_subtype == "FILE":
        return True
    sets = cast("list[dict[str, Any]]", task.parameters or [])
    return any(each.get("response") == "file" for each in sets)


def _needs_secrets(task: NodeTask) -> bool:
    """Tell whether a task names a credential: those are opened in runners only."""
    sets = cast("list[dict[str, Any]]", task.parameters or [])
    return any("credential" in each for each in sets)
