"""Guard rails: what must hold before recovery acts by itself. The first refusal wins.

Each rail is a function from a `Situation` to the reason why it refuses, a `Hold`, or None. `RAILS`
has them in their order: (1) kill switch and mode, (2) still wanted, (4) effects, (5) caps,
(9) storms, (7) breakers, (6) tokens and money; (3) duplicates are turned away before anything
else, and (8), one layer of retries, is checked before a runner's first agent runs. A storm, an
open breaker and an empty bucket do not refuse: the attempt waits. Whoever refuses wins over whoever
lets wait. A rail is added by writing a function and putting it in its place.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from perdure_contracts.breakers import BreakerState
from perdure_contracts.deciding import Cause, Gate
from perdure_contracts.engine import EffectClass, EffectState
from perdure_contracts.failures import RecoveryMode

NODE_ATTEMPTS_MAX: Final = 3
"""Most automatic attempts of one node of an execution in one scope, over all its runs."""
EXECUTION_ATTEMPTS_MAX: Final = 10
"""Most automatic attempts of one execution in a UTC day."""
PERSON_S: Final = 24 * 3600.0
"""How long people are waited for."""
LINE_S: Final = 3600.0
"""How long an attempt stands in a line at most."""
BUCKET_MAX: Final = 500.0
"""Tokens that a workspace has at most, and gets back in an hour."""
BUCKET_MARGIN_S: Final = 60.0
"""How much longer the engine holds a node than its tokens need to come back."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A rail's not now: what the attempt waits for, until when, and in which line."""

    cause: Cause
    reason: str
    until: datetime
    line: str = ""
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Breaker:
    """How a breaker stands, as far as it concerns the attempt."""

    dependency: str
    state: BreakerState
    until: datetime | None
    line: str


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a workspace may spend: `tokens` there are now, money this month and its limit."""

    tokens: float = BUCKET_MAX
    month_usd: float = 0.0
    recovery_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rails look at. `mode` is the workspace's, `switch` the one above all.

    `node_attempts` and `execution_attempts` count the automatic attempts made so far.
    `incident` is the gate of the pattern's open incident, in whose `incident_line` attempts wait;
    `breakers` are those of what the attempt would call. It would cost `cost` tokens and `usd`.
    With `approved` people have agreed, and `turn` is the line in which its turn has come, to go and
    see if it `sees`; or it came before, in `waited_in`. One that `undoes` what was done repeats
    nothing, and has its own limit.
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
    incident: Gate | None = None
    incident_line: str = ""
    breakers: tuple[Breaker, ...] = ()
    allowance: Allowance = Allowance()
    cost: int = 0
    usd: float = 0.0
    approved: bool = False
    turn: str = ""
    sees: bool = False
    waited_in: str = ""
    workspace_id: str = ""
    undoes: bool = False

    def within(self, seconds: float) -> datetime:
        """Return the instant in so many seconds, or the deadline if that is before."""
        at = self.now + timedelta(seconds=seconds)
        return at if self.deadline is None else min(at, self.deadline)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rail's no, or with `hold` its not now: its name, and the reason as people read it."""

    rail: str
    reason: str
    hold: Hold | None = None


def mode(situation: Situation) -> str | Hold | None:
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
            if situation.approved:
                return None
            text = "recovery asks here first"
            return Hold("approval", text, situation.within(PERSON_S))


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
    return None if situation.undoes else doubled(situation.effect, situation.effect_state)


def doubled(effect: EffectClass, state: EffectState) -> str | None:
    """Return why a node whose effect has got so far may not run again, None if it may.

    What is to be looked for first is not repeated where it has happened.
    """
    if effect != "unsafe" or state in ("not_sent", "refused"):
        return None
    happened = "has happened" if state == "done" else "may have happened"
    return f"the node's effect ({effect}) {happened}; repeating it could double it"


def caps(situation: Situation) -> str | None:
    """Rail 5: how often at all."""
    if situation.undoes:
        return None
    return capped(situation.node_attempts, situation.execution_attempts)


def capped(node_attempts: int, execution_attempts: int) -> str | None:
    """Return which limit the automatic attempts so far have reached, None if none."""
    if node_attempts >= NODE_ATTEMPTS_MAX:
        return f"the node was tried {node_attempts} times, the limit"
    if execution_attempts >= EXECUTION_ATTEMPTS_MAX:
        return f"the execution had {execution_attempts} attempts today, the limit"
    return None


def storm(situation: Situation) -> Hold | None:
    """Rail 9: of many that fail alike one is tried, the others wait for what comes of it.

    Whom a breaker's line lets go has waited for the same thing, and would otherwise be sent from
    one line to the other; also if it had to wait a little for its turn. What the storm's own line
    has let go waits again when the storm goes on.
    """
    lines = {each.line for each in situation.breakers} - {""}
    turn_came = situation.turn in lines | {situation.incident_line} - {""}
    if situation.incident in (None, "open") or turn_came or situation.waited_in in lines:
        return None
    text = "many failures are alike: one of them is tried, the others wait"
    return Hold("storm", text, situation.within(LINE_S), situation.incident_line)


def breaker(situation: Situation) -> Hold | None:
    """Rail 7: what is known not to answer is not called.

    Who goes to see for one breaker of a call goes for its other ones too that are half open, or two
    of them would wait for each other; the runner lets one call pass through each.
    """
    sees = situation.sees and situation.turn in {each.line for each in situation.breakers}
    for each in situation.breakers:
        mine = each.line == situation.turn or (sees and each.state == "half_open")
        if each.state == "closed" or mine:
            continue
        text = f"the breaker of {each.dependency} is {each.state.replace('_', ' ')}"
        if each.until is not None:
            text += f" until {each.until.isoformat(timespec='seconds')}"
        return Hold("breaker", text, situation.within(LINE_S), each.line)
    return None


def bucket(situation: Situation) -> str | Hold | None:
    """Rail 6: a workspace's attempts have a rate and a price."""
    allowance = situation.allowance
    limit = allowance.recovery_usd
    if limit is not None and allowance.month_usd + situation.usd > limit:
        return (
            f"attempts have cost {allowance.month_usd:.2f} USD this month, {limit:.2f} are allowed"
        )
    lacking = situation.cost - allowance.tokens
    if lacking <= 0:
        return None
    wait_s = lacking / BUCKET_MAX * 3600.0
    until, wake = situation.within(wait_s + BUCKET_MARGIN_S), situation.within(wait_s)
    text = f"the workspace has {allowance.tokens:.0f} tokens, {situation.cost} are needed"
    return Hold("bucket", text, until, wake_at=wake)


RAILS: Final[tuple[Callable[[Situation], str | Hold | None], ...]] = (
    mode,
    wanted,
    effect,
    caps,
    storm,
    breaker,
    bucket,
)
"""The rails after `duplicate`, in the order in which they are asked; each names itself."""
WHEN_DUE: Final = (mode, wanted, storm, breaker)
"""The rails that are asked again when the wait before an attempt is over.

With the storm among them: the first failures of one are each to be tried a second later, before
anybody knows that they are many.
"""


def first_refusal(
    situation: Situation, rails: tuple[Callable[[Situation], str | Hold | None], ...] = RAILS
) -> Refusal | None:
    """Return the first rail's refusal, else the first that lets wait; None if all agree."""
    waits: Refusal | None = None
    for rail in rails:
        says = rail(situation)
        if isinstance(says, Hold):
            waits = waits or Refusal(rail.__name__, says.reason, says)
        elif says is not None:
            return Refusal(rail.__name__, says)
    return waits


_STRICTNESS: Final[tuple[RecoveryMode, ...]] = ("off", "observe", "approve", "auto")


def stricter(one: RecoveryMode, other: RecoveryMode) -> RecoveryMode:
    """Return the mode that allows less."""
    return one if _STRICTNESS.index(one) <= _STRICTNESS.index(other) else other
