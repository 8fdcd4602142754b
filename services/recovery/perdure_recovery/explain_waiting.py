"""Explanations of attempts that wait: for what, until when, and who can shorten it. Pure.

What waited and went on says so ever after: `went_on` is part of the reason that later explanations
quote.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from perdure_contracts.deciding import Cause
from perdure_contracts.failures import Explanation
from perdure_contracts.recovery import FailureNoted

from .cases import Plan
from .explain import NO_ACTION, clock, drafted, measured
from .explain_templates import DOUBTFUL
from .guard import Hold

ANSWER: Final[dict[Cause, str]] = {
    "approval": "Answer recovery's question: may it try again?",
    "person": "Answer recovery's question: is the node to be run again, or given up?",
}
"""What people are to do about an attempt that waits for them."""

ASKED: Final = "People are asked whether the node is to be run again."


def explain_waiting(
    noted: FailureNoted,
    plan: Plan,
    attempt_number: int,
    hold: Hold,
    now: datetime,
    before: str,
    *,
    doubtful: bool = False,
) -> Explanation:
    """Return the explanation of an attempt that is held; `before` is what it waited for before.

    `doubtful` is as in `explain_decision`.
    """
    stopped = hold.reason if hold.cause == "person" and plan.automatic else None
    made = drafted(noted, plan, attempt_number, stopped, doubtful=doubtful, now=now)
    until = clock(hold.until)
    waits = f"It waits until {until} at most: {hold.reason}."
    texts = [made.retry_decision, f"So far {before}." if before else "", waits]
    asks = ANSWER.get(hold.cause)
    told = replace(
        made,
        retry_decision=" ".join(filter(None, texts)),
        estimated_resolution_time=f"when that is over, or until {until}",
    )
    if asks is not None:
        told = replace(
            told,
            user_action_required=(DOUBTFUL if doubtful else "") + asks,
            estimated_resolution_time=f"when a person answers, or until {until}",
            severity_level="critical" if doubtful else "high",
        )
    facts = (*_facts(plan, attempt_number), hold.reason, until, before)
    return measured(told, noted, facts)


def explain_question(
    noted: FailureNoted, plan: Plan, attempt_number: int, given_up: Explanation, until: datetime
) -> Explanation:
    """Return the explanation of a node that was given up, and about which people are asked."""
    asked = replace(
        given_up,
        retry_decision=f"{given_up.retry_decision} {ASKED}",
        estimated_resolution_time=f"when a person answers, or until {clock(until)}",
    )
    facts = (*_facts(plan, attempt_number), given_up.retry_decision, clock(until))
    return measured(asked, noted, facts)


def explain_answer(
    noted: FailureNoted, plan: Plan, attempt_number: int, asked: Explanation, what: str
) -> Explanation:
    """Return the explanation of a node about which people were asked: `what` came of it."""
    told = replace(
        asked,
        retry_decision=f"{asked.retry_decision} {what[:1].upper()}{what[1:]}.",
        estimated_resolution_time="none: the question is settled",
    )
    facts = (*_facts(plan, attempt_number), asked.retry_decision, what)
    return measured(told, noted, facts)


def explain_wanted(noted: FailureNoted, plan: Plan, attempt_number: int) -> Explanation:
    """Return the explanation of a try that a person asked for."""
    told = replace(
        drafted(noted, plan, attempt_number, None, doubtful=False),
        retry_decision=f"Try {attempt_number}, because a person wants it: {plan.reason}.",
        user_action_required=NO_ACTION,
        estimated_resolution_time="the node runs again at once",
        severity_level="medium",
    )
    return measured(told, noted, _facts(plan, attempt_number))


def went_on(before: str, since: datetime, now: datetime, hold_reason: str) -> str:
    """Return what an attempt has waited for in all: `it waited 12.0 s (the breaker … is open)`."""
    spent_s = max(0.0, (now - since).total_seconds())
    here = f"it waited {spent_s:.1f} s ({hold_reason})"
    return f"{before}, then {here}" if before else here


def _facts(plan: Plan, attempt_number: int) -> tuple[object, ...]:
    return plan.reason, attempt_number, plan.delay_s, plan.strategy
