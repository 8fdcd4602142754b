"""How people steer executions: pause and resume, mark a node. Owner: services/engine.

Stream: the execution id. What others hear of it is published; the rest stands in the journal.
"""

from dataclasses import field
from typing import Literal, TypeAlias

from .engine import ErrorFacts, Scope
from .files import FilesByItem
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
    An execution that has ended goes on, as with `engine.retry-node.v1`. `files` are those of the
    items of `data`, by their places, counted on from port to port.
    """

    execution_id: str
    node_id: str
    outcome: Literal["done", "skipped"]
    scope: Scope = ()
    data: Json = None
    reason: str = ""
    asked_by: str = ""
    files: FilesByItem | None = None


@message("engine.rerun-execution.v1")
class RerunExecution:
    """Begin a new execution with what an old one was started with; the old one stays as it is.

    It begins anew from the `start`, from where the old one `failed`, or from a `node`: what was
    finished before that point is adopted, not run again, where its definition and those of all
    its ancestors are the same in `version` (None: the old one's). With `fork` the old one may
    still be running. `overrides` are about `node_id`, as in `engine.retry-node.v1`.
    """

    execution_id: str
    new_execution_id: str
    origin: Literal["start", "failed", "node"] = "failed"
    node_id: str = ""
    version: int | None = None
    overrides: Json = None
    fork: bool = False
    asked_by: str = ""


@message("engine.adopt-runs.v1")
class AdoptRuns:
    """Some of the finished node runs that a new execution adopts; made by the old one.

    `runs` has what they emitted, by place and port. `failed` has the iterations of FOREACHs that
    had failed, by place and iteration: the node and its error. `skipped` are the places of runs
    that a person had skipped, `regions` those of loops before a race that had come to their ends.
    """

    execution_id: str
    of: str
    part: int
    runs: dict[str, dict[str, Json]]
    failed: dict[str, dict[str, tuple[str, ErrorFacts]]] = field(
        default_factory=dict[str, dict[str, tuple[str, ErrorFacts]]]
    )
    skipped: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


@message("engine.start-error-workflow.v1")
class StartErrorWorkflow:
    """Start the error workflow of an execution that failed; made by the engine for itself."""

    execution_id: str
    error_workflow: str
    failure_id: str
    status: Literal["ERROR", "TIMEOUT"]
    error: ErrorFacts
    node_id: str | None = None


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


@message("engine.cancel-begun.v1")
class CancelBegun:
    """An execution is to be cancelled: nothing new begins, and what a runner has claimed may end.

    `tokens` name these attempts, which are told to begin nothing more and are cut off at `until`.
    The execution is CANCELED when none of them is under way, at `until` at the latest.
    """

    execution_id: str
    workflow_id: str
    begun_at: str
    until: str
    tokens: tuple[str, ...]
    reason: str = ""
    asked_by: str = ""


@message("engine.node-marked.v1")
class NodeMarked:
    """A person settled a node's run; how it ended is told by the event that follows.

    `token` names the attempt that was under way, if one was: its answer counts no more.
    `failure_id` is the failure about which recovery was asked last, if it was, `held_since` when
    its hold began that is over by this.
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
    held_since: str = ""


@message("engine.rerun-begun.v1")
class RerunBegun:
    """A new execution was begun from this one, which stays as it is.

    `adopted` are the nodes whose runs it adopts, with all that is in their loops. Their places
    are `runs`, `ends` (loops that had failed whole, or were passed by) and `failed` (FOREACHs with
    iterations that had failed), `skipped` and `regions` as in `engine.adopt-runs.v1`; what they
    emitted is sent in `parts`. `root_execution_id` is the root of its
    idempotency keys.
    """

    execution_id: str
    new_execution_id: str
    root_execution_id: str
    origin: Literal["start", "failed", "node"]
    version: int
    begun_at: str
    node_id: str = ""
    adopted: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    parts: int = 0
    overrides: Json = None
    asked_by: str = ""
    skipped: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


@message("engine.runs-adopted.v1")
class RunsAdopted:
    """Runs of another execution are known here, and count when their turn comes.

    The fields are as in `engine.adopt-runs.v1`.
    """

    execution_id: str
    of: str
    part: int
    runs: dict[str, dict[str, Json]]
    failed: dict[str, dict[str, tuple[str, ErrorFacts]]] = field(
        default_factory=dict[str, dict[str, tuple[str, ErrorFacts]]]
    )
    skipped: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


@message("engine.error-workflow-started.v1")
class ErrorWorkflowStarted:
    """The error workflow of an execution that failed was found, and is started with the failure.

    `workflow_id` and `version` are those of the error workflow; the rest is the failure.
    """

    execution_id: str
    handler_execution_id: str
    workflow_id: str
    version: int
    failure_id: str
    status: Literal["ERROR", "TIMEOUT"]
    error: ErrorFacts
    node_id: str | None = None


ControlCommand: TypeAlias = (
    PauseExecution | ResumeExecution | MarkNode | RerunExecution | AdoptRuns | StartErrorWorkflow
)
ControlEvent: TypeAlias = (
    ExecutionPaused
    | ExecutionResumed
    | CancelBegun
    | NodeMarked
    | RerunBegun
    | RunsAdopted
    | ErrorWorkflowStarted
)
