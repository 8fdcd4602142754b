"""When the state of a stream is written down: folding it again begins there."""

from collections.abc import Iterable

import structlog

from perdure_common.shell import codec
from perdure_common.shell.part import Part
from perdure_common.shell.ports import Snapshot

SNAPSHOT_EVERY = 200
"""Events of one stream after which its state is written down again."""

log = structlog.get_logger(__name__)


def write_snapshots(parts: Iterable[Part]) -> None:
    """Write down the states that have grown by `SNAPSHOT_EVERY` events."""
    for part in parts:
        for stream in part.touched:
            held = part.shard.streams.get(stream)
            if held is None or held.decider is None:
                continue
            if held.version - held.snapshot_version >= SNAPSHOT_EVERY:
                try:
                    text = codec.encode_frame(held.decider.name, held.tenant_id, held.state)
                except Exception:  # the journal has everything that the state is made of
                    log.exception("snapshot_not_written", stream=stream)
                    continue
                version = held.decider.state_version
                part.commit.snapshots.append(Snapshot(stream, held.version, version, text))
                held.snapshot_version = held.version
