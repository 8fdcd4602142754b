"""A storm: many executions fail at once by the same dependency, which comes back after a while.

Everybody must be told of one thing, not of a thousand, and the dependency must not be hit by all
of them the moment it is back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from definitions_for_tests import chain, request
from platform_stage import ENDED, Stage

from laboratory.outside import Server, address, fine, status

NUMBER = 9_999
LIMIT_S = 120.0
SENT_AT_ONCE = 50
MOST = 0.9
"""Of the executions, how many must have failed before the server comes back."""


# A probe that a breaker held up before it called was none.
FOUND = """
    select count(*) filter (where a.status = 'succeeded') as attempts,
           count(*) filter (where a.triggered_by = 'probe'
                            and a.recovery_outcome is distinct from 'held') as probes,
           (select count(*) from recovery.recovery_incidents where dependency = $1) as incidents
      from recovery.recovery_attempts a
      join recovery.failure_patterns p on p.id = a.failure_pattern_id
     where p.dependency = $1
"""


@dataclass
class Storm:
    """`count` executions post to one server, which is down until most of them have failed."""

    stage: Stage
    count: int
    down_s: float = 5.0
    statuses: dict[str, int] = field(default_factory=dict[str, int])
    calls_while_down: int = 0
    again_before: int = 0
    """Calls made once more until the incident had stood for a second: decided before it."""
    again_while_down: int = 0
    calls_after: int = 0
    took_s: float = 0.0
    attempts: int = 0
    probes: int = 0
    incidents: int = 0
    keys: int = 0
    workflow_id: str = ""
    dependency: str = f"http:{address(NUMBER)}"

    async def run(self) -> "Storm":
        """Let it blow over."""
        began = time.monotonic()
        server = Server([status(503)], address(NUMBER))
        await server.begin()
        try:
            url = server.url("/orders")
            self.workflow_id = await self.stage.deploy(
                chain("storm", request("post", url, json={"n": 1}, timeout_s=5))
            )
            self.again_before, _ = await asyncio.gather(self._known(server), self._fail())
            await asyncio.sleep(self.down_s)
            self.calls_while_down = len(server.asked)
            self.again_while_down = again(server)
            server.mend(fine())
            await self._until(self._ended)
            self.calls_after = len(server.asked) - self.calls_while_down
            self.keys = len(set(server.keys))
        finally:
            await server.end()
        [row] = await self.stage.rows(FOUND, self.dependency)
        self.attempts, self.probes, self.incidents = (
            row["attempts"],
            row["probes"],
            row["incidents"],
        )
        self.took_s = time.monotonic() - began
        return self

    @property
    def recovered(self) -> int:
        """How many executions came to a good end."""
        return self.statuses.get("SUCCESS", 0)

    def told(self) -> str:
        """Return the storm in a line."""
        return (
            f"storm                {self.recovered} of {self.count} executions recovered in "
            f"{self.took_s:.0f} s; the server was asked {self.calls_while_down} times while it was "
            f"down and {self.calls_after} times after; {self.incidents} incident(s), "
            f"{self.probes} probe(s); {self.statuses}"
        )

    async def _trigger(self) -> None:
        await self.stage.trigger("storm", {"n": 0})
        for first in range(1, self.count, SENT_AT_ONCE):
            last = min(first + SENT_AT_ONCE, self.count)
            await asyncio.gather(
                *(self.stage.trigger("storm", {"n": n}) for n in range(first, last))
            )

    async def _fail(self) -> None:
        await self._trigger()
        await self._until(self._failed)

    async def _known(self, server: Server) -> int:
        """Wait until the incident is known to everybody; return who was called again by then."""
        await self._until(self._incident)
        await asyncio.sleep(1.0)
        return again(server)

    async def _incident(self) -> bool:
        sql = "select 1 from recovery.recovery_incidents where dependency = $1"
        return bool(await self.stage.rows(sql, self.dependency))

    async def _failed(self) -> bool:
        rows = await self.stage.rows(
            "select count(distinct a.execution_id) as n from recovery.recovery_attempts a join "
            "recovery.failure_patterns p on p.id = a.failure_pattern_id where p.dependency = $1",
            self.dependency,
        )
        return int(rows[0]["n"]) >= self.count * MOST

    async def _ended(self) -> bool:
        rows: Any = await self.stage.rows(
            "select status, count(*) as n from engine.workflow_executions "
            "where workflow_id = $1 group by 1",
            self.workflow_id,
        )
        self.statuses = {row["status"]: int(row["n"]) for row in rows}
        return sum(self.statuses.get(each, 0) for each in ENDED) >= self.count

    async def _until(self, found: Callable[[], Awaitable[bool]]) -> None:
        """Wait for something, but not for ever: how far it came is told."""
        limit = time.monotonic() + LIMIT_S
        while not await found() and time.monotonic() < limit:
            await asyncio.sleep(0.5)


def again(server: Server) -> int:
    """Return how many of the calls were not the first of their execution."""
    return len(server.keys) - len(set(server.keys))
