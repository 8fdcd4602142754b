"""Two small services and a stage to run them on, in memory or on real servers.

`tally` adds amounts to accounts and tells `ledger`, which keeps one entry for each. An
amount of 0 is refused, one of 13 makes the core fail, one of 99 asks for facts.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import virtual_time
from perdure_common.adapters.memory_bus import MemoryBroker, MemoryBus
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.decider import Decider, Due, Facts, Lookup, Outgoing, Recorded, Rejected, Upsert
from perdure_common.ids import partition_of
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.owner import Owner
from perdure_common.shell.part import Seers
from perdure_common.shell.ports import Bus, HandOver, Headers, Outbound, Record, Store
from perdure_common.shell.upkeep import Ground
from perdure_contracts.message import NAMES, message
from perdure_contracts.shell import Unpark

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


def sending(topic: str, raw: bytes = b"") -> Service:
    """A tally that tells account `b` to a topic (`raw`, if given), others to the ledger."""

    def route(state: Tally, recorded: Recorded[Any]) -> tuple[Outgoing, ...]:
        account, amount = recorded.stream, recorded.event.amount
        if account == "b" and raw:
            return (Outgoing(topic, account, raw=(b"key", raw, (("x", b"1"),)), partition=0),)
        note = Note(account=account, amount=amount)
        return (Outgoing(topic if account == "b" else _NOTES, account, note),)

    return replace(TALLY, deciders=(replace(TALLY.deciders[0], route=route),))


_NOTES = "perdure.ledger.commands.v1"

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


@dataclass
class Process:
    """A process that runs a service."""

    owner: Owner
    store: Store
    bus: Bus
    stop: asyncio.Event
    task: "asyncio.Task[None]"

    async def end(self) -> None:
        """Stop it in good order, as SIGTERM does."""
        self.stop.set()
        try:
            await self.task
        finally:
            await self.bus.close()
            await self.store.close()

    async def crash(self, memory: "Memory | None" = None) -> None:
        """End it as `kill -9` does: nothing is finished, nothing is given back."""

        async def nothing() -> None:
            return

        tasks: set[asyncio.Task[None]] = getattr(self.owner, "_tasks")  # noqa: B009
        setattr(self.owner, "_leave", nothing)  # noqa: B010
        for task in (*tasks, self.task):
            task.cancel()
        await asyncio.gather(*tasks, self.task, return_exceptions=True)
        if isinstance(self.bus, MemoryBus):
            broker: MemoryBroker = memory.broker if memory else getattr(self.bus, "_broker")  # noqa: B009
            await broker.evict(self.bus)
            return
        self.owner.shards.clear()  # nothing is left that could be finished
        await self.bus.close()
        await self.store.close()


class Stage:
    """Somewhere to run services; `ground` is one process's view of it.

    `expire(topic, partition, before)` takes the records below an offset away, read or not.
    """

    def __init__(
        self,
        store: Callable[[str], Store],
        bus: Callable[[str], Bus],
        rows: Callable[[str, str], Awaitable[list[dict[str, Any]]]],
        expire: Callable[[str, int, int], Awaitable[None]],
    ) -> None:
        self.store, self.bus, self._rows = store, bus, rows
        self.expire = expire
        self.names = 0
        self._outside = bus("outside")

    def process(
        self,
        service: Service,
        lanes: int = 2,
        hand_over: HandOver | None = None,
        *,
        store: Store | None = None,
        bus: Bus | None = None,
        seers: Seers | None = None,
    ) -> "Process":
        """Start a process that runs the service, on a store or bus of the caller's if given."""
        self.names += 1
        name = f"{service.name}-{self.names}"
        store, bus = store or self.store(service.name), bus or self.bus(name)
        now = virtual_time.now
        ground = Ground(
            store, bus, now, name, TENANT, PARTITIONS, lanes, hand_over, seers=seers or {}
        )
        owner, stop = Owner(service, ground), asyncio.Event()
        return Process(owner, store, bus, stop, asyncio.create_task(owner.run(stop)))

    @asynccontextmanager
    async def running(
        self, service: Service, hand_over: HandOver | None = None
    ) -> AsyncGenerator[Owner]:
        """A process that runs the service, stopped in good order at the end."""
        process = self.process(service, hand_over=hand_over)
        try:
            yield process.owner
        finally:
            await process.end()

    async def ask(self, command: Add, *, id: str, partition: int | None = None) -> None:
        """Send a command as an outsider does."""
        body = codec.encode_body(command)
        await self.put("perdure.tally.commands.v1", command.account, body, id, partition)

    async def unpark(
        self, account: str, action: str = "retry", of: tuple[str, int, int] | None = None
    ) -> None:
        """Let a parked stream go on, as a person does; `of` is the message that is meant."""
        body = codec.encode_body(Unpark(stream=account, action=action, of=of))
        topic = "perdure.tally.commands.v1"
        await self.put(topic, account, body, f"unpark {account}", kind="shell.unpark.v1")

    async def put(
        self,
        topic: str,
        key: str,
        body: bytes,
        id: str,
        partition: int | None = None,
        *,
        kind: str = NAMES[Add],
        source: str = "/outside",
        more: Headers = (),
    ) -> None:
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", id.encode()),
            ("ce_source", source.encode()),
            ("ce_type", kind.encode()),
            ("content-type", b"application/json"),
            *more,
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


async def real_stage(database: str, prefix: str, bootstrap: str) -> AsyncIterator[Stage]:
    import asyncpg
    from aiokafka import TopicPartition as KafkaPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
    from perdure_common import migrate
    from perdure_common.adapters.kafka import KafkaBus
    from perdure_common.adapters.postgres import PostgresStore
    from perdure_common.topics import await_leaders

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
    async with asyncio.timeout(30):
        await await_leaders(admin, names)
    await admin.close()
    buses: list[KafkaBus] = []

    async def expire(topic: str, partition: int, before: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            place = KafkaPartition(topic.replace("perdure", prefix, 1), partition)
            await admin.delete_records({place: RecordsToDelete(before_offset=before)})
        finally:
            await admin.close()

    def bus(name: str) -> KafkaBus:
        buses.append(KafkaBus(bootstrap, name, prefix))
        return buses[-1]

    async def rows(service: str, table: str) -> list[dict[str, Any]]:
        return [dict(row) for row in await connection.fetch(f"SELECT * FROM {service}.{table}")]

    try:
        yield Stage(lambda name: PostgresStore(database, name), bus, rows, expire)
    finally:
        for each in buses:
            await each.close()
        await connection.close()


@dataclass
class Memory:
    """The ground of a stage in memory, to make things go wrong."""

    broker: MemoryBroker
    stores: dict[str, MemoryStore]

    def stage(self) -> Stage:
        async def rows(service: str, table: str) -> list[dict[str, Any]]:
            return [dict(row) for row in self.stores[service].tables.get(table, ())]

        async def expire(topic: str, partition: int, before: int) -> None:
            self.broker.expire(topic, partition, before)

        return Stage(self.stores.__getitem__, self.broker.client, rows, expire)


def in_memory() -> Memory:
    """A new ground in memory."""
    broker = MemoryBroker(dict.fromkeys(TOPICS, PARTITIONS))
    return Memory(broker, {name: MemoryStore(name) for name in TABLES})


def total(rows: list[dict[str, Any]], account: str) -> int:
    return next((row["total"] for row in rows if row["account"] == account), 0)
