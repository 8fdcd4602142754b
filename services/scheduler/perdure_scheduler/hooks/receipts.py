"""From a request that was verified to an event that cannot be lost, many at a time.

A receipt says which request came first under an id; then the event is published, and is safe when
all replicas of Kafka have it: only then is the request answered. A process that dies in between
has answered nobody: the sender comes again, finds its receipt, and is published under the first
one's id and time, so that both would start the same execution.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from perdure_common import fault
from perdure_common.ids import partition_of
from perdure_common.shell.ports import Bus, Outbound, Unreachable
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.message import Json
from perdure_contracts.scheduler import ReceiveTrigger

from perdure_scheduler.decide import execution_id
from perdure_scheduler.hear import TRIGGERS

from .body import Kept
from .store import HookStore

BATCH_MAX = 500
BATCHES_MAX = 2
"""Batches that are under way at once: while one is written, the next is already on its way."""

QUEUE_MAX = 10_000
"""Requests that wait; above it they are sent away to come again."""

PROVED_BY = "@"
"""Stands between an id and the credential that a request has proved itself by; no credential's
name has it in it."""

log = structlog.get_logger(__name__)


class NotStored(RuntimeError):
    """A request could not be made safe now; whoever sent it should come again."""


@dataclass(slots=True)
class Entry:
    """A request on its way: its event, and the ids under which it may come again.

    `node` is the (workflow, node) that it is for, where the path names one; then the execution
    that it starts is known.
    """

    source: str
    event_id: str
    keys: tuple[str, ...]
    type: str
    subject: str
    data: bytes
    extensions: Mapping[str, str]
    node: tuple[str, str] | None = None
    token_sha256: str | None = None
    kept: Sequence[Kept] = ()
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: tuple[str, ...] = ()
    done: "asyncio.Future[Outcome] | None" = None


def proved_by(entry: Entry, credential: str) -> Entry:
    """Return a request as one that has proved itself by one credential: its ids name it."""
    end = PROVED_BY + credential
    return replace(
        entry, event_id=entry.event_id + end, keys=tuple(key + end for key in entry.keys)
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: whether it had come before, and the executions known of it.

    One that came before is `watched` if the answer of its execution is kept.
    """

    duplicate: bool
    executions: tuple[str, ...] = ()
    event_id: str = ""
    watched: bool = False


def command_of(tenant_id: str, entry: Entry, data: Json) -> ReceiveTrigger:
    """Return what the event of a request will ask of its shard."""
    return ReceiveTrigger(
        tenant_id=tenant_id,
        source=entry.source,
        event_id=entry.event_id,
        event_type=entry.type,
        subject=entry.subject,
        time=entry.received_at.isoformat(),
        data=data,
        extensions=dict(entry.extensions),
    )


class Intake:
    """Takes requests in batches; `run` works until it is told to stop."""

    def __init__(self, store: HookStore, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._waiting: list[Entry] = []
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(BATCHES_MAX)
        self._partitions = 0
        self.batches = 0

    async def put(self, entry: Entry) -> Outcome:
        """Make a request safe and return what became of it.

        Raises:
            NotStored: It is not; nothing is known to have been kept.
        """
        if len(self._waiting) >= QUEUE_MAX:
            raise NotStored("too many requests wait")
        entry.done = asyncio.get_running_loop().create_future()
        self._waiting.append(entry)
        self._wake.set()
        return await entry.done

    async def run(self, stop: asyncio.Event) -> None:
        """Write and publish what was put, until `stop` is set."""
        ending = asyncio.create_task(self._until(stop))
        async with asyncio.TaskGroup() as group:
            while not (stop.is_set() and not self._waiting):
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._slots.acquire()
                    batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
                    group.create_task(self._take(batch))
        await ending

    async def _until(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _take(self, batch: Sequence[Entry]) -> None:
        try:
            await self._safe(batch)
        except Exception as error:  # everybody who waits must hear of it
            known = isinstance(error, Unreachable | LookupError)
            log.warning("hooks_not_stored", count=len(batch), error=repr(error), known=known)
            for entry in batch:
                _fail(entry, str(error))
        finally:
            self.batches += 1
            self._slots.release()

    async def _safe(self, batch: Sequence[Entry]) -> None:
        for entry in batch:
            entry.started = self._started(entry)
        await keep_bodies(self._store, batch)
        fresh, known = await self._receipts(batch)
        outcomes: list[tuple[Entry, Outcome]] = []
        going: list[tuple[Entry, Outcome]] = [
            (entry, Outcome(False, entry.started, entry.event_id)) for entry in fresh
        ]
        for entry, row in known:
            entry.event_id, entry.received_at = row["event_id"], row["received_at"]
            if row["executions"] is not None:
                executions = tuple(orjson.loads(row["executions"]))
                same = _is_same(entry, row["body_sha256"], executions)
                watched = same and row["watched"]
                outcomes.append((entry, Outcome(True, executions, entry.event_id, watched)))
                continue
            first = (row["execution_id"],) if row["execution_id"] is not None else ()
            going.append((entry, Outcome(True, first, entry.event_id, row["watched"])))
        fault.point("after_receipt_before_publish")
        await self._publish(going)
        for entry, outcome in outcomes:
            _settle(entry, outcome)

    async def let_ask(self, entry: Entry, execution_id: str, token_sha256: str) -> None:
        """Let whoever has a token ask for the answer of an execution that came of a request before.

        Raises:
            NotStored: The database does not take it now.
        """
        row = (entry.source, f"{entry.event_id}?{token_sha256}", entry.event_id, entry.received_at)
        columns = [[value] for value in (*row, execution_id, token_sha256)]
        try:
            await self._store.run("put_receipts", self._store.tenant_id, *columns)
        except Unreachable as error:
            raise NotStored(str(error)) from None

    async def _receipts(
        self, batch: Sequence[Entry]
    ) -> tuple[list[Entry], list[tuple[Entry, Mapping[str, Any]]]]:
        """Write receipts; return who is first, and who is not with the receipt of the first."""
        rows: dict[tuple[str, str], tuple[Any, ...]] = {}
        for e in batch:
            first = next(iter(e.started), None)
            for key in e.keys:
                # Of two with one id the first counts: PostgreSQL could choose either.
                row = (e.source, key, e.event_id, e.received_at, first, e.token_sha256)
                rows.setdefault((e.source, key), row)
        if not rows:
            return list(batch), []
        columns = [list(column) for column in zip(*rows.values(), strict=True)]
        written = await self._store.run("put_receipts", self._store.tenant_id, *columns)
        new = {(row["source"], row["id"]) for row in written}
        fresh: list[Entry] = []
        again: list[Entry] = []
        for entry in batch:
            names = [(entry.source, key) for key in entry.keys]
            (fresh if all(name in new for name in names) else again).append(entry)
            new.difference_update(names)  # the next one with the same id is not the first
        if not again:
            return fresh, []
        names = [(entry.source, key) for entry in again for key in entry.keys]
        sources, ids = [list(column) for column in zip(*dict.fromkeys(names), strict=True)]
        found = await self._store.run("receipts", self._store.tenant_id, sources, ids)
        receipts = {(row["source"], row["id"]): row for row in found}
        known: list[tuple[Entry, Mapping[str, Any]]] = []
        for entry in again:
            its = [row for k in entry.keys if (row := receipts.get((entry.source, k))) is not None]
            if not its:
                raise Unreachable("a receipt was forgotten while it was looked for")
            known.append((entry, min(its, key=lambda row: row["received_at"])))
        return fresh, known

    def _started(self, entry: Entry) -> tuple[str, ...]:
        """Return the execution that an event starts, where that is certain."""
        if entry.node is None:
            return ()
        command = command_of(self._store.tenant_id, entry, None)
        return (execution_id(command, *entry.node),)

    async def _publish(self, going: Sequence[tuple[Entry, Outcome]]) -> None:
        """Publish events, and tell those who wait when all replicas have theirs."""
        if not going:
            return
        if not self._partitions:
            self._partitions = await self._bus.partitions(TRIGGERS)
        records = [self._record(entry) for entry, _ in going]
        results = await self._bus.send(records)
        fault.point("after_hook_before_answer")
        for (entry, outcome), error in zip(going, results, strict=True):
            if error is None:
                _settle(entry, outcome)
            else:
                log.warning("hook_not_published", id=entry.event_id, error=repr(error))
                _fail(entry, "Kafka did not take the event")

    def _record(self, entry: Entry) -> Outbound:
        event = CloudEvent(
            id=entry.event_id,
            source=entry.source,
            type=entry.type,
            subject=entry.subject,
            time=entry.received_at.isoformat(),
            datacontenttype="application/json",
            data=entry.data,
            extensions=entry.extensions,
        )
        headers, value = encode(event)
        # The same event goes to the same shard, which knows what it has started.
        place = partition_of(entry.event_id, self._partitions)
        return Outbound(TRIGGERS, place, value, entry.event_id.encode(), headers)


async def keep_bodies(store: HookStore, entries: Iterable[Entry]) -> None:
    """Keep what is too large for events, before they name it.

    Raises:
        Unreachable: The database does not take it now.
    """
    bodies = {kept.sha256: kept for entry in entries for kept in entry.kept}
    if bodies:
        rows = [(each.sha256, each.content_type, each.data) for each in bodies.values()]
        columns = [list(column) for column in zip(*rows, strict=True)]
        await store.run_safely("put_bodies", store.tenant_id, *columns)


def _is_same(entry: Entry, first_sha256: str, executions: Sequence[str]) -> bool:
    """Tell whether a request that came again has the first one's body; a line in the log if not.

    It starts nothing all the same: whoever sends gives each thing an id of its own.
    """
    same = hashlib.sha256(entry.data).hexdigest() == first_sha256
    if not same:
        log.warning("hook_id_reused", source=entry.source, started=list(executions))
    return same


def _settle(entry: Entry, outcome: Outcome) -> None:
    if entry.done is not None and not entry.done.done():
        entry.done.set_result(outcome)


def _fail(entry: Entry, reason: str) -> None:
    if entry.done is not None and not entry.done.done():
        entry.done.set_exception(NotStored(reason))
