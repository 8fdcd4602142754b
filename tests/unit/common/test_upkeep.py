"""What an owner does in the slow rhythm: all of it each second, and not all of it at once."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from perdure_common.adapters.memory_bus import MemoryBroker, MemoryBus
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.shell.intake import Registry
from perdure_common.shell.ports import ShardCommit
from perdure_common.shell.shard import Shard
from perdure_common.shell.upkeep import FLUSHES, TICK_S, Ground, Shards, Upkeep
from tally import TALLY, TENANT
from virtual_time import now, timeless

PLACE = ("perdure.tally.commands.v1", 0)


class Watched(MemoryStore):
    """A store that notes which shards were written together, and when."""

    def __init__(self) -> None:
        super().__init__("tally")
        self.seen: list[tuple[float, list[str]]] = []

    async def commit(self, batch: Sequence[ShardCommit]) -> None:
        at = asyncio.get_running_loop().time()
        self.seen.append((at, [commit.shard for commit in batch]))
        await super().commit(batch)


@timeless
async def test_a_second_flushes_every_shard_once_and_few_of_them_at_a_time() -> None:
    store = Watched()
    names = [str(i) for i in range(8)]
    shards = {claim.shard: Shard.of(claim) for claim in await store.claim(names, "me")}
    stats = SimpleNamespace(rows_refused=0)
    lane = SimpleNamespace(turn=asyncio.Lock(), shards=shards, stats=stats)
    owner = SimpleNamespace(lanes=[lane], shards=shards, service=TALLY, failures={})
    ground = Ground(store, MemoryBus(MemoryBroker(), "me"), now, "me", TENANT, len(names))
    running = asyncio.create_task(Upkeep(cast("Shards", owner), ground, Registry(TALLY)).run())
    await asyncio.sleep(TICK_S / FLUSHES / 2)  # look in between
    for second in (1, 2):
        store.seen.clear()
        for shard in shards.values():
            commit = ShardCommit(shard.id, shard.epoch, shard.next_seq, 1)
            commit.consumed[PLACE] = second
            shard.put_off(commit)
        await asyncio.sleep(TICK_S)
        assert sorted(name for _, together in store.seen for name in together) == names
        assert max(len(together) for _, together in store.seen) <= 2
        moments = [at for at, _ in store.seen]
        assert len({round(at, 3) for at in moments}) >= 4
    running.cancel()
