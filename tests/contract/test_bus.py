"""One suite over both buses: what holds in memory holds on Kafka."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.adapters.memory_bus import MemoryBroker
from perdure_common.embedded import Addresses
from perdure_common.run import process_name
from perdure_common.shell.ports import (
    Bus,
    Member,
    NoSuchTopic,
    Outbound,
    Record,
    TopicPartition,
    Unreachable,
)
from perdure_common.topics import create_topics

COMMANDS = "perdure.engine.commands.v1"
STARTS = "perdure.engine.starts.v1"
OTHERS = tuple(f"perdure.{name}.v1" for name in (
    "engine.events", "engine.tasks", "engine.calls", "recovery.commands", "recovery.events",
    "scheduler.commands", "scheduler.events", "triggers",
))  # fmt: skip
NOWHERE = "perdure.nowhere.commands.v1"
PARTITIONS = 4
PATIENCE_S = 30.0


class World(Protocol):
    """A broker with the topics of perdure, and clients of it."""

    def client(self) -> Bus: ...

    def out_of_range(self, bus: Bus) -> int: ...


@dataclass
class Clients:
    """Makes clients and closes them at the end."""

    make: Callable[[str], Bus]
    made: list[Bus] = field(default_factory=list)

    def client(self) -> Bus:
        bus = self.make(f"client-{len(self.made)}-{secrets.token_hex(2)}")
        self.made.append(bus)
        return bus

    def out_of_range(self, bus: Bus) -> int:
        count: int = getattr(bus, "out_of_range")  # noqa: B009 - no part of the port
        return count

    async def close(self) -> None:
        for bus in self.made:
            await bus.close()


@pytest.fixture(params=["memory", "kafka"])
def kafka(request: pytest.FixtureRequest) -> tuple[str, str] | None:
    """The address of Kafka and the first word of the topics, or None for memory."""
    if request.param == "memory":
        return None
    servers: Addresses = request.getfixturevalue("servers")
    prefix: str = request.getfixturevalue("topic_prefix")
    return servers.kafka_bootstrap, prefix


@pytest.fixture
async def world(kafka: tuple[str, str] | None) -> AsyncIterator[Clients]:
    if kafka is None:
        broker = MemoryBroker(dict.fromkeys((COMMANDS, STARTS, *OTHERS), PARTITIONS))
        clients = Clients(broker.client)
    else:
        bootstrap, prefix = kafka
        await create_topics(bootstrap, prefix, PARTITIONS)
        clients = Clients(lambda name: KafkaBus(bootstrap, name, prefix))
    yield clients
    await clients.close()


def out(partition: int, value: str, topic: str = COMMANDS) -> Outbound:
    return Outbound(topic, partition, value.encode(), b"key", (("name", b"\x00\xff"),))


def everywhere(offset: int = 0, topic: str = COMMANDS) -> dict[TopicPartition, int]:
    return {(topic, partition): offset for partition in range(PARTITIONS)}


async def take(bus: Bus, count: int, most: int = 100) -> list[Record]:
    """Fetch until `count` records are there."""
    taken: list[Record] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(taken) < count:
            taken += await bus.fetch(min(most, count - len(taken)), 1.0)
    return taken


def values(records: Sequence[Record]) -> list[str]:
    return [record.value.decode() for record in records]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_is_sent_is_read_as_it_was(world: World) -> None:
    bus = world.client()
    bus.read(everywhere())
    sent = [out(1, "a"), Outbound(COMMANDS, 1, b"", None, ()), Outbound(COMMANDS, 1, b"c", b"")]
    assert list(await bus.send(sent)) == [None, None, None]
    first, empty, last = await take(bus, 3)
    assert (first.topic, first.partition, first.offset) == (COMMANDS, 1, 0)
    assert (first.value, first.key, first.headers) == (b"a", b"key", (("name", b"\x00\xff"),))
    assert (empty.value, empty.key, empty.headers, empty.offset) == (b"", None, (), 1)
    assert (last.value, last.key, last.offset) == (b"c", b"", 2)


async def test_records_of_one_partition_keep_their_order(world: World) -> None:
    bus = world.client()
    bus.read(everywhere())
    wanted = [f"{i}-{'x' * (i % 7) * 5000}" for i in range(300)]
    for start in range(0, 300, 100):
        batch = [out(i % 2, wanted[i]) for i in range(start, start + 100)]
        assert not any(await bus.send(batch))
    taken = await take(bus, 300, most=37)
    for partition in (0, 1):
        mine = [record for record in taken if record.partition == partition]
        assert values(mine) == wanted[partition::2]
        assert [record.offset for record in mine] == list(range(150))


async def test_many_who_send_to_one_partition_at_once_are_all_served(world: World) -> None:
    bus, count = world.client(), 400
    bus.read(everywhere())
    sends = [bus.send([out(1, str(n))]) for n in range(count)]
    assert {result for results in await asyncio.gather(*sends) for result in results} == {None}
    assert {int(value) for value in values(await take(bus, count))} == set(range(count))


async def test_a_full_partition_does_not_hide_the_others(world: World) -> None:
    bus = world.client()
    await bus.send([out(0, f"full{i}") for i in range(200)])
    await bus.send([out(1, "one"), out(2, "two")])
    bus.read(everywhere())
    first = await take(bus, 1, most=1)
    await asyncio.sleep(0.3)
    taken = await bus.fetch(30, 1.0)
    assert {"one", "two"} <= set(values([*first, *taken]))
    assert len(taken) == 30


async def test_fetch_returns_nothing_when_nothing_comes(world: World) -> None:
    bus = world.client()
    bus.read(everywhere())
    assert list(await bus.fetch(10, 0)) == []
    assert list(await bus.fetch(10, 0.05)) == []


async def test_a_waiting_fetch_is_woken_by_a_record(world: World) -> None:
    bus = world.client()
    bus.read(everywhere())
    await bus.fetch(10, 0.3)
    waiting = asyncio.create_task(bus.fetch(10, PATIENCE_S))
    await asyncio.sleep(0.05)
    await bus.send([out(3, "hello")])
    assert values(await waiting) == ["hello"]


async def test_partitions_that_go_on_keep_their_place_and_new_ones_begin_where_told(
    world: World,
) -> None:
    bus = world.client()
    await bus.send([out(p, f"{p}{i}") for p in range(3) for i in range(4)])
    bus.read({(COMMANDS, 0): 0, (COMMANDS, 1): 0})
    first = [r for r in await take(bus, 8) if r.partition == 0]
    assert values(first) == ["00", "01", "02", "03"]
    bus.read({(COMMANDS, 0): 0, (COMMANDS, 2): 2})
    await bus.send([out(0, "04"), out(1, "14")])
    taken = await take(bus, 3)
    assert sorted(values(taken)) == ["04", "22", "23"]


async def test_seek_drops_what_was_fetched_and_goes_on_at_the_offset(world: World) -> None:
    bus = world.client()
    await bus.send([out(0, str(i)) for i in range(10)])
    bus.read({(COMMANDS, 0): 0})
    assert values(await take(bus, 2, most=2)) == ["0", "1"]
    bus.seek((COMMANDS, 0), 7)
    assert values(await take(bus, 3)) == ["7", "8", "9"]
    bus.seek((COMMANDS, 0), 1)
    assert values(await take(bus, 9)) == [str(i) for i in range(1, 10)]
    bus.seek((COMMANDS, 3), 1)  # not read: nothing happens


async def test_a_paused_topic_is_not_fetched_and_loses_nothing(world: World) -> None:
    bus = world.client()
    await bus.send([out(0, f"s{i}", STARTS) for i in range(5)])
    bus.read({(STARTS, 0): 0, (COMMANDS, 0): 0})
    assert values(await take(bus, 2, most=2)) == ["s0", "s1"]
    bus.pause([STARTS])
    await bus.send([out(0, "c"), out(0, "s5", STARTS)])
    assert values(await take(bus, 1)) == ["c"]
    assert list(await bus.fetch(10, 0.3)) == []
    bus.pause([])
    assert values(await take(bus, 4)) == ["s2", "s3", "s4", "s5"]


async def test_a_paused_topic_stays_paused_when_what_is_read_changes(world: World) -> None:
    bus = world.client()
    await bus.send([out(0, "s", STARTS)])
    bus.pause([STARTS])
    bus.read({(STARTS, 0): 0})
    bus.read({(STARTS, 0): 0, (COMMANDS, 0): 0})
    await bus.send([out(0, "c")])
    assert values(await take(bus, 1)) == ["c"]
    assert list(await bus.fetch(10, 0.3)) == []
    bus.pause([])
    assert values(await take(bus, 1)) == ["s"]


async def test_a_position_beyond_the_end_goes_to_the_end(world: World) -> None:
    bus = world.client()
    await bus.send([out(0, "old")])
    bus.read({(COMMANDS, 0): 1000})
    await bus.fetch(10, 0.2)
    await until_async(lambda: bus.fetch(10, 0.05), lambda: world.out_of_range(bus) == 1)
    await bus.send([out(0, "new")])
    assert values(await take(bus, 1)) == ["new"]


async def until_async(step: Callable[[], object], condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            result = step()
            assert asyncio.iscoroutine(result)
            await result


async def test_bounds_are_the_first_offset_and_the_next(world: World) -> None:
    bus = world.client()
    await bus.send([out(0, "a"), out(0, "b")])
    places: list[TopicPartition] = [(COMMANDS, 0), (COMMANDS, 1)]
    assert await bus.bounds(places) == {(COMMANDS, 0): (0, 2), (COMMANDS, 1): (0, 0)}
    assert await bus.bounds([]) == {}


async def test_a_topic_that_is_not_there_is_named(world: World) -> None:
    bus = world.client()
    assert await bus.partitions(COMMANDS) == PARTITIONS
    with pytest.raises(LookupError, match=r"nothing\.v1.*create"):
        await bus.partitions("perdure.nothing.v1")
    with pytest.raises(LookupError):
        await bus.bounds([("perdure.nothing.v1", 0)])


async def test_what_has_no_topic_is_told_at_once_and_keeps_nothing_of_other_places(
    world: World,
) -> None:
    bus = world.client()
    places = ((COMMANDS, 0), (NOWHERE, 0), (COMMANDS, 99), (COMMANDS, 0), (NOWHERE, 0))
    for _ in range(2):  # and it does so again
        async with asyncio.timeout(PATIENCE_S / 3):
            results = await bus.send([Outbound(*place, b"x") for place in places])
        assert [type(error) for error in results] == [
            type(None), NoSuchTopic, NoSuchTopic, type(None), NoSuchTopic,
        ]  # fmt: skip
        assert NOWHERE in str(results[1])
    begin, end = (await bus.bounds([(COMMANDS, 0)]))[COMMANDS, 0]
    assert end - begin == 4


async def test_topics_that_are_met_while_others_are_looked_up_are_found(world: World) -> None:
    assert not any(await world.client().send([out(0, "first", topic) for topic in OTHERS]))
    bus = world.client()
    assert not any(await bus.send([out(0, "first")]))
    sending: list[asyncio.Task[Sequence[BaseException | None]]] = []
    for topic in OTHERS:
        sending.append(asyncio.create_task(bus.send([out(0, "x", topic)])))
        for _ in range(5):  # what was met before is being asked for now
            await asyncio.sleep(0)
    assert [list(each) for each in await asyncio.gather(*sending)] == [[None]] * len(OTHERS)


async def test_nothing_to_send_is_no_error(world: World) -> None:
    assert list(await world.client().send([])) == []


class Owner:
    """A member of a group that remembers what it was told."""

    def __init__(self, holders: dict[int, "Owner"]) -> None:
        self.owned: set[int] = set()
        self.told: list[str] = []
        self._holders = holders

    async def assigned(self, partitions: Sequence[int]) -> None:
        self.told.append("assigned")
        for partition in partitions:
            assert partition not in self._holders, "two owners at once"
            self._holders[partition] = self
        self.owned = set(partitions)

    async def revoked(self, partitions: Sequence[int]) -> None:
        self.told.append("revoked")
        await asyncio.sleep(0.05)  # whatever the owner does first, nobody else gets them
        for partition in partitions:
            self._holders.pop(partition, None)
        self.owned -= set(partitions)


def shared(*owners: Owner) -> Callable[[], bool]:
    """Return whether each owner has some, and together they have all."""

    def is_shared() -> bool:
        sets = [owner.owned for owner in owners]
        return all(sets) and sum(map(len, sets)) == PARTITIONS == len(set[int]().union(*sets))

    return is_shared


async def test_a_group_shares_the_partitions_out_and_again_when_one_leaves(world: World) -> None:
    holders: dict[int, Owner] = {}
    one, two = Owner(holders), Owner(holders)
    first, second = world.client(), world.client()
    member = await first.join("engine", COMMANDS, one.assigned, one.revoked)
    await until(shared(one))
    await second.join("engine", COMMANDS, two.assigned, two.revoked)
    await until(shared(one, two))
    assert "revoked" in one.told
    await member.leave()
    assert one.owned == set()
    await until(shared(two))
    await second.close()
    assert two.owned == set()


async def test_groups_do_not_know_each_other(world: World) -> None:
    one, two = Owner({}), Owner({})
    bus = world.client()
    await bus.join("engine", COMMANDS, one.assigned, one.revoked)
    await bus.join("runner", COMMANDS, two.assigned, two.revoked)
    await until(lambda: len(one.owned) == len(two.owned) == PARTITIONS)
    assert one.owned == two.owned


async def test_leaving_twice_is_leaving(world: World) -> None:
    owner = Owner({})
    bus = world.client()
    member = await bus.join("engine", COMMANDS, owner.assigned, owner.revoked)
    await until(shared(owner))
    await member.leave()
    await member.leave()
    assert owner.told == ["assigned", "revoked"]


async def test_offsets_are_committed_while_partitions_are_given_up(world: World) -> None:
    one = Owner({})
    bus = world.client()
    members: list[Member] = []

    async def revoked(partitions: Sequence[int]) -> None:
        await members[0].commit({partition: 7 for partition in partitions})

    members.append(await bus.join("runner", COMMANDS, one.assigned, revoked))
    await until(shared(one))
    assert await members[0].committed(range(PARTITIONS)) == {}
    await members[0].commit({1: 3})
    assert await members[0].committed(range(PARTITIONS)) == {1: 3}
    await members[0].leave()
    two = Owner({})
    later = await world.client().join("runner", COMMANDS, two.assigned, two.revoked)
    assert await later.committed([0, 1]) == {0: 7, 1: 7}
    with pytest.raises(Unreachable):
        await members[0].commit({1: 8})


async def test_a_callback_that_fails_does_not_stop_the_group(world: World) -> None:
    one, two = Owner({}), Owner({})

    async def fails(partitions: Sequence[int]) -> None:
        await one.revoked(partitions)
        raise ValueError(f"cannot give up {partitions}")

    await world.client().join("engine", COMMANDS, one.assigned, fails)
    await world.client().join("engine", COMMANDS, two.assigned, two.revoked)
    await until(shared(one, two))


async def test_a_group_cannot_share_out_a_topic_that_is_not_there(world: World) -> None:
    owner = Owner({})
    with pytest.raises(LookupError):
        await world.client().join("engine", "perdure.nothing.v1", owner.assigned, owner.revoked)


async def test_closing_wakes_who_waits_and_may_be_repeated(world: World) -> None:
    bus = world.client()
    bus.read(everywhere())
    waiting = asyncio.create_task(bus.fetch(10, PATIENCE_S))
    await asyncio.sleep(0.05)
    await bus.close()
    await bus.close()
    assert list(await waiting) == []


async def test_a_kafka_that_is_not_there_is_unreachable_and_reading_waits_for_it() -> None:
    bus = KafkaBus("127.0.0.1:1", "nobody")
    owner = Owner({})
    bus.read(everywhere())
    assert list(await bus.fetch(10, 0.3)) == []
    with pytest.raises(Unreachable):
        await bus.partitions(COMMANDS)
    with pytest.raises(Unreachable):
        await bus.bounds([(COMMANDS, 0)])
    with pytest.raises(Unreachable):
        await bus.send([out(0, "a")])
    with pytest.raises(Unreachable):
        await bus.join("engine", COMMANDS, owner.assigned, owner.revoked)
    with pytest.raises(Unreachable):
        await create_topics("127.0.0.1:1", "nobody", 1)
    await bus.close()


async def test_memory_fails_as_it_is_told() -> None:
    broker = MemoryBroker({COMMANDS: PARTITIONS})
    bus = broker.client("one")
    bus.read(everywhere())
    broker.faults.fails = lambda _, record: OSError("lost") if record.value == b"b" else None
    results = await bus.send([out(0, "a"), out(0, "b"), out(0, "c"), out(1, "d")])
    assert [error is None for error in results] == [True, False, False, True]
    assert sorted(values(await take(bus, 2))) == ["a", "d"]
    broker.faults.fails = lambda _, record: None
    broker.faults.copies = lambda _, record: 2
    await bus.send([out(0, "twice")])
    assert values(await take(bus, 2)) == ["twice", "twice"]
    broker.lose_tail(COMMANDS, 0, 2)
    broker.faults.copies = lambda _, record: 0
    assert list(await bus.send([out(0, "lost")])) == [None]
    assert list(await bus.fetch(10, 0)) == []
    assert bus.out_of_range == 1
    broker.cut_off.add("one")
    with pytest.raises(Unreachable):
        await bus.send([out(0, "a")])
    broker.cut_off.clear()
    broker.expire(COMMANDS, 0, 1)
    assert await bus.bounds([(COMMANDS, 0)]) == {(COMMANDS, 0): (1, 1)}


async def test_a_member_whose_process_was_killed_is_taken_out_when_the_next_one_joins(
    topic_prefix: str, servers: Addresses
) -> None:
    bootstrap = servers.kafka_bootstrap
    await create_topics(bootstrap, topic_prefix, PARTITIONS)
    program = (
        "import asyncio\n"
        "from perdure_common.adapters import kafka_group\n"
        "from perdure_common.adapters.kafka import KafkaBus\n"
        "from perdure_common.run import process_name\n"
        "kafka_group.SESSION_S = 300.0\n"  # nobody waits for its end
        "async def told(partitions):\n"
        "    print(len(partitions), flush=True)\n"
        "async def main():\n"
        f"    bus = KafkaBus({bootstrap!r}, process_name('engine'), {topic_prefix!r})\n"
        f"    await bus.join('perdure.engine', {COMMANDS!r}, told, told)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"%d\n" % PARTITIONS
    bus = KafkaBus(bootstrap, process_name("engine"), topic_prefix)
    assert len(await bus.members("perdure.engine")) == 1
    process.kill()
    await process.wait()
    holders: dict[int, Owner] = {}
    owner = Owner(holders)
    await bus.join("perdure.engine", COMMANDS, owner.assigned, owner.revoked)
    await until(lambda: len(owner.owned) == PARTITIONS)
    (left,) = await bus.members("perdure.engine")
    assert left.startswith(process_name("engine"))
    await bus.close()
