"""Membership in a consumer group, for nothing but the question who owns which shard.

The consumer never fetches: its partitions are paused, its positions mean nothing. It is
polled so that aiokafka tells what goes wrong in the group.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import (  # pyright: ignore[reportMissingTypeStubs]
    RangePartitionAssignor,
)

from perdure_common.adapters.kafka_clients import RETRY_S, Client, reaching
from perdure_common.adapters.kafka_members import expel_gone, signed
from perdure_common.settings import SESSION_S
from perdure_common.shell.ports import OnChange, Unreachable

HEARTBEAT_S = 0.5
"""A member learns by its heartbeat that the others wait for it to join again."""

HEARTBEATS_LEAST = 6
"""How many of them fit at least into a session: one that is late must not end it."""

REBALANCE_S = 30.0
"""How long a member may take to give its partitions up."""

JOIN_S = 45.0
LEAVE_S = 5.0
ANSWER_S = 10.0
POLL_S = 1.0
FOREVER_MS = 2**31 - 1
"""No limit between two polls: what this member does, it does elsewhere."""

log = structlog.get_logger(__name__)


class Membership(ConsumerRebalanceListener):
    """One member; implements the port `Member`."""

    def __init__(
        self,
        settings: dict[str, Any],
        group: str,
        topic: str,
        assigned: OnChange,
        revoked: OnChange,
        session_s: float = SESSION_S,
    ) -> None:
        self._session_s = session_s
        self._settings: dict[str, Any] = {**settings, "client_id": signed(settings["client_id"])}
        self._group = group
        self._topic = topic
        self._assigned = assigned
        self._revoked = revoked
        self._held: tuple[int, ...] = ()
        self._consumer: Client = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join.

        Raises:
            Unreachable: The group could not be joined within `JOIN_S`.
        """
        await self._join()
        self._task = asyncio.create_task(self._stay())

    async def leave(self) -> None:
        """Give everything up (`revoked` is awaited) and say so to the group."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._give_up()
        await self._part()

    async def committed(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """See `Member.committed`.

        Raises:
            Unreachable: The member is no more, or no broker answers.
        """
        async with reaching(f"offsets of group {self._group} are unknown", ANSWER_S):
            known = await self._here()._coordinator.fetch_committed_offsets(
                [TopicPartition(self._topic, partition) for partition in partitions]
            )
        return {tp.partition: found.offset for tp, found in known.items() if found.offset >= 0}

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """See `Member.commit`."""
        async with reaching(f"offsets of group {self._group} are not committed", ANSWER_S):
            await self._here().commit(
                {TopicPartition(self._topic, p): offset for p, offset in offsets.items()}
            )

    def _here(self) -> Client:
        if self._consumer is None:
            raise Unreachable(f"this member has left group {self._group}")
        return self._consumer

    async def on_partitions_revoked(self, revoked: Sequence[Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Await the owner's callback before the rebalance goes on."""
        del revoked  # always all of them
        await self._give_up()

    async def on_partitions_assigned(self, assigned: Sequence[Any]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Pause the partitions, then tell their numbers."""
        self._consumer.pause(*assigned)
        self._held = tuple(sorted(tp.partition for tp in assigned))
        await self._assigned(self._held)

    async def _give_up(self) -> None:
        if self._held:
            try:
                await self._revoked(self._held)
            except Exception:
                log.exception("group_callback_failed", group=self._group)
            self._held = ()

    async def _join(self) -> None:
        await expel_gone(self._settings["bootstrap_servers"], self._group)
        self._consumer = AIOKafkaConsumer(
            **self._settings,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=int(self._session_s * 1000),
            heartbeat_interval_ms=int(min(HEARTBEAT_S, self._session_s / HEARTBEATS_LEAST) * 1000),
            rebalance_timeout_ms=int(REBALANCE_S * 1000),
            max_poll_interval_ms=FOREVER_MS,
            partition_assignment_strategy=(RangePartitionAssignor,),
        )
        self._consumer.subscribe([self._topic], listener=self)
        try:
            async with reaching(f"group {self._group} cannot be joined", JOIN_S):
                await self._consumer.start()
        except BaseException:
            await self._part()
            raise

    async def _part(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            async with asyncio.timeout(LEAVE_S):
                await consumer.stop()
        except Exception as error:  # the session's end takes the member out as well
            log.warning("group_not_left", group=self._group, error=repr(error))
            await consumer._client.close()

    async def _stay(self) -> None:
        """Poll, and join again as a new member when the membership has broken down."""
        while True:
            try:
                await self._consumer.getmany(timeout_ms=int(POLL_S * 1000))
                continue
            except Exception as error:  # whatever it was, the answer is a new membership
                log.warning("group_starts_again", group=self._group, error=repr(error))
            await self._give_up()
            await self._part()
            while self._consumer is None:
                await asyncio.sleep(RETRY_S)
                try:
                    await self._join()
                except Exception as error:
                    log.warning("group_not_joined", group=self._group, error=repr(error))
