"""What recovery decides beside the attempts that begin at once. Owner: services/recovery.

Attempts that wait (for an instant, a person, a breaker, the end of an incident, an allowance),
the waiting lines in which they stand, and what a workspace may spend. Streams: the execution id
for attempts, one for each breaker, incident and waiting line, one for a workspace's allowance.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from . import recovery
from .asking import RequestInteraction
from .breakers import BreakerTurned, DependencyCalls
from .failures import Explanation, Strategy, Taken
from .message import Json, message
from .patterns import FailureType, PatternFacts
from .questions import QuestionEvent

Cause: TypeAlias = Literal["approval", "person", "breaker", "storm", "bucket"]
"""What a held attempt waits for: leave to be made, an answer, its turn in a line, tokens."""

# Attempts: commands ---------------------------------------------------------------------


@message("recovery.note-due.v1")
class NoteDue:
    """The wait before an attempt is over; the engine asks whether it is still to be made."""

    execution_id: str
    failure_id: str
    attempt_id: str
    verdict_until: str


@message("recovery.release-attempt.v1")
class ReleaseAttempt:
    """A held attempt's turn has come. `line` is the stream of the line that it stood in.

    A `probe` is the one that is made to see whether what stopped the others is over. The attempt
    begins at `not_before`, which was `wait_s` seconds away then: never later than after these.
    """

    execution_id: str
    attempt_id: str
    line: str
    reason: str
    not_before: str = ""
    probe: bool = False
    wait_s: float | None = None


@message("recovery.note-answer.v1")
class NoteAnswer:
    """People have answered, or will not: what `hil` says of an interaction of recovery's.

    `port` is `approved` or `rejected`, or the value of the option that was chosen, as in the
    answers that the engine gets; `taken` says only that somebody was asked.
    """

    execution_id: str
    interaction_id: str
    outcome: Literal["taken", "answered", "failed"]
    port: str = ""
    by: str = ""
    reason: str = ""


@message("recovery.note-compensated.v1")
class NoteCompensated:
    """What a node did was undone, as recovery had said about `failure_id`."""

    execution_id: str
    failure_id: str
    compensated_at: str


# Attempts: events -----------------------------------------------------------------------


@message("recovery.attempt-parked.v1")
class AttemptParked:
    """An attempt is not made now: the engine holds the node until `until`, at most.

    `line` is the stream of the line that it stands in, `request` what people are asked, `wake_at`
    when recovery looks by itself. With `again` it had been parked or ordered before; with
    `counted` it counts as an attempt already; with `approved` people have agreed to it. The attempt
    itself is `planned` for that reason; `before` says what it has waited for so far. `doubtful` is
    as in `recovery.attempt-ordered.v1`, and so are `scores`, `propensity`, `helps` and
    `explores`. `left` is the line that had let it go to see, and hears now that it did not.
    """

    failure_id: str
    attempt_id: str
    attempt_number: int
    strategy: Strategy
    cause: Cause
    until: str
    reason: str
    parked_at: str
    explanation: Explanation
    line: str = ""
    request: RequestInteraction | None = None
    drawn_s: float = 0.0
    probe: bool = False
    overrides: Json = None
    changed: Json = None
    again: bool = False
    counted: bool = False
    approved: bool = False
    wake_at: str | None = None
    cost: int = 0
    usd: float = 0.0
    planned: str = ""
    before: str = ""
    doubtful: bool = False
    left: str = ""
    scores: dict[str, float] = field(default_factory=dict[str, float])
    propensity: float = 1.0
    helps: float | None = None
    explores: bool = False


@message("recovery.attempt-released.v1")
class AttemptReleased:
    """An attempt that counts already begins after all: its wait is over and the rails agree.

    `delay_s`, `probe_of` and `turn` are as in `recovery.attempt-ordered.v1`. After a wait in a line
    or for people, `reason` and `explanation` say for what it waited.
    """

    failure_id: str
    attempt_id: str
    released_at: str
    delay_s: float = 0.0
    probe_of: str = ""
    reason: str = ""
    explanation: Explanation | None = None
    turn: str = ""


@message("recovery.attempt-stopped.v1")
class AttemptStopped:
    """An attempt that was ordered or parked is not made after all; `rail` says what stopped it.

    With `answered` the engine is told to give the node up; otherwise it has done so. It does not
    wait in its `line` any more, or that had let it go to see. `returns` is what its workspace's
    allowance gets back: it had taken that when it was ordered.
    """

    failure_id: str
    attempt_id: str
    rail: str
    reason: str
    status: Literal["refused", "expired", "superseded"]
    stopped_at: str
    explanation: Explanation
    answered: bool = False
    line: str = ""
    interaction_id: str = ""
    returns: Taken | None = None


# Waiting lines --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """A held attempt in a line; `deadline` is when it is too late for it, empty if never."""

    execution_id: str
    attempt_id: str
    joined_at: str
    deadline: str = ""


Gate: TypeAlias = Literal["shut", "probe", "open"]
"""Whether those in a line wait, one of them may go to see, or all go, one after the other."""


@message("recovery.set-gate.v1")
class SetGate:
    """A breaker or an incident says how its line stands from now on.

    Through an open gate attempts go at `pace`: `doubling` is 1, 2, 4 … a second, `even` is 20.
    """

    line: str
    gate: Gate
    pace: Literal["doubling", "even"]
    reason: str


@message("recovery.join-line.v1")
class JoinLine:
    """A held attempt waits for its turn in a line: a breaker's or an incident's."""

    line: str
    waiter: Waiter


@message("recovery.leave-line.v1")
class LeaveLine:
    """An attempt is not to be made any more; or it was to go and see, and has seen nothing."""

    line: str
    attempt_id: str


@message("recovery.gate-set.v1")
class GateSet:
    """A line's gate stands differently from now on."""

    line: str
    gate: Gate
    pace: Literal["doubling", "even"]
    reason: str


@message("recovery.line-joined.v1")
class LineJoined:
    """An attempt waits in a line."""

    line: str
    waiter: Waiter


@message("recovery.line-left.v1")
class LineLeft:
    """An attempt does not wait in a line any more; with `probe` it was to see, and did not."""

    line: str
    attempt_id: str
    probe: bool = False


@message("recovery.waiters-released.v1")
class WaitersReleased:
    """The turn of waiting attempts has come: each with the instant before which it must not begin.

    With `probe` it is one, and the others wait for what comes of it.
    """

    line: str
    released: tuple[tuple[Waiter, str], ...]
    reason: str
    released_at: str
    probe: bool = False


# Breakers -------------------------------------------------------------------------------


@message("recovery.calls-noted.v1")
class CallsNoted:
    """What a runner told of a dependency's calls, where it may change something."""

    breaker_id: str
    dependency: str
    runner: str
    n: int
    ok: int
    failed: int
    in_a_row: int
    noted_at: str
    credential: str = ""


# Incidents ------------------------------------------------------------------------------


@message("recovery.count-failure.v1")
class CountFailure:
    """A failure came of which many came within a minute: `alike`, if its pattern counted them.

    They were of these `executions`; `pattern` says what they have in common.
    """

    line: str
    pattern_id: str
    workspace_id: str
    failure_id: str
    execution_id: str
    signature: str
    dependency: str
    failure_type: FailureType
    failed_at: str
    alike: int = 0
    executions: tuple[str, ...] = ()
    pattern: PatternFacts | None = None


@message("recovery.note-probe.v1")
class NoteProbe:
    """What came of an attempt that an incident let through to see."""

    line: str
    attempt_id: str
    succeeded: bool
    noted_at: str


@message("recovery.failure-counted.v1")
class FailureCounted:
    """A failure of a pattern that comes often; `executions` are those not heard of before.

    `credential` is as in the facts of the pattern.
    """

    line: str
    pattern_id: str
    failure_id: str
    counted_at: str
    executions: tuple[str, ...] = ()
    credential: str = ""


@message("recovery.incident-opened.v1")
class IncidentOpened:
    """Many failures of one pattern: from now on one is tried, the others wait.

    `executions` are those of the last minute, `pattern` is what the failures have in common.
    """

    line: str
    incident_id: str
    pattern_id: str
    workspace_id: str
    signature: str
    dependency: str
    failure_type: FailureType
    failures: int
    opened_at: str
    executions: tuple[str, ...] = ()
    pattern: PatternFacts | None = None
    explanation: Explanation | None = None


@message("recovery.probe-noted.v1")
class ProbeNoted:
    """A probe succeeded, failed, or was lost; then the next one waits until `next_at`.

    `explanation` is what people are told of the incident from then on.
    """

    line: str
    attempt_id: str
    outcome: Literal["succeeded", "failed", "lost"]
    noted_at: str
    next_at: str = ""
    explanation: Explanation | None = None


@message("recovery.incident-closed.v1")
class IncidentClosed:
    """Nothing of an incident was heard for a while: it is over."""

    line: str
    incident_id: str
    pattern_id: str
    failures: int
    opened_at: str
    closed_at: str
    executions: int = 0
    explanation: Explanation | None = None


# What a workspace may spend -------------------------------------------------------------


@message("recovery.set-budget.v1")
class SetBudget:
    """Let recovery's attempts cost so much a month in a workspace; None: there is no limit."""

    workspace_id: str
    recovery_usd: float | None
    set_by: str


@message("recovery.note-spending.v1")
class NoteSpending:
    """An automatic attempt was ordered: it takes `cost` tokens, and some money perhaps."""

    line: str
    workspace_id: str
    attempt_id: str
    cost: int
    usd: float
    spent_at: str


@message("recovery.return-tokens.v1")
class ReturnTokens:
    """An attempt was not made: it gives back its tokens and its money, taken at `taken_at`."""

    line: str
    workspace_id: str
    attempt_id: str
    cost: int
    usd: float
    taken_at: str
    returned_at: str


@message("recovery.note-result.v1")
class NoteResult:
    """What came of an automatic attempt: a strategy's record; a success gets its tokens back."""

    line: str
    workspace_id: str
    attempt_id: str
    failure_type: FailureType
    strategy: Strategy
    recovered: bool
    cost: int
    noted_at: str


@message("recovery.budget-set.v1")
class BudgetSet:
    """How much recovery's attempts may cost a month was changed."""

    workspace_id: str
    recovery_usd: float | None
    set_by: str


@message("recovery.tokens-spent.v1")
class TokensSpent:
    """An attempt took tokens; `left` are those there are, as of `spent_at`."""

    workspace_id: str
    attempt_id: str
    cost: int
    usd: float
    left: float
    month: str
    month_usd: float
    spent_at: str


@message("recovery.tokens-returned.v1")
class TokensReturned:
    """An attempt that was not made gave back what it took; `left` are the tokens there are then.

    Money comes back only in the `month` in which it was taken; `month_usd` is what is spent of it.
    """

    workspace_id: str
    attempt_id: str
    cost: int
    usd: float
    left: float
    month: str
    month_usd: float
    returned_at: str


@message("recovery.result-noted.v1")
class ResultNoted:
    """An attempt's outcome was counted; `left` are the tokens after a refund."""

    workspace_id: str
    attempt_id: str
    failure_type: FailureType
    strategy: Strategy
    recovered: bool
    refund: int
    left: float
    noted_at: str


LineCommand: TypeAlias = SetGate | JoinLine | LeaveLine
LineEvent: TypeAlias = GateSet | LineJoined | LineLeft | WaitersReleased
BreakerEvent: TypeAlias = CallsNoted | BreakerTurned
BreakerCommand: TypeAlias = DependencyCalls
IncidentCommand: TypeAlias = CountFailure | NoteProbe
IncidentEvent: TypeAlias = FailureCounted | IncidentOpened | ProbeNoted | IncidentClosed
AllowanceCommand: TypeAlias = SetBudget | NoteSpending | ReturnTokens | NoteResult
AllowanceEvent: TypeAlias = BudgetSet | TokensSpent | TokensReturned | ResultNoted
ExecutionCommand: TypeAlias = (
    recovery.ExecutionCommand | NoteDue | ReleaseAttempt | NoteAnswer | NoteCompensated
)
ExecutionEvent: TypeAlias = (
    recovery.ExecutionEvent | AttemptParked | AttemptReleased | AttemptStopped | QuestionEvent
)
