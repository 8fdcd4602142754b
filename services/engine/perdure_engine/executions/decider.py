"""The decider of executions, put together for the shell."""

from functools import partial
from typing import Any

from perdure_common.decider import Decider
from perdure_contracts.control import (
    AdoptRuns,
    ExecutionPaused,
    ExecutionResumed,
    MarkNode,
    NodeMarked,
    PauseExecution,
    RerunBegun,
    RerunExecution,
    ResumeExecution,
    RunsAdopted,
)
from perdure_contracts.engine import (
    CancelExecution,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionRevived,
    ExecutionStarted,
    NodeCanceled,
    NodeCompleted,
    NodeErrored,
    NodeFailed,
    NodeRecovered,
    NodeResult,
    NodeSkipped,
    RecoveryVerdict,
    RetryNode,
    StartExecution,
)
from perdure_contracts.executions import (
    AttemptFailed,
    ExamineExecution,
    ExecutionCommand,
    ExecutionEvent,
    ExecutionYielded,
    IterationFailed,
    IterationStarted,
    NodeScheduled,
    RegionEntered,
    RegionExited,
    VerdictApplied,
)
from perdure_contracts.flow import RaceLost

from .decide import act, decide
from .evolve import evolve
from .facts import facts
from .progress import OUTPUT_BYTES_MAX
from .project import project
from .route import route
from .state import Execution, over, wake_at


def stream_of(command: ExecutionCommand) -> str:
    """Return the stream of an execution."""
    return command.execution_id


def told(event: ExecutionEvent) -> bool:
    """Return whether an event is for others: not what ended well in the engine's own process.

    Those are most events, nothing outside depends on them, and they stand in the journal and in
    node_executions like all others (ADR 0023).
    """
    return not (isinstance(event, NodeCompleted) and event.inline)


def decider_with(
    verdict_wait_s: float,
    output_bytes_max: int = OUTPUT_BYTES_MAX,
) -> Decider[Execution, ExecutionCommand, ExecutionEvent]:
    """Return the decider that waits `verdict_wait_s` seconds for recovery's verdicts.

    `output_bytes_max` is how large what a node emits may be, as JSON.
    """
    limits: dict[str, Any] = {
        "verdict_wait_s": verdict_wait_s,
        "output_bytes_max": output_bytes_max,
    }
    return Decider(
        name="execution",
        initial=Execution(),
        commands=(
            StartExecution,
            NodeResult,
            RecoveryVerdict,
            RetryNode,
            CancelExecution,
            PauseExecution,
            ResumeExecution,
            MarkNode,
            ExamineExecution,
            RerunExecution,
            AdoptRuns,
        ),
        events=(
            ExecutionStarted,
            NodeScheduled,
            AttemptFailed,
            NodeFailed,
            VerdictApplied,
            NodeCompleted,
            NodeRecovered,
            NodeErrored,
            NodeSkipped,
            NodeCanceled,
            RegionEntered,
            IterationStarted,
            IterationFailed,
            RegionExited,
            RaceLost,
            ExecutionYielded,
            ExecutionCompleted,
            ExecutionFailed,
            ExecutionCanceled,
            ExecutionRevived,
            ExecutionPaused,
            ExecutionResumed,
            NodeMarked,
            RerunBegun,
            RunsAdopted,
        ),
        stream_of=stream_of,
        decide=partial(decide, **limits),
        state_version=2,
        act=partial(act, **limits),
        evolve=evolve,
        project=project,
        route=route,
        facts=facts,
        wake_at=wake_at,
        over=over,
        creates=(StartExecution,),
        private=(
            NodeScheduled,
            NodeSkipped,
            AttemptFailed,
            VerdictApplied,
            RegionEntered,
            IterationStarted,
            IterationFailed,
            RegionExited,
            RaceLost,
            ExecutionYielded,
            RunsAdopted,
        ),
        told=told,
        passes=(CancelExecution,),
    )
