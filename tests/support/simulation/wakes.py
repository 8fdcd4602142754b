"""What wakes must keep: none fires before everything is read that was there when it fell due."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell.ports import Record, ShardCommit, TopicPartition
from perdure_engine.app import service as ENGINE
from perdure_recovery.app import service as RECOVERY

from simulation.loop import BEGIN

SKEW_S = 1.2
"""The most by which the clocks of two processes differ, and a little."""

_WAKE = '"cause":"wake/'
_TOPICS = {s.name: (s.commands_topic, *s.hears) for s in (ENGINE, RECOVERY)}


class Wakes:
    """The instants at which records came, and the wakes that fire."""

    def __init__(self, breaks: Callable[[str, str], None]) -> None:
        self._breaks = breaks
        self._came: dict[TopicPartition, list[float]] = {}
        self._firing: list[tuple[str, str, datetime]] = []
        self.unreliable: Callable[[TopicPartition], bool] = lambda place: False

    def record(self, record: Record) -> None:
        """See a record come; offsets that come again are left out."""
        came = self._came.setdefault((record.topic, record.partition), [])
        if record.offset == len(came):
            came.append(asyncio.get_running_loop().time())

    def committing(self, store: MemoryStore, batch: Sequence[ShardCommit]) -> None:
        """Remember when the wakes were due that the batch fires."""
        self._firing = [
            (commit.shard, stream, at)
            for commit in batch
            for stream in dict.fromkeys(row.stream for row in commit.rows if _WAKE in row.meta)
            if (at := store.wake_of(commit.shard, stream)) is not None
        ]

    def committed(self, store: MemoryStore) -> None:
        """Check the wakes of the batch that was written."""
        firing, self._firing = self._firing, []
        topics = _TOPICS.get(store.service, ())
        for shard, stream, at in firing:
            due_s = (at - BEGIN).total_seconds() - SKEW_S
            consumed = store.consumed_of(shard)
            for place in ((topic, int(shard)) for topic in topics):
                there = bisect_right(self._came.get(place, ()), due_s)
                if consumed.get(place, 0) < there and not self.unreliable(place):
                    text = f"{store.service} woke {stream}; of {there} records of {place[0]}/"
                    text += f"{place[1]} when it fell due it had read {consumed.get(place, 0)}"
                    self._breaks("wake", text)
