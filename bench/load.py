"""Starts executions as an outsider does and sees them end, by Kafka alone.

A start is a CloudEvent on `perdure.engine.starts.v1`; an execution has ended when its
`execution-completed` event has been read from `perdure.engine.events.v1`. Steps are counted by
their `node-completed` events, the trigger's not among them.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from perdure_common.adapters.kafka import KafkaBus
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_contracts.engine import (
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    NodeCompleted,
    StartExecution,
)
from perdure_contracts.message import NAMES

STARTS = "perdure.engine.starts.v1"
EVENTS = "perdure.engine.events.v1"
INPUT = {"customer": "c-1", "text": "x" * 370}
"""What an execution starts with: some 400 bytes."""

BATCH = 250
DRAIN_S = 60.0
_ID = "0" * 36


@dataclass
class Load:
    """Sends starts and counts ends. `open` has when each execution was sent."""

    bootstrap: str
    partitions: int
    open: dict[bytes, float] = field(default_factory=dict[bytes, float])
    latencies_s: list[float] = field(default_factory=list[float])
    ended: int = 0
    steps: int = 0
    failed: int = 0
    _progress: asyncio.Event = field(default_factory=asyncio.Event)
    _templates: dict[str, bytes] = field(default_factory=dict[str, bytes])
    _listening: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Connect, and listen from now on."""
        self._out = KafkaBus(self.bootstrap, "bench-load")
        self._in = KafkaBus(self.bootstrap, "bench-ear")
        places = [(EVENTS, p) for p in range(self.partitions)]
        bounds = await self._in.bounds(places)
        self._in.read({place: bounds[place][1] for place in places})
        self._listening = asyncio.create_task(self._listen())

    async def end(self) -> None:
        """Disconnect."""
        if self._listening is not None:
            self._listening.cancel()
        await self._in.close()
        await self._out.close()

    async def _listen(self) -> None:
        done, broken = NAMES[ExecutionCompleted].encode(), NAMES[ExecutionFailed].encode()
        step, begun = NAMES[NodeCompleted].encode(), NAMES[ExecutionStarted].encode()
        while True:
            for record in await self._in.fetch(5_000, 0.2):
                name = codec.header(record.headers, "ce_type")
                if name == step:
                    self.steps += 1
                elif name == begun:
                    self.steps -= 1  # its trigger completes as well, and is no step
                if name != done and name != broken:
                    continue
                began = self.open.pop(record.key or b"", None)
                if began is not None:
                    self.ended += 1
                    self.failed += name == broken
                    self.latencies_s.append(time.perf_counter() - began)
            self._progress.set()

    async def send(self, workflow_id: str, count: int) -> list[bytes]:
        """Send `count` starts together and return the executions' ids."""
        records: list[Outbound] = []
        for _ in range(count):
            execution_id = str(uuid.uuid4())
            body = self._body(workflow_id).replace(_ID.encode(), execution_id.encode(), 1)
            key = execution_id.encode()
            headers = (
                ("ce_specversion", b"1.0"),
                ("ce_id", key),
                ("ce_source", b"/bench"),
                ("ce_type", NAMES[StartExecution].encode()),
                ("content-type", b"application/json"),
            )
            place = partition_of(execution_id, self.partitions)
            records.append(Outbound(STARTS, place, body, key, headers))
        now = time.perf_counter()
        ids = [record.key or b"" for record in records]
        self.open.update(dict.fromkeys(ids, now))
        for error in await self._out.send(records):
            if error is not None:
                raise error
        return ids

    def _body(self, workflow_id: str) -> bytes:
        made = self._templates.get(workflow_id)
        if made is None:
            message = StartExecution(
                execution_id=_ID,
                workflow_id=workflow_id,
                version=1,
                node_id="start",
                mode="MANUAL",
                triggered_by="MANUAL:start",
                trigger={"id": "bench", "source": "/bench", "type": "perdure.trigger.manual"},
                data=INPUT,
            )
            made = self._templates[workflow_id] = codec.encode_body(message)
        return made

    async def saturate(
        self, workflow_id: str, warm_s: float, measure_s: float, most: int, mark: Callable[[], None]
    ) -> float:
        """Keep `most` executions under way and return how many steps ended per second.

        `mark` is called when the measuring begins and when it ends.
        """
        begin = time.perf_counter() + warm_s
        started = counted = 0.0
        while True:
            now = time.perf_counter()
            if not started and now >= begin:
                mark()
                started, counted = now, self.steps
            if started and now >= started + measure_s:
                mark()
                rate = (self.steps - counted) / (now - started)
                await self.drain()
                return rate
            room = most - len(self.open)
            if room >= min(BATCH, most // 4):
                await self.send(workflow_id, min(room, BATCH))
            else:
                await self._step(0.05)

    async def alone(self, workflow_id: str, measure_s: float) -> list[float]:
        """Run one execution after the other; return each one's seconds from start to end."""
        for _ in range(5):  # the first ones meet cold caches
            await self._one(workflow_id)
        self.latencies_s.clear()
        limit = time.perf_counter() + measure_s
        while time.perf_counter() < limit:
            await self._one(workflow_id)
        return sorted(self.latencies_s)

    async def _one(self, workflow_id: str) -> None:
        await self.send(workflow_id, 1)
        await self.drain()

    async def paced(self, workflow_id: str, per_s: float, measure_s: float) -> list[float]:
        """Start executions at a rate, whatever becomes of them; return their seconds.

        Two seconds of executions behind, it starts no more: the machine does not keep up, and
        what is returned is then less than it would become.
        """
        began = time.perf_counter()
        sent = 0
        tasks: list[asyncio.Task[list[bytes]]] = []
        self.latencies_s.clear()
        while (now := time.perf_counter() - began) < measure_s + 1.0:
            due = int(now * per_s) - sent
            if due > 0 and len(self.open) < 2 * per_s:
                tasks.append(asyncio.create_task(self.send(workflow_id, due)))
                sent += due
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
        await self.drain()
        return sorted(self.latencies_s[int(per_s) :])  # without the first second

    async def drain(self) -> None:
        """Wait until nothing is under way.

        Raises:
            TimeoutError: Something does not end.
        """
        async with asyncio.timeout(DRAIN_S):
            while self.open:
                await self._step(1.0)

    async def _step(self, limit_s: float) -> None:
        self._progress.clear()
        try:
            async with asyncio.timeout(limit_s):
                await self._progress.wait()
        except TimeoutError:
            return


def percentile(sorted_s: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie, in milliseconds."""
    if not sorted_s:
        return float("nan")
    return sorted_s[min(len(sorted_s) - 1, int(share * len(sorted_s)))] * 1000
