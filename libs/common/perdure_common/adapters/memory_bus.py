"""The bus in memory: for tests, and for a simulation with a clock of its own.

A `MemoryBroker` keeps the topics and groups; each client of it is a `MemoryBus`. Nothing
reads a clock or draws chance: what goes wrong is asked for (`Faults`), and time passes
only as the event loop says.
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from perdure_common.shell.ports import (
    Member,
    NoSuchTopic,
    OnChange,
    Outbound,
    Record,
    TopicPartition,
    Unreachable,
)

log = structlog.get_logger(__name__)


def _nothing(client: str, record: Outbound) -> BaseException | None:
    del client, record
    return None


def _once(client: str, record: Outbound) -> int:
    del client, record
    return 1


def _at_once(client: str, record: Outbound) -> float:
    del client, record
    return 0.0


@dataclass(slots=True)
class Faults:
    """What goes wrong, decided record by record; replace a function to break something.

    `fails` returns the error that the sender sees (nothing is written), `unanswered` one
    although the record was written, `copies` how often it is written (0: lost although
    acknowledged), `delay_s` how long the acknowledgement of a send takes.
    """

    fails: Callable[[str, Outbound], BaseException | None] = _nothing
    unanswered: Callable[[str, Outbound], BaseException | None] = _nothing
    copies: Callable[[str, Outbound], int] = _once
    delay_s: Callable[[str, Outbound], float] = _at_once


@dataclass(slots=True)
class _Log:
    """One partition: its records, the first of which has the offset `begin`."""

    begin: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.begin + len(self.records)


@dataclass(eq=False, slots=True)
class _Seat:
    """A member's place in a group."""

    name: str
    assigned: OnChange
    revoked: OnChange
    partitions: tuple[int, ...] = ()


@dataclass(slots=True)
class _Group:
    topic: str
    committed: dict[int, int] = field(default_factory=dict)
    seats: list[_Seat] = field(default_factory=list)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


class MemoryBroker:
    """Topics and groups that clients share. `now_ms` stamps the records.

    While `reachable` is False every client sees `Unreachable`; single clients can be cut
    off by name in `cut_off`.
    """

    def __init__(
        self, topics: Mapping[str, int] | None = None, now_ms: Callable[[], int] = lambda: 0
    ) -> None:
        self.faults = Faults()
        self.reachable = True
        self.cut_off: set[str] = set()
        self._now_ms = now_ms
        self._logs: dict[TopicPartition, _Log] = {}
        self._partitions: dict[str, int] = {}
        self._groups: dict[str, _Group] = {}
        self._clients: list[MemoryBus] = []
        for topic, count in (topics or {}).items():
            self.create(topic, count)

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic; one that exists with as many partitions stays as it is.

        Raises:
            ValueError: It exists with another number of partitions.
        """
        known = self._partitions.setdefault(topic, partitions)
        if known != partitions:
            raise ValueError(f"{topic} has {known} partitions, not {partitions}")
        for partition in range(partitions):
            self._logs.setdefault((topic, partition), _Log())

    def client(self, name: str) -> "MemoryBus":
        """Return a new client called `name`."""
        client = MemoryBus(self, name)
        self._clients.append(client)
        return client

    def records(self, topic: str) -> list[Record]:
        """Return everything that is in a topic, by partition and offset."""
        count = self._partitions[topic]
        return [r for partition in range(count) for r in self._logs[topic, partition].records]

    def lose_tail(self, topic: str, partition: int, count: int) -> None:
        """Lose the last `count` records although they were acknowledged; offsets go back."""
        log = self._logs[topic, partition]
        del log.records[max(0, len(log.records) - count) :]

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Delete the records below the offset `before`, as retention does."""
        log = self._logs[topic, partition]
        gone = max(0, min(before, log.end) - log.begin)
        del log.records[:gone]
        log.begin += gone

    async def evict(self, client: "MemoryBus") -> None:
        """End a client's memberships without telling it, as when its process has died."""
        for name, group in self._groups.items():
            seats = [seat for seat in group.seats if seat.name == client.name]
            for seat in seats:
                group.seats.remove(seat)
                seat.partitions = ()
            if seats:
                await self._rebalance(name)

    def require(self, client: str) -> None:
        """Raise `Unreachable` if the client cannot reach the broker now."""
        if not self.reachable or client in self.cut_off:
            raise Unreachable(f"the broker in memory is cut off from {client}")

    def count(self, topic: str) -> int:
        """Return how many partitions a topic has.

        Raises:
            LookupError: It does not exist.
        """
        if topic not in self._partitions:
            raise LookupError(f"topic {topic} does not exist; create the topics first")
        return self._partitions[topic]

    def log(self, partition: TopicPartition) -> _Log:
        """Return a partition's log.

        Raises:
            LookupError: It does not exist.
        """
        log = self._logs.get(partition)
        if log is None:
            raise LookupError(f"{partition[0]} has no partition {partition[1]}")
        return log

    def append(self, client: str, outbound: Outbound) -> None:
        """Write a record as often as `Faults.copies` says, and wake the readers."""
        log = self.log((outbound.topic, outbound.partition))
        for _ in range(self.faults.copies(client, outbound)):
            log.records.append(
                Record(
                    outbound.topic,
                    outbound.partition,
                    log.end,
                    outbound.value,
                    outbound.key,
                    outbound.headers,
                    self._now_ms(),
                )
            )
        for reader in self._clients:
            reader.wake()

    async def join(self, group: str, topic: str, seat: _Seat) -> None:
        """Give a new member its share."""
        self.count(topic)
        members = self._groups.setdefault(group, _Group(topic))
        if members.topic != topic:
            raise ValueError(f"group {group} shares out {members.topic}, not {topic}")
        members.seats.append(seat)
        await self._rebalance(group)

    async def leave(self, group: str, seat: _Seat) -> None:
        """Take a member out and share its partitions out."""
        members = self._groups.get(group)
        if members is None:
            return
        async with members.changing:
            if seat not in members.seats:
                return
            await _give_up(seat)
            if seat in members.seats:
                members.seats.remove(seat)
        await self._rebalance(group)

    def committed(self, group: str) -> dict[int, int]:
        """Return the offsets that a group has committed."""
        return self._groups[group].committed

    def forget(self, client: "MemoryBus") -> None:
        """Wake a closed client no more."""
        if client in self._clients:
            self._clients.remove(client)

    async def _rebalance(self, name: str) -> None:
        """Take everything from every member, then give each its range."""
        group = self._groups[name]
        async with group.changing:
            for seat in list(group.seats):
                await _give_up(seat)
            count, members = self.count(group.topic), list(group.seats)
            for i, seat in enumerate(members):
                first = i * count // len(members)
                last = (i + 1) * count // len(members)
                seat.partitions = tuple(range(first, last))
            for seat in members:
                if seat in group.seats:
                    await _call(seat.assigned, seat)


async def _give_up(seat: _Seat) -> None:
    if seat.partitions:
        await _call(seat.revoked, seat)
    seat.partitions = ()


async def _call(callback: OnChange, seat: _Seat) -> None:
    """Call a member's callback; what goes wrong in it does not stop the group, as on Kafka."""
    try:
        await callback(seat.partitions)
    except Exception:
        log.exception("group_callback_failed", client=seat.name)


class _Membership:
    """A client's membership; implements the port `Member`."""

    def __init__(self, broker: MemoryBroker, group: str, seat: _Seat) -> None:
        self._broker = broker
        self._group = group
        self._seat = seat

    async def leave(self) -> None:
        """Leave; `revoked` is awaited, then the others get the partitions."""
        await self._broker.leave(self._group, self._seat)

    async def committed(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """See `Member.committed`."""
        self._broker.require(self._seat.name)
        known = self._broker.committed(self._group)
        return {p: known[p] for p in partitions if p in known}

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """See `Member.commit`."""
        self._broker.require(self._seat.name)
        if not offsets.keys() <= set(self._seat.partitions):
            raise Unreachable(f"{self._seat.name} does not hold {sorted(offsets)} any more")
        self._broker.committed(self._group).update(offsets)


class MemoryBus:
    """One client of a `MemoryBroker`; implements the port `Bus`.

    `out_of_range` counts positions that lay outside a log and went to its nearer end.
    """

    def __init__(self, broker: MemoryBroker, name: str) -> None:
        self.name = name
        self.out_of_range = 0
        self._broker = broker
        self._positions: dict[TopicPartition, int] = {}
        self._paused: frozenset[str] = frozenset()
        self._arrived = asyncio.Event()
        self._members: list[_Membership] = []
        self._turn = 0
        self._closed = False

    async def partitions(self, topic: str) -> int:
        """See `Bus.partitions`."""
        self._broker.require(self.name)
        return self._broker.count(topic)

    async def join(self, group: str, topic: str, assigned: OnChange, revoked: OnChange) -> Member:
        """See `Bus.join`."""
        self._broker.require(self.name)
        seat = _Seat(self.name, assigned, revoked)
        membership = _Membership(self._broker, group, seat)
        self._members.append(membership)
        await self._broker.join(group, topic, seat)
        return membership

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        """See `Bus.bounds`."""
        self._broker.require(self.name)
        logs = {place: self._broker.log(place) for place in partitions}
        return {place: (log.begin, log.end) for place, log in logs.items()}

    def read(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Bus.read`."""
        kept = self._positions
        self._positions = {place: kept.get(place, given) for place, given in positions.items()}
        self.wake()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Bus.seek`; a partition that is not being read is passed over."""
        if partition in self._positions:
            self._positions[partition] = offset
            self.wake()

    def pause(self, topics: Sequence[str]) -> None:
        """See `Bus.pause`."""
        self._paused = frozenset(topics)
        self.wake()

    async def fetch(self, records_max: int, wait_s: float) -> Sequence[Record]:
        """See `Bus.fetch`."""
        await asyncio.sleep(0)  # before taking: what was taken is the caller's at once
        self._arrived.clear()
        taken = self._take(records_max)
        if taken or wait_s <= 0:
            return taken
        try:
            async with asyncio.timeout(wait_s):
                while not taken and not self._closed:
                    await self._arrived.wait()
                    self._arrived.clear()
                    taken = self._take(records_max)
        except TimeoutError:
            return ()
        return taken

    async def send(self, records: Sequence[Outbound]) -> Sequence[BaseException | None]:
        """See `Bus.send`: behind a failure nothing of the same partition is written."""
        self._broker.require(self.name)
        faults = self._broker.faults
        results: list[BaseException | None] = []
        failed: dict[TopicPartition, BaseException] = {}
        delay_s = 0.0
        for record in records:
            place = (record.topic, record.partition)
            error = failed.get(place) or faults.fails(self.name, record)
            if error is None:
                try:
                    self._broker.append(self.name, record)
                except LookupError as missing:
                    error = NoSuchTopic(*missing.args)
                else:
                    error = faults.unanswered(self.name, record)
            if error is not None:
                failed[place] = error
            results.append(error)
            delay_s = max(delay_s, faults.delay_s(self.name, record))
        await asyncio.sleep(delay_s)
        return results

    async def close(self) -> None:
        """See `Bus.close`."""
        if self._closed:
            return
        self._closed = True
        for membership in self._members:
            await membership.leave()
        self._positions = {}
        self._broker.forget(self)
        self.wake()

    def wake(self) -> None:
        """Let a waiting `fetch` look again."""
        self._arrived.set()

    def _take(self, records_max: int) -> list[Record]:
        """Return what is there and move the positions, an equal share of each partition."""
        if not self._broker.reachable or self.name in self._broker.cut_off:
            return []
        ready = [place for place in self._positions if self._behind(place)]
        taken: list[Record] = []
        self._turn += 1
        first = self._turn % len(ready) if ready else 0
        ready = ready[first:] + ready[:first]
        while ready and len(taken) < records_max:
            share = max(1, math.ceil((records_max - len(taken)) / len(ready)))
            for place in list(ready):
                log, at = self._broker.log(place), self._positions[place]
                upto = min(at + share, at + records_max - len(taken), log.end)
                taken += log.records[at - log.begin : upto - log.begin]
                self._positions[place] = upto
                if upto == log.end:
                    ready.remove(place)
        return taken

    def _behind(self, place: TopicPartition) -> bool:
        """Return whether there is something to take; bring a stray position back."""
        if place[0] in self._paused:
            return False
        log, at = self._broker.log(place), self._positions[place]
        if not log.begin <= at <= log.end:
            self.out_of_range += 1
            at = self._positions[place] = log.begin if at < log.begin else log.end
        return at < log.end
