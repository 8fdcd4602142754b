"""What a process may hold in memory, and when new starts have to wait in their topic for it.

Everything that grows with the load is counted by what it weighs: records that were read and
not folded, messages that were committed and not acknowledged, streams that are open. What is
above its limit waits where it is safe: records in their topics, streams in the journal.
"""

from collections.abc import Collection
from dataclasses import dataclass

from perdure_common.shell.shard import Shard

MB = 1024 * 1024

MEMORY_MB = 512
"""What everything that is counted here may weigh in one process unless a setting says otherwise."""

FETCH_MAX = 500
"""Records that are fetched at once; so many may come on top of a limit."""

QUEUE_MAX = 20_000
"""Records that may wait in memory before nothing more is fetched."""

WAITING_MAX = 2_000
"""Starts that may wait in memory before their topic pauses."""

UNSENT_MAX = 20_000
"""Unsent messages above which starts pause."""

UNSENT_WEIGHED = 2_000
"""Unsent messages above which it is looked at what they weigh: fewer are the ordinary case."""

UNSENT_BYTES = 1_500
"""What an unsent message takes beside its body: key, headers, the objects."""


@dataclass(frozen=True)
class Limits:
    """The limits of one process, in bytes.

    `queue` is about all records that were read, `waiting` about starts among them, `unsent`
    about messages to be sent, `streams` about the states of open streams.
    """

    queue: int
    waiting: int
    unsent: int
    streams: int

    @classmethod
    def of(cls, memory_mb: int) -> "Limits":
        """Share out what a process may hold."""
        whole = memory_mb * MB
        return cls(whole // 8, whole // 32, whole // 8, whole // 2)


@dataclass(frozen=True)
class Pressure:
    """What stands in memory, and what follows: `full` fetches nothing, `behind` no new starts."""

    records: int
    bytes: int
    behind: bool
    full: bool


def pressure(shards: Collection[Shard], limits: Limits) -> Pressure:
    """Weigh what the shards of a process hold."""
    waiting = sum(len(shard.waiting) for shard in shards)
    waiting_bytes = sum(shard.waiting.bytes for shard in shards)
    records = waiting + sum(len(shard.inbox) for shard in shards)
    queued_bytes = waiting_bytes + sum(shard.inbox.bytes for shard in shards)
    behind = (
        waiting > WAITING_MAX
        or waiting_bytes > limits.waiting
        or _too_much_unsent(shards, limits.unsent)
    )
    full = records > QUEUE_MAX or queued_bytes > limits.queue
    return Pressure(records, queued_bytes, behind, full)


def _too_much_unsent(shards: Collection[Shard], bytes_max: int) -> bool:
    unsent = sum(len(shard.unsent) for shard in shards)
    if unsent <= UNSENT_WEIGHED:
        return False
    bodies = sum(len(each.record.value) for shard in shards for each in shard.unsent)
    return unsent > UNSENT_MAX or bodies + unsent * UNSENT_BYTES > bytes_max
