"""When the engine tries again by itself, and how long it waits (rules of retries)."""

from collections.abc import Mapping

from perdure_common.breaking import OPEN_CODE
from perdure_contracts.engine import RETRY_AFTER_S_MAX, ErrorFacts

from .state import Dispatch

BACKOFF_S_MAX = 300.0
"""The longest wait between two attempts, in seconds; Retry-After has a bound of its own."""

JITTER = 0.25
"""The most that is added to a wait, as a share of it, so that many do not come back at once."""

REPEATABLE = ("pure", "keyed")
"""Effects whose repetition does no harm."""


def backoff_s(first_s: float, attempt: int, token: str, retry_after_s: float | None) -> float:
    """Return the seconds to wait after the failed attempt number `attempt`.

    `first_s` times 2^(attempt - 1), at most `BACKOFF_S_MAX`, never less than the other side asked
    for, and up to `JITTER` more. The jitter follows from the attempt's token, which is itself
    a hash, so it is the same whenever the event is made again.
    """
    doubled = first_s * 2.0 ** min(attempt - 1, 60)
    asked_s = min(retry_after_s or 0.0, RETRY_AFTER_S_MAX)
    wait_s = max(min(doubled, BACKOFF_S_MAX), asked_s)
    chance = int(token[:8], 16) / 0x1_0000_0000
    return wait_s * (1 + JITTER * chance)


def tries_again(
    dispatch: Dispatch, attempt: int, failed: Mapping[int, ErrorFacts], *, stops: bool
) -> bool:
    """Return whether the engine tries again by itself after `failed` items of an attempt.

    Only where recovery was not asked yet, retries are left, repeating does no harm, and it
    can help: an item that cannot succeed fails a run whose error mode stops anyway.
    """
    if dispatch.asked or attempt > dispatch.max_retries or dispatch.effect not in REPEATABLE:
        return False
    retryable = [error.retryable for error in failed.values()]
    return all(retryable) if stops else any(retryable)


def held_back(failed: Mapping[int, ErrorFacts]) -> bool:
    """Return whether nothing of an attempt was sent because breakers are open.

    No try was made, so none is used up: the run waits, by recovery's word where that is asked.
    """
    return all(error.type == OPEN_CODE for error in failed.values())


def retry_after_s(failed: Mapping[int, ErrorFacts]) -> float | None:
    """Return the longest wait that the other side asked for, None if it asked for none."""
    waits = [error.retry_after_s for error in failed.values() if error.retry_after_s is not None]
    return min(max(waits), RETRY_AFTER_S_MAX) if waits else None
