"""Streams that wait for a person: their messages queue behind the one that is poison.

Messages have numbers from 1 behind their stream. That a person let the stream go is kept
beside them, under `GOING` or `DROPPING`, so that a crash does not forget it.
"""

import structlog
from perdure_contracts.shell import StreamUnparked

from perdure_common.decider import Rejected
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.fold import Batch
from perdure_common.shell.intake import Taken
from perdure_common.shell.part import Part
from perdure_common.shell.ports import ParkedMessage, Record, Store
from perdure_common.shell.shard import DROPPING, GOING, Held, Shard

log = structlog.get_logger(__name__)


def is_parked(part: Part, taken: Taken) -> bool:
    """Return whether a message has to queue behind its stream."""
    if taken.stream in part.shard.parked or taken.stream in part.parked:
        passes = taken.decider.passes if taken.decider is not None else ()
        return not isinstance(taken.command, passes)
    return False


def park(batch: Batch, part: Part, taken: Taken, poisoned: Rejected | None = None) -> None:
    """Put a message behind its parked stream; the first one, `poisoned`, parks it.

    An outsider's message is settled by that: when it comes again it is a duplicate.
    """
    stream = taken.stream
    n = 1 + part.parked.get(stream, part.shard.parked.get(stream, 0))
    part.parked[stream] = n
    part.commit.parked.append(ParkedMessage(stream, n, codec.pack_record(taken.record)))
    if taken.outsider is not None:
        batch.deliver(part, taken, {"stream": stream, "parked": n})
    if poisoned is not None:
        batch.bury(part, taken, poisoned, stream)


async def look(store: Store, service: Service, shard: Shard, taken: Taken) -> None:
    """Find out what is first behind a stream to be let go, and if a foreign topic's shard has it.

    Raises:
        Unreachable: The store is away.
    """
    parked_here = taken.stream in shard.parked
    if not parked_here and not service.foreign:
        return
    found = await store.parked(taken.stream, 3)  # two marks may stand before the messages
    taken.first = next((_place(message) for message in found if message.n > GOING), None)
    taken.elsewhere = not parked_here and bool(found) and found[0].n > GOING


def goes_on(first: ParkedMessage) -> str | None:
    """Return what becomes of the first message behind a stream that nobody drains, if it goes on.

    A dead letter that could not be kept has no letter of its own, so that nobody can let its
    stream go: whoever takes the shard over, with the mistake mended perhaps, tries it again.
    """
    if first.n <= GOING:
        return "drop" if first.n == DROPPING else "retry"
    record: Record = codec.unpack_record(first.raw)
    return "retry" if record.topic.endswith(codec.DEAD_LETTERS) else None


def _place(message: ParkedMessage) -> tuple[str, int, int]:
    record: Record = codec.unpack_record(message.raw)
    return (record.topic, record.partition, record.offset)


def _is_meant(part: Part, taken: Taken) -> bool:
    """Return whether the message that is to be let go is the first one still."""
    assert taken.unpark is not None
    mine = (each for each in part.commit.parked if each.stream == taken.stream and each.n > GOING)
    first = taken.first or next(map(_place, mine), None)
    return taken.unpark.of is None or first is None or first == taken.unpark.of


def begin(part: Part, taken: Taken) -> None:
    """Let a parked stream go, as a person asked."""
    assert taken.unpark is not None
    stream = taken.stream
    if not _is_meant(part, taken):
        log.warning("unpark_of_another", stream=stream, meant=taken.unpark.of)
        return
    if taken.elsewhere and not any(each.stream == stream for each in part.commit.parked):
        # Whoever has it finds the mark.
        _mark(part, taken, DROPPING if taken.unpark.action == "drop" else GOING)
    parked = stream in part.shard.parked or stream in part.parked
    if not parked or action(part, stream) is not None:
        return
    part.draining[stream] = "drop" if taken.unpark.action == "drop" else "retry"
    _mark(part, taken, DROPPING if part.draining[stream] == "drop" else GOING)


def action(part: Part, stream: str) -> str | None:
    """Return what becomes of the next message behind a stream; None if it is not let go."""
    if stream in part.draining:
        return part.draining[stream]
    return part.shard.draining.get(stream)


def stop(batch: Batch, part: Part, taken: Taken, poison: Rejected) -> None:
    """Let a stream go no further: its next message is poison, still or by now.

    A dead letter says so, as when it was parked: whoever let it go has settled the one before,
    and it waits for a person again.
    """
    part.draining[taken.stream] = None
    part.commit.unparked.append((taken.stream, GOING))
    batch.bury(part, taken, poison, taken.stream)


def unpark(batch: Batch, part: Part, taken: Taken, held: Held) -> None:
    """Take a message out from behind its stream; the last one ends the parking."""
    stream, done = taken.stream, action(part, taken.stream)
    part.commit.unparked.append((stream, taken.parked))
    if done == "drop":  # one message is dropped, those behind it are not
        part.commit.unparked.append((stream, DROPPING))
        part.draining[stream] = "retry"
        _mark(part, taken, GOING)
    if taken.parked >= part.parked.get(stream, part.shard.parked[stream]):
        part.commit.unparked.append((stream, GOING))
        part.touched.add(stream)
        event = StreamUnparked(stream=stream, action=done or "retry")
        batch.record(part, stream, held, event, "")


def _mark(part: Part, taken: Taken, n: int) -> None:
    raw = codec.pack_record(taken.record)
    part.commit.parked.append(ParkedMessage(taken.stream, n, raw))
