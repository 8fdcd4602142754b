"""The scheduler on the shell, in memory: what is published on the triggers topic starts runs."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.ids import partition_of, sha256_of_json
from perdure_common.shell.codec import encode_body, header
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Outbound, Record
from perdure_common.shell.upkeep import Ground
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import DeployWorkflow, UndeployWorkflow
from perdure_scheduler.app import service

TENANT = "00000000-0000-7000-8000-000000000001"
WORKFLOW = "0190f3c0-0000-7000-8000-000000000001"
COMMANDS, TRIGGERS = "perdure.scheduler.commands.v1", "perdure.triggers.v1"
STARTS, DEAD = "perdure.engine.starts.v1", "perdure.triggers.v1.dlt"
PARTITIONS = 2
DEFINITION = {
    "name": "triage",
    "nodes": [
        {"node_id": "go", "node_type": "TRIGGER", "node_subtype": "MANUAL"},
        {
            "node_id": "hook",
            "node_type": "TRIGGER",
            "node_subtype": "WEBHOOK",
            "parameters": {"path": "/orders", "auth": "none"},
        },
    ],
}


class World:
    """A broker and a scheduler, and somebody outside who publishes."""

    def __init__(self) -> None:
        topics = (
            COMMANDS,
            "perdure.scheduler.events.v1",
            STARTS,
            DEAD,
            TRIGGERS,
            f"{COMMANDS}.dlt",
        )
        self.broker = MemoryBroker(dict.fromkeys(topics, PARTITIONS))
        self.store = MemoryStore("scheduler")
        self._outside = self.broker.client("outside")
        self._sent = 0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        bus, stop = self.broker.client("scheduler"), asyncio.Event()
        ground = Ground(self.store, bus, lambda: datetime.now(UTC), "s", TENANT, PARTITIONS)
        task = asyncio.create_task(Owner(service, ground).run(stop))
        try:
            yield
        finally:
            stop.set()
            await task
            await bus.close()

    async def publish(
        self,
        kind: str,
        subject: str,
        *,
        id: str,
        partition: int = 0,
        data: bytes = b"{}",
        **extensions: str,
    ) -> None:
        attributes = {
            "specversion": "1.0",
            "id": id,
            "source": "/test",
            "type": f"perdure.trigger.{kind}",
            "subject": subject,
            **extensions,
        }
        headers = tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
        await self._outside.send([Outbound(TRIGGERS, partition, data, None, headers)])

    async def ask(self, command: DeployWorkflow | UndeployWorkflow) -> None:
        self._sent += 1
        attributes = {
            "specversion": "1.0",
            "id": f"c{self._sent}",
            "source": "/test",
            "type": NAMES[type(command)],
        }
        headers = tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())
        place = partition_of(command.workflow_id, PARTITIONS)
        await self._outside.send([Outbound(COMMANDS, place, encode_body(command), None, headers)])

    async def until(self, topic: str, count: int) -> list[Record]:
        """Return a topic's records once there are `count` of them."""
        async with asyncio.timeout(30):
            while len(found := self.broker.records(topic)) < count:
                await asyncio.sleep(0.01)
        assert len(found) == count
        return found

    async def deployed(self, *statuses: str) -> None:
        """Wait until the triggers have the statuses."""
        async with asyncio.timeout(30):
            while {r["deployment_status"] for r in self._rows("trigger_index")} != {*statuses}:
                await asyncio.sleep(0.01)

    def _rows(self, table: str) -> list[Any]:
        return list(self.store.tables.get(table, ()))

    def deliveries(self) -> dict[str, list[str]]:
        return {row["id"]: row["executions"] for row in self._rows("trigger_deliveries")}


TAKER = json.dumps([[WORKFLOW, "hook"]])

DEPLOY = DeployWorkflow(
    workflow_id=WORKFLOW, version=1, sha256=sha256_of_json(DEFINITION), definition=DEFINITION
)


def starts(records: list[Record]) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in records]


async def test_a_trigger_event_starts_an_execution_of_the_deployed_version() -> None:
    world = World()
    async with world.running():
        await world.ask(DEPLOY)
        await world.deployed("active")
        await world.publish("webhook", "/orders", id="e1", data=b'{"order": 7}')
        (record,) = await world.until(STARTS, 1)
    (start,) = starts([record])
    assert (start["workflow_id"], start["version"], start["node_id"]) == (WORKFLOW, 1, "hook")
    assert start["data"] == {"order": 7}
    assert start["trigger"]["id"] == "e1"
    assert record.partition == partition_of(start["execution_id"], PARTITIONS)
    assert header(record.headers, "ce_tenantid") == TENANT.encode()
    assert world.deliveries() == {"e1": [start["execution_id"]]}


async def test_an_event_that_comes_twice_starts_once_wherever_it_comes() -> None:
    world = World()
    async with world.running():
        await world.ask(DEPLOY)
        await world.deployed("active")
        for partition in (0, 1, 0, 1):
            await world.publish("manual", "triage", id="same", partition=partition)
        await world.publish("manual", "triage", id="last", partition=0)
        await world.publish("manual", "triage", id="last but one", partition=1)
        await world.until(STARTS, 3)
    assert set(world.deliveries()) == {"same", "last", "last but one"}


async def test_what_cannot_start_is_a_dead_letter_and_the_next_one_starts() -> None:
    world = World()
    async with world.running():
        await world.ask(DEPLOY)
        await world.deployed("active")
        await world.publish("manual", "nobody", id="e1", data=b"\xff\x00")
        await world.publish("pigeon", "x", id="e2")
        await world.publish("manual", "unknown workflow", id="e3")
        await world.publish("manual", WORKFLOW, id="e4")
        await world.until(STARTS, 1)
        letters = starts(await world.until(DEAD, 3))
    codes = {letter["offset"]: letter["code"] for letter in letters}
    assert codes == {0: "bad_encoding", 1: "unknown_trigger_type", 2: "workflow_not_found"}
    assert next(x["value"] for x in letters if x["offset"] == 0) == "/wA="


async def test_after_an_undeployment_nothing_starts() -> None:
    world = World()
    async with world.running():
        await world.ask(DEPLOY)
        await world.deployed("active")
        await world.ask(UndeployWorkflow(workflow_id=WORKFLOW))
        await world.deployed("inactive")
        await world.publish("webhook", "/orders", id="e1")
        await world.publish("manual", "triage", id="e2")
        (letter,) = starts(await world.until(DEAD, 1))
    assert letter["code"] == "workflow_not_found"
    assert world.broker.records(STARTS) == []


async def test_what_was_started_before_a_crash_is_not_started_again_after_it() -> None:
    world = World()
    async with world.running():
        await world.ask(DEPLOY)
        await world.deployed("active")
        await world.publish("webhook", "/orders", id="e1")
        await world.until(STARTS, 1)
    async with world.running():
        await world.publish("webhook", "/orders", id="e1")
        await world.publish("webhook", "/orders", id="e2")
        await world.until(STARTS, 2)
    assert set(world.deliveries()) == {"e1", "e2"}


def version(number: int, node_id: str, key: str) -> DeployWorkflow:
    """Return the deployment of a version that listens under a path, or to an address."""
    by_mail = "@" in key
    hook = {
        "node_id": node_id,
        "node_type": "TRIGGER",
        "node_subtype": "EMAIL" if by_mail else "WEBHOOK",
        "parameters": {"address": key} if by_mail else {"path": key, "auth": "none"},
    }
    definition: Any = {"name": "triage", "nodes": [hook]}
    sha256 = sha256_of_json(definition)
    return DeployWorkflow(
        workflow_id=WORKFLOW, version=number, sha256=sha256, definition=definition
    )


LISTENERS = {"webhook": ("/orders", "/elsewhere"), "email": ("help@a.example", "desk@a.example")}


@pytest.mark.parametrize("kind", LISTENERS)
@pytest.mark.parametrize("then", ["another node", "another key", "nothing"])
async def test_what_was_taken_starts_whatever_was_deployed_meanwhile(kind: str, then: str) -> None:
    """Its sender was told so: the version that took it starts, though it serves no more."""
    key, other = LISTENERS[kind]
    world = World()
    async with world.running():
        await world.ask(version(1, "hook", key))
        await world.deployed("active")
        if then == "nothing":
            await world.ask(UndeployWorkflow(workflow_id=WORKFLOW))
            await world.deployed("inactive")
        else:
            second = (2, "inbox", key) if then == "another node" else (2, "hook", other)
            await world.ask(version(*second))
            await world.deployed("active", "inactive")
        await world.publish(kind, key, id="e1", nodes=TAKER, versions="[1]")
        (start,) = starts(await world.until(STARTS, 1))
    assert (start["version"], start["node_id"]) == (1, "hook")


@pytest.mark.parametrize("kind", LISTENERS)
async def test_what_was_taken_goes_to_the_version_that_serves_if_that_has_its_node_and_key(
    kind: str,
) -> None:
    key, _ = LISTENERS[kind]
    world = World()
    async with world.running():
        await world.ask(version(1, "hook", key))
        await world.deployed("active")
        await world.ask(version(2, "hook", key))
        await world.deployed("active", "inactive")
        await world.publish(kind, key, id="e1", nodes=TAKER, versions="[1]")
        (start,) = starts(await world.until(STARTS, 1))
    assert start["version"] == 2
