"""The calls of tools: each is made once, over all attempts, and its outcome is told to the model.

A call is named by its tool and arguments, and how often the same was asked before; so a model that
asks again in another attempt, even another model, gets what was done, and does not do it twice.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perdure_common.ids import derived
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.runner.dependencies import Called, of_address
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.tools import Tools

from .failures import Stop, limit
from .journal import Journal
from .limits import Limits
from .mcp import Refused, Servers
from .tools import Tool, call, read_arguments, told
from .waiting import APPROVAL, Suspended, approval_of, workflow_of


@dataclass(frozen=True)
class Outcome:
    """What the model is told of a call."""

    ok: bool
    content: Json


@dataclass
class Calls:
    """The tools of one agent in one attempt. `made` counts the calls, repeated ones too."""

    on: Tools
    journal: Journal
    tools: Mapping[str, Tool]
    limits: Limits
    tell: Callable[..., None]
    servers: Servers
    made: int = 0
    _by_tool: Counter[str] = field(default_factory=Counter)

    async def all(self, asked: Sequence[tuple[str, Any]]) -> list[Outcome]:
        """Make the calls of one turn side by side, and return their outcomes in order.

        Raises:
            Stop: The agent ends; what had begun is seen through first.
            Suspended: It waits for what the engine asks; what had begun is seen through first.
            LeaseLost: The attempt is not ours any more.
        """
        prepared = [self._prepared(name, raw) for name, raw in asked]
        made = await asyncio.gather(
            *(self._one(*each) for each in prepared if not isinstance(each, Outcome)),
            return_exceptions=True,
        )
        waits = [ask for each in made if isinstance(each, Suspended) for ask in each.asks]
        for each in made:
            if isinstance(each, BaseException) and not isinstance(each, Suspended):
                raise each
        if waits:
            raise Suspended(waits)
        outcomes = iter([each for each in made if isinstance(each, Outcome)])
        return [each if isinstance(each, Outcome) else next(outcomes) for each in prepared]

    def _prepared(self, name: str, raw: Any) -> "Outcome | tuple[Tool, dict[str, Any], str]":
        """Return what to call and the call's name, or what the model is told instead."""
        tool = self.tools.get(name)
        if tool is None:
            known = ", ".join(self.tools) or "none"
            return Outcome(ok=False, content=f"there is no tool {name!r}; there are: {known}")
        arguments = read_arguments(tool, raw)
        if isinstance(arguments, str):
            return Outcome(ok=False, content=arguments)
        if self._by_tool[name] >= tool.calls_max:
            text = f"{name} may be called {tool.calls_max} times, and was; go on without it"
            return Outcome(ok=False, content=text)
        if self.made >= self.limits.tool_calls_max:
            raise limit(
                "tool_call_limit",
                f"tools were called {self.made} times; raise `tool_calls_max`, or let it do less",
            )
        self.made += 1
        self._by_tool[name] += 1
        request = self.journal.request_of("tool", [tool.node_id, name, arguments])
        return tool, arguments, request

    async def _one(self, tool: Tool, arguments: dict[str, Any], request: str) -> Outcome:
        known = self.journal.answer(request)
        if known is not None:
            self.tell("tool_finished", name=tool.name, repeated=True)
            return self._outcome(tool, known)
        if tool.approval is not None:
            verdict = self.journal.answer(request + APPROVAL)
            if verdict is None:
                raise Suspended([approval_of(tool, arguments, request)])
            if not verdict["ok"]:
                content = f"the call was not allowed: {verdict['content']}"
                return Outcome(ok=False, content=content)
        if tool.asks:
            raise Suspended([workflow_of(tool, arguments, request)])
        if self.journal.begun_before(request) and not tool.repeatable:
            raise Stop(_unknown(tool, "an earlier attempt ended while it was under way"))
        called = self._called(tool)
        begun = self.on.dependencies.begin(called)
        if isinstance(begun, Failed):  # nothing was sent: a later attempt goes on from here
            raise Stop(begun.error)
        await self.journal.begin(request, "tool", tool.name)
        self.tell("tool_started", name=tool.name)
        agent = self.journal.agent
        key = derived("tool-call", agent.key, request)
        answer = await self._made(tool, arguments, key)
        error = answer.error if isinstance(answer, Failed) else None
        self.on.dependencies.heard(begun, error)
        if error is not None:
            unknown = not tool.repeatable and error.effect_state == "unknown"
            kept: dict[str, Json] = {"ok": False, "content": f"{error.type}: {error.message}"}
            if unknown:
                kept["unknown"] = error.message
        elif isinstance(answer, Refused):
            kept = {"ok": False, "content": told(answer.content)}
        else:
            kept = {"ok": True, "content": told(answer)}
        await self.journal.finish(request, "tool", kept)
        outcome = self._outcome(tool, kept)
        self.tell(
            "tool_finished", name=tool.name, detail={"outcome": "ok" if outcome.ok else "failed"}
        )
        return outcome

    async def _made(
        self, tool: Tool, arguments: dict[str, Any], key: str
    ) -> Json | Refused | Failed:
        if tool.subtype == "MCP":
            return await self.servers.call(tool, arguments)
        return await call(self.on, self.journal.agent.tenant_id, tool, arguments, key)

    def _called(self, tool: Tool) -> Called:
        url = str(tool.parameters.get("url") or "")
        handle = str(tool.parameters.get("credential") or "")
        return Called(self.journal.agent.tenant_id, of_address("http", url, ""), handle)

    def _outcome(self, tool: Tool, kept: Mapping[str, Json]) -> Outcome:
        """Return what the model is told of a finished call.

        Raises:
            Stop: Nobody knows what became of it, and it cannot be made again.
        """
        if "unknown" in kept:
            raise Stop(_unknown(tool, str(kept["unknown"])))
        return Outcome(ok=bool(kept["ok"]), content=kept["content"])


def _unknown(tool: Tool, why: str) -> ErrorFacts:
    return ErrorFacts(
        type="effect_unknown",
        message=f"nobody knows whether the call of {tool.name!r} (node {tool.node_id!r}) happened: "
        f"{why}; look there, then mark the node done, or run it again from the start",
        stage="tool",
        dependency=f"tool:{tool.name}",
        effect_state="unknown",
    )
