"""The users of the platform: they save, deploy, trigger, cancel, and try again until heard."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from definitions_for_tests import Definition, chain, edge, node, request
from perdure_common.ids import (
    canonical_json,
    derived,
    partition_of,
    sha256_of_json,
    time_ordered,
)
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound, Unreachable
from perdure_contracts.control import PauseExecution, RerunExecution, ResumeExecution
from perdure_contracts.engine import CancelExecution, SaveWorkflow
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import DeployWorkflow, UndeployWorkflow

from simulation.broker import SimBus
from simulation.clocked import CLOCKED, RIVAL, URL
from simulation.hooks import CREDENTIALS, HOOKED

SOURCE = "/simulation"
TRIGGERS = "perdure.triggers.v1"
TRIGGER_PARTITIONS = 2
PARTITIONS = 2
TENANT = "00000000-0000-7000-8000-000000000001"


def _pick(node_id: str, **more: Any) -> Definition:
    return {**request(node_id, URL, timeout_s=5, **more), "max_retries": 1, "retry_wait_time": 1}


def _unsafe(node_id: str) -> Definition:
    return node(node_id, "EXTERNAL_ACTION.HTTP_REQUEST", method="POST", url=URL, timeout_s=70)


def _wide() -> Definition:
    """Two requests side by side, brought together again."""
    return {
        "name": "wide",
        "nodes": [
            node("start", "TRIGGER.MANUAL"),
            node("left", "EXTERNAL_ACTION.HTTP_REQUEST", url=URL, timeout_s=4),
            _pick("right"),
            node("both", "FLOW.MERGE"),
            _pick("last"),
        ],
        "connections": [
            edge("start", "left"),
            edge("start", "right"),
            edge("left", "both", into="input1"),
            edge("right", "both", into="input2"),
            edge("both", "last"),
        ],
    }


def _rounds(name: str, kind: str, body: str, inside: Definition, **parameters: Any) -> Definition:
    """A region whose iterations each ask a runner, and a step after it."""
    return {
        "name": name,
        "nodes": [
            node("start", "TRIGGER.MANUAL"),
            node("region", kind, **parameters),
            inside,
            _pick("after"),
        ],
        "connections": [
            edge("start", "region"),
            edge("region", inside["node_id"], body),
            edge(inside["node_id"], "region"),
            edge("region", "after", "done"),
        ],
    }


def _racing() -> Definition:
    """A request and a wait, of which the first goes on."""
    return {
        "name": "racing",
        "nodes": [
            node("start", "TRIGGER.MANUAL"),
            _pick("ask"),
            node("wait", "FLOW.WAIT", seconds=2),
            node("race", "FLOW.RACE"),
            _pick("last"),
        ],
        "connections": [
            edge("start", "ask"),
            edge("start", "wait"),
            edge("ask", "race"),
            edge("wait", "race"),
            edge("race", "last"),
        ],
    }


def _calling() -> Definition:
    """A child execution, and a wait for an event that nobody sends."""
    call = node("call", "FLOW.SUB_WORKFLOW", workflow="keyed")
    wait = node("wait", "FLOW.WAIT", event={"name": "paid"}, timeout_seconds=3)
    return chain("calling", {**call, "timeout_s": 2_000}, wait)


def _limited() -> Definition:
    """One execution at a time, which leaves something for the next one."""
    last = "{{ $execution.static_data.last + 1 }}"
    keep = node("keep", "ACTION.STATIC_DATA", values={"last": last}, on_conflict="overwrite")
    settings = {"concurrency": {"key": "all"}, "priority": "high"}
    return {
        **chain("limited", _pick("alone"), keep),
        "settings": settings,
        "static_data": {"last": 0},
    }


def _asking() -> Definition:
    """A question to memory, which may not answer, and then one to people."""
    search = {"memory_type": "knowledge", "operation": "search", "query": "n", "timeout_s": 4}
    recall = {
        **node("recall", "MEMORY.STORE", **search),
        "error_handling": "CONTINUE_REGULAR_OUTPUT_ON_ERROR",
    }
    asked = node("asked", "HUMAN_IN_THE_LOOP.APPROVAL", title="may it?")
    made = chain("asking", recall, asked)
    made["nodes"].append(_pick("granted"))
    made["connections"].append(edge("asked", "granted", "approved"))
    return made


def _hurried() -> Definition:
    """A question to people that is taken back when a wait is over first."""
    return {
        "name": "hurried",
        "nodes": [
            node("start", "TRIGGER.MANUAL"),
            node("asked", "HUMAN_IN_THE_LOOP.APPROVAL", title="now?"),
            node("wait", "FLOW.WAIT", seconds=2),
            node("race", "FLOW.RACE"),
            _pick("last"),
        ],
        "connections": [
            edge("start", "asked"),
            edge("start", "wait"),
            edge("asked", "race", "approved"),
            edge("asked", "race", "rejected"),
            edge("wait", "race"),
            edge("race", "last"),
        ],
    }


def _agent() -> Definition:
    """An agent with tools: one that can be called again, one that cannot, and one to be allowed."""

    def tool(name: str, **more: Any) -> Definition:
        arguments = {"type": "object", "properties": {"n": {"type": "integer"}}}
        given = {"name": name, "description": f"Does {name}.", "url": URL, "arguments": arguments}
        return node(name, "TOOL.HTTP", **given, **more)

    agent = node(
        "agent", "AI_AGENT.AGENT", model="sim", prompt="{{ $json.n }}", request_timeout_s=8
    )
    made = chain(
        "agent", {**agent, "max_retries": 2, "retry_wait_time": 1}, node("end", "FLOW.NOOP")
    )
    made["nodes"] += [tool("look"), tool("note", method="POST"), tool("ask", approval=True)]
    made["connections"] += [
        {**edge(name, "agent"), "connection_type": "AI_TOOL"} for name in ("look", "note", "ask")
    ]
    return made


WORKFLOWS: tuple[Definition, ...] = (
    chain("inline", node("set", "ACTION.SET", values={"a": 1}), node("noop", "FLOW.NOOP")),
    chain("keyed", _pick("one"), node("between", "FLOW.NOOP"), _pick("two")),
    chain("unsafe", _unsafe("once"), node("after", "FLOW.NOOP")),
    chain("long", request("slow", URL, timeout_s=110), _pick("then")),
    chain("hasty", {**_pick("quick"), "timeout_s": 2.5, "max_retries": 3}),
    _wide(),
    _rounds(
        "each", "FLOW.FOREACH", "item", _pick("inner"), max_concurrency=2, on_item_error="collect"
    ),
    _rounds("rounds", "FLOW.LOOP", "loop", _unsafe("inner"), items_per_batch=1),
    _racing(),
    _calling(),
    _limited(),
    _asking(),
    _hurried(),
    _agent(),
    *CLOCKED,
    *HOOKED,
)
"""What runs: steps inside the engine, short and long ones, ones that must not be repeated, loops
whose iterations a runner works on, children, questions to people and memory."""

ALL = (*WORKFLOWS, *RIVAL)
"""What is saved: `RIVAL` serve only while people let them."""

CLOCKS = tuple(WORKFLOWS.index(each) for each in CLOCKED)
RIVALS = tuple(range(len(WORKFLOWS), len(ALL)))
"""The places of workflows that clocks start, and of those that want one path."""

OFTEN = (0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 6, 6, 7, 8, 9, 10, 10, 11, 11, 12, 13, 13, 13)
"""How often each of them is asked for."""


def workflow_id(place: int) -> str:
    """Return the id of a workflow."""
    return derived("simulated workflow", place)


def limited_id() -> str:
    """Return the id of the workflow of which one execution may be open."""
    return workflow_id([each["name"] for each in WORKFLOWS].index("limited"))


def hooked_ids() -> tuple[str, ...]:
    """Return the ids of the workflows that requests start."""
    return tuple(workflow_id(n) for n in range(len(WORKFLOWS) - len(HOOKED), len(WORKFLOWS)))


@dataclass
class Load:
    """Those who ask. `accepted` are trigger events that Kafka has acknowledged."""

    bus: SimBus
    chance: random.Random
    accepted: dict[str, int] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    paused: set[str] = field(default_factory=set)

    async def put(self, record: Outbound) -> None:
        """Write a record, again and again until it is acknowledged."""
        while True:
            try:
                (error,) = await self.bus.send([record])
            except Unreachable as unreachable:
                error = unreachable
            if error is None:
                return
            await asyncio.sleep(self.chance.uniform(0.1, 1.0))

    async def command(self, service: str, stream: str, message: object, id: str) -> None:
        """Ask a service as an outsider."""
        self.asked[type(message).__name__] += 1
        topic = f"perdure.{service}.commands.v1"
        headers = _headers(NAMES[type(message)], id, stream)
        place = partition_of(stream, PARTITIONS)
        body = codec.encode_body(message)
        await self.put(Outbound(topic, place, body, stream.encode(), headers))

    async def save(self, place: int) -> None:
        """Save a workflow."""
        message = SaveWorkflow(workflow_id=workflow_id(place), definition=ALL[place])
        await self.command("engine", message.workflow_id, message, f"save-{place}")

    async def deploy(self, place: int, id: str) -> None:
        """Let a workflow serve."""
        definition = ALL[place]
        message = DeployWorkflow(
            workflow_id=workflow_id(place),
            version=1,
            sha256=sha256_of_json(definition),
            definition=definition,
            deployed_by="simulation",
            credentials=dict(CREDENTIALS),
        )
        await self.command("scheduler", message.workflow_id, message, id)

    async def undeploy(self, place: int, id: str) -> None:
        """Let a workflow serve no more."""
        message = UndeployWorkflow(workflow_id=workflow_id(place))
        await self.command("scheduler", message.workflow_id, message, id)

    async def cancel(self, execution_id: str, id: str) -> None:
        """Stop an execution."""
        message = CancelExecution(execution_id=execution_id, reason="enough", asked_by="a user")
        await self.command("engine", execution_id, message, id)

    async def cancel_of(self, event: str, id: str) -> None:
        """Stop the execution that a trigger event started, if it did."""
        await self.cancel(self.execution_of(event), id)

    async def pause_of(self, event: str, id: str) -> None:
        """Pause the execution that a trigger event started, and let it go on after a while."""
        execution_id = self.execution_of(event)
        self.paused.add(execution_id)
        await self.command("engine", execution_id, PauseExecution(execution_id=execution_id), id)
        await asyncio.sleep(self.chance.choice((0.05, 0.5, 5.0)))
        resume = ResumeExecution(execution_id=execution_id)
        await self.command("engine", execution_id, resume, f"{id}-over")

    async def resume_all(self) -> None:
        """Let all that was ever paused go on: a command may have been lost."""
        for execution_id in sorted(self.paused):
            resume = ResumeExecution(execution_id=execution_id)
            await self.command("engine", execution_id, resume, f"at-last-{execution_id}")

    async def rerun_of(self, event: str, id: str) -> None:
        """Run the execution of a trigger event again as a new one, while it runs or after it."""
        execution_id = self.execution_of(event)
        message = RerunExecution(
            execution_id=execution_id,
            new_execution_id=derived("simulated rerun", execution_id, id),
            origin=self.chance.choice(("failed", "start")),
            fork=self.chance.random() < 0.5,
        )
        await self.command("engine", execution_id, message, id)

    def execution_of(self, event: str) -> str:
        """Return the execution that a trigger event starts: its id follows from the event."""
        parts = [TENANT, SOURCE, event, workflow_id(self.accepted[event]), "start"]
        return time_ordered(0, canonical_json(parts).decode())

    async def garbage(self, id: str) -> None:
        """Write what nobody can read: to a command topic, or among the trigger events."""
        self.asked["garbage"] += 1
        topic = self.chance.choice((TRIGGERS, "perdure.engine.commands.v1"))
        headers = _headers("engine.cancel-execution.v1", id, "nobody")
        value = self.chance.choice((b"{", b"[]", b"\xff", b""))
        headers = headers if self.chance.random() < 0.5 else headers[2:]
        partition = self.chance.randrange(PARTITIONS)
        await self.put(Outbound(topic, partition, value, None, headers))

    async def trigger(self, place: int, id: str, data: Any) -> None:
        """Publish a trigger event, sometimes more than once."""
        headers = _headers("perdure.trigger.manual", id, workflow_id(place))
        body = codec.encode_body(data)
        for _ in range(self.chance.choice((1, 1, 1, 2))):
            partition = self.chance.randrange(TRIGGER_PARTITIONS)
            await self.put(Outbound(TRIGGERS, partition, body, None, headers))
            self.accepted[id] = place
            self.asked["trigger"] += 1


def _headers(kind: str, id: str, subject: str) -> tuple[tuple[str, bytes], ...]:
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", id.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_type", kind.encode()),
        ("ce_subject", subject.encode()),
        ("content-type", b"application/json"),
    )


def data_for(chance: random.Random) -> Any:
    """Return what a trigger event says: one item, or a few."""
    count = chance.choice((1, 1, 1, 3))
    made: list[Mapping[str, int]] = [{"n": chance.randrange(100)} for _ in range(count)]
    return made if count > 1 else made[0]
