"""Named points at which a test may kill the process: `PERDURE_FAULT=engine.after_commit:kill@3`.

A point is `<process>.<place>`; the process dies by SIGKILL when it comes there for the
n-th time (`@n`, 1 by default). Nothing is set in production, and a point costs one look
into an empty dictionary.
"""

import os
import signal

PLACES = (
    "after_claim",
    "before_commit",
    "after_commit",
    "after_publish",
    "before_flush",
    "after_flush",
    "after_task_claimed",
    "before_effect",
    "after_effect",
    "after_result",
)
"""Every place there is; tests enumerate them."""

_counts: dict[str, int] = {}


def arm(process: str, text: str | None) -> None:
    """Read the faults of `process` from the setting's text (comma-separated).

    Raises:
        ValueError: A place does not exist, or the action is not `kill`.
    """
    for part in (text or "").replace(" ", "").split(","):
        if not part:
            continue
        point, _, action = part.partition(":")
        owner, _, place = point.partition(".")
        kind, _, count = action.partition("@")
        if place not in PLACES or kind != "kill" or not (count or "1").isdecimal():
            raise ValueError(
                f"PERDURE_FAULT has {part!r}; write <process>.<place>:kill@<n>, "
                f"with a place of {', '.join(PLACES)}"
            )
        if owner == process:
            _counts[place] = int(count or "1")


def point(place: str) -> None:
    """Come to a place; die here if that was asked for."""
    if not _counts:
        return
    left = _counts.get(place)
    if left is None:
        return
    _counts[place] = left - 1
    if left == 1:
        os.kill(os.getpid(), signal.SIGKILL)
