"""How long an attempt waits. Chance follows from the failure, so that it is the same again."""

import hashlib
from dataclasses import dataclass
from typing import Final

from perdure_contracts.engine import RETRY_AFTER_S_MAX

BASE_S: Final = 1.0
BASE_THROTTLED_S: Final = 5.0
"""Shortest first wait, in seconds; the second where the other side asked for fewer calls."""
CAP_S: Final = 120.0
"""Longest wait of our own choosing; what the other side asks for may be longer."""
NOW_MAX_S: Final = 1.0
"""Longest wait of what is tried again at once."""
RETRY_AFTER_SLACK: Final = 0.1
"""Share of Retry-After by which a wait is lengthened at most, so that not all come at once."""
LONG_S: Final = 900.0
"""A longer wait is one for an instant (`wait_until`), not a pause between two tries."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds to wait, and how many of them chance drew."""

    delay_s: float
    drawn_s: float


NO_WAIT: Final = Wait(0.0, 0.0)


def uniform(failure_id: str, attempt: int, name: str) -> float:
    """Return a number in [0, 1) that follows from the failure, the attempt and a name."""
    digest = hashlib.sha256(f"{failure_id}/{attempt}/{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def moment(failure_id: str, attempt: int) -> Wait:
    """Return a wait of less than a second: not all that failed together come back together."""
    drawn_s = round(uniform(failure_id, attempt, "delay") * NOW_MAX_S, 3)
    return Wait(drawn_s, drawn_s)


def decorrelated(
    failure_id: str,
    attempt: int,
    *,
    before_s: float,
    throttled: bool,
    retry_after_s: float | None,
) -> Wait:
    """Return a wait drawn between the base and three times the one before, capped.

    Decorrelated jitter; `before_s` is what was drawn last, 0 if nothing was. Retry-After is a
    minimum that the cap does not bind.
    """
    base_s = BASE_THROTTLED_S if throttled else BASE_S
    draw = uniform(failure_id, attempt, "delay")
    drawn_s = min(CAP_S, base_s + draw * (3.0 * (before_s or base_s) - base_s))
    drawn_s = round(max(drawn_s, 0.0), 3)
    if retry_after_s is None:
        return Wait(drawn_s, drawn_s)
    asked_s = only_asked(failure_id, attempt, retry_after_s).delay_s
    return Wait(max(drawn_s, asked_s), drawn_s)


def only_asked(failure_id: str, attempt: int, retry_after_s: float) -> Wait:
    """Return the wait that was asked for, and a little more, so that not all come at once."""
    slack = RETRY_AFTER_SLACK * uniform(failure_id, attempt, "retry-after")
    asked_s = min(max(0.0, retry_after_s), RETRY_AFTER_S_MAX)
    return Wait(round(asked_s * (1.0 + slack), 3), 0.0)
