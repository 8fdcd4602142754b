"""The whole service on a real PostgreSQL: what the engine tells leads to rows and verdicts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from perdure_cli.condition import SQL as ASKED
from perdure_common import migrate, replay
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Outbound, Record
from perdure_common.shell.upkeep import Ground
from perdure_contracts.dead_letters import RedriveDeadLetter
from perdure_contracts.engine import ErrorFacts, ExecutionCompleted, NodeFailed, NodeRecovered
from perdure_contracts.message import NAMES
from perdure_contracts.recovery import SetMode
from perdure_contracts.shell import DeadLettered
from perdure_contracts.topology import TOPICS
from perdure_recovery.api import TABLES
from perdure_recovery.app import service
from perdure_recovery.hear import CALLS, FAILURES
from perdure_recovery.route import ENGINE, OWN

TENANT = "00000000-0000-7000-8000-000000000001"
PARTITIONS = 2
REJECTED = "shell.command-rejected.v1"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DOWN = ErrorFacts(
    type="http_status",
    message="tickets.example answered 503 Service Unavailable",
    status_code=503,
    dependency="http:tickets.example",
    stage="run",
    effect_state="unknown",
)


class Platform:
    """The service in a process of its own, a bus in memory, and what a test says and sees."""

    def __init__(self, database: str, connection: Any) -> None:
        self.url, self.connection = database, connection
        self.broker = MemoryBroker({topic.name: PARTITIONS for topic in TOPICS})
        self.outside = self.broker.client("outside")
        self.sent = 0

    async def says(self, topic: str, stream: str, message: object, id: str = "") -> None:
        """Send a message as another program does, under an id of its own if none is given."""
        self.sent += 1
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", (id or f"id-{self.sent}").encode()),
            ("ce_source", b"/scheduler/triggers/0"),
            ("ce_type", NAMES[type(message)].encode()),
            ("ce_time", codec.instant(NOW).encode()),
            ("content-type", b"application/json"),
        )
        record = Outbound(
            topic,
            partition_of(stream, PARTITIONS),
            codec.encode_body(message),
            stream.encode(),
            headers,
        )
        assert await self.outside.send([record]) == [None]

    async def rows(self, table: str, where: str = "true") -> list[dict[str, Any]]:
        found = await self.connection.fetch(f"SELECT * FROM recovery.{table} WHERE {where}")
        return [dict(row) for row in found]

    async def until(self, table: str, where: str, count: int = 1) -> list[dict[str, Any]]:
        """Return a table's rows once `count` of them are as `where` says."""
        async with asyncio.timeout(30):
            while len(rows := await self.rows(table, where)) < count:
                await asyncio.sleep(0.02)
        return rows

    async def received(self, topic: str, kind: str, count: int) -> list[Any]:
        """Return the messages of a kind on a topic once there are `count`."""
        async with asyncio.timeout(30):
            while len(found := _of_kind(self.broker.records(topic), kind)) < count:
                await asyncio.sleep(0.02)
        return [codec.decode_body(kind, record.value) for record in found]


def _of_kind(records: Sequence[Record], kind: str) -> list[Record]:
    return [r for r in records if codec.header(r.headers, "ce_type") == kind.encode()]


@pytest.fixture
async def platform(database: str) -> AsyncIterator[Platform]:
    await migrate.up(database, "recovery")
    connection: Any = await asyncpg.connect(database)
    made = Platform(database, connection)
    store, bus = PostgresStore(database, "recovery"), made.broker.client("recovery-1")
    stop = asyncio.Event()
    ground = Ground(store, bus, lambda: datetime.now(UTC), "recovery-1", TENANT, PARTITIONS)
    running = asyncio.create_task(Owner(service, ground).run(stop))
    try:
        yield made
    finally:
        stop.set()
        await running
        await bus.close()
        await store.close()
        await connection.close()


def failed(failure_id: str, execution_id: str = "e1", **more: Any) -> NodeFailed:
    fields: dict[str, Any] = {
        "failure_id": failure_id,
        "root_failure_id": failure_id,
        "execution_id": execution_id,
        "workflow_id": "w",
        "workflow_version": 1,
        "workspace_id": "ws",
        "node_id": "file",
        "node_name": "File it",
        "node_type": "EXTERNAL_ACTION",
        "node_subtype": "HTTP_REQUEST",
        "scope": (("each", 2),),
        "run": 1,
        "attempt": 1,
        "asked": True,
        "effect": "keyed",
        "error": DOWN,
        "first_failed_at": codec.instant(NOW),
        "failed_at": codec.instant(NOW),
        **more,
    }
    return NodeFailed(**fields)


def completed(execution_id: str = "e1", attempt: int = 2) -> NodeRecovered:
    return NodeRecovered(
        execution_id=execution_id,
        node_id="file",
        scope=(("each", 2),),
        run=1,
        attempt=attempt,
    )


async def test_a_service_that_is_down_twice_is_recovered_explained_and_learnt_from(
    platform: Platform,
) -> None:
    await platform.says(FAILURES, "e1", failed("f1"))
    await platform.says(FAILURES, "e1", failed("f2", attempt=2))
    await platform.says(FAILURES, "e1", failed("f2", attempt=2))  # heard once more
    verdicts = await platform.received(ENGINE, "engine.recovery-verdict.v1", 3)
    told = [(v.failure_id, v.verdict) for v in verdicts]
    assert told == [("f1", "retry"), ("f2", "retry"), ("f2", "retry")]  # asked again, told again
    await platform.says(FAILURES, "e1", completed(attempt=3))
    done = ExecutionCompleted(execution_id="e1", workflow_id="w", result=None)
    await platform.says(FAILURES, "e1", done)
    await platform.until("recovery_attempts", "recovery_outcome = 'recovered'")
    attempts = await platform.rows("recovery_attempts", "true ORDER BY attempt_number")
    assert [(a["status"], a["success"]) for a in attempts] == [
        ("failed", False),
        ("succeeded", True),
    ]
    explanations = await platform.rows("recovery_explanations")
    assert len(explanations) == 2
    empty = [k for row in explanations for k, v in row.items() if v in (None, "")]
    words_of_a_model = {name for name in explanations[0] if name.startswith("prose")}
    assert words_of_a_model  # which are off
    assert set(empty) <= {"task_id", "dead_letter_id", *words_of_a_model}
    (pattern,) = await platform.until("failure_patterns", "lesson_successes > 0")
    assert pattern["occurrence_count"] == 2
    assert pattern["lesson_successes"] + pattern["lesson_failures"] == pytest.approx(1.0)
    await platform.until("failure_patterns", "lesson_successes = lesson_failures")


async def test_the_journal_rebuilds_every_row(platform: Platform) -> None:
    for n in range(6):
        await platform.says(FAILURES, f"e{n}", failed(f"f{n}", f"e{n}"))
        if n % 2:
            await platform.says(FAILURES, f"e{n}", completed(f"e{n}"))
    letter = DeadLettered(
        topic=FAILURES,
        partition=1,
        offset=7,
        code="invalid_body",
        reason="no",
        value=b"\x00{",
        headers=(("ce_type", b"\xff"),),
    )
    await platform.says(f"{FAILURES}.dlt", FAILURES, letter)
    await platform.until("recovery_attempts", "status = 'succeeded'", 3)
    await platform.until("failure_patterns", "occurrence_count = 6 AND lesson_successes > 0")
    # Not before: a mode that only observes would keep the retries from being made.
    await platform.says(OWN, "ws/mode", SetMode(workspace_id="ws", mode="observe", set_by="ann"))
    await platform.until("recovery_modes", "mode = 'observe'")
    await platform.until("dead_letters", "status = 'waiting'")
    report = await replay.check(service, platform.url)
    assert report.differences == []
    decisions = 7  # of six failures and a letter
    assert report.rows["recovery_attempts"] == report.rows["recovery_explanations"] == decisions


async def test_the_kill_switch_leaves_only_the_pattern(platform: Platform) -> None:
    await platform.says(OWN, "*/mode", SetMode(workspace_id="*", mode="off", set_by="ann"))
    await platform.until("recovery_modes", "mode = 'off'")
    await platform.says(FAILURES, "e1", failed("f1"))
    (verdict,) = await platform.received(ENGINE, "engine.recovery-verdict.v1", 1)
    assert verdict.verdict == "give_up"
    await platform.until("failure_patterns", "occurrence_count = 1")
    assert await platform.rows("recovery_attempts") == []


async def test_what_cannot_be_read_is_a_dead_letter_on_every_topic_and_recovery_goes_on(
    platform: Platform,
) -> None:
    for topic, kind in (
        (OWN, "recovery.set-mode.v1"),
        (FAILURES, "engine.node-failed.v1"),
        (CALLS, "engine.dependency-calls.v1"),
    ):
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", topic.encode()),
            ("ce_source", b"/somebody"),
            ("ce_type", kind.encode()),
        )
        for partition in range(PARTITIONS):
            record = Outbound(topic, partition, b"{oops", b"k", headers)
            assert await platform.outside.send([record]) == [None]
    rows = await platform.until("dead_letters", "status = 'waiting'", 3 * PARTITIONS)
    assert {row["topic"] for row in rows} == {OWN, FAILURES, CALLS}
    for n in range(4):
        await platform.says(FAILURES, f"e{n}", failed(f"f{n}", f"e{n}"))
    await platform.received(ENGINE, "engine.recovery-verdict.v1", 4)


async def test_a_stream_that_no_letter_tells_of_is_found_by_whoever_looks(
    platform: Platform,
) -> None:
    own = "perdure.recovery.commands.v1"
    for stream, topic in (("letter", "perdure.triggers.v1.dlt"), ("told", own)):
        raw = codec.pack_record(Record(topic, 0, 7, b"{}"))
        into = "INSERT INTO recovery."
        await platform.connection.execute(f"{into}parked_stream VALUES ($1, 's', 1)", stream)
        await platform.connection.execute(f"{into}parked_message VALUES ($1, 1, $2)", stream, raw)
    (row,) = await platform.connection.fetch(ASKED["untold"])
    assert row["stream"] == "letter"


async def test_a_dead_letter_is_kept_and_sent_again_once(platform: Platform) -> None:
    letter = DeadLettered(
        topic="perdure.triggers.v1",
        partition=1,
        offset=7,
        code="invalid_body",
        reason="the body is no JSON",
        value=b"{oops",
        key=b"k",
        headers=(("ce_type", b"perdure.trigger.manual"),),
    )
    # its message travels by the topic that it came from
    await platform.says("perdure.triggers.v1.dlt", "perdure.triggers.v1", letter)
    (row,) = await platform.until("dead_letters", "status = 'waiting'")
    assert (bytes(row["raw"]), row["service"], row["payload"]) == (b"{oops", "scheduler", None)
    for _ in range(2):
        redrive = RedriveDeadLetter(letter=row["stream"], asked_by="ann")
        await platform.says(OWN, row["stream"], redrive)
    (row,) = await platform.until("dead_letters", "status = 'redriven'")
    assert (row["retry_count"], row["settled_by"]) == (1, "ann")
    (refusal,) = await platform.received("perdure.recovery.events.v1", REJECTED, 1)
    assert refusal.code == "already_settled"
    (again,) = platform.broker.records("perdure.triggers.v1")
    assert (again.partition, again.value) == (1, b"{oops")
    ours = (("x-attempts", b"1"), ("x-redriven", str(row["id"]).encode()))
    assert again.headers == (*letter.headers, *ours)


async def test_the_letter_of_a_stream_that_stops_again_is_opened_again(
    platform: Platform,
) -> None:
    commands = "perdure.scheduler.commands.v1"
    letter = DeadLettered(
        topic=commands,
        partition=1,
        offset=7,
        code="poison",
        reason="ZeroDivisionError",
        value=b"{}",
        stream="w1",
    )
    for tried, action in ((1, "retry"), (2, "retry"), (3, "drop")):
        told = replace(letter, reason=f"ZeroDivisionError, try {tried}")
        for _ in range(2):  # the second one is heard once more
            id = f"scheduler/1/{7 * tried}.1"
            await platform.says(f"{commands}.dlt", "w1", told, id)
        (row,) = await platform.until("dead_letters", f"status = 'waiting' AND attempts = {tried}")
        assert (row["retry_count"], row["parked_stream"]) == (tried - 1, "w1")
        assert row["error"] == f"poison: ZeroDivisionError, try {tried}"
        assert (row["processed_at"], row["settled_by"]) == (None, None)
        for asked_by in ("ann", "bob"):  # one of them is too late
            redrive = RedriveDeadLetter(
                letter=row["stream"],
                asked_by=asked_by,
                action=action,  # pyright: ignore[reportArgumentType]
            )
            await platform.says(OWN, row["stream"], redrive)
        asked = await platform.received(commands, "shell.unpark.v1", tried)
        assert len(asked) == tried
        assert (asked[-1].action, asked[-1].of) == (action, (commands, 1, 7))
    (row,) = await platform.until("dead_letters", "status = 'dropped'")
    assert (row["retry_count"], row["attempts"], row["settled_by"]) == (2, 3, "ann")
    assert row["last_failed_at"] > row["created_at"]
    assert len(await platform.received(OWN, "recovery.redrive-dead-letter.v1", 6)) == 6
    refusals = await platform.received("perdure.recovery.events.v1", REJECTED, 3)
    assert {each.code for each in refusals} == {"already_settled"}
    report = await replay.check(service, platform.url)
    assert report.differences == []
    assert report.rows["dead_letters"] == 1


async def test_storms_of_one_execution_are_bounded(platform: Platform) -> None:
    for n in range(30):
        await platform.says(FAILURES, "e1", failed(f"f{n}", scope=(("each", n),)))
    verdicts = await platform.received(ENGINE, "engine.recovery-verdict.v1", 30)
    assert [v.verdict for v in verdicts].count("retry") == 10


async def test_everything_that_the_api_shows_is_in_the_tables(platform: Platform) -> None:
    for table, view in TABLES.items():
        columns = ", ".join(f'"{name}"' for name in view.columns)
        assert await platform.connection.fetch(f"SELECT {columns} FROM recovery.{table}") == []


async def test_a_failure_without_a_time_happened_when_it_was_heard(platform: Platform) -> None:
    late = replace(failed("f1"), failed_at="", first_failed_at="")
    await platform.says(FAILURES, "e1", late)
    (row,) = await platform.until("recovery_explanations", "true")
    assert datetime.now(UTC) - row["failure_time"] < timedelta(minutes=5)
