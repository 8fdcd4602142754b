"""Random workflows on real servers: run by real processes that are killed, then judged.

What a node of the random workflows asks of a runner is a NOOP there, or a request that the world
outside always refuses; so the specification says what each execution means. `differing` folds
every journal from its beginning, and from its snapshot if it has one, and compares the states
with each other, with the specification, and with the row that people see.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from meaning import difference
from outside_world import World
from perdure_common.adapters.postgres import PostgresStore
from perdure_common.shell import codec, remake
from perdure_common.shell.effects import SHELL_EVENTS
from perdure_common.shell.intake import Registry
from perdure_contracts.engine import ExecutionFailed
from perdure_contracts.executions import RegionEntered
from perdure_engine.app import service
from perdure_engine.definition import validate
from platform_stage import Stage
from random_workflows import data, definition
from specification import Endless, Meaning, Scope, evaluate
from specification import World as Given

TRICKLE_S = 0.1
TOGETHER = 8
"""Workflows that are saved and deployed at once."""


@dataclass
class Made:
    """A random workflow as it is deployed, and as the specification reads it."""

    name: str
    definition: dict[str, Any]
    abstract: dict[str, Any]
    failing: frozenset[str]

    def meaning(self, items: list[dict[str, Any]]) -> Meaning:
        """Return what it means with these items. Raises `Endless` as `evaluate` does."""

        def fails(node_id: str, scope: Scope, item: dict[str, Any]) -> str | None:
            del scope, item
            return "http_status" if node_id in self.failing else None

        return evaluate(self.abstract, items, Given(fails))


def made(seed: int, world: World) -> Made | None:
    """Make a workflow; None where the engine would refuse it."""
    random = Random(seed)
    abstract = definition(random)
    asked = [
        n["node_id"] for n in abstract["nodes"] if n["node_subtype"] == "HTTP_REQUEST"
    ]  # of each node a runner is asked for
    failing = frozenset(node_id for node_id in asked if random.random() < 0.3)
    real = json.loads(json.dumps(abstract))
    real["name"] = f"random-{seed}"
    real["settings"]["recovery"] = "off"
    for node in real["nodes"]:
        if node["node_id"] in failing:
            node["parameters"] = {"url": world.url("/status/404")}
        elif node["node_id"] in asked:
            node.update(node_type="FLOW", node_subtype="NOOP", parameters={}, run_in="runner")
    if validate(real).workflow is None:
        return None
    return Made(real["name"], real, abstract, failing)


@dataclass
class Randoms:
    """Random workflows of a platform, and the executions that were asked for."""

    stage: Stage
    world: World
    chance: Random
    workflows: list[Made] = field(default_factory=list)
    asked: dict[str, tuple[Made, list[dict[str, Any]], Meaning]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)

    async def deploy(self, count: int) -> None:
        """Deploy so many workflows."""
        while len(self.workflows) < count:
            seeds = [self.chance.randrange(10**9) for _ in range(TOGETHER)]
            some = [each for seed in seeds if (each := made(seed, self.world)) is not None]
            await asyncio.gather(*(self.stage.deploy(each.definition) for each in some))
            self.workflows.extend(some)

    async def trigger(self) -> str:
        """Ask for one execution of one of them; return its event's id."""
        while True:
            workflow, items = self.chance.choice(self.workflows), data(self.chance)
            try:
                meaning = workflow.meaning(items)
            except Endless:
                continue
            event_id = await self.stage.trigger(workflow.name, items)
            self.asked[event_id] = (workflow, items, meaning)
            return event_id

    async def trickle(self, over: asyncio.Event) -> None:
        """Ask for one execution after the other until it is over."""
        while not over.is_set():
            await self.trigger()
            await asyncio.sleep(TRICKLE_S)

    async def differing(self) -> list[str]:
        """Return every execution that is not what its journal and the specification make it."""
        rows = await self.stage.rows(
            """
            select d.id, x.execution_id, x.status
              from scheduler.trigger_deliveries d,
                   jsonb_array_elements_text(d.executions) as started (id)
              join engine.workflow_executions x on x.execution_id = started.id
             where d.id = any ($1)
            """,
            list(self.asked),
        )
        found = (
            [f"{len(rows)} executions of {len(self.asked)}"] if len(rows) != len(self.asked) else []
        )
        store = PostgresStore(self.stage.ground.database_url, service.name, connections=1)
        try:
            for row in rows:
                wrong = await self._wrong(store, row)
                if wrong:
                    workflow, items, _ = self.asked[row["id"]]
                    found.append(f"{workflow.name} with {json.dumps(items)}: {wrong}")
        finally:
            await store.close()
        return found

    async def _wrong(self, store: PostgresStore, row: Any) -> str:
        registry, stream = Registry(service), str(row["execution_id"])
        journal = (await store.load({stream: 0}))[stream][1]
        snapshot, rest = (await store.load({stream: -1}))[stream]
        whole = remake.restore(registry, None, journal)
        if snapshot is not None and remake.usable(registry, snapshot):
            self.seen["snapshot"] += 1
            if remake.restore(registry, snapshot, rest).state != whole.state:
                return f"its snapshot of version {snapshot.version} and the rest make another state"
        if whole.state.status != row["status"]:
            return f"its row says {row['status']}, its journal {whole.state.status}"
        events = [codec.event_of(row) for row in journal]
        events = [each for each in events if not isinstance(each, SHELL_EVENTS)]
        self._note(events)
        return difference(whole.state, events[-1], self.asked[row["id"]][2])

    def _note(self, events: Sequence[Any]) -> None:
        self.seen.update(event.kind for event in events if isinstance(event, RegionEntered))
        self.seen["failed"] += isinstance(events[-1], ExecutionFailed)
        self.seen["executions"] += 1
        self.seen["events"] += len(events)
