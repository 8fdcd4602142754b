"""Payload stores, in memory and in PostgreSQL: what both must do."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.shell import codec
from perdure_common.shell.payloads import (
    PAYLOAD_BYTES_MIN,
    MissingPayload,
    Payload,
    lighten,
    sha256_of,
    whole,
)
from perdure_common.shell.ports import JournalRow, ShardCommit, Store
from perdure_contracts.engine import NodeCompleted, NodeTask
from perdure_engine.executions.large import HEAVY

TENANT, OTHER = "tenant", "other"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A store, and how its time passes."""

    def __init__(self, store: Store, url: str = "") -> None:
        self.store = store
        self.url = url
        self.now = NOW

    async def later(self, seconds: float) -> None:
        """Let time pass for what was put so far."""
        self.now += timedelta(seconds=seconds)
        if self.url:
            await self.run(
                f"update engine.payloads set created_at = created_at - interval '{seconds} seconds'"
            )

    async def forget(self, stream: str) -> None:
        """Let the journal have nothing of a stream any more."""
        if isinstance(self.store, MemoryStore):
            self.store._streams.pop(stream)  # pyright: ignore[reportPrivateUsage]
        else:
            await self.run(f"delete from engine.journal_entry where stream = '{stream}'")

    async def lose(self) -> None:
        """Lose every payload, as a restore of the other tables alone does."""
        if isinstance(self.store, MemoryStore):
            self.store.payloads._texts.clear()  # pyright: ignore[reportPrivateUsage]
        else:
            await self.run("delete from engine.payloads")

    async def run(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


@pytest.fixture(params=["memory", "postgres"])
async def clock(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Clock]:
    """A store of each kind."""
    if request.param == "memory":
        made = Clock(MemoryStore("engine", lambda: made.now))
        yield made
        return
    await migrate.up(database, "engine")
    store = PostgresStore(database, "engine")
    yield Clock(store, database)
    await store.close()


def payload(text: str, stream: str, tenant_id: str = TENANT) -> Payload:
    return Payload(tenant_id, sha256_of(text.encode()), stream, text)


async def written(store: Store, event: NodeCompleted) -> JournalRow:
    """Write a large event as the shell does."""
    body = codec.encode_body(event)
    light, refs, texts = lighten(HEAVY, event, body)
    (claim,) = await store.claim(["0"], "tests")
    commit = ShardCommit("0", claim.epoch, claim.next_seq, 1)
    meta = codec.encode_meta(codec.Meta(payloads=refs))
    row = JournalRow(
        "0", claim.next_seq, event.execution_id, 1, TENANT, "engine.node-completed.v1",
        light.decode(), meta, NOW,
    )  # fmt: skip
    commit.rows = [row]
    commit.payloads = [payload(text, event.execution_id) for text in texts]
    await store.commit([commit])
    return row


def completed(execution_id: str, text: str) -> NodeCompleted:
    return NodeCompleted(
        execution_id=execution_id, node_id="n", scope=(), run=1, attempt=1, live=(), dead=(),
        step=1, ports={"main": [{"json": {"text": text}}]},
    )  # fmt: skip


async def test_what_was_put_is_there_for_its_tenant_alone(clock: Clock) -> None:
    payloads = clock.store.payloads
    one, two = payload('"one"', "a"), payload('"two"', "a")
    await payloads.put([one, two, one])
    await payloads.put([one])
    found = await payloads.get(TENANT, {one.sha256, two.sha256, "unknown"})
    assert found == {one.sha256: '"one"', two.sha256: '"two"'}
    assert await payloads.get(OTHER, {one.sha256}) == {}


async def test_a_large_event_is_light_in_the_journal_and_whole_for_whoever_reads_it(
    clock: Clock,
) -> None:
    event = completed("a", "x" * 300_000)
    light = await written(clock.store, event)
    assert len(light.data) < 1_000
    (row,) = (await clock.store.load({"a": 0}))["a"][1]
    assert (row.data, codec.event_of(row)) == (light.data, event)
    assert row.more > 300_000
    (row,) = await clock.store.journal("0", 0, 10)
    assert codec.event_of(row) == event


async def test_a_payload_that_is_gone_is_told_when_its_event_is_asked_for(clock: Clock) -> None:
    await written(clock.store, completed("a", "x" * 300_000))
    await clock.lose()
    (row,) = (await clock.store.load({"a": 0}))["a"][1]
    with pytest.raises(MissingPayload, match="restore"):
        codec.event_of(row)


async def test_a_payload_is_swept_when_no_stream_that_names_it_is_left(clock: Clock) -> None:
    store, payloads = clock.store, clock.store.payloads
    shared = "x" * 300_000
    for execution_id in ("a", "b"):
        await written(store, completed(execution_id, shared))
    text = codec.encode_body(completed("a", shared).ports).decode()
    sha256 = sha256_of(text.encode())
    await clock.later(7_200)
    assert await payloads.sweep(3_600, 100) == 0
    await clock.forget("a")
    assert await payloads.sweep(3_600, 100) == 0
    assert await payloads.get(TENANT, {sha256}) == {sha256: text}
    await clock.forget("b")
    assert await payloads.sweep(10_000, 100) == 0, "it is young"
    assert await payloads.sweep(3_600, 100) == 1
    assert await payloads.get(TENANT, {sha256}) == {}


async def test_what_was_put_a_moment_ago_is_kept_though_nobody_names_it_yet(clock: Clock) -> None:
    payloads = clock.store.payloads
    one = payload('"one"', "not written yet")
    await payloads.put([one])
    await clock.later(1_800)
    assert await payloads.sweep(3_600, 100) == 0
    await clock.later(1_801)
    await payloads.put([one])  # somebody names it again
    assert await payloads.sweep(3_600, 100) == 0
    await clock.later(3_601)
    assert await payloads.sweep(3_600, 100) == 1


def test_a_message_is_the_same_after_its_large_fields_have_left_and_come_back() -> None:
    task = NodeTask(
        token="t", execution_id="e", workflow_id="w", node_id="n", node_type="X",
        node_subtype="Y", parameters=[{"a": "x" * PAYLOAD_BYTES_MIN}], items=[{"b": 1}],
        effect="pure", length="short", deadline="2026-01-01T00:00:00Z", idempotency_key="k",
    )  # fmt: skip
    body = codec.encode_body(task)
    light, refs, texts = lighten(HEAVY, task, body)
    assert [name for name, _ in refs] == ["parameters"]
    assert len(light) < 1_000
    again = codec.decode_body("engine.node-task.v1", light)
    found = {sha256: text for (_, sha256), text in zip(refs, texts, strict=True)}
    assert whole(again, refs, found) == task
    small = completed("a", "x" * 1_000)
    assert lighten(HEAVY, small, codec.encode_body(small)).refs == ()
