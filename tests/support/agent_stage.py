"""Agents on local servers: one of models, one of tools, and what a runner has."""

from dataclasses import dataclass, field
from typing import Any

from answering_server import Server, parsed
from model_server import (
    Models,
    Reply,
)
from perdure_common.outbound import AllowList
from perdure_contracts.engine import NodeResult, NodeTask
from perdure_contracts.progress import AgentProgressed
from perdure_engine.runner.perform import perform
from perdure_engine.runner.substeps import MemorySubsteps
from perdure_engine.runner.tools import Tools

LOCAL = AllowList.parse(["127.0.0.0/8"])
TENANT = "t1"

SCHEMA = {
    "type": "object",
    "properties": {"team": {"enum": ["billing", "other"]}, "urgent": {"type": "boolean"}},
    "required": ["team", "urgent"],
    "additionalProperties": False,
}


def tool(name: str, url: str, effect: str = "pure", **more: Any) -> dict[str, Any]:
    """Return a tool as the engine tells it to a runner."""
    arguments = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "note": {"type": "string"}},
        "required": ["id"],
    }
    given = {"name": name, "description": f"Does {name}.", "url": url, "arguments": arguments}
    return {
        "node_id": f"node-{name}",
        "subtype": "HTTP",
        "effect": effect,
        "parameters": given | more,
    }


@dataclass
class Watching:
    """Keeps what agents tell of themselves."""

    told: list[AgentProgressed] = field(default_factory=list)

    def tell(self, tenant_id: str, told: AgentProgressed) -> None:
        assert tenant_id == TENANT
        self.told.append(told)


@dataclass
class Stage:
    """A server of models, one of tools, and what a runner has."""

    models: Models
    server: Server
    port: int
    tools: Tools
    substeps: MemorySubsteps
    watching: Watching

    def script(self, *replies: Reply) -> None:
        self.models.script.extend(replies)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def run(self, token: str = "a1", answers: Any = None, **parameters: Any) -> NodeResult:
        """Run one attempt of an agent with one item."""
        given = {"model": "local-1", "base_url": self.models.url, "prompt": "Sort this.",
                 **parameters}  # fmt: skip
        task = NodeTask(
            token=token,
            execution_id="e",
            workflow_id="w",
            node_id="n",
            node_type="AI_AGENT",
            node_subtype="AGENT",
            parameters=[given],
            items=[{}],
            effect="keyed",
            length="long",
            deadline="2099-01-01T00:00:00+00:00",
            idempotency_key="key",
            answers=None if answers is None else {"0": answers},
        )
        return await perform(self.tools, task, "r", TENANT)

    async def answer(self, token: str = "a1", **parameters: Any) -> dict[str, Any]:
        result: Any = await self.run(token, **parameters)
        assert result.error is None, result.error
        return result.ports["main"][0]["json"]

    async def error(self, token: str = "a1", **parameters: Any) -> Any:
        result = await self.run(token, **parameters)
        assert result.error is not None, result.ports
        return result.error

    @property
    def tool_calls(self) -> list[Any]:
        return [parsed(each) for each in self.server.asked]
