"""Kafka in memory as it is seen from afar: late, twice, not at all, and with members that die.

What a client has sent lands in the topics whether or not the client lives to hear of it. A
group takes its partitions away from members that were silent for too long, which may not know.
"""
# pyright: reportPrivateUsage=false

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

from perdure_common.adapters.memory_bus import MemoryBroker, MemoryBus
from perdure_common.shell.ports import (
    Member,
    OnChange,
    Outbound,
    Record,
    TopicPartition,
    Unreachable,
)

from simulation.loop import Process, State, current
from simulation.watch import Watch

SESSION_S = 6.0
"""After so long without a sign of life a member has left."""

REBALANCE_S = 30.0
"""How long a member may take to give its partitions up."""


@dataclass
class Weather:
    """How likely each thing is to go wrong with the records of one partition in one send."""

    slow: float = 0.0
    fails: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    lost: float = 0.0
    lag: float = 0.0


@dataclass(eq=False)
class Seat:
    """A member's place in a group."""

    process: Process | None
    context: Context
    name: str
    assigned: OnChange
    revoked: OnChange
    partitions: tuple[int, ...] = ()
    evicted: bool = False


@dataclass
class Group:
    """Members that share out the partitions of a topic."""

    topic: str
    committed: dict[int, int] = field(default_factory=dict)
    seats: list[Seat] = field(default_factory=list)
    dirty: bool = False
    changing: "asyncio.Task[None] | None" = None


class SimBroker(MemoryBroker):
    """The broker. It tells of records that are written and read, and of each mishap."""

    def __init__(
        self,
        topics: Mapping[str, int],
        chance: random.Random,
        watch: Watch,
        now_ms: Callable[[], int],
    ) -> None:
        super().__init__(topics, now_ms)
        self.weather = Weather()
        self.chance = chance
        self.context = copy_context()
        self.done_with: Callable[[Record], None] = lambda record: None
        self.groups: dict[str, Group] = {}
        # Nobody could send again what outsiders were told is safe; those who stand in for other
        # services do not ask for what they miss.
        self.lossless = frozenset(
            {"perdure.triggers.v1", "perdure.hil.commands.v1", "perdure.memory.commands.v1"}
        )
        self.cut: set[TopicPartition] = set()
        self.truncated: set[TopicPartition] = set()
        self._appended = watch.appended
        self.fetched = watch.fetched
        self.lost = watch.lost
        self.fault = watch.fault

    def happens(self, what: str, probability: float) -> bool:
        """Return whether something goes wrong now, and count it."""
        if probability and self.chance.random() < probability:
            self.fault(what)
            return True
        return False

    def connect(self, name: str, process: Process | None = None) -> "SimBus":
        """Return a client of a process, or of the world outside."""
        client = SimBus(self, name, process)
        self._clients.append(client)
        return client

    def append(self, client: str, outbound: Outbound) -> None:
        """Write a record, and wake those who read its partition."""
        place = (outbound.topic, outbound.partition)
        log = self.log(place)
        record = Record(
            outbound.topic,
            outbound.partition,
            log.end,
            outbound.value,
            outbound.key,
            outbound.headers,
            self._now_ms(),
        )
        log.records.append(record)
        self._appended(record)
        for reader in self._clients:
            if place in reader._positions:
                reader.wake()

    def clients_of(self, process: Process) -> "list[SimBus]":
        """Return the clients of a process."""
        return [c for c in self._clients if isinstance(c, SimBus) and c.process is process]

    def lose(self, place: TopicPartition, count: int) -> int:
        """Lose the last records of a partition although they were acknowledged."""
        log = self.log(place)
        count = min(count, len(log.records))
        if count:
            for record in log.records[-count:]:
                self.lost(record)
            self.lose_tail(*place, count)
            self.cut.add(place)
            self.truncated.add(place)
        return count

    # Groups ----------------------------------------------------------------------------

    def enter(self, group: str, topic: str, seat: Seat) -> None:
        """Take a member in; its share comes with the next rebalance."""
        self.groups.setdefault(group, Group(topic)).seats.append(seat)
        self.change(group)

    def moved(self, topic: str, group: Group, offsets: Mapping[int, int]) -> None:
        """Take over how far a group has come, and tell of the records that are done with."""
        for partition, offset in offsets.items():
            log = self.log((topic, partition))
            first = max(group.committed.get(partition, log.begin), log.begin)
            for record in log.records[first - log.begin : max(0, offset - log.begin)]:
                self.done_with(record)
        group.committed.update(offsets)

    def drop(self, group: str, seat: Seat) -> None:
        """Take a member out."""
        if seat in self.groups[group].seats:
            self.groups[group].seats.remove(seat)
            self.change(group)

    def change(self, name: str) -> None:
        """Share the partitions of a group out anew."""
        group = self.groups[name]
        group.dirty = True
        if group.changing is None or group.changing.done():
            work = self._coordinate(group)
            group.changing = asyncio.get_running_loop().create_task(work, context=self.context)

    def silent(self, process: Process) -> None:
        """Notice, after a session's time, that a process says nothing any more."""
        loop = asyncio.get_running_loop()
        loop.call_later(SESSION_S, self._judge, process, context=self.context)

    def _judge(self, process: Process) -> None:
        if process.state is State.RUNNING:
            return
        for name, group in self.groups.items():
            for seat in [s for s in group.seats if s.process is process]:
                seat.evicted = True
                group.seats.remove(seat)
                self.fault("member evicted")
                self.change(name)

    async def _coordinate(self, group: Group) -> None:
        while group.dirty:
            await asyncio.sleep(self.chance.uniform(0.02, 0.3))
            group.dirty = False
            held = [seat for seat in group.seats if seat.partitions]
            await self._call(group, held, lambda seat: seat.revoked)
            for seat in held:
                if not seat.evicted:
                    seat.partitions = ()
            seats = list(group.seats)
            self.chance.shuffle(seats)
            count = self.count(group.topic)
            for i, seat in enumerate(seats):
                first, last = i * count // len(seats), (i + 1) * count // len(seats)
                seat.partitions = tuple(range(first, last))
            await self._call(group, seats, lambda seat: seat.assigned)

    async def _call(
        self, group: Group, seats: Sequence[Seat], what: Callable[[Seat], OnChange]
    ) -> None:
        """Call members in their own processes; who does not come back is a member no more."""
        loop = asyncio.get_running_loop()
        called = [seat for seat in seats if seat.partitions and seat in group.seats]
        if not called:
            return
        calls = [
            loop.create_task(_called(what(seat), seat.partitions), context=seat.context)
            for seat in called
        ]
        _, late = await asyncio.wait(calls, timeout=REBALANCE_S)
        for call, seat in zip(calls, called, strict=True):
            if call in late and seat in group.seats:
                seat.evicted = True
                group.seats.remove(seat)


async def _called(callback: OnChange, partitions: Sequence[int]) -> None:
    await callback(partitions)


class SimMember:
    """A client's membership; implements the port `Member`."""

    def __init__(self, bus: "SimBus", group: str, topic: str, seat: Seat) -> None:
        self._bus = bus
        self._group = group
        self._topic = topic
        self.seat = seat
        self.left = False

    async def leave(self) -> None:
        """See `Member.leave`."""
        self.left = True
        await self._bus.travel()
        if self.seat.partitions:
            await self.seat.revoked(self.seat.partitions)
        self._bus.broker.drop(self._group, self.seat)
        self.seat.partitions = ()

    async def committed(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """See `Member.committed`."""
        await self._bus.travel()
        known = self._bus.broker.groups[self._group].committed
        return {p: known[p] for p in partitions if p in known}

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """See `Member.commit`."""
        await self._bus.travel()
        seat = self.seat
        if seat.evicted or not offsets.keys() <= set(seat.partitions):
            raise Unreachable(f"{seat.name} does not hold {sorted(offsets)} any more")
        self._bus.broker.moved(self._topic, self._bus.broker.groups[self._group], offsets)

    async def wake_up(self) -> None:
        """Learn, after a pause, that the others have gone on; join again as a new member."""
        if not self.seat.evicted or self.left:
            return
        old = self.seat
        if old.partitions:
            await old.revoked(old.partitions)
        if self.left:
            return
        self.seat = Seat(old.process, old.context, old.name, old.assigned, old.revoked)
        self._bus.broker.enter(self._group, self._topic, self.seat)


class SimBus(MemoryBus):
    """One client; implements the port `Bus`."""

    def __init__(self, broker: SimBroker, name: str, process: Process | None) -> None:
        super().__init__(broker, name)
        self.broker = broker
        self.process = process
        self.seats: list[SimMember] = []
        self._lag: dict[TopicPartition, float] = {}

    async def travel(self) -> None:
        """Spend the time that a request takes.

        Raises:
            Unreachable: The broker is cut off.
        """
        loop = asyncio.get_running_loop()
        if getattr(loop, "over", False):
            raise asyncio.CancelledError
        await asyncio.sleep(self.broker.chance.uniform(0.001, 0.004))
        self.broker.require(self.name)

    async def partitions(self, topic: str) -> int:
        """See `Bus.partitions`."""
        await self.travel()
        return self.broker.count(topic)

    async def join(self, group: str, topic: str, assigned: OnChange, revoked: OnChange) -> Member:
        """See `Bus.join`."""
        await self.travel()
        self.broker.count(topic)
        process = current()
        context = process.context if process is not None else copy_context()
        seat = Seat(process, context, self.name, assigned, revoked)
        member = SimMember(self, group, topic, seat)
        self.seats.append(member)
        self.broker.enter(group, topic, seat)
        return member

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        """See `Bus.bounds`."""
        await self.travel()
        return await super().bounds(partitions)

    async def send(self, records: Sequence[Outbound]) -> Sequence[BaseException | None]:
        """See `Bus.send`. What is under way lands even if the sender dies meanwhile."""
        await self.travel()
        loop, broker = asyncio.get_running_loop(), self.broker
        places: dict[TopicPartition, list[int]] = {}
        for i, record in enumerate(records):
            places.setdefault((record.topic, record.partition), []).append(i)
        results: list[BaseException | None] = [None] * len(records)
        longest_s = 0.0
        for place, indexes in places.items():
            try:
                broker.log(place)
            except LookupError as error:
                for i in indexes:
                    results[i] = error
                continue
            lands_s, written = self._fate(place, indexes, records, results)
            mine = [records[i] for i in written]
            loop.call_later(lands_s, self._land, mine, context=broker.context)
            longest_s = max(longest_s, min(lands_s, 1.0))
        await asyncio.sleep(longest_s + broker.chance.uniform(0.0005, 0.003))
        return results

    def _fate(
        self,
        place: TopicPartition,
        indexes: Sequence[int],
        records: Sequence[Outbound],
        results: list[BaseException | None],
    ) -> tuple[float, list[int]]:
        """Decide what becomes of one partition's records: when they land, and which."""
        broker, weather = self.broker, self.broker.weather
        chance = broker.chance
        lands_s = chance.uniform(0.0005, 0.003)
        written = list(indexes)
        if broker.happens("send slow", weather.slow):
            lands_s = chance.uniform(0.05, 0.9)
        if broker.happens("send fails", weather.fails):
            cut = chance.randrange(len(indexes))
            written = list(indexes[:cut])
            for i in indexes[cut:]:
                results[i] = ConnectionError("not written")
        elif broker.happens("send unanswered", weather.unanswered):
            first = chance.randrange(len(indexes))
            for i in indexes[first:]:
                results[i] = ConnectionError("written, but who knows")
        elif broker.happens("send lands late", weather.late):
            lands_s = chance.uniform(1.0, 6.0)
            for i in indexes:
                results[i] = ConnectionError("it will land")
        if broker.happens("sent twice", weather.twice):
            written = written + written
        if place[0] not in broker.lossless and broker.happens("record lost", weather.lost):
            broker.cut.add(place)
            at = chance.randrange(len(written) + 1)
            gone = set(written[at : at + 1 + chance.randrange(2)])
            written = [i for i in written if i not in gone]
            for i in gone:
                if results[i] is None:
                    broker.lost(records[i])
        return lands_s, written

    def _land(self, records: Sequence[Outbound]) -> None:
        for record in records:
            self.broker.append(self.name, record)

    def read(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Bus.read`. The first records of a partition may take a while to come."""
        new = positions.keys() - self._positions.keys()
        super().read(positions)
        for place in sorted(new):
            if self.broker.happens("partition slow to begin", self.broker.weather.lag):
                loop = asyncio.get_running_loop()
                self.lag(place, loop.time() + self.broker.chance.uniform(0.05, 4.0))

    async def fetch(self, records_max: int, wait_s: float) -> Sequence[Record]:
        """See `Bus.fetch`."""
        if getattr(asyncio.get_running_loop(), "over", False):
            raise asyncio.CancelledError
        records = await super().fetch(records_max, wait_s)
        if self.process is not None:
            self.broker.fetched(records)
        return records

    def some_place(self, chance: random.Random) -> TopicPartition | None:
        """Return a partition that is read, None if none is."""
        return chance.choice(sorted(self._positions)) if self._positions else None

    def lag(self, place: TopicPartition, until: float) -> None:
        """See nothing of a partition until then, while others go on."""
        self._lag[place] = until
        asyncio.get_running_loop().call_at(until, self.wake, context=self.broker.context)

    def _behind(self, place: TopicPartition) -> bool:
        until = self._lag.get(place)
        if until is not None:
            if asyncio.get_running_loop().time() < until:
                return False
            del self._lag[place]
        return super()._behind(place)

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        for member in self.seats:
            if not member.left:
                await member.leave()
        self._positions = {}
        self.broker.forget(self)
        self.wake()
