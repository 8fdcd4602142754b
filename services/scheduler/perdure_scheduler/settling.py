"""Tells deployments that wait what became of what their triggers need outside."""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from perdure_common import fault
from perdure_common.ids import partition_of
from perdure_common.shell.codec import encode_body
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.deployments import SettleHook

OURS = "perdure.scheduler.commands.v1"

TELL_AGAIN_S = 5.0
"""How long it is waited until the same is told again to a deployment that still waits."""


@dataclass(frozen=True)
class Waiting:
    """A trigger node of a version that waits."""

    workflow_id: str
    version: int
    node_id: str


class Settling:
    """Sends `SettleHook`s, each once in a while as long as it changes nothing."""

    def __init__(self, bus: Bus, partitions: int, source: str) -> None:
        self._bus = bus
        self._partitions = partitions
        self._source = source
        self._told: dict[tuple[Waiting, bool], float] = {}

    async def settle(self, waiting: Waiting, message: str) -> None:
        """Say that what a trigger needs is there. Raises `Unreachable`."""
        await self._tell(waiting, ok=True, code="", message=message)

    async def fail(self, waiting: Waiting, code: str, message: str) -> None:
        """Say why what a trigger needs is not there. Raises `Unreachable`."""
        await self._tell(waiting, ok=False, code=code, message=message)

    async def _tell(self, waiting: Waiting, *, ok: bool, code: str, message: str) -> None:
        now = asyncio.get_running_loop().time()
        self._told = {key: at for key, at in self._told.items() if at > now}
        if (waiting, ok) in self._told:
            return
        self._told[waiting, ok] = now + TELL_AGAIN_S
        fault.point("before_settle")
        hook = SettleHook(
            workflow_id=waiting.workflow_id,
            version=waiting.version,
            node_id=waiting.node_id,
            ok=ok,
            message=message,
            code=code,
        )
        event = CloudEvent(
            id=str(uuid.uuid4()),
            source=self._source,
            type="scheduler.settle-hook.v1",
            subject=waiting.workflow_id,
            time=datetime.now(UTC).isoformat(),
            datacontenttype="application/json",
            data=encode_body(hook),
        )
        headers, value = encode(event)
        partition = partition_of(waiting.workflow_id, self._partitions)
        record = Outbound(OURS, partition, value, waiting.workflow_id.encode(), headers)
        for error in await self._bus.send([record]):
            if error is not None:
                raise Unreachable(f"Kafka did not take a settled hook: {error!r}")
