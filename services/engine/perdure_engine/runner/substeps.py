"""The journal of an agent: each call of a model or a tool, before it is made and when it is done.

A call is known by what is asked (`request`, a hash), not by its number: a resumed agent that
asks the same gets the answer that is there, and one whose model or prompt was changed asks anew,
while the calls of tools that it repeats are still not made twice. Rows are written only for an
attempt whose lease is alive, so a runner that lost it can begin nothing more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from perdure_common.adapters.postgres_errors import WAIT_S
from perdure_common.adapters.postgres_statements import Statements

Kind: TypeAlias = Literal["model", "tool"]
State: TypeAlias = Literal["begun", "finished", "void"]

KEEP_S = 30 * 86_400.0
"""How long sub-steps outlive their execution: as long as somebody may want to revive it."""


@dataclass(frozen=True)
class Agent:
    """Whose sub-steps these are: one item of one node run, in one attempt of one runner.

    `key` is the item's idempotency key, the same in every attempt.
    """

    key: str
    tenant_id: str
    execution_id: str
    node_id: str
    token: str
    runner: str


@dataclass(frozen=True)
class Usage:
    """What a call cost; tools cost nothing that is counted."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True)
class Substep:
    """One call: begun, finished with `result` (JSON text), or void."""

    request: str
    n: int
    kind: Kind
    name: str
    token: str = ""
    state: State = "begun"
    result: str = ""
    usage: Usage = field(default_factory=Usage)


class LeaseLost(Exception):
    """The attempt is not the runner's any more: nothing else may begin."""


class Substeps(Protocol):
    """Where sub-steps are kept. Methods raise `Unreachable` when the server is gone."""

    async def of(self, agent: Agent) -> Sequence[Substep]:
        """Return what the agent has done so far, in order."""
        ...

    async def begin(self, agent: Agent, step: Substep) -> None:
        """Note that a call is about to be made.

        Raises:
            LeaseLost: The attempt is not the runner's any more, or another one finished the call.
        """
        ...

    async def finish(self, agent: Agent, step: Substep) -> None:
        """Keep a call's answer.

        Raises:
            LeaseLost: Another attempt has taken the call over.
        """
        ...

    async def void(self, agent: Agent, requests: Sequence[str]) -> None:
        """Let the next attempt ask these again."""
        ...


class PostgresSubsteps:
    """Sub-steps in the table `substeps`."""

    def __init__(self, dsn: str, *, wait_s: float = WAIT_S) -> None:
        file = Path(__file__).with_name("queries.sql")
        self._database = Statements(dsn, file, connections=4, wait_s=wait_s)

    async def of(self, agent: Agent) -> Sequence[Substep]:
        """See `Substeps.of`."""
        rows = await self._database.fetch("substeps", agent.key)
        return [
            Substep(
                request=row["request"],
                n=row["n"],
                kind=row["kind"],
                name=row["name"],
                token=row["token"],
                state=row["state"],
                result=row["result"] or "",
                usage=Usage(row["input_tokens"], row["output_tokens"], row["cost_usd"]),
            )
            for row in rows
        ]

    async def begin(self, agent: Agent, step: Substep) -> None:
        """See `Substeps.begin`."""
        rows = await self._database.fetch(
            "begin_substep",
            *(agent.key, step.request, step.n, step.kind, step.name),
            *(agent.tenant_id, agent.execution_id, agent.node_id, agent.token, agent.runner),
        )
        if not rows:
            raise LeaseLost(f"attempt {agent.token} is not run by {agent.runner} any more")

    async def finish(self, agent: Agent, step: Substep) -> None:
        """See `Substeps.finish`."""
        usage = step.usage
        rows = await self._database.fetch(
            "finish_substep",
            *(agent.key, step.request, agent.token, step.result),
            *(usage.input_tokens, usage.output_tokens, usage.cost_usd),
        )
        if not rows:
            raise LeaseLost(f"attempt {agent.token} has been taken over")

    async def void(self, agent: Agent, requests: Sequence[str]) -> None:
        """See `Substeps.void`."""
        await self._database.fetch("void_substeps", agent.key, list(requests), agent.token)

    async def forget(self) -> None:
        """Delete the sub-steps of executions that ended long ago."""
        await self._database.fetch("forget_substeps", KEEP_S)

    async def close(self) -> None:
        """Give the connections back."""
        await self._database.close()


@dataclass
class MemorySubsteps:
    """Sub-steps in memory; `lost` are tokens whose lease is gone."""

    rows: dict[tuple[str, str], Substep] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    async def of(self, agent: Agent) -> Sequence[Substep]:
        """See `Substeps.of`."""
        found = [step for (key, _), step in self.rows.items() if key == agent.key]
        return sorted(found, key=lambda step: step.n)

    async def begin(self, agent: Agent, step: Substep) -> None:
        """See `Substeps.begin`."""
        known = self.rows.get((agent.key, step.request))
        if agent.token in self.lost or (known is not None and known.state != "begun"):
            raise LeaseLost(f"attempt {agent.token} is not run by {agent.runner} any more")
        self.rows[agent.key, step.request] = replace(step if known is None else known,
                                                     token=agent.token)  # fmt: skip

    async def finish(self, agent: Agent, step: Substep) -> None:
        """See `Substeps.finish`."""
        known = self.rows.get((agent.key, step.request))
        if known is None or known.token != agent.token or known.state != "begun":
            raise LeaseLost(f"attempt {agent.token} has been taken over")
        self.rows[agent.key, step.request] = replace(
            known, state="finished", result=step.result, usage=step.usage
        )

    async def void(self, agent: Agent, requests: Sequence[str]) -> None:
        """See `Substeps.void`."""
        for request in requests:
            known = self.rows.get((agent.key, request))
            if known is not None and known.state == "finished":
                del self.rows[agent.key, request]
                void = f"{request}/{agent.token}"
                self.rows[agent.key, void] = replace(known, request=void, state="void")
