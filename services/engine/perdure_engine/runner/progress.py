"""What goes on inside a long attempt, told to those who watch; nobody waits for it.

Nothing of this is journalled, and what cannot be sent is dropped: who missed it sees the result.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound, Unreachable
from perdure_contracts.message import NAMES
from perdure_contracts.progress import AgentProgressed

TOPIC = "perdure.engine.progress.v1"
WAITING_MAX = 1_000
"""What may wait to be sent; the oldest is dropped beyond it."""

PACE_S = 0.1
"""Between two sends: text comes in pieces of a few characters."""

log = structlog.get_logger(__name__)


class Progress(Protocol):
    """Where an agent tells what it does; never waits, never fails."""

    def tell(self, tenant_id: str, told: AgentProgressed) -> None:
        """Take what is to be told."""
        ...


class Silent:
    """Nobody watches."""

    def tell(self, tenant_id: str, told: AgentProgressed) -> None:
        """See `Progress.tell`."""


class Telling:
    """Sends progress to its topic, several at a time."""

    def __init__(
        self,
        send: Callable[[Sequence[Outbound]], Awaitable[Sequence[BaseException | None]]],
        partitions: int,
    ) -> None:
        self._send = send
        self._partitions = partitions
        self._waiting: list[Outbound] = []
        self._there = asyncio.Event()
        self.dropped = 0
        self.sent = 0

    def tell(self, tenant_id: str, told: AgentProgressed) -> None:
        """See `Progress.tell`."""
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", f"{told.token}/{told.item}/{told.n}".encode()),
            ("ce_source", b"/runner"),
            ("ce_type", NAMES[AgentProgressed].encode()),
            ("ce_subject", told.execution_id.encode()),
            ("ce_tenantid", tenant_id.encode()),
            ("content-type", b"application/json"),
        )
        body = codec.encode_body(told)
        partition = partition_of(told.execution_id, self._partitions)
        if len(self._waiting) >= WAITING_MAX:
            del self._waiting[0]
            self.dropped += 1
        self._waiting.append(Outbound(TOPIC, partition, body, told.execution_id.encode(), headers))
        self._there.set()

    async def run(self) -> None:
        """Send what comes, until cancelled."""
        while True:
            await self._there.wait()
            self._there.clear()
            waiting, self._waiting = self._waiting, []
            try:
                results = await self._send(waiting)
            except Unreachable as error:
                log.info("progress_not_sent", error=str(error))
                results = [error] * len(waiting)
            failed = sum(result is not None for result in results)
            self.dropped += failed
            self.sent += len(waiting) - failed
            await asyncio.sleep(PACE_S)
