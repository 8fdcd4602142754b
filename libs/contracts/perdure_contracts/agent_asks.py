"""What an agent asks of the engine in the middle of its work, because a runner cannot wait for it.

The attempt ends *suspended*: its runner is free, what the agent did stands in its sub-steps. The
engine asks, and sends the next attempt with the answers when all have come.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .message import Json

AskKind: TypeAlias = Literal["workflow", "approval", "memory"]
"""A child execution; a person's yes or no; something of a memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAsk:
    """One thing that an agent waits for; `request` names it among the agent's sub-steps.

    `node_id` is the attached node, `name` what the model calls it. `given` is what is asked: for a
    workflow `{workflow, version, data}`, for an approval `{title, text, payload, assignees,
    channels, priority, timeout_s}`, for a memory the fields of `AskMemory`.
    """

    kind: AskKind
    request: str
    node_id: str
    name: str
    given: Json
