"""Messages from the events of attempts that wait, and what others are told of attempts. Pure."""

from collections.abc import Iterator

import msgspec
from perdure_common.decider import Outgoing
from perdure_common.ids import derived
from perdure_contracts.asking import CancelInteraction
from perdure_contracts.dead_letters import KeepDeadLetter
from perdure_contracts.deciding import (
    AttemptParked,
    AttemptReleased,
    AttemptStopped,
    JoinLine,
    LeaveLine,
    NoteProbe,
    NoteResult,
    NoteSpending,
    ReturnTokens,
    Waiter,
)
from perdure_contracts.engine import RecoveryVerdict, RetryNode
from perdure_contracts.failures import Settled, Taken
from perdure_contracts.message import NAMES
from perdure_contracts.questions import QuestionSettled
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    AttemptSucceeded,
    FailureNoted,
)
from perdure_contracts.shell import DeadLettered

from .experience import incident_of, storm_of
from .families import branch
from .state import Episode, Execution

ENGINE = "perdure.engine.commands.v1"
OWN = "perdure.recovery.commands.v1"
HIL = "perdure.hil.commands.v1"


def parked(episode: Episode, event: AttemptParked) -> Iterator[Outgoing]:
    """Yield the hold, and who is asked or waited for."""
    failure = episode.failure
    hold = RecoveryVerdict(
        failure_id=event.failure_id,
        execution_id=failure.execution_id,
        node_id=failure.node_id,
        verdict="hold",
        attempt_id=event.attempt_id,
        until=event.until,
    )
    yield Outgoing(ENGINE, failure.execution_id, hold)
    if event.left:
        yield unseen(event.left, event.attempt_id)
    if event.request is not None:
        yield Outgoing(HIL, event.request.interaction_id, event.request)
    if event.line:
        waiter = Waiter(
            execution_id=failure.execution_id,
            attempt_id=event.attempt_id,
            joined_at=event.parked_at,
            deadline=failure.deadline or "",
        )
        yield Outgoing(OWN, event.line, JoinLine(line=event.line, waiter=waiter))


def unseen(line: str, attempt_id: str) -> Outgoing:
    """Return what tells a line that whom it let go to see has made no call: another one may."""
    return Outgoing(OWN, line, LeaveLine(line=line, attempt_id=attempt_id))


def released(episode: Episode, event: AttemptReleased) -> Outgoing:
    """Return the verdict that lets a waiting attempt begin."""
    failure, attempt = episode.failure, episode.attempt
    verdict = RecoveryVerdict(
        failure_id=event.failure_id,
        execution_id=failure.execution_id,
        node_id=failure.node_id,
        verdict="retry",
        attempt_id=event.attempt_id,
        delay_s=event.delay_s,
        overrides=None if attempt is None else attempt.overrides,
    )
    return Outgoing(ENGINE, failure.execution_id, verdict)


def stopped(episode: Episode, event: AttemptStopped) -> Iterator[Outgoing]:
    """Yield what tells all who had to do with an attempt that it is not made."""
    failure = episode.failure
    if event.answered:
        verdict = RecoveryVerdict(
            failure_id=event.failure_id,
            execution_id=failure.execution_id,
            node_id=failure.node_id,
            verdict="give_up",
            attempt_id=event.attempt_id,
        )
        yield Outgoing(ENGINE, failure.execution_id, verdict)
    if event.line:
        leave = LeaveLine(line=event.line, attempt_id=event.attempt_id)
        yield Outgoing(OWN, event.line, leave)
    if event.interaction_id:
        cancel = CancelInteraction(
            interaction_id=event.interaction_id,
            execution_id=failure.execution_id,
            reason=event.reason,
        )
        yield Outgoing(HIL, event.interaction_id, cancel)
    if event.returns is not None:
        yield given_back(event.returns, event.attempt_id, event.stopped_at)


def withdrawn(event: QuestionSettled, execution_id: str) -> Outgoing:
    """Return what takes a question back."""
    cancel = CancelInteraction(
        interaction_id=event.interaction_id, execution_id=execution_id, reason=event.reason
    )
    return Outgoing(HIL, event.interaction_id, cancel)


def spent(event: AttemptOrdered, failure: FailureNoted) -> Outgoing:
    """Return what tells the workspace's allowance of an attempt."""
    line = f"{failure.pattern.workspace_id}/allowance"
    spending = NoteSpending(
        line=line,
        workspace_id=failure.pattern.workspace_id,
        attempt_id=event.attempt_id,
        cost=event.cost,
        usd=event.usd,
        spent_at=event.ordered_at,
    )
    return Outgoing(OWN, line, spending)


def given_back(taken: Taken, attempt_id: str, at: str) -> Outgoing:
    """Return what tells a workspace's allowance that an attempt which took from it is not made."""
    line = f"{taken.workspace_id}/allowance"
    returned = ReturnTokens(
        line=line,
        workspace_id=taken.workspace_id,
        attempt_id=attempt_id,
        cost=taken.cost,
        usd=taken.usd,
        taken_at=taken.taken_at,
        returned_at=at,
    )
    return Outgoing(OWN, line, returned)


def result(settled: Settled, at: str, *, recovered: bool) -> Outgoing:
    """Return what tells the workspace's allowance of an attempt's outcome."""
    line = f"{settled.workspace_id}/allowance"
    noted = NoteResult(
        line=line,
        workspace_id=settled.workspace_id,
        attempt_id=settled.attempt_id,
        failure_type=settled.failure_type,
        strategy=settled.strategy,
        recovered=recovered,
        cost=settled.cost,
        noted_at=at,
    )
    return Outgoing(OWN, line, noted)


def probed(
    state: Execution, event: AttemptSucceeded | AttemptFailed, at: str, *, succeeded: bool
) -> Outgoing:
    """Return what tells the storm's incident of an attempt that was let through to see.

    It may have been let through by a breaker: what came of it is the same news.
    """
    episodes = (each.failure for each in state.episodes.values())
    mine = (each for each in episodes if each.episode_id == event.episode_id)
    limited = next((each.pattern.credential for each in mine), "")
    stream = incident_of(storm_of(event.pattern_id, limited))
    probe = NoteProbe(line=stream, attempt_id=event.attempt_id, succeeded=succeeded, noted_at=at)
    return Outgoing(OWN, stream, probe)


def buried(event: AttemptRefused, failure: FailureNoted) -> Outgoing:
    """Return the dead letter of a failure that nothing is tried about.

    Its record is what would run the node again: who redrives the letter sends it.
    """
    again = RetryNode(
        execution_id=failure.execution_id,
        node_id=failure.node_id,
        scope=failure.scope,
        asked_by="dead letter",
    )
    name = NAMES[RetryNode]
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event.attempt_id,
        "ce_source": "/recovery/dead-letter",
        "ce_type": name,
        "ce_subject": failure.execution_id,
        "content-type": "application/json",
    }
    letter = DeadLettered(
        topic=ENGINE,
        partition=0,
        offset=0,
        code=failure.pattern.failure_type,
        reason=f"{event.reason}: {failure.pattern.error_message}",
        value=msgspec.json.encode(again),
        key=failure.execution_id.encode(),
        headers=tuple((key, value.encode()) for key, value in headers.items()),
        received_ms=0,
    )
    letter_id = derived("dead-letter", "failure", failure.failure_id)
    keep = KeepDeadLetter(
        letter_id=letter_id,
        service="engine",
        letter=letter,
        attempts=max(1, failure.attempt),
        signature=failure.pattern.signature,
        pattern_id=failure.pattern_id,
        family_branch=branch(failure.pattern.error_message),
    )
    return Outgoing(OWN, failure.execution_id, keep)
