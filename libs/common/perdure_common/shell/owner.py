"""Who owns which shard: a group of processes shares them out, and the store fences the rest.

The partitions of the service's commands topic are its shards: whoever the group gives
partition i reads partition i of every other topic of the service. Each partition of a
foreign topic is a shard of its own, shared out in a group of its own.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from perdure_common import fault
from perdure_common.decider import Service
from perdure_common.shell import remake
from perdure_common.shell.due import Dues
from perdure_common.shell.flush import flush
from perdure_common.shell.intake import Intake, Registry
from perdure_common.shell.lane import Context, Lane
from perdure_common.shell.ports import (
    Bus,
    Fenced,
    Member,
    Record,
    Store,
    TopicPartition,
    Unanswered,
    Unreachable,
)
from perdure_common.shell.publisher import Publisher
from perdure_common.shell.shard import DROPPING, GOING, Sending, Shard
from perdure_common.shell.upkeep import Ground, Upkeep

FETCH_MAX = 2_000
QUEUE_MAX = 20_000
"""Records that may wait in memory before nothing more is fetched."""

WAITING_MAX = 2_000
"""Starts that may wait in memory before their topic pauses."""

UNSENT_MAX = 20_000
"""Unsent messages above which starts pause."""

CLAIM_BACK_OFF_S = (0.2, 5.0)
CLAIM_FAILURES_MAX = 3
DRAIN_S = 5.0

log = structlog.get_logger(__name__)


def foreign_shard(topic: str, partition: int) -> str:
    """Return the shard of a foreign topic's partition: `perdure.triggers.v1` is `triggers/j`."""
    return f"{topic.split('.')[1]}/{partition}"


class Owner:
    """Runs a service's shards in this process.

    `stopped` are shards that wait for a newer version, with the reason; `settled` says that
    the group has shared the shards out once.
    """

    def __init__(self, service: Service, ground: Ground) -> None:
        self.service = service
        self._ground = ground
        self._store, self._bus = ground.store, ground.bus
        registry = Registry(service)
        self.publisher = Publisher(self._bus, lambda: list(self.shards.values()))
        intake = Intake(registry, tenant_id=ground.tenant_id, partitions=ground.partitions)
        kinds = {"": (service.commands_topic, *service.hears)}
        kinds.update({foreign_shard(t, 0).rpartition("/")[0]: (t,) for t in service.foreign})
        self._registry = registry
        self._topics: dict[str, tuple[str, ...]] = dict(kinds)
        context = Context(
            registry=registry,
            intake=intake,
            store=self._store,
            publisher=self.publisher,
            dues=Dues(self._bus, self._topics),
            now=ground.now,
            lost=self.lose,
            stopped=self._stop_shard,
            resend=lambda message: self._spawn(self._upkeep.resend(message)),
            tenant_id=ground.tenant_id,
            partitions=ground.partitions,
        )
        self._context = context
        self.lanes = [self._lane(context) for _ in range(ground.lanes)]
        self.shards: dict[str, Shard] = {}
        self.stopped: dict[str, str] = {}
        self.settled = False
        self._by_place: dict[TopicPartition, Shard] = {}
        self._wanted: set[str] = set()
        self._retired: dict[str, Shard] = {}
        self._members: dict[str, Member] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._claiming = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._upkeep = Upkeep(self, ground, registry)
        self.failures: dict[str, int] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def store(self) -> Store:
        """The store that the owner writes to."""
        return self._store

    @property
    def bus(self) -> Bus:
        """The bus of this process: how far topics go, and whether Kafka answers."""
        return self._bus

    def _lane(self, context: Context) -> Lane:
        return Lane(replace(context, dues=Dues(self._bus, self._topics)))

    # Life ---------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Own shards until `stop` is set, then give them back in good order.

        Raises:
            LookupError: A topic is missing or has another number of partitions.
            Exception: The shell itself failed; the process must end and start again.
        """
        await self._check_topics()
        self._spawn(self.publisher.run())
        self._spawn(self._pump())
        self._spawn(self._upkeep.run())
        for lane in self.lanes:
            self._spawn(lane.run())
        for topic in (self.service.commands_topic, *self.service.foreign):
            self._members[topic] = await self._join(topic)
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, self.failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._leave()
        if self.failed.done():
            await self.failed

    async def _leave(self) -> None:
        for member in self._members.values():
            await member.leave()
        await self._release(list(self.shards))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _check_topics(self) -> None:
        service, partitions = self.service, self._ground.partitions
        for topic in (*self._topics[""], service.events_topic, *service.pausable):
            found = await self._bus.partitions(topic)
            if found != partitions:
                raise LookupError(
                    f"{topic} has {found} partitions, PERDURE_PARTITIONS says {partitions}; "
                    "the number is fixed at installation"
                )

    async def _join(self, topic: str) -> Member:
        async def assigned(partitions: Sequence[int]) -> None:
            shards = [self._shard_id(topic, p) for p in partitions]
            self._wanted.update(shards)
            self._spawn(self._claim(shards))

        async def revoked(partitions: Sequence[int]) -> None:
            shards = [self._shard_id(topic, p) for p in partitions]
            self._wanted.difference_update(shards)
            await self._release(shards)

        group = f"perdure.{self.service.name}"
        if topic != self.service.commands_topic:
            group = f"{group}.{topic.split('.')[1]}"
        return await self._bus.join(group, topic, assigned, revoked)

    def _shard_id(self, topic: str, partition: int) -> str:
        own = topic == self.service.commands_topic
        return str(partition) if own else foreign_shard(topic, partition)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside; what fails there ends the owner, loudly."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not self.failed.done():
            log.error("shell_failed", exc_info=error)
            self.failed.set_exception(error)

    # Claiming and losing --------------------------------------------------------------

    async def _claim(self, shards: Sequence[str]) -> None:
        """Claim shards that the group gave us, until they are ours or not wanted any more."""
        pause_s = CLAIM_BACK_OFF_S[0]
        while True:
            async with self._claiming:
                wanted = [
                    s for s in shards
                    if s in self._wanted and s not in self.shards and s not in self.stopped
                ]  # fmt: skip
                if not wanted:
                    self.settled = True
                    return
                try:
                    await self._claim_now(wanted)
                    self.settled = True
                    return
                except (Unreachable, Unanswered, Fenced) as error:
                    log.warning("claim_failed", shards=wanted, error=str(error))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, CLAIM_BACK_OFF_S[1])

    async def _claim_now(self, wanted: Sequence[str]) -> None:
        claims = await self._store.claim(wanted, self._ground.name)
        fault.point("after_claim")
        claimed: list[Shard] = []
        for claim in claims:
            if claim.format > self.service.format:
                self.stopped[claim.shard] = (
                    f"shard {claim.shard} has format {claim.format}, this version of "
                    f"{self.service.name} writes {self.service.format}; start the newer version"
                )
                log.error("shard_stopped", reason=self.stopped[claim.shard])
                continue
            shard = Shard.of(claim)
            shard.format = self.service.format
            before = self._retired.pop(shard.id, None)
            if before is not None and before.epoch + 1 == shard.epoch:
                shard.streams = before.streams  # nobody wrote in between
            await self._remake(shard)
            await self._resume_draining(shard)
            claimed.append(shard)
        claimed = [s for s in claimed if s.id in self._wanted]  # else it was taken meanwhile
        for shard in claimed:
            self.shards[shard.id] = shard
            self._lane_of(shard.id).shards[shard.id] = shard
        await self._read()
        self.publisher.nudge()
        for lane in self.lanes:
            lane.poke.set()
        log.info("claimed", shards=[s.id for s in claimed])

    async def _remake(self, shard: Shard) -> None:
        """Make again what the last owner left unsent or unwritten."""
        after = min(shard.published_seq, shard.projected_seq)
        if after >= shard.next_seq - 1:
            return
        made, streams = await remake.remake(
            self._registry, self._store, shard.id, after, self._ground.partitions
        )
        published, projected = shard.published_seq, shard.projected_seq
        shard.unsent.extend(Sending(seq, r) for seq, r in made.sent if seq > published)
        shard.lazy.extend(u for seq, u in made.upserts if u.lazy and seq > projected)
        shard.lazy_seq = shard.next_seq - 1
        for stream, held in streams.items():
            if held.decider is not None:
                shard.hold(stream, held)

    async def _resume_draining(self, shard: Shard) -> None:
        """Go on with parked streams that a person let go before the last owner ended."""
        for stream in shard.parked:
            first = await self._store.parked(stream, 1)
            if first and first[0].n <= GOING:
                shard.draining[stream] = "drop" if first[0].n == DROPPING else "retry"

    def _lane_of(self, shard: str) -> Lane:
        return self.lanes[int(shard.rpartition("/")[2]) % len(self.lanes)]

    def lose(self, shards: Sequence[Shard], why: str) -> None:
        """Drop shards at once; claim them again if the group still gives them to us."""
        for shard in shards:
            if shard.lost:
                continue
            log.warning("shard_lost", shard=shard.id, epoch=shard.epoch, why=why)
            self._drop(shard)
            self.failures[shard.id] = self.failures.get(shard.id, 0) + 1
        ids = [shard.id for shard in shards]
        self._spawn(self._claim_again(ids))

    async def _claim_again(self, shards: Sequence[str]) -> None:
        await self._read()
        if any(self.failures.get(s, 0) >= CLAIM_FAILURES_MAX for s in shards):
            self.failures.clear()
            await self._rejoin()
            return
        await asyncio.sleep(CLAIM_BACK_OFF_S[0])
        await self._claim(shards)

    async def _rejoin(self) -> None:
        """Leave and join as a new member: two owners that fence each other must end."""
        log.warning("rejoining", service=self.service.name)
        for topic, member in list(self._members.items()):
            await member.leave()
            own = {s for s in self._wanted if self._topic_of(s) == topic}
            self._wanted -= own
            await self._release(list(own))
            self._members[topic] = await self._join(topic)

    def _topic_of(self, shard: str) -> str:
        kind = shard.rpartition("/")[0]
        return self.service.commands_topic if not kind else self._topics[kind][0]

    def _drop(self, shard: Shard) -> None:
        shard.lost = True
        self.shards.pop(shard.id, None)
        lane = self._lane_of(shard.id)
        lane.shards.pop(shard.id, None)
        lane.forget(shard.id)

    def _stop_shard(self, shard: Shard, why: str) -> None:
        """Own a shard no more until a newer version is started; it says so in `/readyz`."""
        log.error("shard_stopped", shard=shard.id, reason=why)
        self.stopped[shard.id] = why
        self._drop(shard)
        self._spawn(self._read())

    async def _release(self, shards: Sequence[str]) -> None:
        """Give shards back: finish the batch, publish, write the marks, forget."""
        held = [self.shards[s] for s in shards if s in self.shards]
        if not held:
            return
        for lane in self.lanes:
            mine = [s for s in held if s.id in lane.shards]
            if not mine:
                continue
            async with lane.turn:
                for shard in mine:
                    lane.shards.pop(shard.id, None)
            await self.publisher.drained(mine, DRAIN_S)
            async with lane.turn:
                with suppress(Fenced, Unanswered, Unreachable):
                    await flush(self._store, mine)
        for shard in held:
            self._drop(shard)
            self._retired[shard.id] = shard
        await self._read()

    async def _read(self) -> None:
        """Read exactly the topics of the shards that are ours, from where they stand."""
        async with self._reading:
            await self._read_now()

    async def _read_now(self) -> None:
        places: dict[TopicPartition, Shard] = {}
        for shard in self.shards.values():
            kind, _, last = shard.id.rpartition("/")
            topics = self._topics[kind] + (self.service.pausable if not kind else ())
            for topic in topics:
                places[topic, int(last)] = shard
        unknown = [place for place, shard in places.items() if place not in shard.consumed]
        begins: Mapping[TopicPartition, tuple[int, int]] = {}
        if unknown:
            begins = await self._bus.bounds(unknown)
        positions = {
            place: shard.consumed[place] if place in shard.consumed else begins[place][0]
            for place, shard in places.items()
            if not shard.lost
        }
        self._by_place = {place: places[place] for place in positions}
        self._bus.read(positions)

    # Reading --------------------------------------------------------------------------

    async def _pump(self) -> None:
        """Bring records from the bus to their shards."""
        paused = False
        while True:
            waiting = sum(len(s.waiting) for s in self.shards.values())
            queued = waiting + sum(len(s.inbox) for s in self.shards.values())
            behind = waiting > WAITING_MAX or self.publisher.unsent() > UNSENT_MAX
            if behind != paused:
                paused = behind
                self._bus.pause(self.service.pausable if behind else ())
            if queued > QUEUE_MAX:
                await asyncio.sleep(0.01)
                continue
            try:
                records = await self._bus.fetch(FETCH_MAX, 0.5)
            except Unreachable as error:
                log.warning("bus_unreachable", error=str(error))
                await asyncio.sleep(1.0)
                continue
            self._distribute(records)

    def _distribute(self, records: Sequence[Record]) -> None:
        for record in records:
            shard = self._by_place.get((record.topic, record.partition))
            if shard is None or shard.lost:
                continue
            pausable = record.topic in self.service.pausable
            (shard.waiting if pausable else shard.inbox).append(record)
            self._lane_of(shard.id).poke.set()
