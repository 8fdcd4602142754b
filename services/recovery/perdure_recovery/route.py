"""Messages from events: the engine gets its verdict, the pattern its lesson."""

from perdure_common.decider import Outgoing, Recorded
from perdure_contracts.deciding import (
    AttemptParked,
    AttemptReleased,
    AttemptStopped,
    ExecutionEvent,
)
from perdure_contracts.engine import RecoveryVerdict, RetryNode
from perdure_contracts.patterns import NoteLesson, NoteOccurrence
from perdure_contracts.questions import QuestionAsked, QuestionSettled
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    AttemptSucceeded,
    EpisodeClosed,
    FailureNoted,
    VerdictRepeated,
)

from . import route_parking as parking
from .incidents import count_of
from .instants import written
from .state import Execution, episode_of
from .strategy import UNCHANGED

ENGINE = "perdure.engine.commands.v1"
OWN = "perdure.recovery.commands.v1"


def route(state: Execution, recorded: Recorded[ExecutionEvent]) -> tuple[Outgoing, ...]:
    """Return the messages that the event sends, given the state right after it."""
    event = recorded.event
    match event:
        case FailureNoted() if event.frequent:
            told = (event.failure_id, event.execution_id, event.failed_at)
            return (count_of(event.pattern_id, event.pattern, *told),)
        case AttemptOrdered():
            failure = episode_of(state, event.failure_id).failure
            told = [Outgoing(ENGINE, failure.execution_id, _order(event, failure))]
            if not event.parked and not event.by:
                told.append(_occurrence(failure, tried=event.strategy in UNCHANGED))
            if event.cost or event.usd:
                told.append(parking.spent(event, failure))
            return tuple(told)
        case AttemptParked():
            episode = episode_of(state, event.failure_id)
            seen = () if event.again else (_occurrence(episode.failure, tried=False),)
            return (*parking.parked(episode, event), *seen)
        case AttemptReleased():
            return (parking.released(episode_of(state, event.failure_id), event),)
        case QuestionAsked(request=request):
            return (Outgoing(parking.HIL, request.interaction_id, request),)
        case QuestionSettled(said="withdrawn"):
            return (parking.withdrawn(event, recorded.stream),)
        case AttemptStopped():
            return tuple(parking.stopped(episode_of(state, event.failure_id), event))
        case AttemptRefused():
            failure = episode_of(state, event.failure_id).failure
            seen = [] if event.parked else [_occurrence(failure, tried=False)]
            if event.strategy == "dead_letter" and event.rail == "rules":
                seen.append(parking.buried(event, failure))
            if event.left:
                seen.append(parking.unseen(event.left, event.attempt_id))
            if not event.answered:
                return tuple(seen)
            verdict = RecoveryVerdict(
                failure_id=event.failure_id,
                execution_id=failure.execution_id,
                node_id=failure.node_id,
                verdict="give_up",
                attempt_id=event.attempt_id,
                compensate=event.compensate,
            )
            return Outgoing(ENGINE, failure.execution_id, verdict), *seen
        case VerdictRepeated():
            told = RecoveryVerdict(
                failure_id=event.failure_id,
                execution_id=event.execution_id,
                node_id=event.node_id,
                verdict=event.verdict,
                attempt_id=event.attempt_id,
                overrides=event.overrides,
                delay_s=event.delay_s,
                ask_again=event.ask_again,
                until=event.until,
            )
            return (Outgoing(ENGINE, event.execution_id, told),)
        case AttemptSucceeded(succeeded_at=at):
            told = [_lesson(event, at, succeeded=True)] if event.teaches else []
            if event.probe_of:
                told.append(parking.probed(state, event, at, succeeded=True))
            return tuple(told)
        case AttemptFailed(failed_at=at):
            told = [_lesson(event, at, succeeded=False)] if event.teaches else []
            if event.left:
                told.append(parking.unseen(event.left, event.attempt_id))
            elif event.probe_of and event.outcome != "superseded":
                told.append(parking.probed(state, event, at, succeeded=False))
            if event.settled is not None:
                told.append(parking.result(event.settled, at, recovered=False))
            if event.returns is not None:
                told.append(parking.given_back(event.returns, event.attempt_id, at))
            return tuple(told)
        case EpisodeClosed() if event.settled is not None:
            at = written(recorded.recorded_at)
            return (parking.result(event.settled, at, recovered=True),)
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
            delay_s=event.delay_s,
            overrides=event.overrides,
        )
    return RecoveryVerdict(
        failure_id=event.failure_id,
        execution_id=failure.execution_id,
        node_id=failure.node_id,
        verdict="retry",
        attempt_id=event.attempt_id,
        delay_s=event.delay_s,
        overrides=event.overrides,
        ask_again=event.ask_again,
    )


def _occurrence(failure: FailureNoted, *, tried: bool) -> Outgoing:
    message = NoteOccurrence(
        pattern_id=failure.pattern_id,
        failure_id=failure.failure_id,
        pattern=failure.pattern,
        seen_at=failure.failed_at,
        tried=tried,
        execution_id=failure.execution_id,
        counts=failure.incident,
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
