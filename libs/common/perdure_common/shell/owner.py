"""Who owns which shard: a group of processes shares them out, and the store fences the rest.

The partitions of the service's commands topic are its shards: whoever the group gives
partition i reads partition i of every other topic of the service. Each partition of a
foreign topic is a shard of its own, shared out in a group of its own.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from perdure_contracts.message import NAMES

from perdure_common import fault
from perdure_common.service import Service
from perdure_common.shell import codec, parking, remake
from perdure_common.shell.catching import Catching
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
from perdure_common.shell.pressure import FETCH_MAX, Limits, Pressure, pressure
from perdure_common.shell.publisher import Publisher
from perdure_common.shell.shard import Answer, Held, Sending, Shard
from perdure_common.shell.upkeep import Ground, Upkeep

CLAIM_BACK_OFF_S = (0.2, 5.0)
CLAIM_FAILURES_MAX = 3
DRAIN_S = 5.0
FINISH_S = 12.0
"""How long giving shards back may take, with what is drained: Kafka waits 30 s for it."""

log = structlog.get_logger(__name__)


def foreign_shard(topic: str, partition: int) -> str:
    """Return the shard of a foreign topic's partition: `perdure.triggers.v1` is `triggers/j`."""
    return f"{topic.split('.')[1]}/{partition}"


class Owner:
    """Runs a service's shards in this process.

    `stopped` are shards that wait for a newer version, with the reason; `settled` says that
    the group has shared the shards out once; `pressure` what waits in memory.
    """

    def __init__(self, service: Service, ground: Ground) -> None:
        self.service = service
        self._ground = ground
        self._store, self._bus = ground.store, ground.bus
        self._limits = limits = Limits.of(ground.memory_mb)
        registry = Registry(service)
        self.publisher = Publisher(
            self._bus, lambda: list(self.shards.values()), lambda s: self._lane_of(s.id).poke.set()
        )
        intake = Intake(registry, tenant_id=ground.tenant_id, partitions=ground.partitions)
        kinds = {"": (service.commands_topic, *service.hears)}
        kinds.update({foreign_shard(t, 0).rpartition("/")[0]: (t,) for t in service.foreign})
        self._registry = registry
        self._topics: dict[str, tuple[str, ...]] = dict(kinds)
        self._patient = {NAMES[each].encode() for each in service.patient}
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
            hand_over=self._hand_over,
            tenant_id=ground.tenant_id,
            partitions=ground.partitions,
            streams_bytes=limits.streams // ground.partitions,
            seers=ground.seers,
        )
        self._context = context
        self._catching = Catching(service, intake, ground.store, ground.bus)
        self.lanes = [self._lane(context) for _ in range(ground.lanes)]
        self.shards: dict[str, Shard] = {}
        self.stopped: dict[str, str] = {}
        self.settled = False
        self.pressure = Pressure(0, 0, behind=False, full=False)
        self._by_place: dict[TopicPartition, Shard] = {}
        self._wanted: set[str] = set()
        self._retired: dict[str, tuple[int, OrderedDict[str, Held]]] = {}
        self._members: dict[str, Member] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._claiming = asyncio.Lock()
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

    def is_busy(self) -> bool:
        """Return whether every lane writes a batch, so that none would take more records now."""
        return all(lane.turn.locked() for lane in self.lanes)

    def _lane(self, context: Context) -> Lane:
        return Lane(replace(context, dues=Dues(self._bus, self._topics)))

    # Life ---------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Own shards until `stop` is set, then give them back in good order.

        Raises:
            LookupError: A topic is missing or has another number of partitions.
            Exception: The shell itself failed; the process must end and start again.
        """
        self._spawn(self.publisher.run())
        self._spawn(self._pump())
        self._spawn(self._upkeep.run())
        for lane in self.lanes:
            self._spawn(lane.run())
        self._spawn(self._begin())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, self.failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._leave()
        if self.failed.done():
            await self.failed

    async def _begin(self) -> None:
        """Join the groups, as soon as the bus can be reached."""
        await self._patiently(self._check_topics)
        for topic in (self.service.commands_topic, *self.service.foreign):
            await self._patiently(lambda topic=topic: self._join(topic))

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do something again until the bus can be reached."""
        pause_s = CLAIM_BACK_OFF_S[0]
        while True:
            try:
                return await work()
            except Unreachable as error:
                log.warning("bus_unreachable", error=str(error), wait_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, CLAIM_BACK_OFF_S[1])

    async def _leave(self) -> None:
        for topic in list(self._members):
            await self._part(topic)
        await self._release(list(self.shards))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _part(self, topic: str) -> None:
        """Leave a group; what goes wrong there must not keep our shards from being released."""
        try:
            async with asyncio.timeout(2 * FINISH_S):
                await self._members[topic].leave()
        except Exception as error:  # the session's end takes the member out as well
            log.warning("group_not_left", topic=topic, error=repr(error))

    async def _check_topics(self) -> None:
        service, partitions = self.service, self._ground.partitions
        for topic in (*self._topics[""], service.events_topic, *service.pausable):
            found = await self._bus.partitions(topic)
            if found != partitions:
                raise LookupError(
                    f"{topic} has {found} partitions, PERDURE_PARTITIONS says {partitions}; "
                    "the number is fixed at installation"
                )

    async def _join(self, topic: str) -> None:
        async def assigned(partitions: Sequence[int]) -> None:
            shards = [self._shard_id(topic, p) for p in partitions]
            self._wanted.update(shards)
            self._spawn(self._claim(shards))

        async def revoked(partitions: Sequence[int]) -> None:
            shards = [self._shard_id(topic, p) for p in partitions]
            self._wanted.difference_update(shards)
            for shard in shards:
                self.stopped.pop(shard, None)
            await self._release(shards)

        group = f"perdure.{self.service.name}"
        if topic != self.service.commands_topic:
            group = f"{group}.{topic.split('.')[1]}"
        self._members[topic] = await self._bus.join(group, topic, assigned, revoked)

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
            if before is not None and before[0] + 1 == shard.epoch:
                shard.keep(before[1])  # nobody wrote in between
            if await self._made_again(shard):
                claimed.append(shard)
        fault.point("after_remake")
        positions = {s.id: await self._positions(s) for s in claimed}
        behind = await self._catching.look(claimed)
        # Nothing is awaited from here on: what is ours, written and read changes at once.
        claimed = [s for s in claimed if s.id in self._wanted]  # else it was taken meanwhile
        begin: dict[TopicPartition, int] = {}
        for shard in claimed:
            self.shards[shard.id] = shard
            self._lane_of(shard.id).shards[shard.id] = shard
            places = positions[shard.id]
            if shard.id in behind:
                places = self._catching.begin(behind[shard.id], places)
            begin.update(places)
            self._by_place.update(dict.fromkeys(places, shard))
        self._bus.read({**dict.fromkeys(self._by_place, 0), **begin})
        self.publisher.nudge()
        for lane in self.lanes:
            lane.poke.set()
        log.info("claimed", shards=[s.id for s in claimed])

    async def _made_again(self, shard: Shard) -> bool:
        """Make a shard's memory; one whose journal cannot be folded stops, the others go on."""
        try:
            await self._remake(shard)
            await self.resume_draining(shard)
        except (Unreachable, Unanswered, Fenced):
            raise
        except Exception as error:
            log.exception("shard_stopped", shard=shard.id)
            self.stopped[shard.id] = (
                f"what shard {shard.id} has to send cannot be made again from its journal: "
                f"{type(error).__name__}; mend {self.service.name} and start it again"
            )
            return False
        return True

    async def _remake(self, shard: Shard) -> None:
        """Make again what the last owner left unsent or unwritten."""
        after = min(shard.published_seq, shard.projected_seq)
        if after >= shard.next_seq - 1:
            return
        made, streams = await remake.remake(
            self._registry, self._store, shard.id, after, self._ground.partitions
        )
        published, projected = shard.published_seq, shard.projected_seq
        shard.say(Sending(seq, r) for seq, r in made.sent if seq > published)
        missing = (u for seq, u in made.upserts if u.lazy and seq > projected)
        shard.lazy.extend(missing, shard.next_seq - 1)
        for stream, held in streams.items():
            if held.decider is not None:
                shard.hold(stream, held)

    async def resume_draining(self, shard: Shard) -> None:
        """Go on with parked streams that a person let go, wherever that was heard."""
        for stream in [each for each in shard.parked if each not in shard.draining]:
            first = await self._store.parked(stream, 1)
            what = parking.goes_on(first[0]) if first else None
            if what is not None and stream in shard.parked:
                shard.draining[stream] = what
                self._lane_of(shard.id).poke.set()

    def _hand_over(self, shard: Shard) -> Callable[[Sending], bool] | None:
        """Return what a shard's new messages are offered to before they go to Kafka."""
        take = self._ground.hand_over
        if take is None:
            return None

        def offer(message: Sending) -> bool:
            def answer(record: Record) -> None:
                shard.answers.append(Answer(message, record))
                self._lane_of(shard.id).poke.set()

            offered = message.record.topic in self.service.handed
            return offered and take(message.record, answer)

        return offer

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
        if any(self.failures.get(s, 0) >= CLAIM_FAILURES_MAX for s in shards):
            self.failures.clear()
            await self._rejoin()
            return
        await asyncio.sleep(CLAIM_BACK_OFF_S[0])
        await self._claim(shards)

    async def _rejoin(self) -> None:
        """Leave and join as a new member: two owners that fence each other must end."""
        log.warning("rejoining", service=self.service.name)
        for topic in list(self._members):
            await self._part(topic)
            own = {s for s in self._wanted if self._topic_of(s) == topic}
            self._wanted -= own
            await self._release(list(own))
            await self._patiently(lambda topic=topic: self._join(topic))

    def _topic_of(self, shard: str) -> str:
        kind = shard.rpartition("/")[0]
        return self.service.commands_topic if not kind else self._topics[kind][0]

    def _drop(self, shard: Shard) -> None:
        """Write, publish and read a shard no more, at once."""
        shard.lost = True
        self._catching.forget(shard.id)
        self._by_place = {p: s for p, s in self._by_place.items() if s is not shard}
        self._bus.read(dict.fromkeys(self._by_place, 0))  # these go on where they are
        self.shards.pop(shard.id, None)
        lane = self._lane_of(shard.id)
        lane.shards.pop(shard.id, None)
        lane.forget(shard.id)

    def _stop_shard(self, shard: Shard, why: str) -> None:
        """Own a shard no more until a newer version is started; it says so in `/readyz`."""
        log.error("shard_stopped", shard=shard.id, reason=why)
        self.stopped[shard.id] = why
        self._drop(shard)

    async def _release(self, shards: Sequence[str]) -> None:
        """Give shards back: finish the batch, publish, write the marks, forget."""
        held = [self.shards[s] for s in shards if s in self.shards]
        shares = [(lane, [s for s in held if s.id in lane.shards]) for lane in self.lanes]
        await asyncio.gather(*(self._finish(lane, mine) for lane, mine in shares if mine))
        for shard in held:
            if self.shards.get(shard.id) is shard:
                self._drop(shard)

    async def _finish(self, lane: Lane, shards: Sequence[Shard]) -> None:
        """Bring shards of a lane to an end, in bounded time: the next owner does the rest."""
        fault.point("before_release")
        try:
            async with asyncio.timeout(FINISH_S):
                async with lane.turn:
                    for shard in shards:
                        lane.shards.pop(shard.id, None)
                        shard.take_back()
                self.publisher.nudge()
                await self.publisher.drained(shards, DRAIN_S)
                async with lane.turn:
                    await flush(self._store, shards, last=True)
            fault.point("after_release")
        except (TimeoutError, Fenced, Unanswered, Unreachable) as error:
            log.warning("shards_not_finished", shards=[s.id for s in shards], error=repr(error))
        else:
            self._retired.update({s.id: (s.epoch, s.streams) for s in shards if not s.lost})
        finally:
            for shard in shards:
                if not shard.lost:
                    self._drop(shard)

    async def _positions(self, shard: Shard) -> Mapping[TopicPartition, int]:
        """Return where to read each topic of a shard: behind its marks, or from the beginning."""
        kind, _, last = shard.id.rpartition("/")
        topics = self._topics[kind] + (self.service.pausable if not kind else ())
        places = [(topic, int(last)) for topic in topics]
        unknown = [place for place in places if place not in shard.consumed]
        begins: Mapping[TopicPartition, tuple[int, int]] = {}
        if unknown:
            begins = await self._bus.bounds(unknown)
        return {p: shard.consumed[p] if p in shard.consumed else begins[p][0] for p in places}

    # Reading --------------------------------------------------------------------------

    async def _pump(self) -> None:
        """Bring records from the bus to their shards."""
        paused = False
        while True:
            now = self.pressure = pressure(self.shards.values(), self._limits)
            if now.behind != paused:
                paused = now.behind
                starts = (*self.service.pausable, *self.service.foreign)
                self._bus.pause(starts if paused else ())
            if self._catching.shards:
                self._catch_up()
            if now.full:
                await asyncio.sleep(0.01)
                continue
            try:
                records = await self._bus.fetch(FETCH_MAX, 0.5)
            except Unreachable as error:
                log.warning("bus_unreachable", error=str(error))
                await asyncio.sleep(1.0)
                continue
            self._distribute(records)

    def _catch_up(self) -> None:
        """Let restored shards read what is next for them; see catching.py."""
        for shard, places in self._catching.gone_on():
            self._by_place = {p: s for p, s in self._by_place.items() if s is not shard}
            self._bus.read(dict.fromkeys(self._by_place, 0))  # a place read twice begins anew
            self._by_place.update(dict.fromkeys(places, shard))
            self._bus.read({**dict.fromkeys(self._by_place, 0), **places})

    def _distribute(self, records: Sequence[Record]) -> None:
        for record in records:
            shard = self._by_place.get((record.topic, record.partition))
            if shard is None or shard.lost:
                continue
            if self._catching.shards and self._catching.peeks(record, shard):
                self._lane_of(shard.id).poke.set()
                continue
            pausable = record.topic in self.service.pausable
            (shard.waiting if pausable else shard.inbox).append(record)
            lane = self._lane_of(shard.id)
            if self._patient and codec.header(record.headers, "ce_type") in self._patient:
                lane.poke.set_soon()
            else:
                lane.poke.set()
