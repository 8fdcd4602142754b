"""A test URL has one request: one that could not be made safe has not used it up."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, cast

import asyncpg
import pytest
from perdure_common import migrate
from perdure_common.settings import DEFAULT_TENANT
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_scheduler.hooks.body import Kept
from perdure_scheduler.hooks.receipts import Entry
from perdure_scheduler.hooks.reply import Refusal
from perdure_scheduler.hooks.routes import Route
from perdure_scheduler.hooks.store import HookStore
from perdure_scheduler.hooks.trials import Trials

ROUTE = Route(
    workflow_id="0190f3c0-0000-7000-8000-000000000001",
    workflow_name="orders",
    version=3,
    node_id="hook",
    subtype="WEBHOOK",
    index_key="/orders",
    config={"path": "/orders", "auth": "none"},
    methods=("POST",),
)


class Topic:
    """Takes what is sent, refuses it, or takes it and does not say so."""

    def __init__(self) -> None:
        self.taken: list[Outbound] = []
        self.refuses = False
        self.is_mute = False
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.asked = asyncio.Event()

    async def send(self, records: Sequence[Outbound]) -> Sequence[Exception | None]:
        self.asked.set()
        await self.goes_on.wait()
        if not self.refuses:
            self.taken.extend(records)
        failed = self.refuses or self.is_mute
        return [Unreachable("no answer") if failed else None for _ in records]


@pytest.fixture
async def store(database: str) -> AsyncGenerator[HookStore]:
    await migrate.up(database, "scheduler")
    found = HookStore(database, DEFAULT_TENANT)
    try:
        yield found
    finally:
        await found.close()


def entry(order: int, **more: Any) -> Entry:
    return Entry(
        source="/hooks-test/orders",
        event_id=f"e{order}",
        keys=(),
        type="perdure.trigger.webhook",
        subject="/orders",
        data=json.dumps({"order": order}).encode(),
        extensions={},
        **more,
    )


async def opened(trials: Trials) -> Route:
    await trials.open(ROUTE, "/orders")
    (route,) = await trials.of("/orders")
    return route


def trials_of(store: HookStore, topic: Topic) -> Trials:
    return Trials(store, cast("Bus", topic), 1)


@pytest.mark.parametrize("trouble", ["refuses", "is_mute"])
async def test_what_kafka_does_not_take_leaves_the_url_open(store: HookStore, trouble: str) -> None:
    topic = Topic()
    trials = trials_of(store, topic)
    route = await opened(trials)
    setattr(topic, trouble, True)
    with pytest.raises(Unreachable):
        await trials.start(entry(7, token_sha256="first"), route)
    assert await trials.of("/orders") == (route,)
    setattr(topic, trouble, False)
    outcome = await trials.start(entry(7, token_sha256="second"), route)
    (execution_id,) = outcome.executions
    assert await store.run("is_token", DEFAULT_TENANT, execution_id, "second")
    assert await trials.of("/orders") == ()
    # A start that was taken without an answer is known by its id when it comes again.
    assert {record.key for record in topic.taken} == {execution_id.encode()}
    became = await trials.became(route.trial)
    assert became is not None and became["execution_id"] == execution_id


@pytest.mark.parametrize("table", ["trigger_bodies", "trigger_receipts"])
async def test_what_postgresql_does_not_take_leaves_the_url_open(
    store: HookStore, database: str, table: str
) -> None:
    topic = Topic()
    trials = trials_of(store, topic)
    route = await opened(trials)
    large = entry(7, token_sha256="t", kept=(Kept("00", "text/plain", b"large"),))
    connection: Any = await asyncpg.connect(database)
    try:
        await connection.execute(f"ALTER TABLE scheduler.{table} RENAME TO away")
        with pytest.raises(Unreachable):
            await trials.start(large, route)
        await connection.execute(f"ALTER TABLE scheduler.away RENAME TO {table}")
    finally:
        await connection.close()
    assert topic.taken == []
    await trials.start(large, route)
    assert len(topic.taken) == 1


async def test_one_request_has_the_url_also_while_it_is_under_way(store: HookStore) -> None:
    topic = Topic()
    trials = trials_of(store, topic)
    route = await opened(trials)
    topic.goes_on.clear()
    first = asyncio.create_task(trials.start(entry(7), route))
    async with asyncio.timeout(20):
        await topic.asked.wait()
        with pytest.raises(Refusal) as second:  # it waits for nobody
            await trials.start(entry(8), route)
    assert second.value.status == 404
    topic.goes_on.set()
    assert not (await first).duplicate
    with pytest.raises(Refusal):
        await trials.start(entry(9), route)
    assert len(topic.taken) == 1
