"""What recovery decides about the failures of an execution.

Pure: time and facts are arguments, chance follows from ids. A failure goes through the
same stages each time: recognised (`note`), believed passing or lasting (`believe`), a
strategy chosen (`choose`), the guard rails asked (`first_refusal`), the decision explained.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import assert_never

from perdure_common.breaking import OPEN_CODE
from perdure_common.decider import Due, Facts, Rejected
from perdure_common.ids import derived
from perdure_contracts.deciding import (
    ExecutionCommand,
    ExecutionEvent,
    NoteAnswer,
    NoteCompensated,
    NoteDue,
    ReleaseAttempt,
)
from perdure_contracts.failures import RecoveryMode, Taken
from perdure_contracts.recovery import (
    AttemptFailed,
    AttemptOrdered,
    AttemptRefused,
    EpisodeClosed,
    FailureNoted,
    NoteCompletion,
    NoteEnd,
    NoteFailure,
    NoteGivenUp,
)
from perdure_contracts.undoing import IN_DOUBT, UNDO_STAGE

from .cases import tried_as
from .circumstances import Proposal, given_back, price_of, situation_of, tokens_for
from .classify import Classification
from .evolve import evolve
from .experience import (
    breakers_in,
    modes_in,
    policy_in,
    records_in,
)
from .explain import explain_decision
from .exploring import explored
from .families import recognised
from .guard import (
    PERSON_S,
    Hold,
    Refusal,
    Situation,
    duplicate,
    first_refusal,
    stricter,
    wanted,
)
from .instants import parsed, seconds_between, written
from .means import dependency_of, means_from, problems_of
from .noting import dated, note
from .outcomes import compensated, completed, confirmed, ended, ended_by, given_up, revival
from .parking import Held, answered, asks_again, due, park, released, still, woken
from .questions import ASKED_ABOUT, ask, not_asked, overdue, overtaken, settle
from .repeating import asked_again, repeated
from .state import Episode, Execution, place
from .strategy import Case, Plan, choose, undone_instead


def decide(
    state: Execution, command: ExecutionCommand | Due, facts: Facts, now: datetime
) -> tuple[ExecutionEvent, ...] | Rejected:
    """Return what is to be done about a failure, or what came of what was done."""
    match command:
        case NoteFailure():
            return _failure(state, command, facts, now)
        case NoteCompletion():
            return *overtaken(state, command, now), *completed(state, command, now)
        case NoteGivenUp():
            return given_up(state, command, now)
        case NoteEnd():
            return _end(state, command, facts, now)
        case NoteCompensated():
            return compensated(state, command, now)
        case NoteDue():
            return due(state, command, facts, now)
        case ReleaseAttempt():
            return released(state, command, facts, now)
        case NoteAnswer():
            heard = answered(state, command, facts, now) or settle(state, command, now)
            return heard or not_asked(command)
        case Due():
            return confirmed(state, now) or overdue(state, now) or woken(state, facts, now)
        case _:
            assert_never(command)


@dataclass(frozen=True, slots=True)
class _Decision:
    """A plan and what the guard rails said: without a `refusal` it is carried out.

    The `rail` is `rules` when the plan itself is not to try. `number` counts the episode's tries.
    `late` says that nothing but the time stood against the plan. With `ask` people are asked what
    to do. `cost` and `usd` are what it would take from the allowance.
    """

    plan: Plan
    refusal: Refusal | None
    mode: RecoveryMode
    number: int
    doubtful: bool
    late: bool
    cost: int = 0
    usd: float = 0.0
    ask: bool = False


def _failure(
    state: Execution, command: NoteFailure, facts: Facts, now: datetime
) -> tuple[ExecutionEvent, ...] | Rejected:
    key = place(command.node_id, command.scope)
    known = state.episodes.get(key)
    open_attempt = known.failure.attempt if known and known.failure.run == command.run else None
    again = duplicate(command.failure_id, state.decided, command.attempt, open_attempt)
    twice_asked = asked_again(state, command, key, now)
    held = known if known and known.failure.failure_id == command.failure_id else None
    if twice_asked and held is not None and held.parked is not None:
        return (still(held, held.parked, now),)
    if twice_asked and command.failure_id in state.told:
        return (repeated(state, command, facts, now),)
    if again is not None and not twice_asked:
        return Rejected(f"failure {command.failure_id!r}: {again}", "duplicate")
    command = dated(command, now)
    over = ended_by(known, command, facts, now) if known else ()
    before = (*overtaken(state, command, now), *(_owned(each, command) for each in over))
    state = reduce(evolve, before, state)
    episode = state.episodes.get(key)  # gone if what happened before is over
    by_author = means_from(command.means).failure_type
    kind, near = recognised(command.error, facts, by_author)
    off = stricter(*modes_in(facts, command.workspace_id)) == "off"
    shown = episode is not None or not off
    noted, tried_at = note(command, kind, near, facts, now, shown=shown)
    case = _case(episode, command, kind, noted, tried_at, facts, now)
    failed = (each for each in before if isinstance(each, AttemptFailed))
    returned = next((each.returns for each in failed if each.held_back), None)
    plan = explored(
        case,
        choose(case),
        lambda other: (
            first_refusal(_situation(state, command, noted, case, other, facts, returned)) is None
        ),
    )
    decision = _judged(state, command, noted, case, plan, facts, returned)
    twice = (written(now),) if twice_asked else ()
    return (*before, noted, *_decided(command, noted, decision, now, twice))


def _case(
    episode: Episode | None,
    command: NoteFailure,
    kind: Classification,
    noted: FailureNoted,
    tried_at: datetime | None,
    facts: Facts,
    now: datetime,
) -> Case:
    """Return what the strategies look at."""
    error, means = command.error, means_from(command.means)
    others = [dependency_of(each) for each in means.fallbacks]
    known = breakers_in(facts, [error.dependency, *others], "")
    sampler, _ = policy_in(facts, command.workspace_id)
    return Case(
        failure_id=command.failure_id,
        classification=kind,
        retried=episode.retried if episode else 0,
        drawn_s=episode.drawn_s if episode else 0.0,
        transient=noted.transient,
        retry_after_s=error.retry_after_s,
        deadline=parsed(command.deadline) if command.deadline else None,
        tried_at=tried_at,
        now=now,
        dependency=error.dependency,
        means=means,
        tried=episode.tried if episode else (),
        down=frozenset(each.dependency for each in known if each.state == "open"),
        runner=command.runner,
        problems=problems_of(error),
        judged=error.stage == "output",
        sampler=sampler,
        records=records_in(facts, kind.failure_type),
        compensating=error.stage == UNDO_STAGE,
        unsent=error.type == OPEN_CODE,
        looks_first=command.effect == "verify_first" and error.effect_state in IN_DOUBT,
        explorable=command.effect == "pure"
        and stricter(*modes_in(facts, command.workspace_id)) == "auto",
    )


def _owned(event: ExecutionEvent, command: NoteFailure) -> ExecutionEvent:
    """Let an attempt that was none name the workspace whose counters take it back."""
    if isinstance(event, AttemptFailed) and event.uncounts:
        return replace(event, workspace_id=command.workspace_id)
    return event


def _judged(
    state: Execution,
    command: NoteFailure,
    noted: FailureNoted,
    case: Case,
    plan: Plan,
    facts: Facts,
    returned: Taken | None,
) -> _Decision:
    """Ask the guard rails about a plan that acts by itself.

    `returned` is what the attempt before gives back, which a breaker held up.
    """
    situation = _situation(state, command, noted, case, plan, facts, returned)
    refusal = first_refusal(situation) if plan.automatic else Refusal("rules", plan.reason)
    instead = undone_instead(case, plan, refusal)
    if instead is not None:
        return _judged(state, command, noted, case, instead, facts, returned)
    refusal, ask = _with_people(plan, refusal, situation, facts)
    in_time = replace(situation, verdict_until=None)
    late = (
        plan.automatic
        and refusal is not None
        and refusal.rail == "wanted"
        and first_refusal(in_time) is None
    )
    unsure = command.effect not in ("pure", "keyed") and command.error.effect_state == "unknown"
    mode, switch = modes_in(facts, command.workspace_id)
    return _Decision(
        plan=plan,
        refusal=refusal,
        mode=stricter(mode, switch),
        number=case.attempt,
        doubtful=unsure or case.compensating,
        late=late,
        cost=situation.cost,
        usd=situation.usd,
        ask=ask,
    )


def _situation(
    state: Execution,
    command: NoteFailure,
    noted: FailureNoted,
    case: Case,
    plan: Plan,
    facts: Facts,
    returned: Taken | None,
) -> Situation:
    """Return what the guard rails look at; see `_judged`."""
    cost = tokens_for(plan.strategy, throttled=case.classification.throttled)
    usd = price_of(case.dependency, case.means.usd)
    if case.unsent:  # it takes what the attempt had taken, or the call was nobody's retry
        cost, usd = (returned.cost, returned.usd) if returned else (0, 0.0)
    situation = situation_of(
        state,
        noted,
        Proposal(plan.strategy, plan.changed, cost, usd),
        facts,
        case.now,
        asked=command.asked,
        verdict_until=command.verdict_until,
        effect=command.effect,
        effect_state=command.error.effect_state,
    )
    return given_back(situation, returned) if returned else situation


def _with_people(
    plan: Plan, refusal: Refusal | None, situation: Situation, facts: Facts
) -> tuple[Refusal | None, bool]:
    """Return a refusal as it stands where people have a word, and whether they are asked later.

    It is theirs to say what becomes of what nothing automatic helps, of an effect in doubt and of
    what was tried as often as it may be. Where people are held for, the node waits for the answer.
    """
    if refusal is None or refusal.hold is not None or refusal.rail not in ASKED_ABOUT:
        return refusal, False
    _, people = policy_in(facts, situation.workspace_id)
    acts = stricter(situation.mode, situation.switch) in ("auto", "approve")
    by_author = refusal.rail == "rules" and plan.strategy != "escalate_human"
    if people == "tell" or by_author or not acts or wanted(situation) is not None:
        return refusal, False
    if people == "ask":
        return refusal, True
    hold = Hold("person", refusal.reason, situation.within(PERSON_S))
    return Refusal(refusal.rail, refusal.reason, hold), False


def _decided(
    command: NoteFailure,
    noted: FailureNoted,
    decision: _Decision,
    now: datetime,
    again: tuple[str, ...] = (),
) -> tuple[ExecutionEvent, ...]:
    """Return the decision as an event; `again` tells a second decision on a failure apart."""
    plan, number, refusal = decision.plan, decision.number, decision.refusal
    attempt_id = derived("attempt", command.failure_id, number, *again)
    if refusal is None:
        return (_order(noted, decision, attempt_id, now),)
    if refusal.hold is not None:
        free = refusal.hold.cause == "person"  # a try of theirs is none of the allowance's
        held = Held(
            noted,
            attempt_id,
            number,
            plan,
            refusal.hold,
            cost=0 if free else decision.cost,
            usd=0.0 if free else decision.usd,
            doubtful=decision.doubtful,
        )
        return (park(held, now),)
    by_rail = None if refusal.rail == "rules" else refusal.reason
    explanation = explain_decision(
        noted, plan, number, by_rail, doubtful=decision.doubtful, now=now
    )
    late = command.verdict_until is not None and now >= parsed(command.verdict_until)
    refused = AttemptRefused(
        failure_id=command.failure_id,
        attempt_id=attempt_id,
        attempt_number=number,
        strategy=plan.strategy,
        rail=refusal.rail,
        reason=refusal.reason,
        answered=command.asked and not late,
        shown=decision.mode != "off",
        refused_at=written(now),
        explanation=explanation,
        late=decision.late,
        delay_s=plan.delay_s,
        drawn_s=plan.drawn_s,
        workspace_id=noted.pattern.workspace_id,
        compensate=plan.compensate,
        overrides=plan.overrides if decision.late else None,
        changed=plan.changed if decision.late else None,
        ask=decision.ask,
        helps=plan.helps,
        propensity=plan.propensity if decision.late or not plan.automatic else 1.0,
        scores=dict(plan.scores) if decision.late else {},
    )
    if decision.late:
        return (refused,)  # the episode goes on until it is known what the engine did
    closed = EpisodeClosed(
        episode_id=noted.episode_id,
        attempt_id=attempt_id,
        outcome="handled" if plan.compensate and refused.answered else "escalated",
        attempts=number - 1,
        duration_s=seconds_between(noted.first_failed_at, now),
        place=place(noted.node_id, noted.scope) if noted.shown else "",
        shown=noted.shown,
        workspace_id=noted.pattern.workspace_id,
    )
    return refused, closed


def _order(
    noted: FailureNoted, decision: _Decision, attempt_id: str, now: datetime
) -> AttemptOrdered:
    plan, number = decision.plan, decision.number
    return AttemptOrdered(
        failure_id=noted.failure_id,
        workspace_id=noted.pattern.workspace_id,
        attempt_id=attempt_id,
        attempt_number=number,
        strategy=plan.strategy,
        delay_s=plan.delay_s,
        drawn_s=plan.drawn_s,
        probe=plan.probe,
        reason=plan.reason,
        ordered_at=written(now),
        explanation=explain_decision(
            noted, plan, number, None, doubtful=decision.doubtful, now=now
        ),
        overrides=plan.overrides,
        changed=plan.changed,
        ask_again=asks_again(plan.delay_s),
        tried_as=tried_as(plan.strategy, plan.changed),
        scores=dict(plan.scores),
        propensity=plan.propensity,
        helps=plan.helps,
        explores=plan.explores,
        cost=decision.cost,
        usd=decision.usd,
        doubtful=decision.doubtful,
    )


def _end(
    state: Execution, command: NoteEnd, facts: Facts, now: datetime
) -> tuple[ExecutionEvent, ...] | Rejected:
    """The execution ended: completed nodes are recovered, open attempts have come to nothing.

    If it ended by a failure whose verdict only came too late, it is made to go on.
    """
    closed = tuple(
        event
        for _, episode in sorted(state.episodes.items())
        for event in (revival(state, episode, command, facts, now) or ended(episode, now))
    )
    closed = (*closed, *ask(state, command, now))
    if command.failure is None or state.decided:
        return closed  # a node failed before: its episode is the execution's
    own = _failure(state, command.failure, facts, now)
    return own if isinstance(own, Rejected) else (*closed, *own)
