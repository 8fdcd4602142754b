"""From the instant at which a clock is due to its execution's start, as the engine tells it."""

from typing import Any

import msgspec
import pytest
from cron_stage import Stage as Clock
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.embedded import Addresses
from perdure_common.settings import Settings
from perdure_common.shell.ports import Outbound
from perdure_common.topics import create_topics
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.engine import ExecutionStarted, StartExecution
from perdure_contracts.message import NAMES
from perdure_scheduler.cron_delays import EVENTS, StartDelays, delay_of
from prometheus_client import CollectorRegistry

PARTITIONS = 3


def started(start: StartExecution, at: str) -> tuple[Any, bytes]:
    """Return what the engine tells of an execution that it was asked to start."""
    event = ExecutionStarted(
        execution_id=start.execution_id,
        root_execution_id=start.execution_id,
        workflow_id=start.workflow_id,
        workflow_name="clocked",
        workflow_version=start.version,
        sha256="0" * 64,
        workspace_id="",
        node_id=start.node_id,
        mode=start.mode,
        triggered_by=start.triggered_by,
        trigger=start.trigger,
        started_at=at,
        steps_total=1,
    )
    return told(event)


def told(event: Any) -> tuple[Any, bytes]:
    body = msgspec.json.encode(event)
    made = CloudEvent(id="1", source="/engine/0", type=NAMES[type(event)], subject="x", data=body)
    return encode(made)


def firing(**more: Any) -> StartExecution:
    """Return the start that a clock asks for at one o'clock."""
    clock = Clock("2026-01-01T00:05Z")
    clock.serves("0 * * * *", **more)
    clock.runs_until("2026-01-01T01:59Z")
    [message] = [m.message for m in clock.sent if isinstance(m.message, StartExecution)]
    return message


def test_a_delay_is_counted_from_the_instant_that_was_due() -> None:
    assert delay_of(*started(firing(), "2026-01-01T01:00:02.500000+00:00")) == 2.5
    assert delay_of(*started(firing(), "2026-01-01T00:59:59+00:00")) == 0.0, "clocks differ"


def test_jitter_is_no_delay() -> None:
    message = firing(jitter_s=600)
    trigger: Any = message.trigger
    due: str = trigger["due"]
    assert "2026-01-01T01:00:00" < due < "2026-01-01T01:10:01"
    assert delay_of(*started(message, due)) == 0.0


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"triggered_by": "CRON:x"}'])
def test_what_cannot_be_read_is_passed_over(value: bytes) -> None:
    headers, _ = started(firing(), "2026-01-01T01:00:00Z")
    assert delay_of(headers, value) is None


async def test_starts_of_clocks_are_heard_and_nothing_else(
    servers: Addresses, topic_prefix: str
) -> None:
    await create_topics(servers.kafka_bootstrap, topic_prefix, PARTITIONS)
    settings = Settings.read(
        "scheduler",
        {
            "PERDURE_DATABASE_URL": servers.database_url,
            "PERDURE_KAFKA_BOOTSTRAP": servers.kafka_bootstrap,
            "PERDURE_TOPIC_PREFIX": topic_prefix,
            "PERDURE_PARTITIONS": str(PARTITIONS),
        },
    )
    bus = KafkaBus(servers.kafka_bootstrap, "test", topic_prefix)
    registry = CollectorRegistry()
    delays = StartDelays(registry)

    async def send(partition: int, *events: tuple[Any, bytes]) -> None:
        records = [Outbound(EVENTS, partition, value, b"x", headers) for headers, value in events]
        assert await bus.send(records) == [None] * len(events)

    async def counted(count: float) -> float | None:
        while registry.get_sample_value("perdure_cron_start_delay_seconds_count") != count:
            await delays.hear()
        return registry.get_sample_value("perdure_cron_start_delay_seconds_sum")

    clock = firing()
    try:
        await send(0, started(clock, "2026-01-01T01:00:30Z"))  # before anybody listens
        await delays.listen_to(settings, (0, 1))
        await send(0, started(clock, "2026-01-01T01:00:01Z"))
        await send(1, started(clock, "2026-01-01T01:00:02Z"))
        assert await counted(2) == 3.0
        await delays.listen_to(settings, (1, 2))
        await send(0, started(clock, "2026-01-01T01:01:00Z"))  # another's
        await send(1, started(clock, "2026-01-01T01:00:04Z"))
        await send(2, started(clock, "2026-01-01T01:00:08Z"))
        assert await counted(4) == 15.0
        await delays.listen_to(settings, ())
    finally:
        await delays.close()
        await bus.close()
