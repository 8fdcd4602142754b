"""What the engine says and hears. Owner: services/engine.

Streams: the execution id, and the workflow id for definitions.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .message import Json, message

EffectClass: TypeAlias = Literal["pure", "keyed", "verify_first", "unsafe"]
"""What a repetition costs: nothing, nothing with the same key, a look first, or harm."""

EffectState: TypeAlias = Literal["not_sent", "refused", "unknown", "done"]
"""How far an effect had got when its attempt failed."""

Mode: TypeAlias = Literal["MANUAL", "TRIGGER", "WEBHOOK", "RETRY"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFacts:
    """What is known about a failure, as structure; texts are scrubbed before they are sent.

    `type` is perdure's own typed code (snake_case), `classes` the exception's class and
    its bases as `package.Class`, `causes` the same for its causes, `codes` what the other
    side called it, most specific first, `frames` `(module, function)` of user code only.
    """

    type: str
    message: str
    retryable: bool = False
    classes: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    status_code: int | None = None
    sqlstate: str | None = None
    retry_after_s: float | None = None
    frames: tuple[tuple[str, str], ...] = ()
    stage: str = ""
    dependency: str = ""
    effect_state: EffectState = "not_sent"
    detail: Json = None


# Commands ---------------------------------------------------------------------------


@message("engine.save-workflow.v1")
class SaveWorkflow:
    """Validate a definition, make it the draft, and freeze it as the next version."""

    workflow_id: str
    definition: Json
    saved_by: str = ""


@message("engine.start-execution.v1")
class StartExecution:
    """Start one execution of a frozen version at one of its triggers.

    `trigger` is the trigger event's envelope (`$execution.trigger`), `data` its body.
    `mode` is as in workflow_executions; `triggered_by` is `<SUBTYPE>:<node_id>`.
    """

    execution_id: str
    workflow_id: str
    version: int
    node_id: str
    mode: Mode
    triggered_by: str
    trigger: Json
    data: Json
    parent_execution_id: str | None = None


@message("engine.node-result.v1")
class NodeResult:
    """What became of one attempt. Settled by its token: a second answer is stale.

    `ports` has the items of each port, `[{"json": …}, …]`, in the order of the inputs.
    `failed` lists the inputs (by index) that failed, each with its error.
    """

    execution_id: str
    token: str
    outcome: Literal["completed", "failed"]
    ports: Json = None
    failed: tuple[tuple[int, ErrorFacts], ...] = ()
    error: ErrorFacts | None = None
    duration_ms: int = 0
    runner: str = ""


@message("engine.recovery-verdict.v1")
class RecoveryVerdict:
    """What to do with a failed node. Refused when the execution no longer wants it."""

    failure_id: str
    execution_id: str
    node_id: str
    verdict: Literal["retry", "hold", "give_up"]
    attempt_id: str = ""
    delay_s: float = 0.0
    until: str | None = None
    overrides: Json = None


@message("engine.retry-node.v1")
class RetryNode:
    """Run a node of an ended execution once more, and go on from there."""

    execution_id: str
    node_id: str
    scope: tuple[tuple[str, int], ...] = ()
    overrides: Json = None
    asked_by: str = ""


@message("engine.cancel-execution.v1")
class CancelExecution:
    """Stop an execution: nothing new begins, what runs is told to stop."""

    execution_id: str
    reason: str = ""
    asked_by: str = ""


# The task of a runner ----------------------------------------------------------------


@message("engine.node-task.v1")
class NodeTask:
    """One attempt of one node, with everything a runner needs to know.

    `token` names the attempt. `parameters` holds one resolved set for each item (`items`
    are the inputs' json); `deadline` is an ISO instant after which the answer is late.
    """

    token: str
    execution_id: str
    workflow_id: str
    node_id: str
    node_type: str
    node_subtype: str
    parameters: Json
    items: Json
    effect: EffectClass
    length: Literal["short", "long"]
    deadline: str
    idempotency_key: str
    attempt: int = 1


# Events that others listen to ---------------------------------------------------------


@message("engine.node-failed.v1")
class NodeFailed:
    """A node failed and its own retries are spent.

    With `asked` the engine holds the node and waits for a verdict until `verdict_until`;
    without, it tells what it has done by itself (`record_only`). `failure_id` is unique
    for each failure; `root_failure_id` is the first one of the node's episode.
    """

    failure_id: str
    root_failure_id: str
    execution_id: str
    workflow_id: str
    workflow_version: int
    workspace_id: str
    node_id: str
    node_name: str
    node_type: str
    node_subtype: str
    scope: tuple[tuple[str, int], ...]
    run: int
    attempt: int
    asked: bool
    effect: EffectClass
    error: ErrorFacts
    first_failed_at: str
    failed_at: str
    deadline: str | None = None
    verdict_until: str | None = None


@message("engine.node-completed.v1")
class NodeCompleted:
    """A node run ended with SUCCESS; `edges` are the out-edges it resolved.

    `ports` has the items of each port; `edges` has `[edge index, live?]` pairs, so that
    folding needs no definition. `error_data` is there when failed items were handled.
    """

    execution_id: str
    node_id: str
    scope: tuple[tuple[str, int], ...]
    run: int
    attempt: int
    ports: Json
    edges: tuple[tuple[int, bool], ...]
    step: int
    node_type: str = ""
    node_name: str = ""
    items: Json = None
    error_data: Json = None
    duration_ms: int = 0
    inline: bool = True
    disabled: bool = False


@message("engine.execution-completed.v1")
class ExecutionCompleted:
    """An execution ended with SUCCESS; `result` is what its last nodes emitted."""

    execution_id: str
    workflow_id: str
    result: Json
    duration_ms: int = 0


@message("engine.execution-failed.v1")
class ExecutionFailed:
    """An execution ended with ERROR or TIMEOUT."""

    execution_id: str
    workflow_id: str
    workspace_id: str
    status: Literal["ERROR", "TIMEOUT"]
    error: ErrorFacts
    node_id: str | None = None
    failure_id: str | None = None
    duration_ms: int = 0


@message("engine.execution-canceled.v1")
class ExecutionCanceled:
    """An execution was stopped by a person or a program."""

    execution_id: str
    workflow_id: str
    reason: str
    asked_by: str
    duration_ms: int = 0
