"""Who listens under a path: read from trigger_index, and believed for a second.

Every replica answers for every path, whoever owns the workflow's shard: what it knows is what the
table says. A path that nobody has is asked for each time, so what was just deployed is found.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from perdure_scheduler.hook_settings import methods_of

from .store import HookStore

BELIEVED_S = 1.0
LOAD_SHARE = 20
"""What took long to load is believed longer, so that loading takes a small share of the time."""

PATHS_MAX = 50_000


@dataclass(frozen=True)
class Route:
    """A trigger that listens under a path. `trial` is the id of the test URL, if it is one."""

    workflow_id: str
    workflow_name: str
    version: int
    node_id: str
    subtype: str
    index_key: str
    config: Mapping[str, Any]
    methods: tuple[str, ...]
    trial: str = ""

    @property
    def node(self) -> tuple[str, str]:
        """The workflow and the node in it."""
        return self.workflow_id, self.node_id


def route_of(row: Any, trial: str = "") -> Route:
    """Return a row as a route."""
    config: dict[str, Any] = orjson.loads(row["trigger_config"])
    return Route(
        workflow_id=row["workflow_id"],
        workflow_name=row["workflow_name"],
        version=row["deployment_version"],
        node_id=row["node_id"],
        subtype=row["trigger_subtype"],
        index_key=row["index_key"],
        config=config,
        methods=methods_of(config),
        trial=trial,
    )


class Routes:
    """The triggers by their paths."""

    def __init__(self, store: HookStore) -> None:
        self._store = store
        self._known: dict[str, tuple[float, tuple[Route, ...]]] = {}
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def of(self, path: str) -> tuple[Route, ...]:
        """Return the triggers that listen under a path, empty if none does.

        Raises:
            Unreachable: The table cannot be read.
        """
        loop = asyncio.get_running_loop()
        found = self._known.get(path)
        if found is not None and loop.time() < found[0]:
            return found[1]
        waiting = self._asked.get(path)
        if waiting is None:
            waiting = self._asked[path] = loop.create_future()
        if self._asking is None:
            self._asking = loop.create_task(self._load())
        await asyncio.shield(waiting)
        found = self._known.get(path)
        return found[1] if found is not None else ()

    async def _load(self) -> None:
        """Answer all that was asked meanwhile, by one question."""
        loop = asyncio.get_running_loop()
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                began = loop.time()
                try:
                    rows = await self._store.run("routes", self._store.tenant_id, list(asked))
                except Exception as error:
                    for waiting in asked.values():
                        if not waiting.done():
                            waiting.set_exception(error)
                            waiting.exception()  # nobody may be left who asked
                    continue
                self._keep(asked, rows, loop.time(), loop.time() - began)
        finally:
            self._asking = None

    def _keep(
        self, asked: Mapping[str, asyncio.Future[None]], rows: Any, now: float, took_s: float
    ) -> None:
        found: dict[str, list[Route]] = {}
        for row in rows:
            route = route_of(row)
            if "auth" in route.config:  # who says nothing of `auth` listens to nobody
                found.setdefault(row["path"], []).append(route)
        if len(self._known) > PATHS_MAX:
            self._known.clear()
        until = now + max(BELIEVED_S, took_s * LOAD_SHARE)
        for path, waiting in asked.items():
            if path in found:
                self._known[path] = until, tuple(found[path])
            else:
                self._known.pop(path, None)
            if not waiting.done():
                waiting.set_result(None)
