"""Lets any program publish trigger events in a few lines: `pip install perdure-contracts[publish]`.

    from perdure_contracts.publish import publish

    publish("localhost:9092", "com.example.order.created", "order-7", {"total": 12})

Many events go through one `Publisher`:

    async with Publisher("localhost:9092", source="/shop") as events:
        await events.publish("com.example.order.created", "order-7", {"total": 12})
"""

import asyncio
import json
import uuid
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from .cloudevents import CloudEvent, encode
from .topology import BY_NAME, physical

TRIGGERS = BY_NAME["perdure.triggers.v1"].name
SOURCE = "/perdure-contracts/publish"
TIMEOUT_S = 30.0
"""How long one event may take to be acknowledged."""


class PublishError(RuntimeError):
    """An event was not published. Publish it again with the same id: ids count once.

    `id` is the event's.
    """

    def __init__(self, message: str, id: str = "") -> None:
        super().__init__(message)
        self.id = id


def make_event(
    type: str, subject: str, data: Any, *, id: str | None = None, source: str = SOURCE
) -> CloudEvent:
    """Return the event: `data` is JSON, or bytes that are sent as they are.

    Raises:
        ValueError: `data` is no JSON value, or `type`, `source` or `id` is empty.
    """
    if not type or not source or id == "":
        raise ValueError("type, source and id of an event must not be empty; give them a value")
    binary = isinstance(data, bytes)
    body = data if binary else json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    return CloudEvent(
        id=id or str(uuid.uuid4()),
        source=source,
        type=type,
        subject=subject or None,
        time=datetime.now(UTC).isoformat(),
        datacontenttype="application/octet-stream" if binary else "application/json",
        data=body,
    )


class Publisher:
    """Publishes events from one program; an async context manager.

    `topic_prefix` is the installation's (`PERDURE_TOPIC_PREFIX`).
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        source: str = SOURCE,
        topic: str = TRIGGERS,
        topic_prefix: str = "perdure",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._bootstrap = bootstrap
        self._source = source
        self._topic = physical(topic, topic_prefix)
        self._timeout_s = timeout_s
        self._producer: Any = None

    async def __aenter__(self) -> "Publisher":
        """Connect.

        Raises:
            ImportError: The extra `publish` is not installed.
            PublishError: No broker answers.
        """
        try:
            from aiokafka import AIOKafkaProducer
        except ImportError as error:
            raise ImportError(
                "publishing needs aiokafka; run: pip install perdure-contracts[publish]"
            ) from error
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.start()
        except BaseException as error:
            await self._producer.stop()
            if isinstance(error, Exception):
                raise PublishError(
                    f"no answer from Kafka at {self._bootstrap}: {error!r}"
                ) from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect."""
        await self._producer.stop()

    async def publish(self, type: str, subject: str, data: Any, *, id: str | None = None) -> str:
        """Publish one event, wait until it is safely written, and return its id.

        Events with one `subject` keep their order.

        Raises:
            ValueError: See `make_event`.
            PublishError: It was not acknowledged in time; whether it was written is unknown.
        """
        event = make_event(type, subject, data, id=id, source=self._source)
        headers, value = encode(event)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._producer.send_and_wait(
                    self._topic,
                    value,
                    key=subject.encode() or None,
                    headers=list(headers),
                )
        except Exception as error:
            raise PublishError(
                f"event {event.id} was not acknowledged ({error!r}); publish it again with this id",
                event.id,
            ) from error
        return event.id


def publish(
    bootstrap: str,
    type: str,
    subject: str,
    data: Any,
    *,
    id: str | None = None,
    source: str = SOURCE,
    topic: str = TRIGGERS,
    topic_prefix: str = "perdure",
) -> str:
    """Publish one event from a program without an event loop, and return its id.

    Raises:
        ImportError, ValueError, PublishError: See `Publisher`.
    """

    async def once() -> str:
        there = Publisher(bootstrap, source=source, topic=topic, topic_prefix=topic_prefix)
        async with there as publisher:
            return await publisher.publish(type, subject, data, id=id)

    return asyncio.run(once())
