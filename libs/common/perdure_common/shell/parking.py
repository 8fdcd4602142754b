"""Streams that wait for a person: their messages queue behind the one that is poison.

Messages have numbers from 1 behind their stream. That a person let the stream go is kept
beside them, under `GOING` or `DROPPING`, so that a crash does not forget it.
"""

from perdure_contracts.shell import StreamUnparked

from perdure_common.decider import Rejected
from perdure_common.shell import codec
from perdure_common.shell.fold import Batch
from perdure_common.shell.intake import Taken
from perdure_common.shell.part import Part
from perdure_common.shell.ports import ParkedMessage
from perdure_common.shell.shard import DROPPING, GOING, Held


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


def begin(part: Part, taken: Taken) -> None:
    """Let a parked stream go, as a person asked."""
    assert taken.unpark is not None
    stream = taken.stream
    if taken.elsewhere and not any(each.stream == stream for each in part.commit.parked):
        # Whoever has it finds the mark.
        _mark(part, taken, DROPPING if taken.unpark.action == "drop" else GOING)
    if stream not in part.shard.parked or action(part, stream) is not None:
        return
    part.draining[stream] = "drop" if taken.unpark.action == "drop" else "retry"
    _mark(part, taken, DROPPING if part.draining[stream] == "drop" else GOING)


def action(part: Part, stream: str) -> str | None:
    """Return what becomes of the next message behind a stream; None if it is not let go."""
    if stream in part.draining:
        return part.draining[stream]
    return part.shard.draining.get(stream)


def stop(part: Part, stream: str) -> None:
    """Let a stream go no further: its next message is poison still."""
    part.draining[stream] = None
    part.commit.unparked.append((stream, GOING))


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
