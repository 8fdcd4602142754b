"""The stall detector: looks, a slice at a time, for open executions that cannot be explained.

The owner of shard 0 walks through the executions in the order of their ids, some thousand rows
every few seconds, and folds those that are open: whether one can be explained follows from its
journal alone. What cannot is handed on by a command on its own stream, once for each version: the
command's id is made of both.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import cast

import structlog
from perdure_common.adapters.postgres_queries import queries
from perdure_common.api.problem import Problem
from perdure_common.api.reading import Reading
from perdure_common.decider import Lookup
from perdure_common.run import utc_now
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_common.shell import remake
from perdure_common.shell.commanding import commanded
from perdure_common.shell.intake import Registry
from perdure_common.shell.owner import Owner
from perdure_common.shell.ports import Bus, Store, Unreachable
from perdure_contracts.executions import ExamineExecution

from .definition import Workflow, kept, load
from .executions.stalls import stall
from .executions.state import ENDED, Execution
from .executions.why import why

ROWS_MAX = 2_000
"""Rows of executions that one look passes over."""

OPEN_MAX = 100
"""Open executions that one look folds; the next look goes on behind the last one."""

FOLD_AT_ONCE = 10
"""Executions that are folded before others get their turn."""

HANDED_MAX = 10_000
"""Executions of which is remembered that they were handed on; the service itself forgets none."""

SOURCE = "/engine/stalls"

log = structlog.get_logger(__name__)


@dataclass
class Detector:
    """Walks through the executions; `after` is where the next look begins.

    `grace_s` is how long something may be overdue. The store folds, `reading` lists.
    """

    service: Service
    store: Store
    reading: Reading
    bus: Bus
    partitions: int
    grace_s: float
    after: str = ""
    _handed: dict[str, int] = field(default_factory=dict)
    _registry: Registry = field(init=False)
    _sql: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._registry = Registry(self.service)
        self._sql = queries(Path(__file__).with_name("stalls.sql"))

    async def look(self, now: datetime) -> dict[str, str]:
        """Look at one slice; hand on what cannot be explained, and return it with the reason.

        Raises:
            Problem, Unreachable: The database or the bus does not answer.
        """
        (slice_,) = await self.reading.rows(self._sql["slice"], self.after, ROWS_MAX, self.grace_s)
        names = cast("list[str]", slice_["open"] or [])[: OPEN_MAX + 1]
        more = len(names) > OPEN_MAX
        names = names[:OPEN_MAX]
        self.after = names[-1] if more else slice_["last"] if slice_["rows"] == ROWS_MAX else ""
        found: dict[str, str] = {}
        for at in range(0, len(names), FOLD_AT_ONCE):
            part = names[at : at + FOLD_AT_ONCE]
            there = await remake.load(self._registry, self.store, dict.fromkeys(part, -1))
            for key, held in there.items():
                reason = await unexplained(
                    self.store, held.tenant_id, held.state, now, self.grace_s
                )
                if reason and self._handed.get(key) != held.version:
                    found[key] = reason
                    await self._hand_on(key, held.version, reason)
        return found

    async def _hand_on(self, key: str, version: int, reason: str) -> None:
        message = ExamineExecution(execution_id=key, version=version, found=reason)
        record = commanded(
            message, self.service.commands_topic, key, self.partitions,
            id=f"{key}/{version}", source=SOURCE,
        )  # fmt: skip
        (error,) = await self.bus.send([record])
        if error is None:
            self._handed[key] = version
            if len(self._handed) > HANDED_MAX:
                del self._handed[next(iter(self._handed))]
        log.warning("stall_found", execution=key, version=version, found=reason, sent=error is None)


async def unexplained(
    store: Store, tenant_id: str, state: object, now: datetime, grace_s: float
) -> str:
    """Return what cannot be explained of a stream; empty of what is no execution that runs.

    For the detector and for `perdure verify`; `grace_s` is how many seconds something may be
    overdue.

    Raises:
        Unreachable: The database does not answer.
    """
    if not isinstance(state, Execution) or state.status != "RUNNING":
        return ""
    workflow = kept(state.sha256) or await _workflow(store, tenant_id, state)
    return stall(state, workflow, now, grace_s) if workflow is not None else ""


async def untold(store: Store, tenant_id: str, state: object, now: datetime, grace_s: float) -> str:
    """Return which child an execution waits for in vain; empty of what waits for none.

    For `perdure verify`: a time-out may end the wait, but what it waits for is lost.

    Raises:
        Unreachable: The database does not answer.
    """
    if not isinstance(state, Execution) or state.status != "RUNNING":
        return ""
    workflow = kept(state.sha256) or await _workflow(store, tenant_id, state)
    waits = why(state, workflow) if workflow is not None else ()
    children = {each.what: each.node_id for each in waits if each.waits_for == "child"}
    return await _in_vain(store, tenant_id, children, now, grace_s) if children else ""


async def _in_vain(
    store: Store, tenant_id: str, children: Mapping[str, str], now: datetime, grace_s: float
) -> str:
    """Return which child has ended long ago or never began; `children` has their nodes by id."""
    columns = ("execution_id", "status", "end_time")
    lookup = Lookup("workflow_executions", {"execution_id": tuple(children)}, columns)
    (rows,) = await store.look_up(tenant_id, [lookup])
    before_ms = (now.timestamp() - grace_s) * 1000
    for row in rows:
        child, at = str(row["execution_id"]), row["end_time"]
        if row["status"] in ENDED and at is not None and at < before_ms:
            where = f"node {children[child]!r} waits for child execution {child}"
            return f"{where}, which has ended with {row['status']}"
    there = {str(row["execution_id"]) for row in rows}
    for child in sorted(children.keys() - there):
        snapshot, events = (await store.load({child: 0}))[child]
        if snapshot is None and not events and not await store.parked(child, 1):
            return f"node {children[child]!r} waits for child execution {child}, which never began"
    return ""


async def _workflow(store: Store, tenant_id: str, state: Execution) -> Workflow | None:
    where = {"workflow_id": state.workflow_id, "version": state.workflow_version}
    lookup = Lookup("workflow_versions", where, ("definition", "sha256"), immutable=True)
    (rows,) = await store.look_up(tenant_id, [lookup])
    return load(rows[0]["definition"], rows[0]["sha256"]) if rows else None


async def keep_looking(
    service: Service, settings: Settings, owner: Owner, stop: asyncio.Event
) -> None:
    """Look again and again beside the owner, while shard 0 is its own."""
    reading = Reading(settings.database_url, service.name, connections=1)
    detector = Detector(
        service, owner.store, reading, owner.bus, settings.partitions, settings.stall_grace_s
    )
    try:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), settings.stall_scan_s)
            if stop.is_set() or "0" not in owner.shards:
                continue
            try:
                await detector.look(utc_now())
            except (Problem, Unreachable) as error:
                log.warning("stalls_not_looked_for", error=str(error))
    finally:
        await reading.close()
