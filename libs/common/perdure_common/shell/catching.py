"""A restored shard reads new starts before it reads what was said about them.

A backup knows nothing of the streams that began after it. Their starts stand in the pausable
topics, their answers and cancels in the commands: read in the ordinary order, those would come
to streams that are not there. So a shard whose tables come from a backup takes three steps:

1. what starts need (`Service.early`, such as definitions) is taken out of the commands, and no
   mark is moved for it;
2. the pausable topics are read up to where they ended when the shard was fenced;
3. everything is read from its mark, as ever: what was taken early is known by its delivery.

The fence says in the journal how far step 2 goes, so a crash begins with step 1 again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from perdure_contracts.message import NAMES
from perdure_contracts.shell import ShardRestored

from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.intake import Intake, NewerType
from perdure_common.shell.ports import Bus, Record, Store, TopicPartition
from perdure_common.shell.shard import Shard

RESTORED_EPOCH = 10**12
"""Epochs above are a fence's, which goes by the clock: nobody claims a shard so often."""

Positions = Mapping[TopicPartition, int]

log = structlog.get_logger(__name__)


@dataclass
class Behind:
    """A shard that catches up. `early` and `starts` are the ends that steps 1 and 2 go to."""

    shard: Shard
    early: dict[TopicPartition, int]
    starts: dict[TopicPartition, int]
    positions: Positions = field(default_factory=dict[TopicPartition, int])
    peeking: bool = True

    def first(self) -> Positions:
        """Return what is to be read now, and from where."""
        places = self.early if self.peeking else self.starts
        return {place: self.positions[place] for place in places}


class Catching:
    """The shards of an owner that catch up."""

    def __init__(self, service: Service, intake: Intake, store: Store, bus: Bus) -> None:
        self._service = service
        self._intake = intake
        self._store = store
        self._bus = bus
        self.shards: dict[str, Behind] = {}

    async def look(self, shards: Iterable[Shard]) -> dict[str, Behind]:
        """Find out which shards come from a backup and have not caught up."""
        restored = [s for s in shards if s.epoch > RESTORED_EPOCH and "/" not in s.id]
        if not restored or not self._service.pausable:
            return {}
        loaded = await self._store.load({f"restore/{s.id}": -1 for s in restored})
        found: dict[str, Behind] = {}
        for shard in restored:
            _, rows = loaded.get(f"restore/{shard.id}", (None, ()))
            until: dict[TopicPartition, int] = {}
            for row in rows:
                if row.type == NAMES[ShardRestored]:
                    event: ShardRestored = codec.event_of(row)
                    until.update({(topic, n): end for topic, n, end in event.until})
            starts = {p: end for p, end in until.items() if shard.consumed.get(p, 0) < end}
            if starts:
                commands = (self._service.commands_topic, int(shard.id))
                ends = await self._bus.bounds([commands])
                found[shard.id] = Behind(shard, {commands: ends[commands][1]}, starts)
        return found

    def begin(self, behind: Behind, positions: Positions) -> Positions:
        """Let a shard catch up; return what it is to read first."""
        behind.positions = positions
        self.shards[behind.shard.id] = behind
        log.info("catching_up", shard=behind.shard.id, starts=sum(behind.starts.values()))
        return behind.first()

    def forget(self, shard: str) -> None:
        """Drop a shard that is ours no more."""
        self.shards.pop(shard, None)

    def peeks(self, record: Record, shard: Shard) -> bool:
        """Take a record of a shard's commands early, if it is one for that; return if it peeks."""
        behind = self.shards.get(shard.id)
        if behind is None or not behind.peeking:
            return False
        place = (record.topic, record.partition)
        if record.offset < behind.early.get(place, 0) and self._is_early(record, shard):
            shard.early.append(record)
        if record.offset + 1 >= behind.early.get(place, 0):
            behind.early.pop(place, None)
        return True

    def _is_early(self, record: Record, shard: Shard) -> bool:
        try:
            taken = self._intake.take(record)
        except NewerType:
            return False
        early = taken.outsider is not None and isinstance(taken.command, self._service.early)
        return early and taken.stream not in shard.parked

    def gone_on(self) -> Sequence[tuple[Shard, Positions]]:
        """Return the shards that take their next step, and what each reads from now on."""
        gone: list[tuple[Shard, Positions]] = []
        for behind in self.shards.values():
            for place, end in list(behind.early.items()):
                if behind.positions[place] >= end:
                    del behind.early[place]
        peeking = [b for b in self.shards.values() if b.peeking]
        if peeking and not any(b.early or b.shard.early for b in peeking):
            # All together: a start may need what another shard was asked for.
            for behind in peeking:
                behind.peeking = False
                gone.append((behind.shard, behind.first()))
        for behind in list(self.shards.values()):
            consumed = behind.shard.consumed
            if not behind.peeking and all(
                consumed.get(place, 0) >= end for place, end in behind.starts.items()
            ):
                del self.shards[behind.shard.id]
                positions = {p: consumed.get(p, at) for p, at in behind.positions.items()}
                gone = [each for each in gone if each[0] is not behind.shard]
                gone.append((behind.shard, positions))
                log.info("caught_up", shard=behind.shard.id)
        return gone
