"""Wiring only: the deciders of each kind of stream, what is heard, and main()."""

from functools import partial

from fastapi import FastAPI
from perdure_common import run
from perdure_common.api.asking import Asking
from perdure_common.api.reading import Reading
from perdure_common.decider import Decider
from perdure_common.http import beside
from perdure_common.service import Service
from perdure_common.settings import Settings
from perdure_common.shell.owner import Owner
from perdure_contracts.breakers import BreakerTurned, DependencyCalls
from perdure_contracts.dead_letters import (
    DeadLetterEdited,
    DeadLetterKept,
    DeadLetterReopened,
    DeadLetterSettled,
    EditDeadLetter,
    KeepDeadLetter,
    LetterCommand,
    LetterEvent,
    RedriveDeadLetter,
)
from perdure_contracts.deciding import (
    AllowanceCommand,
    AllowanceEvent,
    AttemptParked,
    AttemptReleased,
    AttemptStopped,
    BreakerEvent,
    BudgetSet,
    CallsNoted,
    CountFailure,
    ExecutionCommand,
    ExecutionEvent,
    FailureCounted,
    GateSet,
    IncidentClosed,
    IncidentCommand,
    IncidentEvent,
    IncidentOpened,
    JoinLine,
    LeaveLine,
    LineCommand,
    LineEvent,
    LineJoined,
    LineLeft,
    NoteAnswer,
    NoteCompensated,
    NoteDue,
    NoteProbe,
    NoteResult,
    NoteSpending,
    ProbeNoted,
    ReleaseAttempt,
    ResultNoted,
    ReturnTokens,
    SetBudget,
    SetGate,
    TokensReturned,
    TokensSpent,
    WaitersReleased,
)
from perdure_contracts.patterns import (
    NoteLesson,
    NoteOccurrence,
    PatternCommand,
    PatternEvent,
    PatternSeen,
    PatternTaught,
)
from perdure_contracts.questions import QuestionAsked, QuestionSettled
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    AttemptSucceeded,
    EpisodeClosed,
    FailureNoted,
    ModeSet,
    NoteCompletion,
    NoteEnd,
    NoteFailure,
    NoteGivenUp,
    SetMode,
    VerdictRepeated,
)
from perdure_contracts.telling import EpisodeFixed, KeepProse, ProseKept

from . import allowance, breakers, incidents, letters, lines, modes, patterns, prose
from .api import ROWS, TABLES
from .cleaning import CLEANED, keep_cleaning
from .decide import decide
from .document import add_all
from .evolve import evolve
from .facts import execution_facts
from .figures import figures
from .hear import CALLS, DEAD_LETTERS, FAILURES, hear, is_first, stream_of
from .outcomes import wake_at
from .project import project
from .promises import Judge
from .prose_writing import keep_writing
from .route import route
from .state import Execution

executions: Decider[Execution, ExecutionCommand, ExecutionEvent] = Decider(
    name="execution",
    initial=Execution(),
    commands=(
        NoteFailure,
        NoteCompletion,
        NoteGivenUp,
        NoteEnd,
        NoteDue,
        ReleaseAttempt,
        NoteAnswer,
        NoteCompensated,
    ),
    events=(
        FailureNoted,
        AttemptOrdered,
        AttemptRefused,
        AttemptSucceeded,
        AttemptFailed,
        EpisodeClosed,
        EpisodeFixed,
        VerdictRepeated,
        AttemptParked,
        AttemptReleased,
        AttemptStopped,
        QuestionAsked,
        QuestionSettled,
    ),
    creates=(NoteFailure,),
    first=is_first,
    state_version=7,
    stream_of=stream_of,
    decide=decide,
    evolve=evolve,
    project=project,
    route=route,
    facts=execution_facts,
    wake_at=wake_at,
)

pattern_streams: Decider[patterns.Pattern, PatternCommand, PatternEvent] = Decider(
    name="pattern",
    initial=patterns.Pattern(),
    commands=(NoteOccurrence, NoteLesson),
    events=(PatternSeen, PatternTaught),
    state_version=4,
    stream_of=patterns.stream_of,
    decide=patterns.decide,
    evolve=patterns.evolve,
    project=patterns.project,
    route=patterns.route,
    private=(PatternSeen,),  # the failure that was noted says as much, and is published
)

mode_streams: Decider[modes.Mode, SetMode, ModeSet] = Decider(
    name="mode",
    initial=modes.UNSET,
    commands=(SetMode,),
    events=(ModeSet,),
    state_version=3,
    stream_of=modes.stream_of,
    decide=modes.decide,
    evolve=modes.evolve,
    project=modes.project,
    route=modes.route,
)

letter_streams: Decider[letters.Letter, LetterCommand, LetterEvent] = Decider(
    name="dead-letter",
    initial=letters.Letter(),
    commands=(KeepDeadLetter, RedriveDeadLetter, EditDeadLetter),
    events=(DeadLetterKept, DeadLetterSettled, DeadLetterEdited, DeadLetterReopened),
    stream_of=letters.stream_of,
    decide=letters.decide,
    evolve=letters.evolve,
    project=letters.project,
    route=letters.route,
    private=(DeadLetterKept, DeadLetterEdited, DeadLetterReopened),
    state_version=4,
)

breaker_streams: Decider[breakers.Breaker, DependencyCalls, BreakerEvent] = Decider(
    name="breaker",
    initial=breakers.Breaker(),
    commands=(DependencyCalls,),
    events=(CallsNoted, BreakerTurned),
    state_version=3,
    stream_of=breakers.stream_of,
    decide=breakers.decide,
    evolve=breakers.evolve,
    project=breakers.project,
    route=breakers.route,
    wake_at=breakers.wake_at,
    private=(CallsNoted,),
)

incident_streams: Decider[incidents.Incident, IncidentCommand, IncidentEvent] = Decider(
    name="incident",
    initial=incidents.Incident(),
    commands=(CountFailure, NoteProbe),
    events=(FailureCounted, IncidentOpened, ProbeNoted, IncidentClosed),
    state_version=2,
    stream_of=incidents.stream_of,
    decide=incidents.decide,
    evolve=incidents.evolve,
    project=incidents.project,
    route=incidents.route,
    wake_at=incidents.wake_at,
    private=(FailureCounted, ProbeNoted),
)

line_streams: Decider[lines.Line, LineCommand, LineEvent] = Decider(
    name="line",
    initial=lines.Line(),
    commands=(SetGate, JoinLine, LeaveLine),
    events=(GateSet, LineJoined, LineLeft, WaitersReleased),
    stream_of=lines.stream_of,
    decide=lines.decide,
    evolve=lines.evolve,
    project=lines.project,
    route=lines.route,
    state_version=4,
    private=(GateSet, LineJoined, LineLeft, WaitersReleased),
)

allowance_streams: Decider[allowance.Purse, AllowanceCommand, AllowanceEvent] = Decider(
    name="allowance",
    initial=allowance.Purse(),
    commands=(SetBudget, NoteSpending, ReturnTokens, NoteResult),
    events=(BudgetSet, TokensSpent, TokensReturned, ResultNoted),
    stream_of=allowance.stream_of,
    decide=allowance.decide,
    evolve=allowance.evolve,
    project=allowance.project,
    route=allowance.route,
    private=(TokensSpent, TokensReturned, ResultNoted),
    state_version=2,
)

prose_streams: Decider[prose.Prose, KeepProse, ProseKept] = Decider(
    name="prose",
    initial=prose.Prose(),
    commands=(KeepProse,),
    events=(ProseKept,),
    stream_of=prose.stream_of,
    decide=prose.decide,
    evolve=prose.evolve,
    project=prose.project,
    route=prose.route,
)

service = Service(
    name="recovery",
    deciders=(
        executions,
        pattern_streams,
        mode_streams,
        letter_streams,
        breaker_streams,
        incident_streams,
        line_streams,
        allowance_streams,
        prose_streams,
    ),
    hear=hear,
    hears=(FAILURES, CALLS, *DEAD_LETTERS),
    patient=(NoteOccurrence, NoteLesson, NoteSpending, ReturnTokens, NoteResult),
    by_token=(DependencyCalls,),
    news=(DependencyCalls,),
    judge=Judge,
    kept=("expired", "table_sizes", "erasures"),
    expires=dict.fromkeys(CLEANED, "kept_until"),
)


def add_groups(app: FastAPI, settings: Settings, owner: Owner, reading: Reading) -> None:
    """Add to a process's API what recovery answers beside its tables."""
    asking = Asking(service.name, owner.bus, reading, settings.tenant_id, settings.partitions)
    add_all(app, reading, asking)


def main() -> None:
    """Run the service until it is told to stop."""
    cleaning = partial(keep_cleaning, service.name)
    run.run(run.serve(service, beside(TABLES, ROWS, add_groups, figures), cleaning, keep_writing))


if __name__ == "__main__":
    main()
