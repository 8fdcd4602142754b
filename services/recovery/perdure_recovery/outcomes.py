"""What came of what recovery decided: attempts succeed, fail or come to nothing.

Pure, like `decide`, which calls it. An episode is recovered when its node has completed and
ten minutes, or the execution, have passed without the same failure.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from perdure_common.breaking import OPEN_CODE, asked_nobody
from perdure_common.decider import Facts
from perdure_common.ids import derived
from perdure_contracts.deciding import ExecutionEvent, NoteCompensated
from perdure_contracts.failures import Explanation, Settled
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptSucceeded,
    EpisodeClosed,
    NoteCompletion,
    NoteEnd,
    NoteFailure,
    NoteGivenUp,
)
from perdure_contracts.telling import EpisodeFixed

from .cases import UNDO, counts, tried_as
from .circumstances import Proposal, situation_of, taken
from .experience import breakers_in, incident_in, line_of, storm_of
from .explain import explain_decision, explain_outcome
from .guard import first_refusal
from .instants import parsed, seconds_between, written
from .parking import withdrawn
from .state import Attempt, Episode, Execution, place, waking
from .strategy import UNCHANGED, Plan

CONFIRMED_AFTER = timedelta(minutes=10)
"""How long a completed node must go on without the same failure to count as recovered."""
FIXED_WITHIN = timedelta(days=30)
"""How long after recovery gave up a node that completes after all counts as missed."""
REVIVED_WITHIN = timedelta(minutes=15)
"""How long after a failure an execution that ended by it may still be made to go on."""


def wake_at(state: Execution) -> datetime | None:
    """Return when the next completed node counts as recovered, or something held is looked at."""
    completed = [e.attempt.succeeded_at for e in state.episodes.values() if e.attempt]
    instants = [at + CONFIRMED_AFTER for at in completed if at]
    instants.extend(q.until for q in state.questions.values() if q.until is not None)
    held = waking(state)
    if held is not None and held.parked is not None and held.parked.wake_at is not None:
        instants.append(held.parked.wake_at)
    return min(instants, default=None)


def completed(
    state: Execution, command: NoteCompletion, now: datetime
) -> tuple[ExecutionEvent, ...]:
    """A node completed: the attempt that was open for it has succeeded."""
    episode = state.episodes.get(place(command.node_id, command.scope))
    if episode is None:
        return fixed(state, command, now)
    if episode.parked is not None:
        return ended(episode, now)  # the engine went on without what waited
    if episode.attempt is None or episode.attempt.succeeded_at is not None:
        return ()
    if episode.attempt.run != command.run:
        return ()
    if command.run == episode.failure.run and command.attempt <= episode.failure.attempt:
        return ended(episode, now)  # the engine did not wait for the verdict
    at = min(now, parsed(command.completed_at)) if command.completed_at else now
    return (_succeeded(episode, episode.attempt, "succeeded", at),)


def compensated(
    state: Execution, command: NoteCompensated, now: datetime
) -> tuple[ExecutionEvent, ...]:
    """A node's effects are undone: the episode is over, and nothing more is tried."""
    for episode in state.episodes.values():
        attempt = episode.attempt
        mine = episode.failure.failure_id == command.failure_id
        if attempt is None or not mine or attempt.strategy != UNDO:
            continue
        at = min(now, parsed(command.compensated_at))
        done = _succeeded(episode, attempt, "compensated", at)
        return done, _well(episode, attempt, "handled", done.resolution_s, done.explanation)
    return ()


def fixed(state: Execution, command: NoteCompletion, now: datetime) -> tuple[ExecutionEvent, ...]:
    """A node that was left to people completed in a later run: they ran it again unchanged."""
    lost = state.lost.get(place(command.node_id, command.scope))
    if lost is None or command.run <= lost.run or now - lost.at > FIXED_WITHIN:
        return ()
    at = min(now, parsed(command.completed_at)) if command.completed_at else now
    return (
        EpisodeFixed(
            episode_id=lost.episode_id,
            node_id=command.node_id,
            fixed_at=written(at),
            after_s=seconds_between(written(lost.at), at),
        ),
    )


def given_up(state: Execution, command: NoteGivenUp, now: datetime) -> tuple[ExecutionEvent, ...]:
    """The engine gave a node up: if an attempt was ordered, its verdict came too late."""
    for episode in state.episodes.values():
        tried = episode.attempt is not None and episode.attempt.succeeded_at is None
        waiting = tried or episode.parked is not None
        if waiting and episode.failure.failure_id == command.failure_id:
            return ended(episode, now)
    return ()


def revival(
    state: Execution, episode: Episode, command: NoteEnd, facts: Facts, now: datetime
) -> tuple[AttemptOrdered, ...]:
    """Return the attempt that makes an execution go on which ended for want of a verdict.

    The rails are asked now: nobody is held for an execution that has ended.
    """
    failure, missed = episode.failure, episode.missed
    if (
        command.handled
        or missed is None
        or command.status != "ERROR"
        or command.failure_id != failure.failure_id
    ):
        return ()
    since = now - parsed(failure.failed_at)
    if since > REVIVED_WITHIN:
        return ()
    delay_s = max(0.0, round(missed.delay_s - since.total_seconds(), 3))
    proposal = Proposal(missed.strategy, missed.changed)
    if first_refusal(situation_of(state, failure, proposal, facts, now)) is not None:
        return ()
    number = episode.retried + 1
    reason = "the execution ended before the verdict came: run the node again, and go on from there"
    plan = Plan(missed.strategy, reason, delay_s, missed.drawn_s)
    return (
        AttemptOrdered(
            failure_id=failure.failure_id,
            attempt_id=derived("attempt", failure.failure_id, number, "revival"),
            attempt_number=number,
            strategy=plan.strategy,
            delay_s=plan.delay_s,
            drawn_s=plan.drawn_s,
            probe=False,
            reason=reason,
            ordered_at=written(now),
            explanation=explain_decision(failure, plan, number, None, doubtful=False, now=now),
            revives=True,
            workspace_id=failure.pattern.workspace_id,
            tried_as=tried_as(missed.strategy, missed.changed),
            overrides=missed.overrides,
            changed=missed.changed,
            scores=dict(missed.scores),
            propensity=missed.propensity,
            helps=missed.helps,
            explores=missed.explores,
        ),
    )


def confirmed(state: Execution, now: datetime) -> tuple[ExecutionEvent, ...]:
    """Ten minutes have passed since nodes completed: they are recovered."""
    return tuple(
        _recovered(episode, episode.attempt)
        for _, episode in sorted(state.episodes.items())
        if episode.attempt is not None
        and episode.attempt.succeeded_at is not None
        and now - episode.attempt.succeeded_at >= CONFIRMED_AFTER
    )


def ended_by(
    episode: Episode, command: NoteFailure, facts: Facts, now: datetime
) -> tuple[ExecutionEvent, ...]:
    """Return what a new failure of the same node says about what was open before it."""
    attempt = episode.attempt
    if attempt is None:
        return ended(episode, now)
    same = episode.failure.pattern.signature == command.signature
    if attempt.succeeded_at is not None:
        if not same:
            return ended(episode, now)
        relapsed = _failed(episode, attempt, "relapsed", now)
        again = command.run == episode.failure.run
        return (relapsed,) if again else (relapsed, _closed(episode, now, "relapsed"))
    if command.run != attempt.run:
        return ended(episode, now)
    failed = _failed(episode, attempt, "same_failure" if same else "other_failure", now)
    if command.error.type == OPEN_CODE:
        failed = _held(episode, attempt, now)
    elif asked_nobody(command.error) and attempt.probe_of != line_of(_storm_of(episode)):
        failed = replace(failed, left=attempt.probe_of)  # it says nothing of who was to be asked
    if failed.teaches and _known_to_be_down(episode, attempt, facts):
        failed = replace(failed, teaches=False)  # what is down fails: it may pass all the same
    return (failed,) if command.run == episode.failure.run else (failed, _closed(episode, now))


def _known_to_be_down(episode: Episode, attempt: Attempt, facts: Facts) -> bool:
    """Return whether an attempt that failed was made in an incident or at a breaker not closed.

    It was known when the attempt was decided or a line let it go, or it has become known meanwhile.
    """
    failure = episode.failure
    if failure.incident or attempt.turn or attempt.probe_of:
        return True
    gate, _ = incident_in(facts, _storm_of(episode))
    breakers = breakers_in(facts, (failure.pattern.dependency,), failure.credential)
    return gate is not None or any(each.state != "closed" for each in breakers)


def _storm_of(episode: Episode) -> str:
    return storm_of(episode.failure.pattern_id, episode.failure.pattern.credential)


def _held(episode: Episode, attempt: Attempt, now: datetime) -> AttemptFailed:
    """Return that a breaker held an attempt back: nothing was sent, so it counts nowhere."""
    return replace(
        _failed(episode, attempt, "held", now),
        held_back=True,
        uncounts=counts(attempt.strategy, attempt.by),
        returns=taken(episode, attempt),
    )


def ended(episode: Episode, now: datetime) -> tuple[ExecutionEvent, ...]:
    """Close an episode of which nothing more is heard."""
    attempt = episode.attempt
    if episode.parked is not None:
        return withdrawn(episode, episode.parked, now), _closed(episode, now)
    if attempt is None:
        return (_closed(episode, now),)
    if attempt.succeeded_at is not None:
        return (_recovered(episode, attempt),)
    overtaken = _failed(episode, attempt, "superseded", now)
    if attempt.ask_again:  # the engine asks before it makes it, and has not: it was not made
        overtaken = replace(overtaken, returns=taken(episode, attempt))
    return overtaken, _closed(episode, now)


def _closed(
    episode: Episode, now: datetime, outcome: Literal["superseded", "relapsed"] = "superseded"
) -> EpisodeClosed:
    """Close an episode without success: its attempt came to nothing, or its verdict too late.

    A node that relapsed in another run has an episode of its own from there.
    """
    last = episode.attempt or episode.parked or episode.missed
    failure = episode.failure
    to_people = failure.shown and episode.attempt is None
    return EpisodeClosed(
        episode_id=episode.failure.episode_id,
        attempt_id=last.attempt_id if last else "",
        outcome=outcome if episode.attempt else "escalated",
        attempts=episode.retried,
        duration_s=seconds_between(episode.failure.first_failed_at, now),
        place=place(failure.node_id, failure.scope) if to_people else "",
        shown=failure.shown,
        workspace_id=failure.pattern.workspace_id,
    )


def _recovered(episode: Episode, attempt: Attempt) -> EpisodeClosed:
    failure = episode.failure
    duration_s = seconds_between(
        failure.first_failed_at, attempt.succeeded_at or attempt.ordered_at
    )
    explanation = explain_outcome(failure, attempt.number, attempt.reason, "recovered", duration_s)
    return _well(episode, attempt, "recovered", duration_s, explanation)


def _well(
    episode: Episode,
    attempt: Attempt,
    outcome: Literal["recovered", "handled"],
    duration_s: float,
    explanation: Explanation,
) -> EpisodeClosed:
    """Close an episode whose attempt did what it was made for."""
    failure = episode.failure
    return EpisodeClosed(
        episode_id=failure.episode_id,
        attempt_id=attempt.attempt_id,
        outcome=outcome,
        attempts=episode.retried,
        shown=failure.shown,
        workspace_id=failure.pattern.workspace_id,
        duration_s=duration_s,
        explanation=explanation,
        settled=_settled(episode, attempt),
    )


def _succeeded(
    episode: Episode, attempt: Attempt, outcome: Literal["succeeded", "compensated"], at: datetime
) -> AttemptSucceeded:
    failure = episode.failure
    spent_s = seconds_between(failure.first_failed_at, at)
    return AttemptSucceeded(
        attempt_id=attempt.attempt_id,
        pattern_id=failure.pattern_id,
        teaches=attempt.strategy in UNCHANGED,
        succeeded_at=written(at),
        resolution_s=spent_s,
        explanation=explain_outcome(failure, attempt.number, attempt.reason, outcome, spent_s),
        episode_id=failure.episode_id,
        probe_of=attempt.probe_of,
    )


def _settled(episode: Episode, attempt: Attempt) -> Settled | None:
    """Return what the workspace's allowance hears of an attempt; a person's is none of its."""
    if attempt.by:
        return None
    pattern = episode.failure.pattern
    return Settled(
        attempt_id=attempt.attempt_id,
        workspace_id=pattern.workspace_id,
        failure_type=pattern.failure_type,
        strategy=attempt.strategy,
        cost=attempt.cost,
    )


def _failed(
    episode: Episode,
    attempt: Attempt,
    outcome: Literal["same_failure", "other_failure", "superseded", "relapsed", "held"],
    now: datetime,
) -> AttemptFailed:
    unmade = outcome in ("superseded", "held")
    spent_s = seconds_between(episode.failure.first_failed_at, now)
    return AttemptFailed(
        attempt_id=attempt.attempt_id,
        pattern_id=episode.failure.pattern_id,
        teaches=outcome == "same_failure" and attempt.strategy in UNCHANGED,
        outcome=outcome,
        failed_at=written(now),
        resolution_s=spent_s,
        explanation=explain_outcome(
            episode.failure, attempt.number, attempt.reason, outcome, spent_s
        ),
        probe_of=attempt.probe_of,
        settled=None if unmade else _settled(episode, attempt),
        left=attempt.probe_of if unmade else "",
        episode_id=episode.failure.episode_id,
    )
