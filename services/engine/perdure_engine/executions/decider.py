"""The decider of executions, put together for the shell."""

from functools import partial

from perdure_common.decider import Decider
from perdure_contracts.admission import (
    ExecutionQueued,
    ExecutionRefused,
    GatePassed,
    NoteSlot,
)
from perdure_contracts.asking import (
    AnswerTaken,
    ExecutionLeft,
    MemoryAsked,
    NoteAnswer,
    PeopleAsked,
)
from perdure_contracts.control import (
    AdoptRuns,
    ErrorWorkflowStarted,
    ExecutionPaused,
    ExecutionResumed,
    MarkNode,
    NodeMarked,
    PauseExecution,
    RerunBegun,
    RerunExecution,
    ResumeExecution,
    RunsAdopted,
    StartErrorWorkflow,
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
    AttemptDue,
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
from perdure_contracts.files import FilesReferred
from perdure_contracts.flow import (
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
from perdure_contracts.kept import StaticDataAsked, StaticDataKept
from perdure_contracts.purging import ExecutionPurged, PurgeExecution
from perdure_contracts.suspending import AskAnswered, AskDropped, RunSuspended
from perdure_contracts.undoing import NodeCompensated

from .decide import act, decide
from .evolve import evolve
from .facts import facts
from .progress import OUTPUT_BYTES_MAX
from .project import project
from .queueing import NO_LIMITS, Limits
from .resuming import ResumeUrls
from .route import route
from .state import Execution, over, wake_at
from .terms import Terms

COMMANDS = (
    StartExecution,
    NodeResult,
    RecoveryVerdict,
    RetryNode,
    CancelExecution,
    SignalExecution,
    ResumeWait,
    StartChild,
    NoteChildEnd,
    PauseExecution,
    ResumeExecution,
    MarkNode,
    ExamineExecution,
    NoteAnswer,
    RerunExecution,
    AdoptRuns,
    StartErrorWorkflow,
    NoteSlot,
    PurgeExecution,
)
"""What an execution is asked."""

EVENTS = (
    ExecutionStarted,
    NodeScheduled,
    AttemptFailed,
    NodeFailed,
    VerdictApplied,
    AttemptDue,
    NodeCompleted,
    NodeRecovered,
    NodeCompensated,
    NodeErrored,
    NodeSkipped,
    NodeCanceled,
    RegionEntered,
    IterationStarted,
    IterationFailed,
    RegionExited,
    RaceLost,
    ResumeUrlMade,
    WaitBegun,
    WaitEnded,
    SignalReceived,
    ChildRequested,
    ChildAccepted,
    ChildRefused,
    ChildEndTold,
    ExecutionResponded,
    PeopleAsked,
    MemoryAsked,
    AnswerTaken,
    ExecutionLeft,
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
    ErrorWorkflowStarted,
    ExecutionQueued,
    GatePassed,
    ExecutionRefused,
    StaticDataAsked,
    StaticDataKept,
    RunSuspended,
    AskAnswered,
    AskDropped,
    FilesReferred,
    ExecutionPurged,
)
"""What may happen to an execution."""

PRIVATE = (
    NodeScheduled,
    NodeSkipped,
    AttemptFailed,
    VerdictApplied,
    AttemptDue,
    RegionEntered,
    IterationStarted,
    IterationFailed,
    RegionExited,
    RaceLost,
    ResumeUrlMade,
    WaitEnded,
    SignalReceived,
    ChildRequested,
    ChildAccepted,
    ChildRefused,
    ChildEndTold,
    PeopleAsked,
    MemoryAsked,
    AnswerTaken,
    ExecutionYielded,
    RunsAdopted,
    GatePassed,
    StaticDataAsked,
    StaticDataKept,
    RunSuspended,
    AskAnswered,
    AskDropped,
    FilesReferred,
)
"""What nobody else need hear of."""


def stream_of(command: ExecutionCommand) -> str:
    """Return the stream of an execution."""
    return command.execution_id


def told(event: ExecutionEvent) -> bool:
    """Return whether an event is for others: not what ended well without an effect outside.

    Those are most events, nothing outside depends on them, and they stand in the journal and in
    node_executions like all others (ADR 0023).
    """
    return not (isinstance(event, NodeCompleted) and (event.inline or event.pure))


def decider_with(
    verdict_wait_s: float,
    output_bytes_max: int = OUTPUT_BYTES_MAX,
    urls: ResumeUrls | None = None,
    limits: Limits = NO_LIMITS,
) -> Decider[Execution, ExecutionCommand, ExecutionEvent]:
    """Return the decider that waits `verdict_wait_s` seconds for recovery's verdicts.

    `output_bytes_max` is how large what a node emits may be, as JSON; `urls` makes the resume
    URLs of executions that wait for calls; `limits` say how many executions may be open.
    """
    terms = Terms(verdict_wait_s, output_bytes_max, urls, limits)
    return Decider(
        name="execution",
        initial=Execution(),
        commands=COMMANDS,
        events=EVENTS,
        stream_of=stream_of,
        decide=partial(decide, terms=terms),
        state_version=5,
        act=partial(act, terms=terms),
        evolve=evolve,
        project=project,
        route=route,
        facts=facts,
        wake_at=wake_at,
        over=over,
        creates=(StartExecution, StartChild),
        private=PRIVATE,
        told=told,
        passes=(CancelExecution,),
        one_trace=True,
    )
