"""What the engine says and hears. Owner: services/engine.

Streams: the execution id, and the workflow id for definitions.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .agent_asks import AgentAsk
from .files import FilesByItem
from .message import Json, message

EffectClass: TypeAlias = Literal["pure", "keyed", "verify_first", "unsafe"]
"""What a repetition costs: nothing, nothing with the same key, a look first, or harm."""

EffectState: TypeAlias = Literal["not_sent", "refused", "unknown", "done"]
"""How far an effect had got when its attempt failed."""

Mode: TypeAlias = Literal["MANUAL", "TRIGGER", "WEBHOOK", "RETRY"]

Length: TypeAlias = Literal["short", "long"]
"""Whether an attempt ends within 30 seconds; long ones are claimed before they begin."""

Scope: TypeAlias = tuple[tuple[str, int], ...]
"""Where a node runs: the (region, iteration)s around it, the outermost first; () is none."""

Failed: TypeAlias = tuple[tuple[int, "ErrorFacts"], ...]
"""Items that failed, by index among the inputs, each with what is known."""

RETRY_AFTER_S_MAX = 31 * 86_400.0
"""The longest wait that another side can ask for, in seconds: a quota of a month.

More seconds may have no date."""


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
    Without a `node_id` it is the trigger that a start by hand fires. `mode` is as in
    workflow_executions; `triggered_by` is `<SUBTYPE>:<node_id>`. `pin_data` are
    what nodes emit instead of running, in MANUAL runs only, beside that of the definition.

    A rerun says what it is of (`rerun`), whose keys its effects have (`root_execution_id`), how
    many messages with adopted runs follow (`parts`), and what is changed (`overrides`, by node).

    `watched_by` is a stream of the scheduler that wants to hear when the execution has ended.
    `handles` is the execution whose failure this one was started for. `files` are those of the
    items that `data` makes.
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
    pin_data: Json = None
    rerun: Json = None
    root_execution_id: str | None = None
    parts: int = 0
    overrides: Json = None
    watched_by: str = ""
    handles: str = ""
    files: FilesByItem | None = None


@message("engine.node-result.v1")
class NodeResult:
    """What became of one attempt. Settled by its token: a second answer is stale.

    `ports` has the items of each port, `[{"json": …}, …]`, in the order of the task's
    items, null where one gave none; an item with files has `binary_ref`. `failed` lists the items
    that failed by their place in the task, each with its error; without it a failed attempt failed
    for all of them.
    `payload` is set where `ports` are too large for a message: the SHA-256 of their JSON, under
    which the runner has kept them. `suspended` are items that wait for what is asked for them, by
    their place in the task.
    """

    execution_id: str
    token: str
    outcome: Literal["completed", "failed"]
    ports: Json = None
    failed: Failed = ()
    error: ErrorFacts | None = None
    duration_ms: int = 0
    runner: str = ""
    payload: str = ""
    suspended: tuple[tuple[int, tuple[AgentAsk, ...]], ...] = ()


@message("engine.recovery-verdict.v1")
class RecoveryVerdict:
    """What to do with a failed node. Refused when the execution no longer wants it.

    `retry` is one attempt after `delay_s`; `hold` waits until the ISO instant `until`.
    `overrides` say what is changed for the attempt; see `executions/overriding.py` of the engine.
    With `ask_again` the engine asks once more when the wait is over (`engine.attempt-due.v1`).
    `compensate` says that giving up takes the way that the node has for it.
    """

    failure_id: str
    execution_id: str
    node_id: str
    verdict: Literal["retry", "hold", "give_up"]
    attempt_id: str = ""
    delay_s: float = 0.0
    until: str | None = None
    overrides: Json = None
    ask_again: bool = False
    compensate: str = ""


@message("engine.retry-node.v1")
class RetryNode:
    """Run a node of an ended execution once more, and go on from there.

    Without a `node_id` it is the one that failed. `delay_s` is how long to wait before that.
    `overrides` may have `parameters` as in `RecoveryVerdict`, `model` and `credentials`
    (`{"credential": name}`), which take the places of the node's, and `input`, the data of the
    items to take instead of those that arrived.
    """

    execution_id: str
    node_id: str = ""
    scope: Scope = ()
    overrides: Json = None
    asked_by: str = ""
    delay_s: float = 0.0


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
    `indexes` are the items' places among the inputs of the node run: an item's idempotency
    key follows from `idempotency_key` and its index, however few items an attempt has. `answers`
    are those to what an agent has asked, by the index of the item and the name of its sub-step.
    `avoid` is a runner that is not to have it if there is another one. `again` is since when its
    effect may have happened, if it is one to look for first (`verify_first`); else it is empty.
    `files` are those of the items.
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
    length: Length
    deadline: str
    idempotency_key: str
    attempt: int = 1
    indexes: tuple[int, ...] = ()
    answers: Json = None
    avoid: str = ""
    again: str = ""
    files: FilesByItem | None = None


# Events that others listen to ---------------------------------------------------------


@message("engine.execution-started.v1")
class ExecutionStarted:
    """An execution began at a trigger; its version is pinned.

    `dead` are the out-edges of the triggers that did not fire, `steps_total` the nodes that
    can be reached. Instants are ISO texts. `pins` are what nodes emit instead of running, by
    node; `rerun`, `parts` and `overrides` are as in `StartExecution`. With `parts` nothing runs
    until they have come; then the trigger emits `data`. `error_workflow` is started if this
    execution fails, unless it `handles` a failure itself. `watched_by` hears of the end.
    `vars` and `static_data` (changed `static_number` times) are what it sees of them. `files` are
    those of the items of `data`.
    """

    execution_id: str
    root_execution_id: str
    workflow_id: str
    workflow_name: str
    workflow_version: int
    sha256: str
    workspace_id: str
    node_id: str
    mode: Mode
    triggered_by: str
    trigger: Json
    started_at: str
    steps_total: int
    dead: tuple[int, ...] = ()
    deadline: str | None = None
    parent_execution_id: str | None = None
    log_level: Literal["INFO", "DEBUG"] = "INFO"
    pins: Json = None
    rerun: Json = None
    parts: int = 0
    overrides: Json = None
    data: Json = None
    watched_by: str = ""
    error_workflow: str = ""
    handles: str = ""
    vars: Json = None
    static_data: Json = None
    static_number: int = 0
    files: FilesByItem | None = None


@message("engine.node-completed.v1")
class NodeCompleted:
    """A node run ended with SUCCESS, and resolved its out-edges.

    `ports` has the items of each port. `live` has (edge index, port whose items it
    carries), `dead` the indexes of the others; `picks` has, for conditional edges, the
    places on the port of the items they carry. `errors` are the items of ERROR connections
    where no port has them. `inputs` are the LIVE in-edges, (edge index, input port), in
    `inputs_scope` where it is not that of the run.
    `error_data` is there when failed items were handled: `{count, items: [{index, type,
    message}]}`. So folding needs no definition. A run that is `inline` or `pure` asked nothing of
    anybody outside.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    attempt: int
    ports: Json
    live: tuple[tuple[int, str], ...]
    dead: tuple[int, ...]
    step: int
    picks: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    errors: Json = None
    inputs: tuple[tuple[int, str], ...] = ()
    inputs_scope: Scope | None = None
    node_type: str = ""
    node_subtype: str = ""
    node_name: str = ""
    error_data: Json = None
    duration_ms: int = 0
    max_retries: int = 0
    inline: bool = True
    disabled: bool = False
    pure: bool = False


@message("engine.node-recovered.v1")
class NodeRecovered:
    """A node run ended with SUCCESS that had failed before; follows its `node-completed`.

    An attempt or an earlier run had failed, or failed items were handled, in an execution of
    which a `node-failed` was told. Those who care for failures hear this one, and need not read
    every `node-completed`.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    attempt: int


@message("engine.node-failed.v1")
class NodeFailed:
    """A node failed and its own retries are spent.

    With `asked` the engine holds the node and waits for a verdict until `verdict_until`;
    without, it tells what it has done by itself (`record_only`). `failure_id` is unique
    for each failure; `root_failure_id` is the first one of the node's episode.
    `means` are the ways that the node has to try again differently, by strategy; None: none.
    `runner` is the one whose attempt it was.
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
    scope: Scope
    run: int
    attempt: int
    asked: bool
    effect: EffectClass
    error: ErrorFacts
    first_failed_at: str
    failed_at: str
    deadline: str | None = None
    verdict_until: str | None = None
    means: Json = None
    runner: str = ""


@message("engine.node-errored.v1")
class NodeErrored:
    """A node run ended with ERROR: nothing leaves, and the execution stops."""

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    attempt: int
    error: ErrorFacts
    step: int
    failure_id: str
    inputs: tuple[tuple[int, str], ...] = ()
    inputs_scope: Scope | None = None
    node_type: str = ""
    node_subtype: str = ""
    node_name: str = ""
    error_data: Json = None
    duration_ms: int = 0
    max_retries: int = 0
    inline: bool = True


@message("engine.node-skipped.v1")
class NodeSkipped:
    """Nothing arrived at a node: all its in-edges are DEAD, so its out-edges, `dead`, are too.

    `cause` is the index of the first DEAD in-edge; None where nothing leads to the node.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    dead: tuple[int, ...]
    step: int
    cause: int | None = None
    node_type: str = ""
    node_name: str = ""


@message("engine.node-canceled.v1")
class NodeCanceled:
    """A node run that had begun was stopped with its execution; it resolves no edge.

    `token` names the attempt that was under way, if one was; `claimed` ones are told to stop.
    With `raced` it was stopped because a race was won by another branch, which goes on: then
    its out-edges, `dead`, are DEAD. `held_since` is when recovery's hold began that ends with it.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    reason: str
    token: str = ""
    claimed: bool = False
    node_type: str = ""
    node_subtype: str = ""
    node_name: str = ""
    max_retries: int = 0
    raced: bool = False
    dead: tuple[int, ...] = ()
    held_since: str = ""


@message("engine.execution-completed.v1")
class ExecutionCompleted:
    """An execution ended with SUCCESS; `result` is what its last nodes emitted.

    `result` is a list of the items' data, in node order; null where it is too long for a
    message (`result_cut`): the rows of the nodes have it. `untroubled` says that nothing
    of this execution has failed so far that others were told about. `files` are those of the items
    of `result`.
    """

    execution_id: str
    workflow_id: str
    result: Json
    duration_ms: int = 0
    result_cut: bool = False
    untroubled: bool = False
    files: FilesByItem | None = None


@message("engine.execution-failed.v1")
class ExecutionFailed:
    """An execution ended with ERROR or TIMEOUT; its error workflow, if it has one, is started."""

    execution_id: str
    workflow_id: str
    workspace_id: str
    status: Literal["ERROR", "TIMEOUT"]
    error: ErrorFacts
    node_id: str | None = None
    failure_id: str | None = None
    duration_ms: int = 0
    error_workflow: str = ""


@message("engine.execution-canceled.v1")
class ExecutionCanceled:
    """An execution was stopped by a person or a program.

    `untroubled` is as in `ExecutionCompleted`.
    """

    execution_id: str
    workflow_id: str
    reason: str
    asked_by: str
    duration_ms: int = 0
    untroubled: bool = False


@message("engine.execution-revived.v1")
class ExecutionRevived:
    """An ended execution goes on: `node_id` runs again, and what the stop had cancelled.

    `reopened` are the (node, scope)s that run again, `node_id` first; not before `not_before`
    where that is given.
    """

    execution_id: str
    node_id: str
    scope: Scope
    reopened: tuple[tuple[str, Scope], ...]
    revived_at: str
    asked_by: str = ""
    deadline: str | None = None
    overrides: Json = None
    not_before: str | None = None
