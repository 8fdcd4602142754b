"""Messages from events: the engine gets its verdict, the pattern its lesson."""

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.engine import RecoveryVerdict, RetryNode
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    AttemptSucceeded,
    ExecutionEvent,
    FailureNoted,
    NoteLesson,
    NoteOccurrence,
    VerdictRepeated,
)

from .state import Execution, episode_of
from .strategy import UNCHANGED

ENGINE = "perdure.engine.commands.v1"
OWN = "perdure.recovery.commands.v1"


def route(state: Execution, recorded: Recorded[ExecutionEvent]) -> tuple[Outgoing, ...]:
    """Return the messages that the event sends, given the state right after it."""
    event = recorded.event
    match event:
        case AttemptOrdered():
            failure = episode_of(state, event.failure_id).failure
            seen = _occurrence(failure, tried=event.strategy in UNCHANGED)
            return Outgoing(ENGINE, failure.execution_id, _order(event, failure)), seen
        case AttemptRefused():
            failure = episode_of(state, event.failure_id).failure
            seen = _occurrence(failure, tried=False)
            if not event.answered:
                return (seen,)
            verdict = RecoveryVerdict(
                failure_id=event.failure_id,
                execution_id=failure.execution_id,
                node_id=failure.node_id,
                verdict="give_up",
                attempt_id=event.attempt_id,
            )
            return Outgoing(ENGINE, failure.execution_id, verdict), seen
        case VerdictRepeated():
            told = RecoveryVerdict(
                failure_id=event.failure_id,
                execution_id=event.execution_id,
                node_id=event.node_id,
                verdict=event.verdict,
            )
            return (Outgoing(ENGINE, event.execution_id, told),)
        case AttemptSucceeded(succeeded_at=at) if event.teaches:
            return (_lesson(event, at, succeeded=True),)
        case AttemptFailed(failed_at=at) if event.teaches:
            return (_lesson(event, at, succeeded=False),)
        case _:
            return ()


def _order(event: AttemptOrdered, failure: FailureNoted) -> RecoveryVerdict | RetryNode:
    """Return what makes the attempt: a verdict, or a new run where the execution has ended."""
    if event.revives:
        return RetryNode(
            execution_id=failure.execution_id,
            node_id=failure.node_id,
            scope=failure.scope,
            asked_by="recovery",
        )
    return RecoveryVerdict(
        failure_id=event.failure_id,
        execution_id=failure.execution_id,
        node_id=failure.node_id,
        verdict="retry",
        attempt_id=event.attempt_id,
        delay_s=event.delay_s,
    )


def _occurrence(failure: FailureNoted, *, tried: bool) -> Outgoing:
    message = NoteOccurrence(
        pattern_id=failure.pattern_id,
        failure_id=failure.failure_id,
        pattern=failure.pattern,
        seen_at=failure.failed_at,
        tried=tried,
    )
    return Outgoing(OWN, failure.pattern_id, message)


def _lesson(event: AttemptSucceeded | AttemptFailed, at: str, *, succeeded: bool) -> Outgoing:
    message = NoteLesson(
        pattern_id=event.pattern_id,
        attempt_id=event.attempt_id,
        succeeded=succeeded,
        learnt_at=at,
    )
    return Outgoing(OWN, event.pattern_id, message)
