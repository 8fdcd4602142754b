"""How people steer executions: pause and resume, mark a node. Owner: services/engine.

Stream: the execution id. What others hear of it is published; the rest stands in the journal.
"""

from typing import Literal, TypeAlias

from .engine import Scope
from .message import Json, message

# Commands ---------------------------------------------------------------------------


@message("engine.pause-execution.v1")
class PauseExecution:
    """Let nothing new begin: what runs may finish, and every deadline stands still."""

    execution_id: str
    reason: str = ""
    asked_by: str = ""


@message("engine.resume-execution.v1")
class ResumeExecution:
    """Let a paused execution go on."""

    execution_id: str
    asked_by: str = ""


@message("engine.mark-node.v1")
class MarkNode:
    """Settle a node by hand, in place of an attempt that is under way, waits, or has failed.

    `done` lets it end with SUCCESS and emit `data`: `{"ports": {port: [data, …]}}`, or what a
    trigger event's data may be, for the node's first port. `skipped` makes its out-edges DEAD.
    An execution that has ended goes on, as with `engine.retry-node.v1`.
    """

    execution_id: str
    node_id: str
    outcome: Literal["done", "skipped"]
    scope: Scope = ()
    data: Json = None
    reason: str = ""
    asked_by: str = ""


# Events -----------------------------------------------------------------------------


@message("engine.execution-paused.v1")
class ExecutionPaused:
    """Nothing new begins until the execution is resumed; its deadlines stand still."""

    execution_id: str
    workflow_id: str
    paused_at: str
    reason: str = ""
    asked_by: str = ""


@message("engine.execution-resumed.v1")
class ExecutionResumed:
    """A paused execution goes on; its deadlines are later by what the pause took.

    `deadline` is that of the execution.
    """

    execution_id: str
    workflow_id: str
    paused_at: str
    resumed_at: str
    asked_by: str = ""
    deadline: str | None = None


@message("engine.node-marked.v1")
class NodeMarked:
    """A person settled a node's run; how it ended is told by the event that follows.

    `token` names the attempt that was under way, if one was: its answer counts no more.
    `failure_id` is the failure about which recovery was asked last, if it was.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    outcome: Literal["done", "skipped"]
    reason: str = ""
    asked_by: str = ""
    token: str = ""
    claimed: bool = False
    failure_id: str = ""


ControlCommand: TypeAlias = PauseExecution | ResumeExecution | MarkNode
ControlEvent: TypeAlias = ExecutionPaused | ExecutionResumed | NodeMarked
