"""Agents in the simulation: their journal, a model that answers by heart, and tools.

The loop of an agent is the real one. What was written down as finished must never be done again,
neither by the model nor by a tool, whoever dies in between; an unsafe call is made once at most.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from perdure_common.ids import derived
from perdure_common.shell.ports import Unreachable
from perdure_contracts.engine import ErrorFacts
from perdure_engine.runner.agents import agent as looping
from perdure_engine.runner.agents import calls as calling
from perdure_engine.runner.agents.tools import Tool
from perdure_engine.runner.claims import MemoryClaims
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.substeps import Agent, LeaseLost, MemorySubsteps, Substep

from simulation.loop import BEGIN
from simulation.stores import Database

NO_MODELS = SimpleNamespace(client=lambda: None)
"""Connections to models, of which none is needed."""


@dataclass
class Agents:
    """What agents have done: the rows of their sub-steps, and what was really asked and called.

    `broken` hears of what was done twice; `moods` are those of the world outside.
    """

    chance: Random
    happens: Callable[[str, float], bool]
    moods: Callable[[], Any]
    broken: Callable[[str, str], None]
    kept: MemorySubsteps = field(default_factory=MemorySubsteps)
    asked: Counter[str] = field(default_factory=Counter)
    unsafe: Counter[str] = field(default_factory=Counter)

    def finished(self, key: str, request: str) -> bool:
        """Return whether a call stands in the journal with its answer."""
        row = self.kept.rows.get((key, request))
        return row is not None and row.state == "finished"

    def forget(self, rows: dict[tuple[str, str], Substep]) -> None:
        """Go back to a backup: what was done after it stands nowhere, and is done again."""
        self.kept.rows = dict(rows)
        self.unsafe.clear()

    def worked(self, key: str) -> bool:
        """Return whether an agent asked its model and had an answer."""
        return any(
            agent == key and row.kind == "model" for (agent, _), row in self.kept.rows.items()
        )

    # The model ------------------------------------------------------------------------------

    async def model(self, work: looping.Work) -> Any:
        """Answer an agent: it looks, then notes something and looks, then asks, then is done."""
        from pydantic_ai.exceptions import ModelHTTPError
        from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
        from pydantic_ai.usage import RequestUsage

        moods = self.moods()
        slow = self.happens("model slow", moods.slow * 4)
        await asyncio.sleep(self.chance.uniform(0.5, 6.0) if slow else 0.05)
        if self.happens("model busy", moods.busy):
            raise ModelHTTPError(503, "sim")
        if self.happens("model answers in vain", moods.cut):
            await asyncio.sleep(30.0)
        turn = sum("tools" in each for each in work.transcript)
        wanted = (("look",), ("note", "look"), ("ask",))
        parts: list[Any] = [TextPart("done")]
        if turn < len(wanted):
            calls = enumerate(wanted[turn])
            parts = [ToolCallPart(name, {"n": turn}, f"call-{turn}-{k}") for k, name in calls]
        usage = RequestUsage(input_tokens=10, output_tokens=1)
        return ModelResponse(parts=parts, usage=usage, model_name="sim", timestamp=BEGIN)

    def about_to_ask(self, key: str, request: str) -> None:
        """See that the model is asked: nothing stands of this question."""
        self.asked["model"] += 1
        if self.finished(key, request):
            self.broken("agent", f"{key} asked the model again what it had answered")

    # Tools ------------------------------------------------------------------------------------

    async def tool(self, tool: Tool, key: str) -> Any:
        """Make a call of a tool; one that is not repeatable happens once at most."""
        self.asked["tool"] += 1
        done = (derived("tool-call", agent, each) for agent, each in self.kept.rows)
        rows = dict(zip(done, self.kept.rows.values(), strict=True))
        if key in rows and rows[key].state == "finished":
            self.broken("agent", f"{tool.name} was called again though its answer stands there")
        moods = self.moods()
        slow = self.happens("tool slow", moods.slow * 4)
        await asyncio.sleep(self.chance.uniform(0.3, 4.0) if slow else 0.02)
        if self.happens("tool refuses", moods.refused):
            return _failed("connect_failed", "not_sent")
        if not tool.repeatable:
            self.unsafe[key] += 1
            if self.unsafe[key] > 1:
                self.broken("I1", f"the call {key} of {tool.name} happened twice")
        if self.happens("tool's answer cut off", moods.cut):
            return _failed("connection_reset", "unknown")
        return {"said": tool.name}

    def patches(self) -> ExitStack:
        """Put this model and these tools in place of the real ones."""
        really_ask = looping.Work._really_ask  # pyright: ignore[reportPrivateUsage]

        async def ask(work: looping.Work, model: Any, request: str) -> Any:
            self.about_to_ask(work.journal.agent.key, request)
            return await really_ask(work, model, request)

        async def request(work: looping.Work, model: Any) -> Any:
            del model
            return await self.model(work)

        async def call(tools: Any, tenant: str, tool: Tool, given: Any, key: str) -> Any:
            del tools, tenant, given
            return await self.tool(tool, key)

        async def nothing() -> None:
            """Load nothing beside the loop: there is nothing beside it."""

        def no_model(choice: Any, http: Any) -> None:
            del choice, http

        stack = ExitStack()

        def put(target: Any, name: str, value: Any) -> None:
            stack.enter_context(patch.object(target, name, value))

        put(looping.Work, "_really_ask", ask)
        put(looping.Work, "_request", request)
        put(looping.libraries, "load_libraries", nothing)
        put(looping.models, "model_of", no_model)
        put(calling, "call", call)
        return stack


@dataclass
class SimSubsteps:
    """A runner's way to the sub-steps, which stand in a table of the engine."""

    agents: Agents
    leases: MemoryClaims
    database: Database

    async def _come(self, agent: Agent | None = None) -> MemorySubsteps:
        await self.database.travel()
        kept = self.agents.kept
        kept.lost.clear()
        if agent is not None:
            self.leases.now_s = asyncio.get_running_loop().time()
            lease = self.leases.leases.get(agent.token)
            live = lease is not None and lease.until > self.leases.now_s and not lease.finished
            if lease is None or not live or lease.canceled or lease.runner != agent.runner:
                kept.lost.add(agent.token)
        return kept

    def _answered(self) -> None:
        if self.database.happens("sub-step written, no answer", self.database.trouble.unanswered):
            raise Unreachable("the connection broke when the sub-step was written")

    async def of(self, agent: Agent) -> Sequence[Substep]:
        """See `Substeps.of`."""
        return await (await self._come()).of(agent)

    async def begin(self, agent: Agent, step: Substep) -> None:
        """See `Substeps.begin`."""
        try:
            await (await self._come(agent)).begin(agent, step)
        except LeaseLost:
            self.database.fault("sub-step without a lease")
            raise
        self._answered()

    async def finish(self, agent: Agent, step: Substep) -> None:
        """See `Substeps.finish`."""
        await (await self._come()).finish(agent, step)
        self._answered()

    async def void(self, agent: Agent, requests: Sequence[str]) -> None:
        """See `Substeps.void`."""
        await (await self._come()).void(agent, requests)


def _failed(kind: str, effect: Any) -> Failed:
    return Failed(
        ErrorFacts(
            type=kind,
            message="the tool did not answer",
            retryable=True,
            stage="tool",
            dependency="http:sim.example",
            effect_state=effect,
        )
    )
