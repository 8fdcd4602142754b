"""What the engine asks of people and of memory, and hears from the services that have them.

Owner of the engine's own: services/engine; stream: the execution id. The commands to `hil` and
`memory` are what those services take; until one runs, its commands wait in its topic.
"""

from typing import Literal, TypeAlias

from .engine import ErrorFacts, Scope
from .message import Json, message

InteractionKind: TypeAlias = Literal["approval", "input", "selection", "review"]
"""Approve or reject; fill in a form; choose an option; edit, then approve or reject."""

MemoryOperation: TypeAlias = Literal["read", "write", "search", "forget"]

Service: TypeAlias = Literal["hil", "memory", "engine"]

# Commands to the services --------------------------------------------------------------


@message("hil.request-interaction.v1")
class RequestInteraction:
    """Ask people something for a node run; the answer is `engine.note-answer.v1`.

    `interaction_id` is unique for each run of a node: the same request twice is one interaction.
    `payload` is what is shown, and in a review what may be edited; `form` is the JSON Schema of an
    input, `options` are those of a selection, `{value, label}`. `assignees` are users and groups by
    name, none: whoever may in the workspace. `rule` is `any`, `all`, or `{n}`. `timeout_at` is the
    instant at which hil ends it with its default action; None leaves that to hil. With
    `timeout_connected` the default is to say `timeout`.
    `asked_by` is the service that asks: the answer goes to its commands, to recovery's as
    `recovery.note-answer.v1`.
    """

    interaction_id: str
    execution_id: str
    workflow_id: str
    workspace_id: str
    node_id: str
    node_name: str
    scope: Scope
    run: int
    kind: InteractionKind
    title: str
    text: str = ""
    payload: Json = None
    form: Json = None
    options: Json = None
    channels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    rule: Json = "any"
    priority: Literal["low", "normal", "high", "critical"] = "normal"
    default_action: Literal["reject", "approve", "timeout", ""] = ""
    timeout_at: str | None = None
    timeout_connected: bool = False
    requester: str = ""
    asked_by: Literal["engine", "recovery"] = "engine"


@message("hil.cancel-interaction.v1")
class CancelInteraction:
    """Nobody wants an answer any more: take the notices back."""

    interaction_id: str
    execution_id: str
    reason: str


@message("memory.ask-memory.v1")
class AskMemory:
    """Read, write, search or forget for a node run; the answer is `engine.note-answer.v1`.

    `request_id` is unique for each run of a node: a write that comes twice is done once.
    """

    request_id: str
    execution_id: str
    workspace_id: str
    node_id: str
    operation: MemoryOperation
    memory_type: str
    query: str = ""
    collection: str = ""
    user: str = ""
    limit: int = 10
    budget_tokens: int | None = None
    content: Json = None


# The answer ----------------------------------------------------------------------------


@message("engine.note-answer.v1")
class NoteAnswer:
    """A service has taken what it was asked (`taken`), answered it, or could not.

    `wait_id` is the id that the request had. An answer leaves on `port` with `items`, a list of
    data; without items those that arrived go on. `by` names who answered, `detail` is told with
    each item as `interaction`. An answer that comes when nobody waits any more is refused.
    """

    execution_id: str
    wait_id: str
    service: Service
    outcome: Literal["taken", "answered", "failed"]
    port: str = ""
    items: Json = None
    by: str = ""
    answered_at: str = ""
    detail: Json = None
    error: ErrorFacts | None = None


# Events of an execution ------------------------------------------------------------------


@message("engine.people-asked.v1")
class PeopleAsked:
    """A node run asks people something; it waits from now on. See `RequestInteraction`."""

    execution_id: str
    request: RequestInteraction


@message("engine.memory-asked.v1")
class MemoryAsked:
    """A node run asks memory something; it waits from now on. See `AskMemory`."""

    execution_id: str
    request: AskMemory


@message("engine.answer-taken.v1")
class AnswerTaken:
    """A service says that it has what a node run asked; `by` is its instance."""

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    wait_id: str
    service: Service
    by: str = ""


@message("engine.execution-left.v1")
class ExecutionLeft:
    """Nothing of an execution can run but for the answers of people; or that is over again."""

    execution_id: str
    to_people: bool
    left_at: str
