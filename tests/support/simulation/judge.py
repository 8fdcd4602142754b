"""What must hold at the end of a run: the promises that `perdure verify` checks, and rest."""

from collections import Counter
from collections.abc import Iterator

from perdure_cli.endings import endings
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.verify import Violation
from perdure_common.verify.memory import MemoryArchive
from perdure_common.verify.rebuilt import rebuilt
from perdure_common.verify.service import verified
from perdure_contracts.engine import NodeCompleted, Scope
from perdure_contracts.executions import NodeScheduled
from perdure_contracts.message import NAMES

from simulation import answers, clocks, hooks
from simulation.hooks import Senders
from simulation.load import PARTITIONS, SOURCE, TENANT, Load
from simulation.loop import now
from simulation.others import Others
from simulation.purging import SimArchive
from simulation.stage import SERVICES, Stage

LATE_S = 60.0

ENDED = frozenset({"SUCCESS", "ERROR", "TIMEOUT", "CANCELED"})


def restless(stage: Stage, load: Load) -> list[str]:
    """Return what is left to do; empty when everything has come to rest."""
    found = list(_open(stage))
    if found:
        return found
    for service in SERVICES:
        store = stage.databases[service.name].store
        found.extend(_unread(stage, store, service))
        found.extend(_unsent(store, service.name))
    if not found:
        found.extend(_unheard(stage))
    if not found:
        found.extend(f"event {event} is not taken" for event in _forgotten(stage, load))
    return found


def _open(stage: Stage) -> Iterator[str]:
    engine = stage.databases["engine"].store
    for row in engine.tables.get("workflow_executions", ()):
        if row["status"] not in ENDED:
            yield f"execution {row['execution_id']} is {row['status']}"
    for row in engine.tables.get("admission_gates", ()):
        if row["running"] or row["waiting"]:
            yield f"gate {row['about']}: {row['running']} run and {row['waiting']} wait"


def _unread(stage: Stage, store: MemoryStore, service: Service) -> Iterator[str]:
    consumed = {place: at for shard in store.shards() for place, at in shard.consumed.items()}
    own = (service.commands_topic, *service.hears, *service.pausable, *service.foreign)
    for topic in own:
        for partition in range(stage.broker.count(topic)):
            log = stage.broker.log((topic, partition))
            at = consumed.get((topic, partition), log.begin)
            if at < log.end:  # it may lie behind an end that was lost
                yield f"{service.name} has read {topic}/{partition} up to {at} of {log.end}"


def _unsent(store: MemoryStore, name: str) -> Iterator[str]:
    for shard in store.shards():
        if shard.published_seq != shard.next_seq - 1:
            yield f"{name}/{shard.shard} has published {shard.published_seq} of {shard.next_seq}"
        for stream in shard.parked:
            yield f"{name}/{shard.shard}: {stream} is parked"
        for (topic, partition, source), heard in shard.heard.items():
            if heard.gap:
                yield f"{name}/{shard.shard} misses what {source} said on {topic}/{partition}"


def _unheard(stage: Stage) -> Iterator[str]:
    """Say what was sent to somebody and did not arrive: each number must have been heard."""
    heard: dict[tuple[str, int, str], int] = {}
    listens: set[str] = set()
    for service in SERVICES:
        listens.update((service.commands_topic, *service.hears, *service.pausable))
        for shard in stage.databases[service.name].store.shards():
            for key, known in shard.heard.items():
                heard[key] = max(heard.get(key, 0), known.seq)
    for service in SERVICES:
        for shard in stage.databases[service.name].store.shards():
            source = codec.source_of(service.name, shard.shard)
            for (topic, partition), number in shard.sent.items():
                if topic in service.handed or topic not in listens:
                    continue
                known = heard.get((topic, partition, source), 0)
                if known != number:
                    yield f"{source} said {number} on {topic}/{partition}, heard is {known}"


async def judged(
    stage: Stage, load: Load, others: Others, senders: Senders, *, at_rest: bool
) -> Counter[str]:
    """Check every promise on what is there now, as `perdure verify` does."""
    stage.freeze()
    checked: Counter[str] = Counter()
    archives: dict[str, MemoryArchive] = {
        name: SimArchive(each.store, stage.purged if name == "engine" else {})
        for name, each in stage.databases.items()
    }
    for service in SERVICES:
        bus = stage.broker.client(f"verify-{service.name}")
        found = await verified(
            service,
            archives[service.name],
            bus,
            tenant_id=TENANT,
            partitions=PARTITIONS,
            complete=at_rest,
            now=now(),
        )
        found.extend(await rebuilt(service, stage.databases[service.name].store))
        checked.update(found.checked)
        for each in found.violations:
            if not (_was_cut(stage, each) or (_is_of_two(each) and not at_rest)):
                stage.watch.breaks(each.promise, f"{each.where}: {each.found}")
    ends = await endings(
        archives["scheduler"], archives["engine"], now(), partitions=PARTITIONS, late_s=LATE_S
    )
    checked.update(ends.findings.checked)
    if at_rest:
        for each in ends.findings.violations:
            stage.watch.breaks(each.promise, f"{each.where}: {each.found}")
        for row in ends.open:
            stage.watch.breaks("I2", f"execution {row['execution_id']} is {row['status']}")
        for event in _forgotten(stage, load):
            stage.watch.breaks("I2", f"event {event} was acknowledged and forgotten")
        _unread_by_anybody(stage)
    _effects(stage)
    rivals = clocks.rivals_served(stage.databases["scheduler"].store)
    if len(rivals) > 1 and not stage.restored:  # a restore forgets whom a path was granted to
        stage.watch.breaks("I14", f"workflows {sorted(rivals)} serve one path")
    checked["answers"] = answers.count(stage, others, at_rest=at_rest)
    checked["webhooks"] = hooks.check(
        senders,
        stage.databases["scheduler"].store.tables,
        stage.databases["engine"].store.tables,
        at_rest=at_rest,
        restored=stage.restored,
    )
    checked["calls of agents"] = stage.agents.asked.total()
    checked["requests"] = stage.world.asked.total()
    checked["swept"] = stage.swept
    return checked


def _was_cut(stage: Stage, found: Violation) -> bool:
    """Return whether a finding is what Kafka lost after it was heard, or what has no number.

    That nothing was counted as heard that nobody ever read is checked apart.
    """
    lost = any(f"{topic}/{partition}" in found.where for topic, partition in stage.broker.cut)
    missing = found.promise == "I5" and "not there" in found.found
    return lost and (missing or found.promise == "I10")


def _is_of_two(found: Violation) -> bool:
    """Return whether a finding is about a row that a deployment and its clock both write.

    Both say when it changed. A replay takes one stream after the other, so it differs as long as
    the word from the one to the other is under way.
    """
    return found.where == "scheduler.trigger_index" and '"trigger_subtype":"CRON"' in found.found


def _unread_by_anybody(stage: Stage) -> None:
    """Check that each message to a service was read by somebody: a gap was not passed over."""
    listens = {
        topic
        for service in SERVICES
        for topic in (service.commands_topic, *service.hears, *service.pausable)
    }
    for place, source, number in stage.watch.numbered():
        if place[0] in listens and not stage.watch.was_fetched(place, source, number):
            name = f"{number >> codec.FAN_OUT_BITS}.{number & (codec.FAN_OUT_MAX - 1)}"
            text = f"{place[0]}/{place[1]}: {source}/{name} was never read by anybody"
            stage.watch.breaks("I10", text)


def _forgotten(stage: Stage, load: Load) -> Iterator[str]:
    """Return acknowledged trigger events that were neither taken nor refused."""
    store = stage.databases["scheduler"].store
    return (e for e in load.accepted if not store.delivered(TENANT, SOURCE, e))


def _effects(stage: Stage) -> None:
    """Check that every completed request had its effect, and no effect was nobody's (I1)."""
    keys: dict[str, str] = {}
    done = stage.world.done
    for stream, rows in stage.databases["engine"].store.streams.items():
        scheduled: dict[tuple[str, Scope], NodeScheduled] = {}
        for row in rows:
            if row.type == NAMES[NodeScheduled]:
                event: NodeScheduled = codec.event_of(row)
                if event.idempotency_key:
                    scheduled[event.node_id, event.scope] = event
                    keys[event.idempotency_key] = stream
            elif row.type == NAMES[NodeCompleted]:
                completed: NodeCompleted = codec.event_of(row)
                sent = scheduled.get((completed.node_id, completed.scope))
                if sent is None or sent.effect == "pure" or completed.inline:
                    continue
                for index in sent.indexes:
                    key = f"{sent.idempotency_key}-{index}"
                    worked = stage.agents.worked(key) or stage.restored
                    if not done[key] and not (completed.node_type == "AI_AGENT" and worked):
                        text = f"{stream} {sent.node_id} item {index} is recorded, never done"
                        stage.watch.breaks("I1", text)
    for key in sorted(done):
        if key.rpartition("-")[0] not in keys.keys() | stage.effects_before:
            stage.watch.breaks("I1", f"effect {key} was done for nobody")
