"""I2: every execution that an accepted trigger event starts begins and comes to an end.

The scheduler's journal says what was accepted, the engine's tables what became of it. Both are
read in pages, by the same ports in PostgreSQL and in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from perdure_common.decider import Lookup
from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow
from perdure_common.verify import Archive, Findings, Marks
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import Start, TriggerAccepted

from perdure_cli.output import duration

ENDED = ("SUCCESS", "ERROR", "TIMEOUT", "CANCELED")
PAGE = 500
OPEN_MAX = 1_000
"""Open executions that are told of one by one."""


@dataclass
class Endings:
    """What became of accepted trigger events; `open` are executions that have not ended."""

    findings: Findings = field(default_factory=Findings)
    open: list[dict[str, Any]] = field(default_factory=list)


async def endings(scheduler: Archive, engine: Archive, now: datetime, *, late_s: float) -> Endings:
    """Look at every execution that was promised; one may take `late_s` seconds to begin."""
    found = Endings()
    purged = max((each.before for each in (await engine.purged()).values()), default=None)
    for mark in await scheduler.marks():
        await _shard(scheduler, engine, mark, found, now, late_s, purged)
    return found


async def _shard(
    scheduler: Archive,
    engine: Archive,
    mark: Marks,
    found: Endings,
    now: datetime,
    late_s: float,
    purged: datetime | None,
) -> None:
    after, name = 0, NAMES[TriggerAccepted]
    while rows := await scheduler.store.journal(mark.shard, after, PAGE):
        after = rows[-1].seq
        accepted = [row for row in rows if row.type == name]
        found.findings.checked["trigger events"] += len({row.stream for row in accepted})
        starts = [(row, start) for row in accepted for start in codec.event_of(row).starts]
        found.findings.checked["executions"] += len(starts)
        statuses = await _statuses(engine, starts)
        missing = [s for _, s in starts if s.execution_id not in statuses]
        refusals = await _refusals(engine, missing)
        for row, start in starts:
            status = statuses.get(start.execution_id)
            if status is None and purged is not None and row.recorded_at <= purged:
                continue  # it ended, and was purged since
            if status not in ENDED:
                age_s = (now - row.recorded_at).total_seconds()
                _open(found, start.execution_id, status, refusals, age_s, late_s)


async def _statuses(
    engine: Archive, starts: Sequence[tuple[JournalRow, Start]]
) -> Mapping[str, str]:
    tenants: dict[str, list[str]] = {}
    for row, start in starts:
        tenants.setdefault(row.tenant_id, []).append(start.execution_id)
    found: dict[str, str] = {}
    for tenant_id, ids in tenants.items():
        wanted = Lookup(
            "workflow_executions", {"execution_id": tuple(ids)}, ("execution_id", "status")
        )
        (rows,) = await engine.store.look_up(tenant_id, [wanted])
        found.update((str(row["execution_id"]), str(row["status"])) for row in rows)
    return found


async def _refusals(engine: Archive, starts: Sequence[Start]) -> Mapping[str, str]:
    """Return why the engine has not begun executions, where it said why."""
    found: dict[str, str] = {}
    if not starts:
        return found
    loaded = await engine.store.load({start.execution_id: 0 for start in starts})
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
