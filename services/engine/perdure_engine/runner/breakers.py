"""How this process tells recovery of its calls, and hears how breakers stand.

Neither may hold anything up: what cannot be told is dropped with the next report, and a process
that hears nothing calls as if there were no breakers.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

import msgspec
import structlog
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.breaking import LOOK_BACK_S, TOPIC_BREAKERS, TOPIC_CALLS
from perdure_common.ids import partition_of
from perdure_common.settings import Settings
from perdure_common.shell import codec
from perdure_common.shell.ports import Bus, Outbound, Record, TopicPartition, Unreachable
from perdure_contracts.breakers import BreakerTurned, DependencyCalls
from perdure_contracts.message import NAMES

from perdure_engine.runner.dependencies import Dependencies

TELL_S = 5.0
"""Between two reports."""

RECENT = 1_000
"""Records of a partition that are read at the start; older ones are of breakers long over."""

RECORDS_MAX = 500
BACK_OFF_S = 2.0

log = structlog.get_logger(__name__)


class Breakers:
    """Tells and hears for `dependencies`, on a bus of its own.

    The bus must be nobody else's: what it reads is all that it reads.
    """

    def __init__(self, bus: Bus, dependencies: Dependencies, partitions: int) -> None:
        self._bus = bus
        self._dependencies = dependencies
        self._partitions = partitions
        self._soon = asyncio.Event()
        self._n = 0
        dependencies.hurry = self._soon.set

    async def run(self) -> None:
        """Tell and hear until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell())
            group.create_task(self._hear())

    # Telling ----------------------------------------------------------------------------

    async def _tell(self) -> None:
        while True:
            try:
                async with asyncio.timeout(TELL_S):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()
            await self.tell()

    async def tell(self) -> None:
        """Tell what was heard since the last time."""
        records = self._reports()
        if not records:
            return
        try:
            results = await self._bus.send(records)
        except Unreachable as error:
            results = [error] * len(records)
        lost = sum(result is not None for result in results)
        if lost:  # breakers learn from the next ones
            log.info("calls_not_told", count=lost)

    def _reports(self) -> list[Outbound]:
        runner, told_at = self._dependencies.runner, self._dependencies.now().isoformat()
        made: list[Outbound] = []
        for called, heard in self._dependencies.take():
            self._n += 1
            calls = DependencyCalls(
                breaker_id=called.breaker_id,
                dependency=called.dependency,
                runner=runner,
                n=self._n,
                ok=heard.ok,
                failed=heard.failed,
                told_at=told_at,
                in_a_row=heard.in_a_row,
                window_s=TELL_S,
                credential=called.credential,
                probe_at=heard.probe_at,
                probe_ok=heard.probe_ok,
                probe_failed=heard.probe_failed,
            )
            key = called.breaker_id.encode()
            headers = (
                ("ce_specversion", b"1.0"),
                ("ce_id", f"{runner}/{self._n}".encode()),
                ("ce_source", b"/runner"),
                ("ce_type", NAMES[DependencyCalls].encode()),
                ("ce_subject", key),
                ("ce_tenantid", called.tenant_id.encode()),
                ("content-type", b"application/json"),
            )
            place = partition_of(called.breaker_id, self._partitions)
            body = codec.encode_body(calls)
            made.append(Outbound(TOPIC_CALLS, place, body, key, headers))
        return made

    # Hearing ----------------------------------------------------------------------------

    async def _hear(self) -> None:
        while True:
            try:
                self._bus.read(await self._begin())
                while True:
                    for record in await self._bus.fetch(RECORDS_MAX, 1.0):
                        self.heard(record)
            except (Unreachable, LookupError) as error:
                log.warning("breakers_not_heard", error=str(error))
                await asyncio.sleep(BACK_OFF_S)

    async def _begin(self) -> Mapping[TopicPartition, int]:
        places = [(TOPIC_BREAKERS, p) for p in range(self._partitions)]
        bounds = await self._bus.bounds(places)
        return {place: max(first, end - RECENT) for place, (first, end) in bounds.items()}

    def heard(self, record: Record) -> None:
        """Take what a record says of a breaker; what cannot be read is passed over."""
        name = (codec.header(record.headers, "ce_type") or b"").decode(errors="replace")
        if name != NAMES[BreakerTurned]:
            return
        oldest = self._dependencies.now() - timedelta(seconds=LOOK_BACK_S)
        if record.timestamp_ms < oldest.timestamp() * 1_000:
            return
        try:
            turned: BreakerTurned = codec.decode_body(name, record.value)
            self._dependencies.turn(turned)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            log.warning("breaker_unreadable", offset=record.offset, error=str(error))


async def keep_watching(
    settings: Settings, dependencies: Dependencies, stop: asyncio.Event
) -> None:
    """Tell and hear, by connections of one's own, until `stop` is set."""
    name = f"{dependencies.runner}-calls"
    bus = KafkaBus(settings.kafka_bootstrap, name, settings.topic_prefix)
    breakers = Breakers(bus, dependencies, settings.partitions)
    working = asyncio.create_task(breakers.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working  # a defect: the process ends by it
        await breakers.tell()
    finally:
        stopping.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        await bus.close()
