"""Bad input is refused by name or kept with its bytes, and its neighbours go on."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest
import pytest_asyncio
from confluent_kafka import KafkaError, Producer
from definitions_for_tests import Definition, chain, edge, node, request
from outside_world import World, outside_world
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_contracts.engine import StartExecution
from perdure_contracts.message import NAMES
from perdure_contracts.shell import DeadLettered
from platform_stage import MANUAL, PARTITIONS, SOURCE, Refused, Stage
from promises import broken_promises

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRIGGERS = "perdure.triggers.v1"
COMMANDS = "perdure.engine.commands.v1"
STARTS = "perdure.engine.starts.v1"
TASKS = "perdure.engine.tasks.v1"
Headers = tuple[tuple[str, bytes], ...]


def attributes(type: str, subject: str = "neighbour", **others: bytes) -> Headers:
    """Return the headers of an event in binary mode."""
    given = {
        "ce_specversion": b"1.0",
        "ce_id": b"bad",
        "ce_source": SOURCE.encode(),
        "ce_type": type.encode(),
        "ce_subject": subject.encode(),
        "content-type": b"application/json",
        **others,
    }
    return tuple(given.items())


def without(name: str) -> Headers:
    return tuple(pair for pair in attributes(MANUAL) if pair[0] != name)


def start_of_nothing() -> bytes:
    message = StartExecution(
        execution_id="bad",
        workflow_id=str(uuid.UUID(int=7)),
        version=1,
        node_id="start",
        mode="MANUAL",
        triggered_by="MANUAL:start",
        trigger={},
        data={},
    )
    return codec.encode_body(message)


@dataclass(frozen=True)
class Bad:
    """A record that cannot be applied: where it goes, what it holds, what it is called."""

    about: str
    topic: str
    headers: Headers
    value: bytes
    code: str


START = NAMES[StartExecution]
BAD = (
    Bad("bytes that nobody can read", TRIGGERS, (), b"\xff\xfe\x00\x80", "missing_attribute"),
    Bad("a header that is no text", TRIGGERS, attributes(MANUAL, ce_subject=b"\xff\xfe"), b"{}",
        "bad_encoding"),
    Bad("a body that is no JSON", TRIGGERS, attributes(MANUAL), b'{"a": ', "bad_json"),
    Bad("a bomb of brackets", TRIGGERS, attributes(MANUAL), b"[" * 200_000, "bad_json"),
    Bad("numbers that grow", TRIGGERS, attributes(MANUAL), b"[" + b"1e15," * 40_000 + b"1]",
        "payload_too_large"),
    Bad("a trigger type that does not exist", TRIGGERS, attributes("perdure.trigger.nonsense"),
        b"{}", "unknown_trigger_type"),
    Bad("an event without an id", TRIGGERS, without("ce_id"), b"{}", "missing_attribute"),
    Bad("an event without a subject", TRIGGERS, without("ce_subject"), b"{}", "missing_subject"),
    Bad("a body of 700 KB", TRIGGERS, attributes(MANUAL), b'"' + b"x" * 700_000 + b'"',
        "payload_too_large"),
    Bad("a workflow that does not exist", TRIGGERS, attributes(MANUAL, "nobody's"), b"{}",
        "workflow_not_found"),
    Bad("a command that does not exist", COMMANDS, attributes("engine.make-coffee.v1"), b"{}",
        "unknown_type"),
    Bad("a command whose body is wrong", COMMANDS, attributes("engine.cancel-execution.v1"),
        b'{"execution_id": 7}', "invalid_body"),
    Bad("bytes among the commands", COMMANDS, (), b"\x00\x01\x02", "missing_attribute"),
    Bad("a start of a workflow that does not exist", STARTS, attributes(START),
        start_of_nothing(), "workflow_not_found"),
    Bad("a task that is none", TASKS, attributes("engine.node-task.v1"), b"[]", "invalid_body"),
)  # fmt: skip


@dataclass
class Letters:
    """Reads the dead letters of the topics as they come."""

    bus: KafkaBus
    found: list[DeadLettered] = field(default_factory=list)

    def follow(self) -> None:
        """Begin to read, from the beginning."""
        topics = {f"{bad.topic}.dlt" for bad in BAD}
        self.bus.read({(topic, p): 0 for topic in topics for p in range(PARTITIONS)})

    async def of(self, topic: str, partition: int, offset: int) -> DeadLettered:
        """Wait for the dead letter of a record."""
        async with asyncio.timeout(60):
            while True:
                for each in self.found:
                    if (each.topic, each.partition, each.offset) == (topic, partition, offset):
                        return each
                for record in await self.bus.fetch(100, 0.5):
                    name = codec.header(record.headers, "ce_type") or b""
                    if name.decode() == NAMES[DeadLettered]:
                        self.found.append(codec.decode_body(name.decode(), record.value))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def letters(stage: Stage) -> AsyncGenerator[Letters]:
    """The dead letters on the topics of the stage."""
    bus = KafkaBus(stage.ground.kafka_bootstrap, "letters", stage.ground.prefix)
    made = Letters(bus)
    made.follow()
    yield made
    await bus.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def neighbour(stage: Stage) -> Callable[[], Any]:
    """Runs a workflow to its end, as somebody does who has nothing to do with the bad input."""
    await stage.deploy(chain("neighbour", node("calm", "FLOW.NOOP")))

    async def run() -> None:
        row = await stage.ended(await stage.trigger("neighbour", {"calm": True}))
        assert row["status"] == "SUCCESS"

    return run


async def end_of(stage: Stage, definition: Definition, data: Any) -> tuple[Any, dict[str, Any]]:
    """Run a workflow and return its row and what it says of its error."""
    await stage.deploy(definition)
    row = await stage.ended(await stage.trigger(definition["name"], data))
    return row, json.loads(row["error_details"] or "{}")


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.about)
async def test_a_record_that_cannot_be_applied_is_kept_with_its_bytes(
    stage: Stage, letters: Letters, neighbour: Callable[[], Any], bad: Bad
) -> None:
    partition = partition_of("bad", PARTITIONS)
    place = (bad.topic, partition)
    bus = KafkaBus(stage.ground.kafka_bootstrap, "bad", stage.ground.prefix)
    try:
        offset = (await bus.bounds([place]))[place][1]
        assert await bus.send([Outbound(*place, bad.value, b"bad", bad.headers)]) == [None]
    finally:
        await bus.close()
    await neighbour()
    letter = await letters.of(bad.topic, partition, offset)
    assert letter.code == bad.code, letter.reason
    assert (letter.value, letter.key, letter.headers) == (bad.value, b"bad", bad.headers)
    assert len(letter.reason) > 20

    async def kept() -> list[Any]:
        return await stage.rows(
            """
            select raw, error, status from recovery.dead_letters
             where topic = $1 and partition = $2 and record_offset = $3
            """,
            bad.topic, partition, offset,
        )  # fmt: skip

    [row] = await stage.until(kept, "the row of the dead letter")
    assert (row["raw"], row["status"]) == (bad.value, "waiting")
    assert row["error"].startswith(f"{bad.code}: ")


async def test_a_record_above_the_limit_is_refused_to_its_sender(
    stage: Stage, neighbour: Callable[[], Any]
) -> None:
    errors: list[KafkaError | None] = []
    producer = Producer({
        "bootstrap.servers": stage.ground.kafka_bootstrap,
        "message.max.bytes": 4_000_000,
    })  # fmt: skip
    topic = f"{stage.ground.prefix}.triggers.v1"
    producer.produce(
        topic,
        value=b'"' + b"x" * 2_000_000 + b'"',
        headers=list(attributes(MANUAL)),
        on_delivery=lambda error, message: errors.append(error),
    )
    assert await asyncio.to_thread(producer.flush, 30.0) == 0
    [error] = errors
    assert error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    await neighbour()


FAULTY: Definition = {
    "name": "faulty",
    "settings": {"execution_timeout": -1},
    "nodes": [
        node("start", "TRIGGER.MANUAL"),
        node("twice", "FLOW.NOOP"),
        node("twice", "FLOW.NOOP"),
        node("what", "FLOW.NONSENSE"),
        node("who", "NOBODY.NOOP"),
        node("empty", "EXTERNAL_ACTION.HTTP_REQUEST"),
        node("where", "EXTERNAL_ACTION.HTTP_REQUEST", url="ftp://example.com"),
        node("broken", "ACTION.SET", values={"a": "{{ 1 + }}"}),
        node("asks", "FLOW.IF", condition="maybe"),
        {**node("retries", "FLOW.NOOP"), "max_retries": -3},
    ],
    "connections": [
        edge("start", "nowhere"),
        edge("start", "start"),
        edge("asks", "what", "perhaps"),
        {"source_node_id": "start"},
    ],
}
FAULTS: Sequence[tuple[str, str]] = (
    ("settings.execution_timeout", "out_of_range"),
    ("nodes[2].node_id", "duplicate_node_id"),
    ("nodes[3].node_subtype", "unknown_node_subtype"),
    ("nodes[4].node_type", "unknown_node_type"),
    ("nodes[5].parameters.url", "missing_parameter"),
    ("nodes[6].parameters.url", "invalid_parameter"),
    ("nodes[7].parameters.values.a", "expression_syntax"),
    ("nodes[8].parameters.condition", "invalid_parameter"),
    ("nodes[9].max_retries", "out_of_range"),
    ("connections[0].target_node_id", "unknown_node"),
    ("connections[1].target_node_id", "self_connection"),
    ("connections[2].source_port", "unknown_port"),
    ("connections[3].target_node_id", "missing_key"),
)


async def test_every_fault_of_a_definition_is_named_with_its_place(
    stage: Stage, neighbour: Callable[[], Any]
) -> None:
    with pytest.raises(Refused) as refused:
        await stage.save(FAULTY)
    assert refused.value.code == "invalid_definition"
    # An expression's error points at its place in lines of its own.
    problems = refused.value.reason
    for path, code in FAULTS:
        beginning = problems.find(f"{path} ") if f"{path} " in problems else problems.find(path)
        assert beginning >= 0, f"{path} is not named"
        assert f"[{code}]" in problems[beginning:].partition("\n\n")[0]
    assert problems.count("[") >= len(FAULTS)
    saved = await stage.rows("select 1 from engine.workflows where name = 'faulty'")
    assert saved == []
    await neighbour()


BOMBS = {
    "work": (
        "$json.list.map(a => $json.list.map(b => $json.list.map(c => a + b + c)))",
        "expression_fuel",
    ),
    "memory": ("'x'.repeat(2000000000)", "expression_fuel"),
    "result": ("$json.list.map(a => $json.text)", "expression_output"),
    "output": ("$json.list.slice(0, 8).map(a => $json.text)", "output_too_large"),
}


@pytest.mark.parametrize("about", BOMBS)
async def test_an_expression_bomb_fails_its_own_node_only(
    stage: Stage, neighbour: Callable[[], Any], about: str
) -> None:
    expression, code = BOMBS[about]
    fields = 12 if about == "output" else 1  # each of them is small enough, together they are not
    values = {f"field-{n}": f"{{{{ {expression} }}}}" for n in range(fields)}
    bomb = chain(f"bomb-{about}", node("boom", "ACTION.SET", values=values))
    row, error = await end_of(stage, bomb, {"list": list(range(300)), "text": "x" * 100_000})
    assert row["status"] == "ERROR"
    assert (error["type"], error["node_id"]) == (code, "boom")
    assert len(error["message"]) > 20
    await neighbour()


@pytest.mark.parametrize("path", ["/big", "/endless"])
async def test_an_answer_of_30_mb_is_a_typed_error_and_takes_no_room(
    stage: Stage, world: World, neighbour: Callable[[], Any], path: str
) -> None:
    runner = psutil.Process(stage.processes["runner"].pid)
    before = runner.memory_info().rss
    big = chain(f"answers{path.replace('/', '-')}", request("ask", world.url(path)))
    row, error = await end_of(stage, big, {})
    assert row["status"] == "ERROR"
    assert (error["type"], error["node_id"]) == ("response_too_large", "ask")
    assert "5,242,880" in error["message"]
    assert runner.memory_info().rss - before < 20 * 1024 * 1024
    assert len(world.to(path)) == 1
    await neighbour()


async def test_a_name_that_leads_to_a_private_address_is_not_asked(
    stage: Stage, neighbour: Callable[[], Any]
) -> None:
    with outside_world() as secret:  # not on the list of what may be reached
        named = chain("named", request("ask", secret.url("/ok", host="localhost")))
        row, error = await end_of(stage, named, {})
        assert secret.calls == []
    assert row["status"] == "ERROR"
    assert (error["type"], error["node_id"]) == ("address_refused", "ask")
    assert "PERDURE_HTTP_ALLOW" in error["message"]
    await neighbour()


async def test_every_promise_holds_after_all_of_it(
    stage: Stage, world: World, neighbour: Callable[[], Any]
) -> None:
    await neighbour()
    assert await broken_promises(stage, [], world) == []
