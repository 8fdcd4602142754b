"""What an agent waits for: asked of the engine, answered by the task of its next attempt."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from perdure_contracts.agent_asks import AgentAsk
from perdure_contracts.message import Json

from .journal import Journal
from .tools import Tool

APPROVAL = ".approval"
"""What is behind a call's name in the name of the question whether it may be made."""


class Suspended(Exception):
    """The agent cannot go on until what it asks is answered; nothing of it is lost."""

    def __init__(self, asks: Sequence[AgentAsk]) -> None:
        super().__init__(", ".join(each.name for each in asks))
        self.asks = tuple(asks)


def approval_of(tool: Tool, arguments: Mapping[str, Any], request: str) -> AgentAsk:
    """Return the question to a person whether a call may be made."""
    given = dict(tool.approval or {})
    called = json.dumps(arguments, ensure_ascii=False, indent=1)
    given.setdefault("title", f"May the agent call {tool.name}?")
    given.setdefault("text", f"{tool.description}\n\nIt would be called with:\n{called}"[:4_000])
    given["payload"] = {"tool": tool.name, "arguments": dict(arguments)}
    return AgentAsk(
        kind="approval",
        request=request + APPROVAL,
        node_id=tool.node_id,
        name=tool.name,
        given=given,
    )


def workflow_of(tool: Tool, arguments: Mapping[str, Any], request: str) -> AgentAsk:
    """Return what lets the engine begin an execution for a call."""
    given = {
        "workflow": str(tool.parameters.get("workflow") or ""),
        "version": tool.parameters.get("version"),
        "data": dict(arguments),
    }
    return AgentAsk(
        kind="workflow", request=request, node_id=tool.node_id, name=tool.name, given=given
    )


async def write_answers(journal: Journal, answers: Mapping[str, Json]) -> None:
    """Write down the answers that came with a task, so that they are found like all others.

    Raises:
        LeaseLost: The attempt is not ours any more.
        Unreachable: They cannot be written down.
    """
    for request, answer in answers.items():
        if journal.answer(request) is None:
            await journal.begin(request, "tool", "asked")
            await journal.finish(request, "tool", answer)
