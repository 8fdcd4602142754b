"""Attempts that are not made at once: held, asked about, let go, or stopped after all.

Pure, like `decide`, which calls it. An attempt waits for people, for its turn in a line, for
tokens, or in the engine for an instant. Whatever lets it go, the guard rails are asked once more
then: while it waited, recovery may have been switched off, or what it needs may have broken down.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from perdure_common.decider import Facts
from perdure_contracts.asking import RequestInteraction
from perdure_contracts.deciding import (
    AttemptParked,
    AttemptReleased,
    AttemptStopped,
    NoteAnswer,
    NoteDue,
    ReleaseAttempt,
)
from perdure_contracts.deciding import ExecutionEvent as Event
from perdure_contracts.failures import Explanation
from perdure_contracts.recovery import (
    AttemptOrdered,
    AttemptRefused,
    EpisodeClosed,
    FailureNoted,
    VerdictRepeated,
)

from .cases import Plan, tried_as
from .circumstances import Proposal, situation_of, taken
from .explain import explain_decision
from .explain_waiting import explain_waiting, explain_wanted, went_on
from .guard import RAILS, WHEN_DUE, Hold, Refusal, first_refusal, wanted
from .instants import parsed, seconds_between, written
from .interactions import interaction_for
from .state import Attempt, Episode, Execution, Parked, asking, begun_as, parked_as, place, waking

CONFIRM_S = 1.0
"""A longer wait is confirmed when it is over; a shorter one is over before a switch would work."""


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt that is to wait: what it is, and what `hold` says about the waiting."""

    failure: FailureNoted
    attempt_id: str
    number: int
    plan: Plan
    hold: Hold
    cost: int = 0
    usd: float = 0.0
    again: bool = False
    counted: bool = False
    approved: bool = False
    before: str = ""
    doubtful: bool = False
    left: str = ""


def park(held: Held, now: datetime) -> AttemptParked:
    """Return that an attempt waits; people are asked where it waits for them."""
    plan, hold, failure = held.plan, held.hold, held.failure
    explanation = explain_waiting(
        failure, plan, held.number, hold, now, held.before, doubtful=held.doubtful
    )
    request: RequestInteraction | None = None
    if hold.cause in ("approval", "person"):
        request = interaction_for(
            failure, held.attempt_id, plan, explanation, hold.until, leave=hold.cause == "approval"
        )
    return AttemptParked(
        failure_id=failure.failure_id,
        attempt_id=held.attempt_id,
        attempt_number=held.number,
        strategy=plan.strategy,
        cause=hold.cause,
        until=written(hold.until),
        reason=hold.reason,
        parked_at=written(now),
        explanation=explanation,
        line=hold.line,
        request=request,
        drawn_s=plan.drawn_s,
        probe=plan.probe,
        overrides=plan.overrides,
        changed=plan.changed,
        again=held.again,
        counted=held.counted,
        approved=held.approved,
        wake_at=written(hold.wake_at) if hold.wake_at is not None else None,
        cost=held.cost,
        usd=held.usd,
        planned=plan.reason,
        before=held.before,
        doubtful=held.doubtful,
        left=held.left,
        scores=dict(plan.scores),
        propensity=plan.propensity,
        helps=plan.helps,
        explores=plan.explores,
    )


def asks_again(delay_s: float) -> bool:
    """Return whether the engine is to ask once more when an attempt's wait is over."""
    return delay_s > CONFIRM_S


# What lets an attempt go ------------------------------------------------------------------


def released(
    state: Execution, command: ReleaseAttempt, facts: Facts, now: datetime
) -> tuple[Event, ...]:
    """A held attempt's turn has come in the line where it stood."""
    episode = parked_as(state, command.attempt_id)
    if episode is None or episode.parked is None or episode.parked.line != command.line:
        return ()
    delay_s = 0.0
    probe_of = command.line if command.probe else ""
    if command.not_before:
        delay_s = max(0.0, round((parsed(command.not_before) - now).total_seconds(), 3))
        if command.wait_s is not None:  # this stream's time may be behind that of its line
            delay_s = min(delay_s, command.wait_s)
    # Its line has paced it. An empty bucket would hold up the one that goes to see, and so all.
    parked = replace(episode.parked, cost=0)
    return _goes(
        state, episode, parked, facts, now, turn=command.line, delay_s=delay_s,
        reason=command.reason, probe_of=probe_of,
    )  # fmt: skip


def woken(state: Execution, facts: Facts, now: datetime) -> tuple[Event, ...]:
    """The instant has come at which recovery looks at a held attempt by itself."""
    episode = waking(state)
    if episode is None or episode.parked is None or episode.parked.wake_at is None:
        return ()
    if episode.parked.wake_at > now:
        return ()
    reason = "the workspace has tokens again"
    return _goes(state, episode, episode.parked, facts, now, reason=reason)


def answered(
    state: Execution, command: NoteAnswer, facts: Facts, now: datetime
) -> tuple[Event, ...]:
    """People have answered, or will not."""
    episode = asking(state, command.interaction_id)
    if episode is None or episode.parked is None or command.outcome == "taken":
        return ()
    parked = episode.parked
    by = command.by or "somebody"
    agreed = command.outcome == "answered" and command.port in ("approved", "retry")
    if not agreed:
        said = command.reason or command.port or "no answer"
        reason = f"{by} was asked and said: {said}"
        return _refused(episode, parked, Refusal("person", reason), now)
    if now >= parked.until:
        return _refused(episode, parked, Refusal("person", f"{by} agreed too late"), now)
    if parked.cause == "approval":
        reason = f"{by} agreed"
        return _goes(state, episode, parked, facts, now, reason=reason, approved=True)
    proposal = Proposal("escalate_human")
    refusal = first_refusal(
        situation_of(state, episode.failure, proposal, facts, now, approved=True), (wanted,)
    )
    if refusal is not None:
        return _refused(episode, parked, refusal, now)
    return (_ordered(episode, parked, now, reason=f"{by} asked for another try", by=by),)


def due(state: Execution, command: NoteDue, facts: Facts, now: datetime) -> tuple[Event, ...]:
    """The wait before an attempt is over: rails 1, 2, 9 and 7 are asked once more."""
    waiting = parked_as(state, command.attempt_id)
    if waiting is not None and waiting.parked is not None:
        return (still(waiting, waiting.parked, now),)
    episode = begun_as(state, command.attempt_id)
    if episode is None or episode.attempt is None:
        return _said_before(state, command, now)
    attempt = episode.attempt
    proposal = Proposal(attempt.strategy, attempt.changed)
    situation = situation_of(
        state, episode.failure, proposal, facts, now,
        verdict_until=command.verdict_until, approved=True, turn=attempt.probe_of,
        sees=bool(attempt.probe_of), waited_in=attempt.turn, counted=True,
    )  # fmt: skip
    refusal = first_refusal(situation, WHEN_DUE)
    if refusal is None:
        return (_begins(episode, attempt.attempt_id, now),)
    if refusal.hold is not None:
        plan = replace(_plan_of(attempt), drawn_s=episode.drawn_s)
        held = Held(
            episode.failure, attempt.attempt_id, attempt.number, plan, refusal.hold,
            attempt.cost, attempt.usd, again=True, counted=True, approved=True,
            doubtful=attempt.doubtful, left=attempt.probe_of,
        )  # fmt: skip
        return (park(held, now),)
    late = situation.verdict_until is not None and now >= situation.verdict_until
    stopped = _stopped(episode, attempt, refusal, now, answered=not late, line=attempt.probe_of)
    if late:
        return (stopped,)  # the episode ends with what the engine does
    return stopped, _given_up(episode, attempt.attempt_id, now)


def _said_before(state: Execution, command: NoteDue, now: datetime) -> tuple[Event, ...]:
    """Return the verdict of before for an attempt that is over here, and not for the engine.

    It was restored from a backup and waits once more; without an answer it would give up.
    """
    verdict = state.told.get(command.failure_id)
    if verdict != "retry":
        return ()
    again = VerdictRepeated(
        failure_id=command.failure_id,
        execution_id=command.execution_id,
        node_id="",
        verdict=verdict,
        repeated_at=written(now),
    )
    return (again,)


def withdrawn(episode: Episode, parked: Parked, now: datetime) -> AttemptStopped:
    """Return that a held attempt is not made: the engine has gone on without it."""
    expired = now >= parked.until
    reason = "it waited as long as it may" if expired else "the node does not wait for it any more"
    explanation = explain_decision(
        episode.failure,
        _plan_of(parked),
        parked.number,
        reason,
        doubtful=parked.doubtful,
        now=now,
    )
    return AttemptStopped(
        failure_id=episode.failure.failure_id,
        attempt_id=parked.attempt_id,
        rail="wanted",
        reason=reason,
        status="expired" if expired else "superseded",
        stopped_at=written(now),
        explanation=explanation,
        line=parked.line,
        interaction_id=parked.interaction_id,
        returns=taken(episode, parked),
    )


# How it goes on ---------------------------------------------------------------------------


def _goes(
    state: Execution,
    episode: Episode,
    parked: Parked,
    facts: Facts,
    now: datetime,
    *,
    reason: str,
    turn: str = "",
    delay_s: float = 0.0,
    probe_of: str = "",
    approved: bool = False,
) -> tuple[Event, ...]:
    """Let a held attempt begin, unless a rail is against it now."""
    leave = approved or parked.approved
    proposal = Proposal(parked.strategy, parked.changed, parked.cost, parked.usd)
    situation = situation_of(
        state, episode.failure, proposal, facts, now,
        approved=leave, turn=turn, sees=bool(probe_of), counted=parked.counted,
    )  # fmt: skip
    refusal = first_refusal(situation, RAILS)
    if refusal is None:
        if parked.counted:
            why = _waited(parked, now, reason)
            begins = _begins(episode, parked.attempt_id, now, delay_s, probe_of, parked, why)
            return (replace(begins, turn=turn),)
        ordered = _ordered(episode, parked, now, reason=reason, delay_s=delay_s, probe_of=probe_of)
        return (replace(ordered, turn=turn),)
    if refusal.hold is None:
        return _refused(episode, parked, refusal, now, probe_of)
    held = Held(
        episode.failure, parked.attempt_id, parked.number, _plan_of(parked), refusal.hold,
        parked.cost, parked.usd, again=True, counted=parked.counted, approved=leave,
        before=_spent(parked, now), doubtful=parked.doubtful, left=probe_of,
    )  # fmt: skip
    return (park(held, now),)


def _ordered(
    episode: Episode,
    parked: Parked,
    now: datetime,
    *,
    reason: str,
    delay_s: float = 0.0,
    probe_of: str = "",
    by: str = "",
) -> AttemptOrdered:
    failure = episode.failure
    reason = reason if by else _waited(parked, now, reason)
    plan = _plan_of(parked, reason, delay_s)
    explanation = (
        explain_wanted(failure, plan, parked.number)
        if by
        else explain_decision(failure, plan, parked.number, None, doubtful=parked.doubtful, now=now)
    )
    return AttemptOrdered(
        failure_id=failure.failure_id,
        workspace_id=failure.pattern.workspace_id,
        attempt_id=parked.attempt_id,
        attempt_number=parked.number,
        strategy=parked.strategy,
        delay_s=delay_s,
        drawn_s=parked.drawn_s,
        probe=parked.probe or bool(probe_of),
        reason=reason,
        ordered_at=written(now),
        explanation=explanation,
        overrides=parked.overrides,
        changed=parked.changed,
        ask_again=asks_again(delay_s),
        tried_as=tried_as(parked.strategy, parked.changed),
        parked=True,
        by=by,
        cost=parked.cost,
        usd=parked.usd,
        probe_of=probe_of,
        doubtful=parked.doubtful,
        scores=dict(plan.scores),
        propensity=1.0 if by else plan.propensity,  # people are not drawn
        helps=plan.helps,
        explores=plan.explores,
    )


def still(episode: Episode, parked: Parked, now: datetime) -> VerdictRepeated:
    """Return that an attempt goes on waiting: the engine had not heard of it, and asks."""
    return VerdictRepeated(
        failure_id=episode.failure.failure_id,
        execution_id=episode.failure.execution_id,
        node_id=episode.failure.node_id,
        verdict="hold",
        repeated_at=written(now),
        attempt_id=parked.attempt_id,
        until=written(parked.until),
    )


def _begins(
    episode: Episode,
    attempt_id: str,
    now: datetime,
    delay_s: float = 0.0,
    probe_of: str = "",
    parked: Parked | None = None,
    reason: str = "",
) -> AttemptReleased:
    """Return that an attempt begins; one that was `parked` says for what it waited."""
    explanation: Explanation | None = None
    if parked is not None:
        plan = _plan_of(parked, reason, delay_s)
        explanation = explain_decision(
            episode.failure, plan, parked.number, None, doubtful=parked.doubtful, now=now
        )
    return AttemptReleased(
        failure_id=episode.failure.failure_id,
        attempt_id=attempt_id,
        released_at=written(now),
        delay_s=delay_s,
        probe_of=probe_of,
        reason=reason,
        explanation=explanation,
    )


def _spent(parked: Parked, now: datetime) -> str:
    """Return for what an attempt has waited, in words; nothing is known of long before."""
    if parked.since is None:
        return parked.before
    return went_on(parked.before, parked.since, now, parked.reason)


def _waited(parked: Parked, now: datetime, why: str) -> str:
    """Return why an attempt is made that has waited: its own reason, the wait, and its end."""
    return "; ".join(filter(None, (parked.planned, _spent(parked, now), why)))


def _refused(
    episode: Episode, parked: Parked, refusal: Refusal, now: datetime, probe_of: str = ""
) -> tuple[Event, ...]:
    failure, plan = episode.failure, _plan_of(parked)
    if parked.counted:
        stopped = _stopped(episode, parked, refusal, now, answered=True, line=probe_of)
        return stopped, _given_up(episode, parked.attempt_id, now)
    refused = AttemptRefused(
        failure_id=failure.failure_id,
        attempt_id=parked.attempt_id,
        attempt_number=parked.number,
        strategy=parked.strategy,
        rail=refusal.rail,
        reason=refusal.reason,
        answered=True,
        shown=True,
        refused_at=written(now),
        explanation=explain_decision(
            failure, plan, parked.number, refusal.reason, doubtful=parked.doubtful, now=now
        ),
        parked=True,
        workspace_id=failure.pattern.workspace_id,
        left=probe_of,
        helps=plan.helps,
    )
    return refused, _given_up(episode, parked.attempt_id, now)


def _stopped(
    episode: Episode,
    waiting: Attempt | Parked,
    refusal: Refusal,
    now: datetime,
    *,
    answered: bool,
    line: str = "",
) -> AttemptStopped:
    explanation = explain_decision(
        episode.failure,
        _plan_of(waiting),
        waiting.number,
        refusal.reason,
        doubtful=waiting.doubtful,
        now=now,
    )
    return AttemptStopped(
        failure_id=episode.failure.failure_id,
        attempt_id=waiting.attempt_id,
        rail=refusal.rail,
        reason=refusal.reason,
        status="refused",
        stopped_at=written(now),
        explanation=explanation,
        answered=answered,
        line=line,
        returns=taken(episode, waiting),
    )


def _given_up(episode: Episode, attempt_id: str, now: datetime) -> EpisodeClosed:
    return EpisodeClosed(
        episode_id=episode.failure.episode_id,
        attempt_id=attempt_id,
        outcome="escalated",
        attempts=episode.retried,
        duration_s=seconds_between(episode.failure.first_failed_at, now),
        place=place(episode.failure.node_id, episode.failure.scope),
        shown=episode.failure.shown,
        workspace_id=episode.failure.pattern.workspace_id,
    )


def _plan_of(waiting: Attempt | Parked, reason: str = "", delay_s: float = 0.0) -> Plan:
    """Return the plan of an attempt that was made before."""
    own = waiting.planned if isinstance(waiting, Parked) else ""
    return Plan(
        waiting.strategy,
        reason or own or waiting.reason,
        delay_s,
        waiting.drawn_s if isinstance(waiting, Parked) else 0.0,
        waiting.probe,
        overrides=waiting.overrides,
        changed=waiting.changed,
        scores=waiting.scores,
        propensity=waiting.propensity,
        helps=waiting.helps,
        explores=waiting.explores,
    )
