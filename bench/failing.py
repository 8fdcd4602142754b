"""Tells recovery of failures as the engine does, and sees the verdicts come back, by Kafka alone.

The failures are numbered messages of a shard that does not exist, so recovery takes them as it
takes all others. Each is of an execution of its own and of one of many dependencies: what is
measured are decisions, not incidents.

A decision takes from the instant in which Kafka had the failure to the one in which it had the
verdict, by Kafka's own clock (topics are stamped by it). A verdict leaves after its decision was
committed, so this is a bit more than the time to the commit. When the verdict comes here is told
beside it: that has the ways of this process to Kafka and back as well.
"""

import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from perdure_common.ids import partition_of
from perdure_common.settings import DEFAULT_TENANT
from perdure_common.shell import codec
from perdure_contracts.engine import ErrorFacts, NodeFailed, RecoveryVerdict
from perdure_contracts.message import NAMES

FAILURES = "perdure.engine.failures.v1"
COMMANDS = "perdure.engine.commands.v1"
SHARD = "900"
DEPENDENCIES = 5_000
WORKSPACES = 500
"""Many, so that none uses its allowance up: holding attempts back is not what is measured."""

VERDICT = NAMES[RecoveryVerdict].encode()
DRAIN_S = 60.0


class _Verdict(msgspec.Struct):
    failure_id: str


@dataclass
class Failures:
    """Sends failures and hears verdicts.

    `open` has when each failure was sent, `heard_s` how long after that each verdict was heard;
    `had_ms` and `decided_ms` when Kafka had each failure and each verdict, in ms of its clock.
    """

    bootstrap: str
    partitions: int
    prefix: str = "perdure"
    open: dict[str, float] = field(default_factory=dict[str, float])
    heard_s: list[float] = field(default_factory=list[float])
    had_ms: dict[str, int] = field(default_factory=dict[str, int])
    decided_ms: dict[str, int] = field(default_factory=dict[str, int])
    _seq: int = 0
    _last: dict[int, int] = field(default_factory=dict[int, int])
    _run: str = field(default_factory=lambda: uuid.uuid4().hex)

    def begin(self) -> None:
        """Connect, and listen from now on."""
        servers = {"bootstrap.servers": self.bootstrap}
        self._out = Producer(
            {**servers, "acks": "all", "linger.ms": 0, "queue.buffering.max.messages": 100_000}
        )
        self._in = Consumer(
            {
                **servers,
                "group.id": "bench-verdicts",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
            }
        )
        places: list[TopicPartition] = []
        for partition in range(self.partitions):
            place = TopicPartition(self._name(COMMANDS), partition)
            bounds = self._in.get_watermark_offsets(place, timeout=10.0)
            assert bounds is not None
            places.append(TopicPartition(self._name(COMMANDS), partition, bounds[1]))
        self._in.assign(places)
        self._listen(1.0)

    def end(self) -> None:
        """Disconnect."""
        self._out.flush(5.0)
        self._in.close()
        del self._out  # a producer that lives on looks for its broker for ever

    def _name(self, topic: str) -> str:
        return f"{self.prefix}.{topic.partition('.')[2]}"

    def send(self, count: int) -> None:
        """Tell of `count` failures."""
        now = datetime.now(UTC)
        for _ in range(count):
            self._seq += 1
            failure = _failure(self._run, self._seq, now)
            partition = partition_of(failure.execution_id, self.partitions)
            key = failure.execution_id.encode()
            number = codec.number(self._seq, 1)

            def had(error: object, message: Message, id: str = failure.failure_id) -> None:
                assert error is None, error
                self.had_ms[id] = _stamp_ms(message)

            self._out.produce(
                self._name(FAILURES),
                msgspec.json.encode(failure),
                key,
                partition,
                headers=[
                    *_HEADERS,
                    ("ce_id", f"engine/{SHARD}/{self._seq}.1".encode()),
                    ("ce_subject", key),
                    ("ce_time", now.isoformat().encode()),
                    ("x-prev", str(self._last.get(partition, 0)).encode()),
                ],
                on_delivery=had,
            )
            self._last[partition] = number
            self.open[failure.failure_id] = time.perf_counter()
        self._out.poll(0)

    def _listen(self, wait_s: float) -> None:
        for message in self._in.consume(5_000, timeout=wait_s):
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            name = next((raw for key, raw in message.headers() or () if key == "ce_type"), None)
            if name != VERDICT:
                continue
            verdict = msgspec.json.decode(message.value() or b"", type=_Verdict)
            began = self.open.pop(verdict.failure_id, None)
            if began is not None:
                self.decided_ms[verdict.failure_id] = _stamp_ms(message)
                self.heard_s.append(time.perf_counter() - began)

    def paced(self, per_s: float, measure_s: float) -> tuple[list[float], list[float]]:
        """Tell of failures at a rate.

        Returns the seconds until each was decided, and until its verdict was here, in order of
        size.
        """
        began = time.perf_counter()
        sent = 0
        self.heard_s.clear()
        self.decided_ms.clear()
        while (now := time.perf_counter() - began) < measure_s + 1.0:
            due = int(now * per_s) - sent
            if due > 0:
                self.send(due)
                sent += due
            self._out.poll(0)
            self._listen(0.001)
        self.drain()
        first = int(per_s)  # what the first second had is left out
        took = [(at - self.had_ms[id]) / 1000 for id, at in list(self.decided_ms.items())[first:]]
        return sorted(took), sorted(self.heard_s[first:])

    def sustained(self, count: int) -> float:
        """Tell of many failures at once; return how many are decided in a second."""
        before = len(self.decided_ms)
        began = time.perf_counter()
        self.send(count)
        self.drain()
        return (len(self.decided_ms) - before) / (time.perf_counter() - began)

    def drain(self) -> None:
        """Wait for all verdicts.

        Raises:
            TimeoutError: Some do not come.
        """
        limit = time.perf_counter() + DRAIN_S
        while self.open:
            if time.perf_counter() > limit:
                raise TimeoutError(f"{len(self.open)} failures are not decided")
            self._listen(0.02)
        self._out.flush(5.0)


def _stamp_ms(message: Message) -> int:
    """Return when Kafka had a message."""
    kind, at_ms = message.timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME, "the topic is not stamped by Kafka"
    return at_ms


def _failure(run: str, n: int, now: datetime) -> NodeFailed:
    """Return a failure as the engine tells it: a host answered 503."""
    host = f"h{n % DEPENDENCIES}.example.com"
    unique = f"{run}-{n}"
    at = now.isoformat()
    return NodeFailed(
        failure_id=unique,
        root_failure_id=unique,
        execution_id=f"00000000-0000-8000-8000-{n:012x}",
        workflow_id="bench",
        workflow_version=1,
        workspace_id=f"bench-{n % WORKSPACES}",
        node_id="fetch",
        node_name="Fetch",
        node_type="EXTERNAL_ACTION",
        node_subtype="HTTP_REQUEST",
        scope=(),
        run=1,
        attempt=1,
        asked=True,
        effect="keyed",
        error=ErrorFacts(
            type="http_status",
            message=f"{host} answered 503 Service Unavailable: order {n} is late by {n % 97} ms",
            retryable=True,
            status_code=503,
            stage="run",
            dependency=f"http:{host}",
            effect_state="unknown",
        ),
        first_failed_at=at,
        failed_at=at,
        verdict_until=(now + timedelta(seconds=60)).isoformat(),
    )


_HEADERS = [
    ("ce_specversion", b"1.0"),
    ("ce_source", f"/engine/{SHARD}".encode()),
    ("ce_type", NAMES[NodeFailed].encode()),
    ("ce_tenantid", DEFAULT_TENANT.encode()),
    ("content-type", b"application/json"),
]
