"""What to do about a failure: which strategies a type allows, and which of them is chosen.

The rules choose: the first allowed strategy that can be carried out. Where a workspace has
switched to `bandit` and has seen enough, a sampler ranks those that can (sampler.py). Chance comes
from a hash of the failure and the attempt: the same decision made again is the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from perdure_contracts.failures import Strategy
from perdure_contracts.patterns import FailureType

from .cases import AUTOMATIC, UNCHANGED, Case, Plan, Record
from .exploring import EFFECT_UNKNOWN, too_late
from .guard import Refusal
from .sampler import expected, sampled
from .strategies import STRATEGIES
from .waits import BASE_S, BASE_THROTTLED_S, CAP_S, NOW_MAX_S, RETRY_AFTER_SLACK, uniform

__all__ = [
    "ALLOWED",
    "AUTOMATIC",
    "BASE_S",
    "BASE_THROTTLED_S",
    "CAP_S",
    "EFFECT_UNKNOWN",
    "NOW_MAX_S",
    "PROBE_EVERY",
    "RETRY_AFTER_SLACK",
    "UNCHANGED",
    "Case",
    "Plan",
    "Record",
    "choose",
    "uniform",
]

_LAST: Final[tuple[Strategy, ...]] = ("skip_compensate", "escalate_human")

ALLOWED: Final[dict[FailureType, tuple[Strategy, ...]]] = {
    "rate_limit": ("backoff", "wait_until", "fallback_model", *_LAST),
    "quota_exhausted": ("fallback_model", "wait_until", *_LAST),
    "timeout": ("backoff", "wait_until", "fallback_model", *_LAST),
    "network": ("retry_now", "backoff", "wait_until", "fallback_model", *_LAST),
    "dependency_down": ("fallback_model", "backoff", "wait_until", *_LAST),
    "auth": ("refresh_credentials", *_LAST),
    "permission": _LAST,
    "validation": _LAST,
    "context_length": ("reduce_input", "fallback_model", *_LAST),
    "model_refusal": ("fallback_model", *_LAST),
    "output_invalid": ("reprompt", "retry_now", "backoff", *_LAST),
    "tool_error": ("backoff", *_LAST),
    "resource_exhausted": ("reassign", "backoff", *_LAST),
    "conflict": ("retry_now", "backoff", *_LAST),
    "data_missing": ("fallback_model", *_LAST),
    "worker_lost": ("reassign", "retry_now", "backoff", *_LAST),
    "code_bug": _LAST,
    "cancelled": ("dead_letter",),
    "unknown": ("backoff", *_LAST),
}
"""What each type allows, in the order in which the rules prefer it."""

WAITED_FOR: Final[frozenset[FailureType]] = frozenset({"timeout", "rate_limit", "network"})
"""What another model is asked about only after one retry did not help, or with an open breaker."""

PROBE_EVERY: Final = timedelta(minutes=30)
"""How often a failure that is not believed transient is tried unchanged all the same."""


def choose(case: Case) -> Plan:
    """Return what is to be done about the case."""
    kind = case.classification
    if kind.own_limit:
        return _without_trying(case, "the workflow reached a limit that its people set")
    if case.compensating:
        text = f"the compensation failed ({kind.failure_type}): what the node did may stand"
        return STRATEGIES["skip_compensate"](case) or Plan("escalate_human", text)
    if kind.rule_id == EFFECT_UNKNOWN:
        return _without_trying(case, "nobody knows whether an effect happened: look there first")
    plans = list(_plans(case))
    automatic = [plan for plan in plans if plan.automatic and not plan.undoes]
    if not automatic:
        return plans[0]
    in_time = [plan for plan in automatic if not too_late(case, plan)]
    if not in_time:
        text = f"the next try is due in {automatic[0].delay_s:.1f} s, after the deadline"
        return _without_trying(case, text)
    weighed = [_weighed(case, plan, at) for at, plan in enumerate(in_time)]
    plan = _believed(case, sampled(case, weighed, _preferred(case, weighed)))
    if case.looks_first and plan.automatic:
        looks = "the node looks first whether its effect has happened"
        return replace(plan, reason=f"{plan.reason}; {looks}")
    return plan


def undone_instead(case: Case, plan: Plan, refusal: Refusal | None) -> Plan | None:
    """Return the compensation that takes the place of what a rail refuses for good.

    What may not be tried any more is undone where its author has said how.
    """
    if refusal is None or refusal.hold is not None or refusal.rail not in ("effect", "caps"):
        return None
    undo = STRATEGIES["skip_compensate"](case)
    if undo is None or not undo.undoes or plan.undoes:
        return None
    return replace(undo, reason=_undone_too(refusal.reason))


def order(case: Case) -> Sequence[Strategy]:
    """Return what the case's type allows, in the order in which it is looked at."""
    kind = case.classification.failure_type
    allowed = ALLOWED[kind]
    waited = any(each in UNCHANGED for each in case.tried) or case.dependency in case.down
    if kind in WAITED_FOR and waited:
        return ("fallback_model", *(each for each in allowed if each != "fallback_model"))
    return allowed


def _plans(case: Case) -> Iterator[Plan]:
    for strategy in order(case):
        plan = STRATEGIES[strategy](case)
        if plan is not None:
            yield plan


def _weighed(case: Case, plan: Plan, place: int) -> Plan:
    """Return a plan with P(it helps), where it is no retry of the same: of that the pattern tells.

    It is what the sampler draws from, also where the rules choose.
    """
    if plan.unchanged:
        return plan
    return replace(plan, helps=expected(case.records.get(plan.strategy, Record()), place))


def _preferred(case: Case, plans: Sequence[Plan]) -> Sequence[int]:
    """Return which plans may be taken, by their places.

    Those that change something, where trying the same again is not believed in; all if none does.
    """
    every = range(len(plans))
    changed = [at for at in every if not plans[at].unchanged]
    return changed if case.transient is False and changed else every


def _believed(case: Case, first: Plan) -> Plan:
    """Let an unchanged try that is not believed in be a probe, of which there are few."""
    if case.transient is not False or not first.unchanged:
        return first
    every = PROBE_EVERY.seconds // 60
    if case.tried_at is not None and case.now - case.tried_at < PROBE_EVERY:
        return _without_trying(
            case,
            "the failure is believed to last and was tried unchanged less than "
            f"{every} minutes ago",
        )
    kind = case.classification.failure_type
    why = f"{kind} is believed to last; one try in {every} minutes: wait {first.delay_s:.1f} s"
    return replace(first, reason=why, probe=True)


def _without_trying(case: Case, reason: str) -> Plan:
    """Return what is left where nothing is tried: the node's own way, or a person."""
    plan = STRATEGIES["skip_compensate"](case) or Plan("escalate_human", reason)
    return replace(plan, reason=_undone_too(reason) if plan.undoes else reason)


def _undone_too(reason: str) -> str:
    return f"{reason}; what the node may have done is undone"
