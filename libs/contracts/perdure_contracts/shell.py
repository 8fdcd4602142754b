"""What every service says and hears because of the shell, whatever its domain.

Owner: libs/common. A refusal and a dead letter are events in the journal of the service
that met them, and so is a restore; `resend`, `tail` and `unpark` are for the shell at the
other end and never reach a core.
"""

from .message import message


@message("shell.command-rejected.v1")
class CommandRejected:
    """A command was understood and refused. `code` is for programs, `reason` for people."""

    command_id: str
    command: str
    code: str
    reason: str


NO_SUCH_TOPIC = "no_such_topic"
"""The code of a record that could not be sent: its dead letter cannot lie beside its topic."""


@message("shell.dead-lettered.v1")
class DeadLettered:
    """A record that cannot be applied, with its bytes, for a person to look at.

    `value`, `key` and `headers` are the record's own; bytes travel as base64. `stream` is
    the stream that waits for it, empty when the record names none.
    """

    topic: str
    partition: int
    offset: int
    code: str
    reason: str
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    stream: str = ""
    received_ms: int = 0


@message("shell.stream-unparked.v1")
class StreamUnparked:
    """A person let a parked stream go on; `action` says what became of its first message."""

    stream: str
    action: str


@message("shell.shard-restored.v1")
class ShardRestored:
    """A shard was restored from a backup: its numbers from `first` to `last` are not used (again).

    Numbers here are those of the journal. Messages under such numbers may have been heard; what
    they told is told again, under other numbers. `places` are the topics and partitions that
    hear this. `until` are topics, partitions and offsets: what was there is read before the rest.
    """

    shard: str
    first: int
    last: int
    places: tuple[tuple[str, int], ...] = ()
    until: tuple[tuple[str, int, int], ...] = ()


@message("shell.unpark.v1")
class Unpark:
    """Let a parked stream go on: `retry` its first message, or `drop` it.

    `of` is the topic, partition and offset of the message that is meant: if another one is the
    first by now, nothing happens, for nobody has looked at that one.
    """

    stream: str
    action: str = "retry"
    of: tuple[str, int, int] | None = None


@message("shell.resend.v1")
class Resend:
    """Send what `shard` has sent to the topic's partition above the number `after` again."""

    shard: str
    topic: str
    partition: int
    after: int


@message("shell.tail.v1")
class Tail:
    """The last number that an idle source has sent to this topic and partition."""

    last: int
