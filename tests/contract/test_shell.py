"""The shell on both grounds: what is accepted is applied once, in order, and leaves once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.decider import (
    Decider,
    Due,
    Facts,
    Lookup,
    Outgoing,
    Recorded,
    Rejected,
    Service,
    Upsert,
)
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Bus, Outbound, Record, Store
from perdure_common.shell.upkeep import Ground
from perdure_contracts.message import NAMES, Envelope, message

TENANT = "00000000-0000-7000-8000-000000000001"
PARTITIONS = 2


@message("tally.add.v1")
class Add:
    account: str
    amount: int
    after_s: float | None = None


@message("tally.added.v1")
class Added:
    amount: int
    account: str
    due: str | None = None


@message("tally.rang.v1")
class Rang:
    account: str


@message("ledger.note.v1")
class Note:
    account: str
    amount: int


@message("ledger.noted.v1")
class Noted:
    amount: int


@dataclass(frozen=True)
class Tally:
    total: int = 0
    due: datetime | None = None


def decide(
    state: Tally, command: Add | Due, facts: Facts, now: datetime
) -> tuple[Any, ...] | Rejected:
    if isinstance(command, Due):
        return (Rang(account=command.stream),)
    if command.amount == 0:
        return Rejected("an amount of 0 changes nothing; leave it out", "zero")
    if command.amount == 13:
        raise ZeroDivisionError("the core does not like 13")
    if command.amount == 99 and not facts["known"]:
        return Rejected("nobody knows this account", "unknown")
    due = None
    if command.after_s is not None:
        due = codec.instant(now + timedelta(seconds=command.after_s))
    return (Added(amount=command.amount, account=command.account, due=due),)


def evolve(state: Tally, event: Added | Rang) -> Tally:
    if isinstance(event, Rang):
        return replace(state, due=None)
    due = datetime.fromisoformat(event.due) if event.due else state.due
    return Tally(state.total + event.amount, due)


def project(state: Tally, recorded: Recorded[Any]) -> tuple[Upsert, ...]:
    if isinstance(recorded.event, Rang):
        return ()
    key = {"account": recorded.stream}
    set_ = {"tenant_id": recorded.tenant_id, "total": state.total}
    lazy = Upsert("tallies_seen", key, add={"times": 1}, lazy=True)
    return (Upsert("tallies", key, set=set_), lazy)


def route(state: Tally, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
    if isinstance(recorded.event, Rang):
        return ()
    note = Note(account=recorded.stream, amount=recorded.event.amount)
    return (Outgoing("perdure.ledger.commands.v1", recorded.stream, note),)


def facts(state: Tally, command: object) -> Mapping[str, Lookup]:
    if isinstance(command, Add) and command.amount == 99:
        return {"known": Lookup("tallies", {"account": command.account}, ("account", "total"))}
    return {}


def _due(state: Tally) -> datetime | None:
    return state.due


def _account(command: Any) -> str:
    return command.account


TALLY = Service(
    name="tally",
    deciders=(
        Decider(
            name="tally",
            initial=Tally(),
            commands=(Add,),
            events=(Added, Rang),
            stream_of=_account,
            facts=facts,
            decide=decide,
            evolve=evolve,
            project=project,
            route=route,
            wake_at=_due,
        ),
    ),
)


def _note(state: int, command: Note, facts: Facts, now: datetime) -> tuple[Noted, ...]:
    return (Noted(amount=command.amount),)


def _noted(state: int, event: Noted) -> int:
    return state + event.amount


def _entry(state: int, recorded: Recorded[Noted]) -> tuple[Upsert, ...]:
    key = {"account": recorded.stream, "n": recorded.version}
    return (Upsert("entries", key, set={"amount": recorded.event.amount}, new=True),)


def _nothing(state: int, recorded: Recorded[Noted]) -> tuple[Outgoing, ...]:
    return ()


LEDGER = Service(
    name="ledger",
    deciders=(
        Decider(
            name="ledger",
            initial=0,
            commands=(Note,),
            events=(Noted,),
            stream_of=_account,
            decide=_note,
            evolve=_noted,
            project=_entry,
            route=_nothing,
        ),
    ),
)

TOPICS = tuple(
    f"perdure.{service}.{kind}.v1{end}"
    for service in ("tally", "ledger")
    for kind in ("commands", "events")
    for end in ("", ".dlt")
)
TABLES = {
    "tally": """
        CREATE TABLE tallies (
            account text PRIMARY KEY, tenant_id text NOT NULL, total bigint NOT NULL);
        CREATE TABLE tallies_seen (account text PRIMARY KEY, times bigint NOT NULL DEFAULT 0);
    """,
    "ledger": """
        CREATE TABLE entries (
            account text, n bigint, amount bigint NOT NULL, PRIMARY KEY (account, n));
    """,
}


class Stage:
    """Somewhere to run services; `ground` is one process's view of it."""

    def __init__(
        self,
        store: Callable[[str], Store],
        bus: Callable[[str], Bus],
        rows: Callable[[str, str], Awaitable[list[dict[str, Any]]]],
    ) -> None:
        self.store, self.bus, self._rows = store, bus, rows
        self.names = 0
        self._outside = bus("outside")

    @asynccontextmanager
    async def running(self, service: Service) -> AsyncIterator[Owner]:
        """A process that runs the service, stopped in good order at the end."""
        async with self.started(service) as (owner, stop, _):
            yield owner
            stop.set()

    @asynccontextmanager
    async def started(
        self, service: Service
    ) -> AsyncIterator[tuple[Owner, asyncio.Event, asyncio.Task[None]]]:
        self.names += 1
        name = f"{service.name}-{self.names}"
        store, bus = self.store(service.name), self.bus(name)
        ground = Ground(store, bus, lambda: datetime.now(UTC), name, TENANT, PARTITIONS, lanes=2)
        stop = asyncio.Event()
        owner = Owner(service, ground)
        task = asyncio.create_task(owner.run(stop))
        try:
            yield owner, stop, task
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await bus.close()
            await store.close()

    async def ask(self, command: Add, *, id: str, partition: int | None = None) -> None:
        """Send a command as an outsider does."""
        body = codec.encode_body(command)
        await self.put("perdure.tally.commands.v1", command.account, body, id, partition)

    async def put(
        self, topic: str, key: str, body: bytes, id: str, partition: int | None = None
    ) -> None:
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", id.encode()),
            ("ce_source", b"/outside"),
            ("ce_type", NAMES[Add].encode()),
            ("content-type", b"application/json"),
        )
        place = partition_of(key, PARTITIONS) if partition is None else partition
        results = await self._outside.send([Outbound(topic, place, body, key.encode(), headers)])
        assert list(results) == [None]

    async def everything(self, topic: str) -> list[Record]:
        """Return all records of a topic."""
        places = [(topic, p) for p in range(PARTITIONS)]
        bounds = await self._outside.bounds(places)
        self._outside.read({place: begin for place, (begin, _) in bounds.items()})
        wanted = sum(end - begin for begin, end in bounds.values())
        found: list[Record] = []
        while len(found) < wanted:
            found.extend(await self._outside.fetch(1000, 5.0))
        self._outside.read({})
        return found

    async def rows(self, service: str, table: str) -> list[dict[str, Any]]:
        return await self._rows(service, table)

    async def until(self, service: str, table: str, count: int) -> list[dict[str, Any]]:
        """Return a table's rows once there are `count` of them."""
        async with asyncio.timeout(30):
            while len(rows := await self.rows(service, table)) < count:
                await asyncio.sleep(0.02)
        return rows

    async def eventually(self, found: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(30):
            while not await found():
                await asyncio.sleep(0.02)


@pytest.fixture(params=["memory", "real"])
def servers_of_stage(request: pytest.FixtureRequest) -> tuple[str, str, str] | None:
    """The real servers' addresses, None for memory; asked for only where they are used."""
    if request.param == "memory":
        return None
    bootstrap: str = request.getfixturevalue("servers").kafka_bootstrap
    return request.getfixturevalue("database"), request.getfixturevalue("topic_prefix"), bootstrap


@pytest.fixture
async def stage(servers_of_stage: tuple[str, str, str] | None) -> AsyncIterator[Stage]:
    if servers_of_stage is None:
        broker = MemoryBroker(dict.fromkeys(TOPICS, PARTITIONS))
        stores = {name: MemoryStore(name) for name in TABLES}

        async def rows(service: str, table: str) -> list[dict[str, Any]]:
            return [dict(row) for row in stores[service].tables.get(table, ())]

        yield Stage(lambda name: stores[name], broker.client, rows)
        return
    async for made in _real(*servers_of_stage):
        yield made


async def _real(database: str, prefix: str, bootstrap: str) -> AsyncIterator[Stage]:
    import asyncpg
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    from perdure_common import migrate
    from perdure_common.adapters.kafka import KafkaBus
    from perdure_common.adapters.postgres import PostgresStore

    for service in TABLES:
        await migrate.up(database, service)
    connection = await asyncpg.connect(database)
    for service, sql in TABLES.items():
        grant = f"GRANT ALL ON ALL TABLES IN SCHEMA {service} TO {service}_shell"
        await connection.execute(f"SET search_path TO {service}; {sql} {grant}")
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    names = [topic.replace("perdure", prefix, 1) for topic in TOPICS]
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    await admin.close()
    buses: list[KafkaBus] = []

    def bus(name: str) -> KafkaBus:
        buses.append(KafkaBus(bootstrap, name, prefix))
        return buses[-1]

    async def rows(service: str, table: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.fetch(f"SELECT * FROM {service}.{table}")]

    try:
        yield Stage(lambda name: PostgresStore(database, name), bus, rows)
    finally:
        for each in buses:
            await each.close()
        await connection.close()


def total(rows: list[dict[str, Any]], account: str) -> int:
    return next((row["total"] for row in rows if row["account"] == account), 0)


async def test_a_command_becomes_a_row_and_a_message_to_the_next_service(stage: Stage) -> None:
    async with stage.running(TALLY), stage.running(LEDGER):
        await stage.ask(Add(account="a", amount=5), id="1")
        entries = await stage.until("ledger", "entries", 1)
        assert [(e["account"], e["n"], e["amount"]) for e in entries] == [("a", 1, 5)]
        assert total(await stage.rows("tally", "tallies"), "a") == 5
        seen = await stage.until("tally", "tallies_seen", 1)
        assert seen[0]["times"] == 1


async def test_an_outsiders_message_that_comes_twice_is_applied_once(stage: Stage) -> None:
    async with stage.running(TALLY), stage.running(LEDGER):
        for _ in range(3):
            await stage.ask(Add(account="a", amount=5), id="same")
        await stage.ask(Add(account="a", amount=2), id="other")
        entries = await stage.until("ledger", "entries", 2)
        assert [e["amount"] for e in sorted(entries, key=lambda e: e["n"])] == [5, 2]


async def test_a_refusal_is_journalled_and_told(stage: Stage) -> None:
    async with stage.running(TALLY):
        await stage.ask(Add(account="a", amount=0), id="nothing")
        await stage.ask(Add(account="a", amount=4), id="something")
        await stage.until("tally", "tallies", 1)
        await stage.eventually(lambda: _has(stage, "perdure.tally.events.v1", 2))
        told = await stage.everything("perdure.tally.events.v1")
        types = [codec.header(r.headers, "ce_type") for r in told]
        assert types == [b"shell.command-rejected.v1", b"tally.added.v1"]
        assert b'"code":"zero"' in told[0].value


async def _has(stage: Stage, topic: str, count: int) -> bool:
    return len(await stage.everything(topic)) >= count


async def test_what_cannot_be_read_is_a_dead_letter_with_its_bytes_and_neighbours_go_on(
    stage: Stage,
) -> None:
    async with stage.running(TALLY):
        await stage.put("perdure.tally.commands.v1", "a", b"\xff{not json", "bad")
        await stage.ask(Add(account="a", amount=4), id="wrong", partition=1 - partition_of("a", 2))
        await stage.ask(Add(account="a", amount=7), id="good")
        rows = await stage.until("tally", "tallies", 1)
        assert total(rows, "a") == 7
        await stage.eventually(lambda: _has(stage, "perdure.tally.commands.v1.dlt", 2))
        letters = [
            codec.decode_body("shell.dead-lettered.v1", r.value)
            for r in await stage.everything("perdure.tally.commands.v1.dlt")
        ]
        by_code = {letter.code: letter for letter in letters}
        assert set(by_code) == {"invalid_body", "wrong_partition"}
        assert by_code["invalid_body"].value == b"\xff{not json"


async def test_poison_parks_its_stream_and_nothing_else(stage: Stage) -> None:
    async with stage.running(TALLY):
        for account in ("a", "b", "c"):
            await stage.ask(Add(account=account, amount=1), id=f"first {account}")
        await stage.ask(Add(account="b", amount=13), id="poison")
        for account in ("a", "b", "c"):
            await stage.ask(Add(account=account, amount=2), id=f"second {account}")

        async def others_went_on() -> bool:
            rows = await stage.rows("tally", "tallies")
            return total(rows, "a") == 3 and total(rows, "c") == 3

        await stage.eventually(others_went_on)
        assert total(await stage.rows("tally", "tallies"), "b") == 1
        letters = await stage.everything("perdure.tally.commands.v1.dlt")
        letter = codec.decode_body("shell.dead-lettered.v1", letters[0].value)
        assert (letter.code, letter.stream) == ("poison", "b")


async def test_facts_are_looked_up_for_the_commands_that_ask(stage: Stage) -> None:
    async with stage.running(TALLY):
        await stage.ask(Add(account="known", amount=1), id="1")
        await stage.until("tally", "tallies", 1)
        await stage.ask(Add(account="known", amount=99), id="2")
        await stage.ask(Add(account="unknown", amount=99), id="3")

        async def counted() -> bool:
            return total(await stage.rows("tally", "tallies"), "known") == 100

        await stage.eventually(counted)
        assert total(await stage.rows("tally", "tallies"), "unknown") == 0


async def test_a_wake_fires_once_it_is_due(stage: Stage) -> None:
    async with stage.running(TALLY):
        await stage.ask(Add(account="a", amount=1, after_s=0.2), id="1")
        await stage.eventually(lambda: _has(stage, "perdure.tally.events.v1", 2))
        types = [
            codec.header(r.headers, "ce_type")
            for r in await stage.everything("perdure.tally.events.v1")
        ]
        assert types == [b"tally.added.v1", b"tally.rang.v1"]


async def test_a_second_process_takes_over_and_counts_on(stage: Stage) -> None:
    async with stage.running(LEDGER):
        async with stage.running(TALLY):
            await stage.ask(Add(account="a", amount=1), id="1")
            await stage.until("ledger", "entries", 1)
        async with stage.running(TALLY):
            await stage.ask(Add(account="a", amount=1), id="1")
            await stage.ask(Add(account="a", amount=2), id="2")
            entries = await stage.until("ledger", "entries", 2)
            assert total(await stage.rows("tally", "tallies"), "a") == 3
            assert sorted(e["amount"] for e in entries) == [1, 2]


async def test_two_processes_share_the_shards_and_nothing_is_doubled(stage: Stage) -> None:
    async with stage.running(LEDGER), stage.running(TALLY):
        for i in range(40):
            await stage.ask(Add(account=f"a{i % 10}", amount=1), id=f"{i}")
        async with stage.running(TALLY):
            for i in range(40, 80):
                await stage.ask(Add(account=f"a{i % 10}", amount=1), id=f"{i}")
            entries = await stage.until("ledger", "entries", 80)
        assert len(entries) == 80
        rows = await stage.rows("tally", "tallies")
        assert [total(rows, f"a{i}") for i in range(10)] == [8] * 10


def test_the_envelope_of_a_command_says_who_asked() -> None:
    envelope = Envelope(id="1", source="/x", type="t", tenant_id=TENANT, topic="perdure.x")
    assert TALLY.hear(Add(account="a", amount=1), envelope) == Add(account="a", amount=1)
