"""A few of what would be given up are tried unchanged all the same, to learn what giving up costs.

Of failures that nothing is tried about the chance is known with which one is tried: what comes of
those few says what came of all, which no other figure does. Only where a workspace lets chance
choose (`bandit`), only nodes without effects, and only where no guard rail has a word against it.
They are counted apart. Pure.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from .cases import Case, Plan
from .strategies import STRATEGIES
from .waits import uniform

EXPLORED_SHARE: Final = 0.02
"""Share of what would be given up that is tried."""
EFFECT_UNKNOWN: Final = "engine:effect_unknown"
"""An agent's tool that cannot be repeated was under way when its runner or the network failed."""


def explored(case: Case, plan: Plan, allowed: Callable[[Plan], bool]) -> Plan:
    """Return `plan`, or for a few the try that is made in its place; with its propensity.

    `allowed` says whether the guard rails agree to a try: what they refuse is no matter of chance.
    """
    instead = _instead(case, plan)
    if instead is None or not allowed(instead):
        return plan
    if uniform(case.failure_id, case.attempt, "explore") < EXPLORED_SHARE:
        return replace(instead, propensity=EXPLORED_SHARE)
    return replace(plan, propensity=1.0 - EXPLORED_SHARE)


def too_late(case: Case, plan: Plan) -> bool:
    """Return whether a plan's attempt would begin after the deadline."""
    return case.deadline is not None and case.now + timedelta(seconds=plan.delay_s) >= case.deadline


def _instead(case: Case, plan: Plan) -> Plan | None:
    """Return the unchanged try of a node of which nothing was tried yet, None if it may not be."""
    kind = case.classification
    wanted = kind.failure_type != "cancelled" and not kind.own_limit
    doubtful = case.compensating or kind.rule_id == EFFECT_UNKNOWN
    first = plan.strategy == "escalate_human" and case.retried == 0
    chance = case.sampler == "bandit" and case.explorable
    if not (first and chance and wanted) or doubtful:
        return None
    retry = STRATEGIES["backoff"](case)
    if retry is None or too_late(case, retry):
        return None
    reason = (
        f"{kind.failure_type}: a few of what is given up are tried unchanged, to see whether that "
        f"is right; wait {retry.delay_s:.1f} s, then run the node again"
    )
    return replace(retry, reason=reason, probe=True, explores=True)
