"""Lets any program hear what perdure tells: `pip install perdure-contracts[subscribe]`.

    from faststream.kafka import KafkaBroker
    from perdure_contracts.engine import ExecutionCompleted
    from perdure_contracts.subscribe import Told, hears

    broker = KafkaBroker("localhost:9092", apply_types=False)

    @hears(broker, ExecutionCompleted, group_id="billing")
    async def bill(told: Told) -> None:
        print(told.message.execution_id)

It is a subscriber of FastStream like any other: FastStream's tests in memory, its middlewares and
its command line work with it. It keeps no state: each event comes at least once.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from .cloudevents import CloudEvent, decode
from .message import NAMES, TYPES
from .topology import physical, topic_of

if TYPE_CHECKING:
    from faststream import AckPolicy
    from faststream.kafka import KafkaBroker

Handler = Callable[["Told"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it was told: the message, and what travelled around it."""

    message: Any
    event: CloudEvent


def hears(
    broker: "KafkaBroker",
    *kinds: type,
    group_id: str,
    topic_prefix: str = "perdure",
    ack_policy: "AckPolicy | None" = None,
) -> Callable[[Handler], Handler]:
    """Return a decorator: the function hears events of these kinds, all of one service.

    Others on the topic are passed over. By default an event counts as heard when the function
    returns or fails, and the failure is logged: one that cannot be dealt with does not come
    again for ever.

    Raises:
        ValueError: No kinds are given, or they are told on several topics.
    """
    from faststream import AckPolicy

    names = {NAMES[kind] for kind in kinds}
    topics = {topic_of(name, name.partition(".")[0]) for name in names}
    if len(topics) != 1:
        raise ValueError(
            f"one subscriber hears the events of one service, not of {len(topics)} topics; "
            "make one for each"
        )
    subscriber: Any = broker.subscriber(
        physical(topics.pop(), topic_prefix),
        group_id=group_id,
        auto_offset_reset="earliest",
        ack_policy=ack_policy or AckPolicy.ACK,
        decoder=_decoded,
    )

    def is_ours(message: Any) -> bool:
        return message.headers.get("ce_type") in names

    def register(handler: Handler) -> Handler:
        subscriber(handler, filter=is_ours)
        subscriber(_pass_over)
        return handler

    return register


async def _decoded(message: Any) -> Told | None:
    """Return what a record says; None for kinds that this version does not know."""
    raw = message.raw_message
    # FastStream's broker in memory adds an empty content-type, which no event has.
    event = decode([pair for pair in raw.headers if pair != ("content-type", b"")], raw.value)
    kind = TYPES.get(event.type)
    if kind is None:
        return None
    return Told(msgspec.json.decode(event.data, type=kind), event)


async def _pass_over(told: Told | None) -> None:
    """Hear an event of another kind, and do nothing."""
    del told
