"""Guard rails: what must hold before recovery acts by itself. The first refusal wins.

Each rail is a function from a `Situation` to the reason why it refuses, or None. `RAILS`
has them in their order: (1) kill switch and mode, (2) still wanted, (4) effects, (5) caps;
(3) duplicates are turned away before anything else. A rail is added by writing a function
and putting it in its place.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from perdure_contracts.engine import EffectClass, EffectState
from perdure_contracts.recovery import RecoveryMode

NODE_ATTEMPTS_MAX: Final = 3
"""Most automatic attempts of one node of an execution in one scope, over all its runs."""
EXECUTION_ATTEMPTS_MAX: Final = 10
"""Most automatic attempts of one execution in a UTC day."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rails look at. `mode` is the workspace's, `switch` the one above all.

    `node_attempts` and `execution_attempts` count the automatic attempts made so far.
    """

    mode: RecoveryMode
    switch: RecoveryMode
    asked: bool
    verdict_until: datetime | None
    deadline: datetime | None
    effect: EffectClass
    effect_state: EffectState
    node_attempts: int
    execution_attempts: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rail's no: its name, and the reason as people read it."""

    rail: str
    reason: str


def mode(situation: Situation) -> str | None:
    """Rail 1: the workspace's mode and the switch above it; the stricter one counts."""
    allowed = stricter(situation.mode, situation.switch)
    match allowed:
        case "auto":
            return None
        case "off":
            return "recovery is switched off here"
        case "observe":
            return "recovery only observes here: it decides and explains, but does not act"
        case "approve":
            return "recovery must ask here first, and nobody can be asked yet"


def wanted(situation: Situation) -> str | None:
    """Rail 2: somebody still waits for the node."""
    if not situation.asked:
        return "the engine told of the failure and did not ask: data errors are not tried again"
    if situation.verdict_until is not None and situation.now >= situation.verdict_until:
        return "the engine has stopped waiting for a verdict"
    if situation.deadline is not None and situation.now >= situation.deadline:
        return "the deadline has passed"
    return None


def duplicate(
    failure_id: str, decided: AbstractSet[str], attempt: int, open_attempt: int | None
) -> str | None:
    """Rail 3: each failure is decided once, and a node has one open attempt.

    Asked before all others, because a failure heard twice must leave no second trace.
    `attempt` is the engine's number of the try that failed, `open_attempt` that of the
    failure whose retry is still open, None if none is.
    """
    if failure_id in decided:
        return "this failure was decided before"
    if open_attempt is not None and attempt <= open_attempt:
        return "a retry ordered after this failure is still open"
    return None


def effect(situation: Situation) -> str | None:
    """Rail 4: nothing is repeated that may have happened and cannot be told apart."""
    if situation.effect in ("pure", "keyed"):
        return None
    if situation.effect_state in ("not_sent", "refused"):
        return None
    happened = "has happened" if situation.effect_state == "done" else "may have happened"
    return f"the node's effect ({situation.effect}) {happened}; repeating it could double it"


def caps(situation: Situation) -> str | None:
    """Rail 5: how often at all."""
    return capped(situation.node_attempts, situation.execution_attempts)


def capped(node_attempts: int, execution_attempts: int) -> str | None:
    """Return which limit the automatic attempts so far have reached, None if none."""
    if node_attempts >= NODE_ATTEMPTS_MAX:
        return f"the node was tried {node_attempts} times, the limit"
    if execution_attempts >= EXECUTION_ATTEMPTS_MAX:
        return f"the execution had {execution_attempts} attempts today, the limit"
    return None


RAILS: Final[tuple[Callable[[Situation], str | None], ...]] = (
    mode,
    wanted,
    effect,
    caps,
)
"""The rails after `duplicate`, in the order in which they are asked; each names itself."""


def first_refusal(situation: Situation) -> Refusal | None:
    """Return the first rail's refusal, None if all agree."""
    for rail in RAILS:
        reason = rail(situation)
        if reason is not None:
            return Refusal(rail.__name__, reason)
    return None


_STRICTNESS: Final[tuple[RecoveryMode, ...]] = ("off", "observe", "approve", "auto")


def stricter(one: RecoveryMode, other: RecoveryMode) -> RecoveryMode:
    """Return the mode that allows less."""
    return one if _STRICTNESS.index(one) <= _STRICTNESS.index(other) else other
