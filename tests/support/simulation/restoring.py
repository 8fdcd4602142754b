"""A restore from a backup: databases go back to an earlier instant, Kafka and the others do not.

The tables of one service or of all are copied at one instant. Later its processes are stopped
and kept down, the copy is put back, every shard is fenced as `perdure fence --after-restore`
does (`perdure_common.fencing`, the same code), and the processes come up again.
"""
# pyright: reportPrivateUsage=false

import asyncio
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from perdure_common.adapters.memory_store import MemoryStore, _Shard
from perdure_common.fencing import NAME, Plan, Standing, fenced, mark_in, stream_of
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.owner import foreign_shard
from perdure_common.shell.ports import TopicPartition
from perdure_contracts.engine import NodeTask
from perdure_engine.runner.claims import BEFORE_RESTORE, _Lease
from perdure_engine.runner.restore import TASK, _claimed
from perdure_engine.runner.work import TASKS

from simulation.load import TENANT
from simulation.loop import now
from simulation.stage import SERVICES, Stage

KEPT = ("_shards", "_streams", "_versions", "_snapshots", "_deliveries", "_received", "_parked",
        "_tables")  # fmt: skip
"""What a store in memory has that a backup of its tables has."""

DOWN_S = 7.0
"""How long the processes are down: what they had under way to Kafka has landed by then."""

WHICH = ((), (), ("engine",), ("scheduler",), ("recovery",))
"""Which services may be restored; none named means all."""


@dataclass
class Backup:
    """The tables of some services at one instant."""

    services: tuple[Service, ...]
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    receipts: dict[tuple[str, str], Any] = field(default_factory=dict)
    leases: dict[str, Any] = field(default_factory=dict)
    substeps: dict[Any, Any] = field(default_factory=dict)


def back_up(stage: Stage, names: tuple[str, ...]) -> Backup:
    """Copy the tables of services as they are now."""
    services = tuple(s for s in SERVICES if not names or s.name in names)
    made = Backup(services, leases=deepcopy(stage.leases.leases))
    made.receipts = deepcopy(stage.receipts)
    made.substeps = dict(stage.agents.kept.rows)
    for service in services:
        store = stage.databases[service.name].store
        made.tables[service.name] = deepcopy({name: getattr(store, name) for name in KEPT})
    stage.watch.note(f"backup {[service.name for service in services]}")
    return made


async def restore_sometimes(stage: Stage, chance: Random, for_s: float) -> None:
    """Take a backup, and put it back after more was done."""
    await asyncio.sleep(chance.uniform(0.0, 0.5) * for_s)
    backup = back_up(stage, chance.choice(WHICH))
    await asyncio.sleep(chance.uniform(1.0, 0.3 * for_s))
    await restore(stage, backup)


async def restore(stage: Stage, backup: Backup) -> None:
    """Stop what works on the tables, put them back, fence them, and let all go on."""
    names = {service.name for service in backup.services}
    kinds = names | ({"runner"} if "engine" in names else set[str]())
    stage.watch.fault(f"restore of {' and '.join(sorted(names))}")
    stage.keep_down(kinds)
    await asyncio.sleep(DOWN_S)
    stage.effects_before.update(key.rpartition("-")[0] for key in stage.world.done)
    stage.restored = True
    for service in backup.services:
        _put_back(stage, service, backup)
    stage.let_up(kinds)


def _put_back(stage: Stage, service: Service, backup: Backup) -> None:
    database = stage.databases[service.name]
    for landing in list(database.landing):
        landing.cancel()
    store = database.store
    for name, value in deepcopy(backup.tables[service.name]).items():
        setattr(store, name, value)
    if service.name == "scheduler":
        stage.receipts.clear()
        stage.receipts.update(deepcopy(backup.receipts))
    if service.name == "engine":
        stage.leases.leases = deepcopy(backup.leases)
        stage.agents.forget(backup.substeps)
        _claim_again(stage)
    plans = [_fence(stage, service, store, shard) for shard in _shards(stage, service)]
    stage.watch.restored(store, plans)


def _shards(stage: Stage, service: Service) -> list[str]:
    shards = [str(n) for n in range(stage.broker.count(service.commands_topic))]
    for topic in service.foreign:
        shards += [foreign_shard(topic, n) for n in range(stage.broker.count(topic))]
    return sorted(shards)


def _fence(stage: Stage, service: Service, store: MemoryStore, name: str) -> Plan:
    """Fence a shard, and set its marks right, as `perdure_common.restore` does in SQL."""

    def bounds(place: TopicPartition) -> tuple[int, int]:
        log = stage.broker.log(place)
        return log.begin, log.end

    shard = store._shards.setdefault(name, _Shard())
    until = tuple(
        (topic, int(name), bounds((topic, int(name)))[1])
        for topic in service.pausable
        if "/" not in name
    )
    standing = Standing(
        shard=name,
        epoch=shard.epoch,
        next_seq=shard.next_seq,
        sent=shard.sent,
        version=len(store._streams.get(stream_of(name), ())),
        newest=shard.rows[-1].recorded_at if shard.rows else None,
    )
    plan = fenced(standing, TENANT, now(), until)
    for row in plan.rows:
        shard.rows.append(row)
        store._streams.setdefault(row.stream, []).append(row)
        store._versions.add((row.stream, row.version))
    shard.sent.update(plan.sent)
    shard.epoch, shard.owner, shard.next_seq = plan.fence.epoch, NAME, plan.next_seq
    shard.consumed = {place: mark_in(bounds(place), at) for place, at in shard.consumed.items()}
    return plan


def _claim_again(stage: Stage) -> None:
    """Claim every task in the topic that must not run twice, as `claims_again` does in SQL.

    Those that may run twice will, though nobody may know of them any more.
    """
    for partition in range(stage.broker.count(TASKS)):
        for record in stage.broker.log((TASKS, partition)).records:
            if codec.header(record.headers, "ce_type") == TASK.encode():
                task: NodeTask = codec.decode_body(TASK, record.value)
                stage.effects_before.add(task.idempotency_key)
            for token, owner in _claimed(record).items():
                lease = _Lease(owner.execution_id, BEFORE_RESTORE, float("inf"))
                stage.leases.leases.setdefault(token, lease)
