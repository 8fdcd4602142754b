"""When the state of a stream is written down: folding it again begins there."""

from collections.abc import Iterable

import structlog

from perdure_common.shell import codec
from perdure_common.shell.part import Part
from perdure_common.shell.ports import Snapshot

SNAPSHOT_EVERY = 200
"""Events of one stream after which its state is written down again, at the earliest."""

log = structlog.get_logger(__name__)


def is_due(events: int, grown: int, size: int) -> bool:
    """Return whether a state is written again: so many events and bytes after one of `size`."""
    return events >= SNAPSHOT_EVERY and grown >= size


def write_snapshots(parts: Iterable[Part]) -> None:
    """Write down the states that have grown by `SNAPSHOT_EVERY` events and by their own size.

    A large state is written when as many bytes of events have come as it had the last time: so all
    its snapshots together are at most twice what the journal has of it, and folding it again reads
    at most as much of the journal as of the snapshot.
    """
    for part in parts:
        for stream in part.touched:
            held = part.shard.streams.get(stream)
            if held is None or held.decider is None:
                continue
            events, grown = held.version - held.snapshot_version, held.weight - held.snapshot_weight
            if is_due(events, grown, held.snapshot_bytes):
                try:
                    text = codec.encode_frame(
                        held.decider.name, held.tenant_id, held.state, held.trace
                    )
                except Exception:  # the journal has everything that the state is made of
                    log.exception("snapshot_not_written", stream=stream)
                    continue
                version = held.decider.state_version
                part.commit.snapshots.append(Snapshot(stream, held.version, version, text))
                held.snapshot_version = held.version
                held.snapshot_weight, held.snapshot_bytes = held.weight, len(text)
