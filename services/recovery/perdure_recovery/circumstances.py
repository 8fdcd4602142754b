"""What the guard rails are told about an attempt: from the state, the facts and its plan. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from perdure_common.decider import Facts
from perdure_contracts.engine import EffectClass, EffectState
from perdure_contracts.failures import Strategy, Taken
from perdure_contracts.message import Json
from perdure_contracts.recovery import FailureNoted

from .cases import UNDO
from .experience import allowance_in, breakers_in, incident_in, modes_in, storm_of
from .guard import BUCKET_MAX, Situation
from .instants import parsed, written
from .state import Attempt, Episode, Execution, Parked, place, tried_on

COST: Final = 14
COST_THROTTLED: Final = 5
"""Tokens that an attempt takes; the second where the other side asked for fewer calls."""
USD_GUESSED: Final = 0.02
"""What an attempt that asks a model is taken to cost where its author set no limit."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """As much of a plan as the rails care for."""

    strategy: Strategy
    changed: Json = None
    cost: int = 0
    usd: float = 0.0


def dependencies_of(failure: FailureNoted, proposal: Proposal) -> tuple[str, ...]:
    """Return what an attempt would call: another model instead of the one that failed."""
    if proposal.strategy == "fallback_model" and proposal.changed:
        return (str(proposal.changed["to"]),)
    dependency = failure.pattern.dependency
    return (dependency,) if dependency else ()


def tokens_for(strategy: Strategy, *, throttled: bool) -> int:
    """Return what an attempt takes from its workspace's bucket."""
    unchanged = strategy in ("retry_now", "backoff", "wait_until")
    return COST_THROTTLED if throttled and unchanged else COST


def price_of(dependency: str, usd: float) -> float:
    """Return what an attempt is taken to cost, in US dollars: only models have a price."""
    return (usd or USD_GUESSED) if dependency.startswith("llm:") else 0.0


def taken(episode: Episode, waiting: Attempt | Parked) -> Taken | None:
    """Return what an attempt that is not made took when it was ordered, None if that is nothing.

    One that was parked before it was ordered has taken nothing yet.
    """
    ordered_at = waiting.since if isinstance(waiting, Parked) else waiting.ordered_at
    ordered = waiting.counted if isinstance(waiting, Parked) else True
    if not ordered or ordered_at is None or not (waiting.cost or waiting.usd):
        return None
    return Taken(
        workspace_id=episode.failure.pattern.workspace_id,
        cost=waiting.cost,
        usd=waiting.usd,
        taken_at=written(ordered_at),
    )


def given_back(situation: Situation, returned: Taken) -> Situation:
    """Return a situation in which the allowance has again what an attempt gives back just now."""
    allowance = situation.allowance
    again = replace(
        allowance,
        tokens=min(BUCKET_MAX, allowance.tokens + returned.cost),
        month_usd=max(0.0, allowance.month_usd - returned.usd),
    )
    return replace(situation, allowance=again)


def situation_of(
    state: Execution,
    failure: FailureNoted,
    proposal: Proposal,
    facts: Facts,
    now: datetime,
    *,
    asked: bool = True,
    verdict_until: str | None = None,
    effect: EffectClass = "pure",
    effect_state: EffectState = "not_sent",
    approved: bool = False,
    turn: str = "",
    sees: bool = False,
    waited_in: str = "",
    counted: bool = False,
) -> Situation:
    """Return what the rails look at.

    `effect` and its state are asked when the failure comes, and do not change while an attempt
    waits. One that is `counted` already is not counted against itself.
    """
    mode, switch = modes_in(facts, failure.pattern.workspace_id)
    gate, line = incident_in(facts, storm_of(failure.pattern_id, failure.pattern.credential))
    called: Sequence[str] = dependencies_of(failure, proposal)
    elsewhere = proposal.strategy == "fallback_model"
    mine = int(counted)
    return Situation(
        mode=mode,
        switch=switch,
        asked=asked,
        verdict_until=parsed(verdict_until) if verdict_until else None,
        deadline=parsed(failure.deadline) if failure.deadline else None,
        effect=effect,
        effect_state=effect_state,
        node_attempts=state.tried.get(place(failure.node_id, failure.scope), 0) - mine,
        execution_attempts=tried_on(state, now) - mine,
        now=now,
        incident=None if elsewhere else gate,
        incident_line=line,
        breakers=breakers_in(facts, called, "" if elsewhere else failure.credential),
        allowance=allowance_in(facts, now),
        cost=0 if counted else proposal.cost,
        usd=0.0 if counted else proposal.usd,
        approved=approved,
        turn=turn,
        sees=sees,
        waited_in=waited_in,
        workspace_id=failure.pattern.workspace_id,
        undoes=proposal.strategy == UNDO,
    )
