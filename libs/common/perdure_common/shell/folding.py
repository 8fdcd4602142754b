"""The items of a lane are folded into a batch, in the order of the records.

What an item needs is fetched first for all of them: deliveries, streams, rows of others. Whether it
is taken, parked, buried or passed over is decided here; what the core says of it in fold.py.
"""

import time
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence

from perdure_contracts.shell import Resend

from perdure_common import fault
from perdure_common.decider import Lookup, Rejected, Row
from perdure_common.shell import parking, remake
from perdure_common.shell.fold import Batch
from perdure_common.shell.gather import Item
from perdure_common.shell.intake import Registry
from perdure_common.shell.part import FactKey, NeedsFacts, Part, Poisoned, fact_key
from perdure_common.shell.ports import Store
from perdure_common.shell.shard import Held, Shard

BATCH_S = 0.05
"""How long one batch may fold; what is left comes with the next."""


class Folding:
    """What a lane does with items, and what it has learnt of them from batches that failed.

    `poison` has the items on which the core failed, by their places; `known` the streams that
    were taken for new and are not. While `doubts` is above 0, outsiders' messages are looked up
    before they are folded.
    """

    def __init__(
        self,
        registry: Registry,
        store: Store,
        resend: Callable[[Resend], None],
        remembered: MutableMapping[FactKey, Sequence[Row]],
    ) -> None:
        self._registry = registry
        self._store = store
        self._resend = resend
        self._remembered = remembered
        self.poison: dict[tuple[str, int, int], Rejected] = {}
        self.known: set[str] = set()
        self.doubts = 0

    async def fold(self, batch: Batch, items: Sequence[Item]) -> None:
        """Fold items in order; those for which there is no time are left unvisited.

        Raises:
            Poisoned: The core failed on an item; the batch must go without it.
            Unreachable, Refused: The store does not say what must be known.
        """
        await self._prepare(batch, items)
        deadline = time.perf_counter() + BATCH_S
        queue: deque[Item] = deque(items)
        moved = False
        while queue:
            later: deque[Item] = deque()
            missing: list[tuple[str, Lookup]] = []
            blocked: set[str] = set()
            for item in queue:
                if not item.visited and moved and time.perf_counter() > deadline:
                    break  # in order: nothing behind it is visited either
                moved = True
                if item.taken.stream and item.taken.stream in blocked:
                    later.append(item)
                    self._visit(batch, item)
                    continue
                try:
                    self._step(batch, item)
                except NeedsFacts as needs:
                    tenant_id = item.shard.streams[item.taken.stream].tenant_id
                    missing.extend((tenant_id, lookup) for lookup in needs.lookups.values())
                    blocked.add(item.taken.stream)
                    later.append(item)
            if missing:
                await self._look_up(batch, missing)
            queue = deque(item for item in later if item.visited)

    async def _prepare(self, batch: Batch, items: Sequence[Item]) -> None:
        """Fetch what folding needs: what was delivered before, and streams not in memory."""
        keys = [i.taken.outsider for i in items if i.taken.outsider is not None]
        if keys and self.doubts:
            self.doubts -= 1
            batch.delivered = dict(await self._store.deliveries(keys))
        wanted: dict[str, list[Shard]] = {}
        # A start that was had before makes nothing; its stream is not new to its wake.
        awake = {item.taken.stream for item in items if item.due}
        for item in items:
            stream, shard = item.taken.stream, item.shard
            if item.taken.unpark is not None:
                service = self._registry.service
                await parking.look(self._store, service, item.shard, item.taken)
            if not stream or item.taken.unpark is not None:
                continue
            known = shard.streams.get(stream)
            if known is not None and known.broken is None:
                shard.streams.move_to_end(stream)
                continue
            decider = item.taken.decider
            new = decider is not None and decider.begins(item.taken.command)
            if new and not (stream in self.known or stream in wanted or stream in awake):
                shard.hold(stream, Held(None, None, 0, ""))
                batch.part(shard).touched.add(stream)
            elif shard not in wanted.setdefault(stream, []):
                wanted[stream].append(shard)
        while wanted:  # more than once only for streams of which two foreign shards speak
            loaded = await remake.load(self._registry, self._store, dict.fromkeys(wanted, -1))
            for stream, held in loaded.items():
                wanted[stream].pop().hold(stream, held)
            wanted = {stream: shards for stream, shards in wanted.items() if shards}

    def _visit(self, batch: Batch, item: Item) -> None:
        """Move the marks behind an item, once, in the order of the records."""
        if item.visited:
            return
        item.visited, item.fresh = True, not item.early or item.place not in self.poison
        if not (item.due or item.taken.parked or item.answer or item.early):
            part = batch.part(item.shard)
            batch.consume(part, item.taken.record)
            item.fresh = batch.hears(part, item.taken)

    def _step(self, batch: Batch, item: Item) -> None:
        """Do what one item asks for."""
        self._visit(batch, item)
        taken = item.taken
        if (taken.passed_over or not item.fresh) and not taken.parked:
            batch.counts.passed_over += 1
            return
        part = batch.part(item.shard)
        held = item.shard.streams.get(taken.stream) if taken.stream else None
        poison = self.poison.get(item.place) if self.poison else None
        if taken.parked:
            assert held is not None
            self._let_go(batch, part, item, held)
        elif poison is not None:
            self._park(batch, part, item, poison)
        elif taken.bad is not None:
            batch.bury(part, taken, taken.bad)
        elif taken.tail is not None:
            batch.hears_tail(part, taken)
        elif taken.resend is not None:
            self._resend(taken.resend)
        elif taken.unpark is not None:
            parking.begin(part, taken)
        elif item.due:
            assert held is not None
            if taken.stream in item.shard.parked or taken.stream in part.parked:
                return  # it falls due again when the stream is let go
            fault.point("before_wake")
            if held.broken is not None:
                raise Poisoned(taken, held.broken)
            if held.decider is None:
                part.commit.wakes[taken.stream] = None
            else:
                batch.wake(part, taken, held)
        else:
            assert held is not None
            self._apply(batch, part, item, held)

    def _apply(self, batch: Batch, part: Part, item: Item, held: Held) -> None:
        taken = item.taken
        if batch.repeated(taken):
            return
        if parking.is_parked(part, taken):
            parking.park(batch, part, taken)
        else:
            batch.apply(part, taken, held)

    def _let_go(self, batch: Batch, part: Part, item: Item, held: Held) -> None:
        """Do what a message asks for that waited behind its parked stream."""
        taken, action = item.taken, parking.action(part, item.taken.stream)
        if action is None:
            return  # one before it is poison still
        if action != "drop":
            poison = self.poison.get(item.place)
            if poison is not None:
                parking.stop(batch, part, taken, poison)
                return
            if taken.bad is not None:
                batch.bury(part, taken, taken.bad)
            elif taken.command is not None:  # a parked wake comes again by itself
                batch.apply(part, taken, held)
        parking.unpark(batch, part, taken, held)

    def _park(self, batch: Batch, part: Part, item: Item, poison: Rejected) -> None:
        """Park the stream of an item on which the core failed, or bury the item."""
        taken = item.taken
        if batch.repeated(taken):
            return  # what it asked for was done, or is parked, when it came first
        if not taken.stream:
            batch.bury(part, taken, poison)
        elif parking.is_parked(part, taken):
            parking.park(batch, part, taken)
        else:
            parking.park(batch, part, taken, poison)

    async def _look_up(self, batch: Batch, missing: Sequence[tuple[str, Lookup]]) -> None:
        """Find the rows that commands need, one query for each kind and tenant."""
        by_tenant: dict[str, dict[FactKey, Lookup]] = {}
        for tenant_id, lookup in missing:
            by_tenant.setdefault(tenant_id, {})[fact_key(tenant_id, lookup)] = lookup
        for tenant_id, lookups in by_tenant.items():
            found = await self._store.look_up(tenant_id, list(lookups.values()))
            for (key, lookup), rows in zip(lookups.items(), found, strict=True):
                batch.facts[key] = rows
                if lookup.immutable and rows:
                    self._remembered[key] = rows
