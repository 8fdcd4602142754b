"""Every topic of perdure as data: what is on it, in which order, for how long.

Internal topics have N partitions, the same N everywhere, fixed at installation; a message
goes to the partition crc32(routing key) mod N, where the routing key is the part of its
stream's id before the first `/`. `schemas/topology.json` is made from this module.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

DAY_S = 24 * 3600

RETENTION_S = 7 * DAY_S
"""How long a record stays; the journals keep what was sent at least as long."""

DEAD_LETTER_RETENTION_S = 30 * DAY_S
"""How long a dead letter stays on its topic; recovery keeps it in a table as well."""

BYTES_MAX = 1024 * 1024
"""The largest batch of records that a topic takes (`max.message.bytes`)."""

DEAD_LETTER_BYTES_MAX = 2 * BYTES_MAX
"""A dead letter holds another record, in base64, and the reason."""

TRIGGER_PARTITIONS = 8
"""The partitions of `perdure.triggers.v1` when perdure creates it; any number is fine."""

FIRST_WORD = "perdure"
SERVICES = ("engine", "recovery", "scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic. `partitions` is None where it is N; `order` says what keeps its order."""

    name: str
    owner: str
    about: str
    key: str
    order: str
    partitions: int | None = None
    retention_s: int = RETENTION_S
    bytes_max: int = BYTES_MAX
    dead_letters: bool = True

    @property
    def internal(self) -> bool:
        """Whether only perdure writes to it, so that it must have N partitions."""
        return self.partitions is None


def _of_service(service: str) -> tuple[Topic, Topic]:
    return (
        Topic(
            name=f"perdure.{service}.commands.v1",
            owner=service,
            about=f"what {service} is asked to do; its partitions decide who owns which shard",
            key="the stream's routing key",
            order="per stream; messages of one source follow each other by x-prev",
        ),
        Topic(
            name=f"perdure.{service}.events.v1",
            owner=service,
            about=f"what {service} tells after it was committed",
            key="the stream's routing key",
            order="per stream, in the order of the journal",
        ),
    )


_FOLLOWING = (
    Topic(
        name="perdure.hil.commands.v1",
        owner="hil",
        about="what people are asked; read by the service hil, which is not part of this version",
        key="the interaction",
        order="per stream; messages of one source follow each other by x-prev",
    ),
    Topic(
        name="perdure.memory.commands.v1",
        owner="memory",
        about="what memory is asked; read by the service memory, which is not part of this version",
        key="the request",
        order="per stream; messages of one source follow each other by x-prev",
    ),
)
"""The topics of services that follow: what is asked of them meanwhile waits there."""

_OWN = (
    Topic(
        name="perdure.engine.starts.v1",
        owner="engine",
        about="executions to start; apart, so that they can wait while results go on",
        key="the execution",
        order="none that matters: each record begins a stream",
    ),
    Topic(
        name="perdure.engine.tasks.v1",
        owner="engine",
        about="attempts of nodes, for the runners",
        key="the execution",
        order="none that matters: answers settle by token",
    ),
    Topic(
        name="perdure.engine.progress.v1",
        owner="engine",
        about="what agents do meanwhile, for those who watch; it may be lost",
        key="the execution",
        order="per attempt",
        retention_s=3_600,
        dead_letters=False,
    ),
    Topic(
        name="perdure.engine.failures.v1",
        owner="engine",
        about="the events of executions in which something failed, once more, for recovery",
        key="the execution",
        order="per stream, in the order of the journal",
    ),
    Topic(
        name="perdure.engine.calls.v1",
        owner="engine",
        about="what became of the runners' calls, for the breakers of recovery; it may be lost",
        key="the breaker",
        order="per runner and breaker",
        retention_s=3_600,
    ),
    Topic(
        name="perdure.recovery.breakers.v1",
        owner="recovery",
        about="how circuit breakers stand, once more, for those who make calls",
        key="the breaker",
        order="per stream, in the order of the journal",
        dead_letters=False,
    ),
    Topic(
        name="perdure.triggers.v1",
        owner="scheduler",
        about="trigger events from outside; CloudEvents in binary or structured mode",
        key="any, or none",
        order="per partition, as the sender chose",
        partitions=TRIGGER_PARTITIONS,
    ),
)


def _dead_letters_of(topic: Topic) -> Topic:
    return replace(
        topic,
        name=f"{topic.name}.dlt",
        owner="recovery",
        about=f"records of {topic.name} that could not be applied, each in a dead-lettered event",
        key="the stream that waits, or where the record was",
        order="per stream",
        partitions=None,
        retention_s=DEAD_LETTER_RETENTION_S,
        bytes_max=DEAD_LETTER_BYTES_MAX,
        dead_letters=False,
    )


_SOURCES = (*(topic for service in SERVICES for topic in _of_service(service)), *_OWN, *_FOLLOWING)

TOPICS: tuple[Topic, ...] = tuple(
    sorted(
        (*_SOURCES, *(_dead_letters_of(topic) for topic in _SOURCES if topic.dead_letters)),
        key=lambda topic: topic.name,
    )
)
"""Every topic, dead letters included, by name."""

BY_NAME = {topic.name: topic for topic in TOPICS}


def physical(name: str, prefix: str = FIRST_WORD) -> str:
    """Return the name that a topic or group has in Kafka: `prefix` for the first word.

    Names that do not begin with `perdure.` are others' and stay as they are.
    """
    first, dot, rest = name.partition(".")
    return f"{prefix}.{rest}" if dot and first == FIRST_WORD else name


COMMANDS = frozenset(
    {
        "engine.node-result.v1",
        "engine.recovery-verdict.v1",
        "shell.resend.v1",
        "shell.tail.v1",
        "shell.unpark.v1",
    }
)
"""Messages to a commands topic whose names do not begin with a verb."""

VERBS = frozenset(
    {
        "cancel",
        "purge",
        "copy",
        "rollback",
        "settle",
        "request",
        "signal",
        "register",
        "forget",
        "offer",
        "deploy",
        "edit",
        "examine",
        "note",
        "receive",
        "release",
        "retire",
        "return",
        "delete",
        "set",
        "update",
        "retry",
        "save",
        "start",
        "stop",
        "undeploy",
        "keep",
        "teach",
        "pause",
        "resume",
        "complete",
        "claim",
        "renew",
        "redrive",
        "ask",
        "answer",
        "close",
        "open",
        "expire",
        "mark",
        "rerun",
        "adopt",
        "serve",
        "backfill",
        "count",
        "join",
        "leave",
    }
)
"""The verbs that commands begin with; a new one is added here."""

ELSEWHERE = {
    "engine.start-execution.v1": "perdure.engine.starts.v1",
    "engine.node-task.v1": "perdure.engine.tasks.v1",
    "engine.agent-progressed.v1": "perdure.engine.progress.v1",
    "engine.dependency-calls.v1": "perdure.engine.calls.v1",
}
"""Messages that have a topic of their own."""


ALSO = {
    name: "perdure.engine.failures.v1"
    for name in (
        "engine.node-failed.v1",
        "engine.node-recovered.v1",
        "engine.node-errored.v1",
        "engine.execution-failed.v1",
        "engine.execution-completed.v1",
        "engine.execution-canceled.v1",
    )
} | {"recovery.breaker-turned.v1": "perdure.recovery.breakers.v1"}
"""Messages that are told on a second topic as well; two of the engine's only after a failure."""


def topic_of(message: str, service: str) -> str:
    """Return the topic on which a message called `message` reaches or leaves `service`.

    Raises:
        LookupError: It cannot be told whether it asks or tells.
    """
    if message in ELSEWHERE:
        return ELSEWHERE[message]
    if message == "shell.dead-lettered.v1":
        return f"perdure.{service}.commands.v1.dlt"
    words = message.split(".")[1].split("-")
    if message in COMMANDS or words[0] in VERBS:
        return f"perdure.{service}.commands.v1"
    if words[-1].endswith("ed") or words[-1] in PARTICIPLES:
        return f"perdure.{service}.events.v1"
    raise LookupError(
        f"{message} is neither a command (an imperative) nor an event (in the past tense); "
        "rename it, or add its word to VERBS, PARTICIPLES or COMMANDS in topology.py"
    )


PARTICIPLES = frozenset(
    {
        "due",
        "spent",
        "begun",
        "chosen",
        "forgotten",
        "found",
        "given",
        "held",
        "kept",
        "left",
        "lost",
        "made",
        "met",
        "seen",
        "sent",
        "set",
        "taken",
        "taught",
        "told",
        "written",
    }
)
"""How events end that do not end in `ed`."""


def as_json() -> dict[str, Any]:
    """Return the topology as a JSON object."""
    return {
        "partitions": "null means N, the same for all internal topics, fixed at installation",
        "partitioner": "crc32(routing key) mod N; the routing key is the key up to the first '/'",
        "cleanup_policy": "delete",
        "topics": [asdict(topic) for topic in TOPICS],
    }
