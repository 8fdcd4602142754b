"""What the engine's journal has of executions beside what others hear, and the two unions.

Owner: services/engine. Stream: the execution id. These events are not published.
"""

from dataclasses import field
from typing import Literal, TypeAlias

from .engine import (
    CancelExecution,
    EffectClass,
    ErrorFacts,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRevived,
    ExecutionStarted,
    Failed,
    Length,
    NodeCanceled,
    NodeCompleted,
    NodeErrored,
    NodeFailed,
    NodeRecovered,
    NodeResult,
    NodeSkipped,
    RecoveryVerdict,
    RetryNode,
    Scope,
    StartExecution,
)
from .message import Json, message


@message("engine.node-scheduled.v1")
class NodeScheduled:
    """An attempt of a node begins in the runner.

    The first one of a run carries all of it; later ones have `parameters` null, unless they
    changed: one set for each of `indexes`, the items that this attempt is about. `failed`
    are items that failed before anything was sent.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    attempt: int
    token: str
    indexes: tuple[int, ...]
    deadline: str
    scheduled_at: str
    parameters: Json = None
    inputs: tuple[tuple[int, str], ...] = ()
    failed: Failed = ()
    node_type: str = ""
    node_subtype: str = ""
    node_name: str = ""
    effect: EffectClass = "unsafe"
    length: Length = "long"
    idempotency_key: str = ""
    max_retries: int = 0


@message("engine.attempt-failed.v1")
class AttemptFailed:
    """An attempt did not do all of its items; `done` has what it did, by index and port.

    With `retry_at` the engine tries again by itself.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    attempt: int
    token: str
    error: ErrorFacts
    failed: Failed
    failed_at: str
    done: dict[str, dict[str, Json]] = field(default_factory=dict[str, dict[str, Json]])
    retry_at: str | None = None
    duration_ms: int = 0
    runner: str = ""


@message("engine.verdict-applied.v1")
class VerdictApplied:
    """What becomes of a node that recovery was asked about; `by` says who decided.

    `retry` has the instant `at`, `hold` the instant until which it waits.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    failure_id: str
    verdict: Literal["retry", "hold", "give_up"]
    by: Literal["recovery", "clock"]
    at: str | None = None
    attempt_id: str = ""
    overrides: Json = None


@message("engine.execution-yielded.v1")
class ExecutionYielded:
    """The work of one batch is spent; the nodes of `ready` run with the next wake."""

    execution_id: str
    ready: tuple[tuple[str, Scope], ...]
    yielded_at: str


ExecutionCommand: TypeAlias = (
    StartExecution | NodeResult | RecoveryVerdict | RetryNode | CancelExecution
)
ExecutionEvent: TypeAlias = (
    ExecutionStarted
    | NodeScheduled
    | AttemptFailed
    | NodeFailed
    | VerdictApplied
    | NodeCompleted
    | NodeRecovered
    | NodeErrored
    | NodeSkipped
    | NodeCanceled
    | ExecutionYielded
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionCanceled
    | ExecutionRevived
)
