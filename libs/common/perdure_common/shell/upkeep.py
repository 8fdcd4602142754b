"""What an owner does once a second: flush, see who owns what, ask for what is missing.

An idle source also repeats the last number it has sent to each place, once a minute, so
that a lost last record is missed by whoever should have had it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import structlog
from perdure_contracts.shell import Resend, Tail

from perdure_common import fault
from perdure_common.service import Service
from perdure_common.shell import codec, remake
from perdure_common.shell.flush import flush
from perdure_common.shell.intake import Registry
from perdure_common.shell.lane import Lane
from perdure_common.shell.part import Seers
from perdure_common.shell.ports import (
    Bus,
    Fenced,
    HandOver,
    Headers,
    Outbound,
    Store,
    Unanswered,
    Unreachable,
)
from perdure_common.shell.pressure import MEMORY_MB
from perdure_common.shell.publisher import Publisher
from perdure_common.shell.shard import Shard

TICK_S = 1.0
TAIL_EVERY_S = 60.0

FLUSHES = 4
"""Into how many parts the flush of a second is divided: a lane takes no batch while it flushes."""

RESEND_MAX = 2_000
"""Records that are sent again for one request; the receiver asks for the rest."""

EXTRA_MAX = 100
"""Records beside the journal's that may wait to leave when a request is answered."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Ground:
    """What an owner stands on, given by `main()` or a test."""

    store: Store
    bus: Bus
    now: Callable[[], datetime]
    name: str
    tenant_id: str
    partitions: int
    lanes: int = 2
    hand_over: HandOver | None = None
    memory_mb: int = MEMORY_MB
    seers: Seers = field(default_factory=dict[type, Callable[[Any], None]])


class Shards(Protocol):
    """What upkeep needs of an owner."""

    service: Service
    publisher: Publisher
    lanes: list[Lane]
    shards: dict[str, Shard]
    failures: dict[str, int]

    async def resume_draining(self, shard: Shard) -> None:
        """Take up the parked streams that a person let go."""
        ...

    def lose(self, shards: Sequence[Shard], why: str) -> None:
        """Drop shards that are ours no more."""
        ...


class Upkeep:
    """The slow rhythm of an owner."""

    def __init__(self, owner: Shards, ground: Ground, registry: Registry) -> None:
        self._owner = owner
        self._ground = ground
        self._store = ground.store
        self._registry = registry
        self._there: set[str] = set()
        self._resending: set[tuple[str, str, int]] = set()

    async def run(self) -> None:
        """Tick until cancelled."""
        since_tail_s = 0.0
        while True:
            for part in range(FLUSHES):
                await asyncio.sleep(TICK_S / FLUSHES)
                for lane in self._owner.lanes:
                    await self._flush(lane, part)
            since_tail_s += TICK_S
            try:
                await self._compare_epochs()
            except Unreachable as error:
                log.warning("store_unreachable", error=str(error))
            fault.point("after_upkeep")
            await self._see_who_was_let_go()
            await self._ask_for_gaps()
            if since_tail_s >= TAIL_EVERY_S:
                since_tail_s = 0.0
                self._say_tails()

    async def _flush(self, lane: Lane, part: int) -> None:
        """Flush the shards of a lane whose turn it is in this part of a second."""
        async with lane.turn:
            shards = [lane.shards[name] for name in sorted(lane.shards)[part::FLUSHES]]
            try:
                lane.stats.rows_refused += await flush(self._store, shards)
            except Fenced as fenced:
                self._owner.lose([s for s in shards if s.id in fenced.shards], "fenced")
            except Unanswered as error:
                self._owner.lose(shards, f"unanswered flush: {error}")
            except Unreachable as error:
                log.warning("store_unreachable", error=str(error))

    async def _compare_epochs(self) -> None:
        shards = dict(self._owner.shards)
        if not shards:
            return
        epochs = await self._store.epochs(list(shards))
        stale = [s for s in shards.values() if epochs.get(s.id) != s.epoch and not s.lost]
        if stale:
            self._owner.lose(stale, "claimed by another owner")
        else:
            self._owner.failures.clear()

    async def _see_who_was_let_go(self) -> None:
        """Take up streams that were let go through another shard: those of foreign topics."""
        for shard in [s for s in self._owner.shards.values() if s.parked and "/" in s.id]:
            try:
                await self._owner.resume_draining(shard)
            except Unreachable as error:
                log.warning("store_unreachable", error=str(error))

    async def _ask_for_gaps(self) -> None:
        """Ask the sources of open gaps to send again what is missing."""
        for shard in list(self._owner.shards.values()):
            if shard.extra:
                continue  # what was asked before has not left yet
            for (topic, partition, source), heard in list(shard.heard.items()):
                who = codec.parse_source(source) if heard.gap else None
                if who is None or not await self._is_there(who[0]):
                    continue
                service, origin = who
                message = Resend(shard=origin, topic=topic, partition=partition, after=heard.seq)
                place = int(origin.rpartition("/")[2]) % self._ground.partitions
                self._say(shard, f"perdure.{service}.commands.v1", place, message)

    async def _is_there(self, service: str) -> bool:
        """Return whether a service can be asked; a name in a message may be anybody's."""
        if service not in self._there:
            try:
                await self._ground.bus.partitions(f"perdure.{service}.commands.v1")
            except LookupError:
                return False
            except Unreachable as error:
                log.warning("bus_unreachable", error=str(error))
                return False
            self._there.add(service)
        return True

    def _say_tails(self) -> None:
        for shard in self._owner.shards.values():
            if shard.unsent or shard.extra:
                continue
            for (topic, partition), last in shard.sent.items():
                self._say(shard, topic, partition, Tail(last=last))

    def _say(self, shard: Shard, topic: str, partition: int, message: object) -> None:
        """Send a word to another shell. Its id need not be unique: it changes nothing twice."""
        unique = f"{self._owner.service.name}/{shard.id}/{type(message).__name__.lower()}"
        record = codec.control(
            self._owner.service.name, shard.id, topic, partition, message, unique
        )
        shard.extra.append(record)
        self._owner.publisher.nudge()

    async def resend(self, message: Resend) -> None:
        """Send again what a shard has said to one place above a number.

        Any process of the service may do it: the journal says what was said.
        """
        shard = next(iter(self._owner.shards.values()), None)
        what = (message.shard, message.topic, message.partition)
        # Not while much is on its way already; the receiver asks again. A word or two do not
        # count: a shard that asks itself is heard before its question is acknowledged.
        if shard is None or len(shard.extra) > EXTRA_MAX or what in self._resending:
            return
        self._resending.add(what)
        fault.point("before_resend")
        try:
            again = await self._said(message)
        except Unreachable as error:
            log.warning("resend_failed", error=str(error))
        except Exception:
            log.exception("resend_failed", shard=message.shard)
        else:
            log.info("resend", shard=message.shard, place=what[1:], records=len(again))
            shard.extra.extend(again)
            self._owner.publisher.nudge()
        finally:
            self._resending.discard(what)

    async def _said(self, message: Resend) -> list[Outbound]:
        place, after = (message.topic, message.partition), message.after

        def wanted(record: Outbound) -> bool:
            return (record.topic, record.partition) == place and _number(record.headers) > after

        return await remake.said(
            self._registry,
            self._store,
            message.shard,
            max(0, (after >> codec.FAN_OUT_BITS) - 1),
            self._ground.partitions,
            wanted,
            RESEND_MAX,
        )


def _number(headers: Headers) -> int:
    found = codec.header(headers, "ce_id")
    return (codec.parse_number(found.decode()) or 0) if found is not None else 0
