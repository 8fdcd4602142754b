"""What a scenario is: a world that misbehaves, a workflow that meets it, what must happen."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import asyncpg
from definitions_for_tests import Definition

from laboratory.outside import Reply, Server

if TYPE_CHECKING:
    from platform_stage import Stage

Status: TypeAlias = Literal["SUCCESS", "ERROR", "CANCELED", "TIMEOUT"]
Group: TypeAlias = Literal["models", "http", "databases", "work", "platform"]

DECISIONS = """
    select * from recovery.recovery_attempts where execution_id = $1
     order by created_at, attempt_number
"""


@dataclass(frozen=True)
class Expected:
    """What must become of a scenario's execution.

    `types` are those of its failures and `strategies` those of its decisions, in their order;
    `outcome` is the last decision's. `calls` says how many requests each server must have seen.
    A `curable` failure can be mended by what recovery may do by itself.
    """

    status: Status
    types: Sequence[str]
    strategies: Sequence[str]
    outcome: str
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    curable: bool = False

    @property
    def rail(self) -> str:
        """Which guard rail refused, empty if none did."""
        return self.outcome.partition(":")[2]


def cured(
    failure_type: str, *strategies: str, calls: Mapping[str, int] | None = None, failures: int = 0
) -> Expected:
    """Expect that all is well in the end, after as many failures as there are strategies."""
    types = [failure_type] * (failures or len(strategies))
    return Expected("SUCCESS", types, strategies, "recovered", calls or {}, curable=True)


def told(failure_type: str, calls: Mapping[str, int] | None = None) -> Expected:
    """Expect that people are told at once, because trying again could not help."""
    return Expected("ERROR", [failure_type], ["escalate_human"], "escalated", calls or {})


@dataclass
class Case:
    """One run of a scenario: its servers, and what else it keeps for itself."""

    number: int
    host: str
    stage: "Stage"
    servers: dict[str, Server]
    names: dict[str, str] = field(default_factory=dict[str, str])
    execution_id: str = ""

    async def until_decided(self, count: int) -> None:
        """Wait until recovery has decided so many times about this execution."""

        async def decided() -> bool:
            rows = await self.stage.rows(DECISIONS, await self.started())
            return len(rows) >= count

        await self.stage.until(decided, f"decision {count} of {self.mark}")

    async def started(self) -> str:
        """Wait until the execution is there; return its id."""
        while not self.execution_id:
            await asyncio.sleep(0.05)
        return self.execution_id

    async def until(self, name: str) -> str:
        """Wait until something has a name; return it."""
        while name not in self.names:
            await asyncio.sleep(0.02)
        return self.names[name]

    async def execute(self, sql: str) -> None:
        """Run statements in the platform's database, where the scenario has tables."""
        connection = await asyncpg.connect(self.stage.ground.database_url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def url(self, server: str, path: str = "/") -> str:
        """Return the address of one of its servers."""
        return self.servers[server].url(path)

    @property
    def mark(self) -> str:
        """A word that no other scenario has: for names of models, tables and mail servers."""
        return f"lab{self.number}"


Act: TypeAlias = Callable[[Case], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """A failure and what must happen.

    `servers` have the replies of each, in order, the last one for ever; those in `tls` show a
    certificate that nobody trusts. `before` prepares what no server is (tables, closed ports),
    `during` is what somebody does while the execution runs, and `after` looks closer. With
    `waits_for_hold` the execution starts once `during` has put something in its way, and has said
    so (`Case.names["holding"]`).
    Any of the `expected` may come true where machines differ.
    """

    name: str
    group: Group
    workflow: Callable[[Case], Definition]
    expected: Sequence[Expected]
    servers: Mapping[str, Sequence[Reply]] = field(default_factory=dict[str, "Sequence[Reply]"])
    tls: Sequence[str] = ()
    data: Any = None
    before: Act | None = None
    during: Act | None = None
    after: Act | None = None
    waits_for_hold: bool = False
