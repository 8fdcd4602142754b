"""I2: every execution that an accepted trigger event or a clock starts begins.

The scheduler's journal says what was promised, the engine's tables what became of it. Both are
read in pages, by the same ports in PostgreSQL and in memory. That what began comes to an end,
whatever started it, is looked at where its stream is (`perdure_common.verify.journal`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from perdure_common.decider import Lookup
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow
from perdure_common.verify import Archive, Findings
from perdure_contracts.cron import CronFired
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import TriggerAccepted

from perdure_cli.output import duration

ENDED = ("SUCCESS", "ERROR", "TIMEOUT", "CANCELED")
PAGE = 500
ACCEPTED, FIRED = NAMES[TriggerAccepted], NAMES[CronFired]
OPEN_MAX = 1_000
"""Open executions that are told of one by one."""


@dataclass
class Endings:
    """What became of trigger events and firings; `open` are executions that have not ended."""

    findings: Findings = field(default_factory=Findings)
    open: list[dict[str, Any]] = field(default_factory=list)


async def endings(
    scheduler: Archive, engine: Archive, now: datetime, *, partitions: int, late_s: float
) -> Endings:
    """Look at every execution that was promised; one may take `late_s` seconds to begin.

    `partitions` says in which of the engine's shards an execution is.
    """
    found = Endings()
    purged = {shard: each.before for shard, each in (await engine.purged()).items()}
    for mark in await scheduler.marks():
        after = 0
        while rows := await scheduler.store.journal(mark.shard, after, PAGE):
            after = rows[-1].seq
            await _page(engine, rows, found, now, late_s, purged, partitions)
    return found


async def _page(
    engine: Archive,
    rows: Sequence[JournalRow],
    found: Endings,
    now: datetime,
    late_s: float,
    purged: Mapping[str, datetime],
    partitions: int,
) -> None:
    accepted = {row.stream for row in rows if row.type == ACCEPTED}
    found.findings.checked["trigger events"] += len(accepted)
    found.findings.checked["firings"] += sum(row.type == FIRED for row in rows)
    starts = [(row, execution_id) for row in rows for execution_id in _started(row)]
    found.findings.checked["executions"] += len(starts)
    statuses = await _statuses(engine, starts)
    refusals = await _refusals(engine, [each for _, each in starts if each not in statuses])
    for row, execution_id in starts:
        status = statuses.get(execution_id)
        before = purged.get(str(partition_of(execution_id, partitions)))
        if status is None and before is not None and row.recorded_at <= before:
            continue  # it ended, and was purged since
        if status not in ENDED:
            age_s = (now - row.recorded_at).total_seconds()
            _open(found, execution_id, status, refusals, age_s, late_s)


def _started(row: JournalRow) -> Sequence[str]:
    """Return the executions that an event of the scheduler starts."""
    if row.type == ACCEPTED:
        return [start.execution_id for start in codec.event_of(row).starts]
    return [codec.event_of(row).execution_id] if row.type == FIRED else []


async def _statuses(engine: Archive, starts: Sequence[tuple[JournalRow, str]]) -> Mapping[str, str]:
    tenants: dict[str, list[str]] = {}
    for row, execution_id in starts:
        tenants.setdefault(row.tenant_id, []).append(execution_id)
    found: dict[str, str] = {}
    for tenant_id, ids in tenants.items():
        wanted = Lookup(
            "workflow_executions", {"execution_id": tuple(ids)}, ("execution_id", "status")
        )
        (rows,) = await engine.store.look_up(tenant_id, [wanted])
        found.update((str(row["execution_id"]), str(row["status"])) for row in rows)
    return found


async def _refusals(engine: Archive, missing: Sequence[str]) -> Mapping[str, str]:
    """Return why the engine has not begun executions, where it said why."""
    found: dict[str, str] = {}
    if not missing:
        return found
    loaded = await engine.store.load(dict.fromkeys(missing, 0))
    for stream, (_, rows) in loaded.items():
        for row in rows:
            if row.type.startswith("shell.command-rejected."):
                found.setdefault(stream, codec.event_of(row).reason)
    return found


def _open(
    found: Endings,
    execution_id: str,
    status: str | None,
    refusals: Mapping[str, str],
    age_s: float,
    late_s: float,
) -> None:
    if status is None and (execution_id in refusals or age_s > late_s):
        late = f"it has not begun {duration(age_s * 1000)} after its event"
        text = refusals.get(execution_id, late)
        found.findings.add("I2", f"execution {execution_id}", text)
    elif len(found.open) < OPEN_MAX:
        found.open.append(
            {
                "execution_id": execution_id,
                "status": status or "NOT BEGUN",
                "age_s": round(age_s, 1),
            }
        )
