"""What a workspace's automatic attempts may take: a bucket of tokens, and money by the month.

A stream of its own for each workspace. The bucket fills by itself; an attempt that succeeded gives
its tokens back, and one that was not made its money as well. Beside that it keeps what came of
each strategy, for the sampler.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from perdure_common.decider import Facts, Outgoing, Recorded, Rejected, Upsert
from perdure_contracts.deciding import (
    AllowanceCommand,
    AllowanceEvent,
    BudgetSet,
    NoteResult,
    NoteSpending,
    ResultNoted,
    ReturnTokens,
    SetBudget,
    TokensReturned,
    TokensSpent,
)

from .experience import month_of
from .guard import BUCKET_MAX
from .instants import parsed, written

TABLE: Final = "recovery_allowances"
RECORDS: Final = "recovery_records"
REFILL_S: Final = 3600.0
"""How long an empty bucket takes to be full."""
REMEMBERED_MAX: Final = 200
"""How many of the latest messages are remembered, so that none counts twice."""


@dataclass(frozen=True, slots=True)
class Purse:
    """The tokens there were at `at`, and the money of `month`; `known` are the latest messages."""

    tokens: float = BUCKET_MAX
    at: datetime | None = None
    month: str = ""
    month_usd: float = 0.0
    recovery_usd: float | None = None
    known: tuple[str, ...] = ()


def stream_of(command: AllowanceCommand) -> str:
    """Return the stream of a workspace's allowance."""
    return f"{command.workspace_id}/allowance"


def tokens_at(state: Purse, now: datetime) -> float:
    """Return the tokens that there are at an instant."""
    if state.at is None:
        return BUCKET_MAX
    back = max(0.0, (now - state.at).total_seconds()) * BUCKET_MAX / REFILL_S
    return min(BUCKET_MAX, state.tokens + back)


def decide(
    state: Purse, command: AllowanceCommand, facts: Facts, now: datetime
) -> tuple[AllowanceEvent, ...] | Rejected:
    """Return what was taken or given back; each attempt counts once."""
    del facts  # an allowance knows only what it is told
    match command:
        case SetBudget():
            if command.recovery_usd is not None and command.recovery_usd < 0:
                return Rejected(
                    f"recovery_usd is {command.recovery_usd}; give US dollars from 0, or none for "
                    "no limit",
                    "invalid_budget",
                )
            budget = BudgetSet(
                workspace_id=command.workspace_id,
                recovery_usd=command.recovery_usd,
                set_by=command.set_by,
            )
            return (budget,)
        case NoteSpending():
            if f"-{command.attempt_id}" in state.known:
                return ()
            month = month_of(now)
            before = state.month_usd if state.month == month else 0.0
            spent = TokensSpent(
                workspace_id=command.workspace_id,
                attempt_id=command.attempt_id,
                cost=command.cost,
                usd=command.usd,
                left=round(max(0.0, tokens_at(state, now) - command.cost), 3),
                month=month,
                month_usd=round(before + command.usd, 6),
                spent_at=written(now),
            )
            return (spent,)
        case ReturnTokens():
            return _returned(state, command, now)
        case NoteResult():
            if f"+{command.attempt_id}" in state.known:
                return ()
            refund = command.cost if command.recovered else 0
            noted = ResultNoted(
                workspace_id=command.workspace_id,
                attempt_id=command.attempt_id,
                failure_type=command.failure_type,
                strategy=command.strategy,
                recovered=command.recovered,
                refund=refund,
                left=round(min(BUCKET_MAX, tokens_at(state, now) + refund), 3),
                noted_at=written(now),
            )
            return (noted,)


def _returned(state: Purse, command: ReturnTokens, now: datetime) -> tuple[AllowanceEvent, ...]:
    if f"~{command.attempt_id}" in state.known:
        return ()
    same_month = month_of(parsed(command.taken_at)) == state.month
    usd = min(command.usd, state.month_usd) if same_month else 0.0
    returned = TokensReturned(
        workspace_id=command.workspace_id,
        attempt_id=command.attempt_id,
        cost=command.cost,
        usd=usd,
        left=round(min(BUCKET_MAX, tokens_at(state, now) + command.cost), 3),
        month=state.month,
        month_usd=round(state.month_usd - usd, 6),
        returned_at=written(now),
    )
    return (returned,)


def evolve(state: Purse, event: AllowanceEvent) -> Purse:
    """Return the allowance as it stands after `event`."""
    match event:
        case BudgetSet():
            return replace(state, recovery_usd=event.recovery_usd)
        case TokensSpent():
            return replace(
                state,
                tokens=event.left,
                at=parsed(event.spent_at),
                month=event.month,
                month_usd=event.month_usd,
                known=(*state.known, f"-{event.attempt_id}")[-REMEMBERED_MAX:],
            )
        case TokensReturned():
            return replace(
                state,
                tokens=event.left,
                at=parsed(event.returned_at),
                month=event.month,
                month_usd=event.month_usd,
                known=(*state.known, f"~{event.attempt_id}")[-REMEMBERED_MAX:],
            )
        case ResultNoted():
            return replace(
                state,
                tokens=event.left,
                at=parsed(event.noted_at),
                known=(*state.known, f"+{event.attempt_id}")[-REMEMBERED_MAX:],
            )


def project(state: Purse, recorded: Recorded[AllowanceEvent]) -> tuple[Upsert, ...]:
    """Return the workspace's row, and the strategy's record."""
    event = recorded.event
    key = {"tenant_id": recorded.tenant_id, "workspace_id": event.workspace_id}
    row = {
        "tokens": state.tokens,
        "tokens_at": state.at or recorded.recorded_at,
        "month": state.month,
        "month_usd": state.month_usd,
        "recovery_usd": state.recovery_usd,
        "updated_at": recorded.recorded_at,
    }
    found = (Upsert(TABLE, key, row),)
    if not isinstance(event, ResultNoted):
        return found
    of = {**key, "failure_type": event.failure_type, "strategy": event.strategy}
    counts = {"tried": 1, "recovered": int(event.recovered)}
    return (*found, Upsert(RECORDS, of, {"updated_at": recorded.recorded_at}, add=counts))


def route(state: Purse, recorded: Recorded[AllowanceEvent]) -> tuple[Outgoing, ...]:
    """Return nothing: allowances are read as facts."""
    del state, recorded
    return ()
