"""Other programs hear what perdure tells, by subscribers of FastStream, tested in memory."""

from typing import Any

import msgspec
import pytest
from faststream.kafka import KafkaBroker, TestKafkaBroker
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.cron import CronFired
from perdure_contracts.engine import ExecutionCompleted
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import WorkflowUndeployed
from perdure_contracts.subscribe import Told, hears

EVENTS = "perdure.scheduler.events.v1"
UNDEPLOYED = WorkflowUndeployed(workflow_id="w", version=3, undeployed_by="ann")


async def tell(broker: Any, message: object, topic: str = EVENTS, kind: str = "") -> None:
    event = CloudEvent(
        id="scheduler/0/1.1",
        source="/scheduler/0",
        type=kind or NAMES[type(message)],
        data=msgspec.json.encode(message),
    )
    headers, value = encode(event)
    texts = {name: raw.decode() for name, raw in headers}
    await broker.publish(value, topic, headers=texts)


async def test_an_event_comes_as_its_message_with_what_travelled_around_it() -> None:
    broker = KafkaBroker("localhost:1", apply_types=False)
    heard: list[Told] = []

    @hears(broker, WorkflowUndeployed, group_id="tests")
    async def _(told: Told) -> None:
        heard.append(told)

    async with TestKafkaBroker(broker):
        await tell(broker, UNDEPLOYED)
    [told] = heard
    assert told.message == UNDEPLOYED
    assert (told.event.source, told.event.id) == ("/scheduler/0", "scheduler/0/1.1")


async def test_other_kinds_and_kinds_of_the_future_are_passed_over() -> None:
    broker = KafkaBroker("localhost:1", apply_types=False)
    heard: list[Told] = []

    @hears(broker, CronFired, group_id="tests")
    async def _(told: Told) -> None:
        heard.append(told)

    async with TestKafkaBroker(broker):
        await tell(broker, UNDEPLOYED)
        await tell(broker, UNDEPLOYED, kind="scheduler.from-the-future.v9")
    assert heard == []


async def test_an_installation_with_a_prefix_of_its_own_is_heard() -> None:
    broker = KafkaBroker("localhost:1", apply_types=False)
    heard: list[Told] = []

    @hears(broker, WorkflowUndeployed, group_id="tests", topic_prefix="acme")
    async def _(told: Told) -> None:
        heard.append(told)

    async with TestKafkaBroker(broker):
        await tell(broker, UNDEPLOYED, "acme.scheduler.events.v1")
    assert [each.message for each in heard] == [UNDEPLOYED]


def test_events_of_two_services_need_two_subscribers() -> None:
    broker = KafkaBroker("localhost:1", apply_types=False)
    with pytest.raises(ValueError, match="not of 2 topics"):
        hears(broker, WorkflowUndeployed, ExecutionCompleted, group_id="tests")
