"""What to do about a failure: which strategies a type allows, and which the rules choose.

The rules choose first and by themselves; what they cannot do yet (another model, a shorter
input, new credentials, a person's answer) is left out by `AVAILABLE`, so that the next
allowed strategy is taken. Chance comes from a hash of the failure and the attempt: the
same decision made again waits as long.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from perdure_contracts.recovery import FailureType, Strategy

from .classify import Classification

ALLOWED: Final[dict[FailureType, tuple[Strategy, ...]]] = {
    "rate_limit": ("backoff", "wait_until", "fallback_model", "escalate_human"),
    "quota_exhausted": ("fallback_model", "wait_until", "escalate_human"),
    "timeout": ("backoff", "fallback_model", "escalate_human"),
    "network": ("retry_now", "backoff", "fallback_model", "escalate_human"),
    "dependency_down": ("fallback_model", "backoff", "wait_until", "escalate_human"),
    "auth": ("refresh_credentials", "escalate_human"),
    "permission": ("escalate_human",),
    "validation": ("escalate_human",),
    "context_length": ("reduce_input", "fallback_model", "escalate_human"),
    "model_refusal": ("fallback_model", "escalate_human"),
    "output_invalid": ("reprompt", "retry_now", "backoff", "escalate_human"),
    "tool_error": ("backoff", "escalate_human"),
    "resource_exhausted": ("reassign", "backoff", "escalate_human"),
    "conflict": ("retry_now", "backoff", "escalate_human"),
    "data_missing": ("fallback_model", "escalate_human"),
    "worker_lost": ("reassign", "retry_now", "backoff", "escalate_human"),
    "code_bug": ("escalate_human",),
    "cancelled": ("dead_letter",),
    "unknown": ("backoff", "escalate_human"),
}
"""What each type allows, in the order in which the rules prefer it."""

AVAILABLE: Final[frozenset[Strategy]] = frozenset(
    {"retry_now", "backoff", "escalate_human", "dead_letter"}
)
"""What this version can carry out."""
AUTOMATIC: Final[frozenset[Strategy]] = frozenset(
    {
        "retry_now",
        "backoff",
        "wait_until",
        "reassign",
        "fallback_model",
        "reduce_input",
        "reprompt",
        "refresh_credentials",
    }
)
"""What makes an attempt without a person; guard rails are asked before."""
UNCHANGED: Final[frozenset[Strategy]] = frozenset(
    {"retry_now", "backoff", "wait_until", "reassign"}
)
"""Retries of the same step: only these teach whether a pattern is transient."""

BASE_S: Final = 1.0
BASE_THROTTLED_S: Final = 5.0
"""Shortest first wait, in seconds; the second where the other side asked for fewer calls."""
CAP_S: Final = 120.0
"""Longest wait of our own choosing; what the other side asks for may be longer."""
NOW_MAX_S: Final = 1.0
"""Longest wait of retry_now."""
RETRY_AFTER_SLACK: Final = 0.1
"""Share of Retry-After by which a wait is lengthened at most, so that not all come at once."""
PROBE_EVERY: Final = timedelta(minutes=30)
"""How often a failure that is not believed transient is tried unchanged all the same."""


@dataclass(frozen=True, slots=True)
class Case:
    """What the rules look at. `retried` counts the episode's automatic attempts so far.

    `drawn_s` is the wait drawn for the one before (0: none yet). `transient` is None where
    it is not known; `tried_at` is when the pattern was last tried, None if never.
    """

    failure_id: str
    classification: Classification
    retried: int
    drawn_s: float
    transient: bool | None
    retry_after_s: float | None
    deadline: datetime | None
    tried_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What the rules chose: `delay_s` to wait, `drawn_s` of which chance drew, and why.

    A `probe` tries a failure that is believed lasting.
    """

    strategy: Strategy
    reason: str
    delay_s: float = 0.0
    drawn_s: float = 0.0
    probe: bool = False

    @property
    def automatic(self) -> bool:
        """Whether the plan makes an attempt without a person."""
        return self.strategy in AUTOMATIC


EFFECT_UNKNOWN = "engine:effect_unknown"
"""An agent's tool that cannot be repeated was under way when its runner or the network failed."""


def choose(case: Case) -> Plan:
    """Return what the rules choose for the case."""
    kind = case.classification
    if kind.own_limit:
        return Plan("escalate_human", "the workflow reached a limit that its people set")
    if kind.rule_id == EFFECT_UNKNOWN:
        return Plan("escalate_human", "nobody knows whether an effect happened: look there first")
    strategy = _first_available(kind.failure_type, case.retried)
    if strategy not in AUTOMATIC:
        return Plan(strategy, _why_not_automatic(kind.failure_type, strategy))
    probe = case.transient is False
    if probe and case.tried_at is not None and case.now - case.tried_at < PROBE_EVERY:
        return Plan(
            "escalate_human",
            "the failure is believed to last and was tried unchanged less than "
            f"{PROBE_EVERY.seconds // 60} minutes ago",
        )
    return _timed(case, strategy, probe=probe)


def uniform(failure_id: str, attempt: int, name: str) -> float:
    """Return a number in [0, 1) that follows from the failure, the attempt and a name."""
    digest = hashlib.sha256(f"{failure_id}/{attempt}/{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def _first_available(failure_type: FailureType, retried: int) -> Strategy:
    usable: list[Strategy] = [s for s in ALLOWED[failure_type] if s in AVAILABLE]
    if usable[0] == "retry_now" and retried > 0 and "backoff" in usable:
        return "backoff"  # at once did not help
    return usable[0]


def _timed(case: Case, strategy: Strategy, *, probe: bool) -> Plan:
    """Draw the wait, decorrelated from attempt to attempt, and check it against the deadline.

    Decorrelated jitter: each wait is drawn between the base and three times the one before.
    """
    attempt = case.retried + 1
    base_s = BASE_THROTTLED_S if case.classification.throttled else BASE_S
    draw = uniform(case.failure_id, attempt, "delay")
    if strategy == "retry_now" and case.retry_after_s is None:
        drawn_s = draw * NOW_MAX_S
    else:
        if strategy == "retry_now":
            strategy = "backoff"  # the other side asked for time
        drawn_s = min(CAP_S, base_s + draw * (3.0 * (case.drawn_s or base_s) - base_s))
    drawn_s = round(max(drawn_s, 0.0), 3)
    delay_s = drawn_s
    if case.retry_after_s is not None:
        slack = RETRY_AFTER_SLACK * uniform(case.failure_id, attempt, "retry-after")
        delay_s = max(drawn_s, round(case.retry_after_s * (1.0 + slack), 3))
    if case.deadline is not None and case.now + timedelta(seconds=delay_s) >= case.deadline:
        return Plan(
            "escalate_human",
            f"the next try is due in {delay_s:.1f} s, after the deadline",
        )
    return Plan(strategy, _why(case, strategy, delay_s, probe), delay_s, drawn_s, probe)


def _why(case: Case, strategy: Strategy, delay_s: float, probe: bool) -> str:
    kind = case.classification.failure_type
    asked = case.retry_after_s is not None and delay_s > CAP_S
    wait = f"wait {delay_s:.1f} s, as the other side asked" if asked else f"wait {delay_s:.1f} s"
    if probe:
        return f"{kind} is believed to last; one try in {PROBE_EVERY.seconds // 60} minutes: {wait}"
    if strategy == "retry_now":
        return f"{kind} often passes at once: {wait}, then run the node again"
    return f"{kind} usually passes: {wait}, then run the node again (try {case.retried + 1})"


def _why_not_automatic(failure_type: FailureType, strategy: Strategy) -> str:
    if strategy == "dead_letter":
        return f"{failure_type}: somebody wanted the end, so nothing is tried"
    return f"{failure_type} does not pass by itself; no automatic strategy for it is available"
