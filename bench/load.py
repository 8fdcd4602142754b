"""Starts executions as an outsider does and sees them end, by Kafka alone.

A start is a CloudEvent on `perdure.engine.starts.v1`; an execution has ended when its
`execution-completed` event has been read from `perdure.engine.events.v1`. Its steps are those of
its chain, `lengths` of them; whether all are in the tables is for the benchmark to check.

The load shares the machine with what it measures, so it is made to cost little: librdkafka
does the work of the protocol, bodies are encoded once, and under load it looks up only every
few milliseconds.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from perdure_common.ids import partition_of, time_ordered
from perdure_contracts.engine import (
    ExecutionCompleted,
    ExecutionFailed,
    StartExecution,
)
from perdure_contracts.message import NAMES

STARTS = "perdure.engine.starts.v1"
EVENTS = "perdure.engine.events.v1"
TASKS = "perdure.engine.tasks.v1"
INPUT = {"customer": "c-1", "text": "x" * 370}
"""What an execution starts with: some 400 bytes."""

LOOK_S = 0.004
"""How often the load looks for events when many executions are under way."""

BATCH = 250
DRAIN_S = 60.0
SETTLE_S = 20.0
_ID = "0" * 36


@dataclass
class Load:
    """Sends starts and counts ends. `open` has when each execution was sent, and its steps.

    `lengths` has how many steps the chain of each workflow has.
    """

    bootstrap: str
    partitions: int
    lengths: Mapping[str, int] = field(default_factory=dict[str, int])
    open: dict[bytes, tuple[float, int]] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    ended: int = 0
    steps: int = 0
    failed: int = 0
    _sent: int = 0
    _run: str = field(default_factory=lambda: uuid.uuid4().hex)
    _templates: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)

    def begin(self) -> None:
        """Connect, and listen from now on."""
        servers = {"bootstrap.servers": self.bootstrap}
        self._out = Producer(
            {**servers, "acks": "all", "linger.ms": 0, "queue.buffering.max.messages": 100_000}
        )
        self._in = Consumer(
            {
                **servers,
                "group.id": "bench-ear",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
            }
        )
        ends = self._ends(EVENTS)
        self._in.assign([TopicPartition(EVENTS, p, end) for p, end in ends.items()])
        self._listen(1.0)

    def end(self) -> None:
        """Disconnect."""
        self._out.flush(5.0)
        self._in.close()
        del self._out  # a producer that lives on looks for its broker for ever

    def tasks(self) -> int:
        """Return how many records the topic of the runners' tasks has had so far."""
        return sum(self._ends(TASKS).values())

    def _ends(self, topic: str) -> Mapping[int, int]:
        ends: dict[int, int] = {}
        for partition in range(self.partitions):
            bounds = self._in.get_watermark_offsets(TopicPartition(topic, partition), timeout=10.0)
            assert bounds is not None
            ends[partition] = bounds[1]
        return ends

    # Listening --------------------------------------------------------------------------

    def _listen(self, wait_s: float) -> None:
        """Take the events that are there; wait for the first one up to `wait_s`."""
        first = self._in.poll(wait_s)
        if first is None:
            return
        self._hear(first)
        for message in self._in.consume(5_000, timeout=0):
            self._hear(message)

    def _hear(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            raise KafkaException(error)
        name = next((raw for key, raw in message.headers() or () if key == "ce_type"), None)
        if name in (_DONE, _BROKEN):
            known = self.open.pop(message.key() or b"", None)
            if known is not None:
                began, steps = known
                self.ended += 1
                self.steps += steps
                self.failed += name == _BROKEN
                self.latencies_s.append(time.perf_counter() - began)

    # Sending ----------------------------------------------------------------------------

    def send(self, workflow_id: str, count: int) -> None:
        """Send `count` starts together."""
        before, behind = self._body(workflow_id)
        steps = self.lengths.get(workflow_id, 0)
        at = time.time_ns() // 1_000_000
        for _ in range(count):
            self._sent += 1
            execution_id = time_ordered(at, self._run, self._sent)  # as the scheduler makes them
            key = execution_id.encode()
            self._out.produce(
                STARTS,
                before + key + behind,
                key,
                partition_of(execution_id, self.partitions),
                headers=[*_HEADERS, ("ce_id", key)],
            )
            self.open[key] = time.perf_counter(), steps
        self._out.poll(0)

    def _body(self, workflow_id: str) -> tuple[bytes, bytes]:
        """Return a start's body, in two parts between which the execution's id stands."""
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
            before, _, behind = msgspec.json.encode(message).partition(_ID.encode())
            made = self._templates[workflow_id] = before, behind
        return made

    # Measuring --------------------------------------------------------------------------

    def saturate(
        self, workflow_id: str, warm_s: float, measure_s: float, most: int, mark: Callable[[], None]
    ) -> float:
        """Keep `most` executions under way and return how many steps ended per second.

        `mark` is called when the measuring begins and when it ends. It begins when executions end
        at the rate at which they are worked on: after `warm_s`, and when half as many have ended
        as are under way, but no later than `SETTLE_S` after that.
        """
        assert workflow_id in self.lengths, "how many steps the workflow has must be known"
        begin, ended = time.perf_counter() + warm_s, self.ended + most // 2
        started = counted = 0.0
        while True:
            now = time.perf_counter()
            if not started and now >= begin + (0.0 if self.ended >= ended else SETTLE_S):
                mark()
                started, counted = now, self.steps
            if started and now >= started + measure_s:
                mark()
                rate = (self.steps - counted) / (now - started)
                self.drain()
                return rate
            room = most - len(self.open)
            if room >= min(BATCH, most // 4):
                self.send(workflow_id, min(room, BATCH))
            else:
                time.sleep(LOOK_S)
            self._listen(0)

    def alone(self, workflow_id: str, measure_s: float) -> list[float]:
        """Run one execution after the other; return each one's seconds from start to end."""
        for _ in range(5):  # the first ones meet cold caches
            self._one(workflow_id)
        self.latencies_s.clear()
        limit = time.perf_counter() + measure_s
        while time.perf_counter() < limit:
            self._one(workflow_id)
        return sorted(self.latencies_s)

    def _one(self, workflow_id: str) -> None:
        self.send(workflow_id, 1)
        self.drain()

    def paced(self, workflow_id: str, per_s: float, measure_s: float) -> list[float]:
        """Start executions at a rate, whatever becomes of them; return their seconds.

        Two seconds of executions behind, it starts no more: the machine does not keep up, and
        what is returned is then less than it would become.
        """
        began = time.perf_counter()
        sent = 0
        self.latencies_s.clear()
        while (now := time.perf_counter() - began) < measure_s + 1.0:
            due = int(now * per_s) - sent
            if due > 0 and len(self.open) < 2 * per_s:
                self.send(workflow_id, due)
                sent += due
            self._listen(0.001)
        self.drain()
        return sorted(self.latencies_s[int(per_s) :])  # without the first second

    def drain(self) -> None:
        """Wait until nothing is under way.

        Raises:
            TimeoutError: Something does not end.
        """
        limit = time.perf_counter() + DRAIN_S
        while self.open:
            if time.perf_counter() > limit:
                raise TimeoutError(f"{len(self.open)} executions do not end")
            self._listen(0.1)


_DONE, _BROKEN = NAMES[ExecutionCompleted].encode(), NAMES[ExecutionFailed].encode()
_HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/bench"),
    ("ce_type", NAMES[StartExecution].encode()),
    ("content-type", b"application/json"),
]


def percentile(sorted_s: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie, in milliseconds."""
    if not sorted_s:
        return float("nan")
    return sorted_s[min(len(sorted_s) - 1, int(share * len(sorted_s)))] * 1000
