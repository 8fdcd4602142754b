"""I2 of `perdure verify`: what trigger events and clocks start begins, or was purged since."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from perdure_cli.endings import endings
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.ids import partition_of
from perdure_common.shell import codec
from perdure_common.shell.ports import JournalRow, ShardCommit
from perdure_common.verify.archive import Purged
from perdure_common.verify.memory import MemoryArchive
from perdure_contracts.cron import CronFired
from perdure_contracts.message import NAMES
from perdure_contracts.scheduler import Start, TriggerAccepted

AT = datetime(2026, 1, 1, tzinfo=UTC)
PARTITIONS = 8


def accepted(execution_id: str) -> TriggerAccepted:
    start = Start(
        execution_id=execution_id, workflow_id="w", version=1, node_id="t", mode="TRIGGER",
        triggered_by="WEBHOOK:t",
    )  # fmt: skip
    return TriggerAccepted(
        source="s", event_id="e", event_type="x", subject="", time=None, data=None, starts=(start,)
    )


def fired(execution_id: str) -> CronFired:
    at = AT.isoformat()
    return CronFired(
        workflow_id="w", node_id="t", version=1, fire_id="f", execution_id=execution_id,
        scheduled_at=at, scheduled_local=at, timezone="UTC", fired_at=at,
    )  # fmt: skip


async def scheduler(*events: object) -> MemoryArchive:
    """Return a scheduler that has decided this, at `AT`."""
    store = MemoryStore("scheduler")
    (claim,) = await store.claim(["0"], "test")
    commit = ShardCommit("0", claim.epoch, claim.next_seq, 1)
    for n, event in enumerate(events):
        name, body = NAMES[type(event)], codec.encode_body(event).decode()
        row = JournalRow("0", claim.next_seq + n, f"s{n}", 1, "t", name, body, "{}", AT)
        commit.rows.append(row)
    await store.commit([commit])
    return MemoryArchive(store)


class Engine(MemoryArchive):
    """An engine in which no execution is any more; `gone` says of which shard what was purged."""

    def __init__(self, gone: Mapping[int, datetime] | None = None) -> None:
        super().__init__(MemoryStore("engine"))
        self._gone = {str(n): Purged(1, before) for n, before in (gone or {}).items()}

    async def purged(self) -> Mapping[str, Purged]:
        return self._gone


async def told(asked: MemoryArchive, engine: Engine, after_s: float = 3_600) -> list[str]:
    """Return of which executions something is told."""
    now = AT + timedelta(seconds=after_s)
    found = await endings(asked, engine, now, partitions=PARTITIONS, late_s=60)
    return [each.where for each in found.findings.violations]


async def test_what_a_clock_and_a_trigger_event_start_must_begin() -> None:
    asked = await scheduler(accepted("a"), fired("b"))
    assert await told(asked, Engine()) == ["execution a", "execution b"]
    assert await told(asked, Engine(), after_s=59) == []


async def test_only_a_purge_of_its_own_shard_explains_that_an_execution_is_gone() -> None:
    asked = await scheduler(accepted("a"), fired("b"))
    a, b = (partition_of(each, PARTITIONS) for each in ("a", "b"))
    assert a != b
    later = AT + timedelta(minutes=1)
    assert await told(asked, Engine({a: later})) == ["execution b"]
    assert await told(asked, Engine({b: later})) == ["execution a"]
    assert await told(asked, Engine({a: later, b: later})) == []
    assert await told(asked, Engine({a: AT - timedelta(minutes=1), b: later})) == ["execution a"]
