"""What the engine's journal has of executions beside what others hear, and the two unions.

Owner: services/engine. Stream: the execution id. These events are not published.
"""

from dataclasses import field
from typing import Literal, TypeAlias

from .admission import AdmissionEvent, NoteSlot
from .asking import AnswerTaken, ExecutionLeft, MemoryAsked, NoteAnswer, PeopleAsked
from .control import ControlCommand, ControlEvent
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
from .files import FilesReferred
from .flow import (
    ChildAccepted,
    ChildEndTold,
    ChildRefused,
    ChildRequested,
    ExecutionResponded,
    NoteChildEnd,
    RaceLost,
    ResumeUrlMade,
    ResumeWait,
    SignalExecution,
    SignalReceived,
    StartChild,
    WaitBegun,
    WaitEnded,
)
from .kept import KeptEvent
from .message import Json, message
from .purging import ExecutionPurged, PurgeExecution
from .suspending import SuspendingEvent
from .undoing import NodeCompensated


@message("engine.node-scheduled.v1")
class NodeScheduled:
    """An attempt of a node begins in the runner.

    The first one of a run carries all of it; later ones have `parameters` null, unless they
    changed: one set for each of `indexes`, the items that this attempt is about. `failed`
    are items that failed before anything was sent. `inputs_scope` is the scope of the
    in-edges where it is not that of the run. At the instant `run_until` all attempts together have
    taken too long.
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
    inputs_scope: Scope | None = None
    failed: Failed = ()
    node_type: str = ""
    node_subtype: str = ""
    node_name: str = ""
    effect: EffectClass = "unsafe"
    length: Length = "long"
    idempotency_key: str = ""
    max_retries: int = 0
    avoid: str = ""
    run_until: str | None = None


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

    `retry` has the instant `at`, `hold` the instant until which it waits. With `ask_again`
    recovery is asked once more at that instant. `held_since` is when a hold began that goes on, or
    is over by this.
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
    ask_again: bool = False
    held_since: str = ""


@message("engine.attempt-due.v1")
class AttemptDue:
    """The wait before an attempt is over, and recovery is asked whether it is still to be made.

    It says so with a verdict until `verdict_until`, or the node is given up.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    failure_id: str
    attempt_id: str
    due_at: str
    verdict_until: str


@message("engine.execution-yielded.v1")
class ExecutionYielded:
    """The work of one batch is spent; the nodes of `ready` run with the next wake."""

    execution_id: str
    ready: tuple[tuple[str, Scope], ...]
    yielded_at: str


Part: TypeAlias = tuple[str, str, tuple[int, ...] | None]
"""Items of a port of a run: its place, the port, and which of its items (null is all)."""


@message("engine.region-entered.v1")
class RegionEntered:
    """A region begins: its entry received items in `scope`.

    `kind` says what opens it. `size` is how many nodes and regions each of its iterations
    must see to their ends, `items` how many items the entry received. A LOOP or FOREACH has
    a run of its own, open until its `done`; `body` is the port on which its iterations begin.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    kind: Literal["loop", "foreach", "cycle", "each"]
    size: int
    items: int
    entered_at: str
    inputs: tuple[tuple[int, str], ...] = ()
    body: str = ""
    node_type: str = ""
    node_subtype: str = ""
    node_name: str = ""
    max_retries: int = 0


@message("engine.iteration-started.v1")
class IterationStarted:
    """An iteration of a region begins.

    `live` has, for the edges on which it begins, what they carry; `dead` are the others.
    `taken` counts the items that have gone round so far, `left` are those that left a LOOP
    before this iteration. A bare cycle's entry reads its in-edges itself.
    """

    execution_id: str
    node_id: str
    scope: Scope
    iteration: int
    live: tuple[tuple[int, tuple[Part, ...]], ...] = ()
    dead: tuple[int, ...] = ()
    taken: int = 0
    left: tuple[Part, ...] = ()


@message("engine.iteration-failed.v1")
class IterationFailed:
    """An error stopped an iteration of a FOREACH, and nothing more than that."""

    execution_id: str
    node_id: str
    scope: Scope
    iteration: int
    failed_node_id: str
    error: ErrorFacts


@message("engine.region-exited.v1")
class RegionExited:
    """All runs of a region have ended, and the edges that leave it are resolved.

    `live` carry the items of all iterations that did not fail, in order. `failed` says that a
    failed iteration failed all of them, `skipped` tells a bare cycle, or a node with
    `join: each`, at which nothing arrived.
    """

    execution_id: str
    node_id: str
    scope: Scope
    run: int
    iterations: int
    live: tuple[int, ...] = ()
    dead: tuple[int, ...] = ()
    skipped: bool = False
    failed: bool = False
    cause: int | None = None
    step: int = 0
    node_type: str = ""
    node_name: str = ""


@message("engine.examine-execution.v1")
class ExamineExecution:
    """Look whether an execution can still say what it waits for. Sent by the stall detector.

    What has fallen due is done, as a wake would do it; what then waits for nothing that could
    make it go on ends with the error `stalled`. `found` says what the detector saw at `version`.
    An execution that can explain itself is left alone.
    """

    execution_id: str
    version: int = 0
    found: str = ""


ExecutionCommand: TypeAlias = (
    StartExecution
    | NodeResult
    | RecoveryVerdict
    | RetryNode
    | CancelExecution
    | SignalExecution
    | ResumeWait
    | StartChild
    | NoteChildEnd
    | NoteAnswer
    | ControlCommand
    | ExamineExecution
    | NoteSlot
    | PurgeExecution
)
ExecutionEvent: TypeAlias = (
    ExecutionStarted
    | NodeScheduled
    | AttemptFailed
    | NodeFailed
    | VerdictApplied
    | AttemptDue
    | NodeCompleted
    | NodeRecovered
    | NodeCompensated
    | NodeErrored
    | NodeSkipped
    | NodeCanceled
    | RegionEntered
    | IterationStarted
    | IterationFailed
    | RegionExited
    | RaceLost
    | ResumeUrlMade
    | WaitBegun
    | WaitEnded
    | SignalReceived
    | ChildRequested
    | ChildAccepted
    | ChildRefused
    | ChildEndTold
    | ExecutionResponded
    | PeopleAsked
    | MemoryAsked
    | AnswerTaken
    | ExecutionLeft
    | ExecutionYielded
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionCanceled
    | ExecutionRevived
    | ControlEvent
    | AdmissionEvent
    | KeptEvent
    | SuspendingEvent
    | FilesReferred
    | ExecutionPurged
)
