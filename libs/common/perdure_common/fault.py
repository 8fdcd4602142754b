"""Named points at which a test lets something happen to a process.

`PERDURE_FAULT=engine.after_commit_before_publish:kill@3` lets the engine die by SIGKILL when it
comes to that point for the third time (`@n`, 1 by default). `stop` instead of `kill` pauses the
process (SIGSTOP; SIGCONT lets it go on), `fail` raises `Injected`. Several are separated by
commas. Nothing is set in production, and a point costs one look into an empty dictionary.
"""

import os
import signal
from collections.abc import Mapping

ACTIONS = ("kill", "stop", "fail")

_SHELL = (
    "after_claim",
    "after_remake",
    "while_deciding",
    "before_commit",
    "after_commit_before_publish",
    "during_publish",
    "after_publish",
    "before_flush",
    "after_flush",
    "before_park",
    "after_park",
    "after_unpark",
    "before_resend",
    "after_upkeep",
    "before_release",
    "after_release",
)

EDGES: Mapping[str, tuple[str, ...]] = {
    "engine": ("after_ask_before_answer",),
    "scheduler": (
        "after_receipt_before_publish",
        "after_hook_before_answer",
        "after_mailbox_before_mark",
        "after_smtp_before_answer",
        "after_record_before_offset",
        "before_settle",
    ),
    "recovery": ("after_ask_before_answer", "after_prose_before_publish"),
}
"""Places beside the shell, where others than Kafka are heard or answered, by process."""

PLACES: Mapping[str, tuple[str, ...]] = {
    "engine": (
        *(*_SHELL, "before_wake", "after_hand_over", "before_effect", "after_effect"),
        *EDGES["engine"],
    ),
    "scheduler": (*_SHELL, "before_wake", *EDGES["scheduler"]),
    "recovery": (*_SHELL, "before_wake", *EDGES["recovery"]),
    "runner": (
        "before_claim",
        "after_claim_before_effect",
        "before_effect",
        "after_effect",
        "during_publish",
        "after_answer_before_offset",
        "before_finish",
        "after_finish",
        "before_offset",
        "after_offset",
        "before_heartbeat",
        "after_heartbeat",
        "after_lost",
    ),
}
"""Every place that a process comes to, by process; tests kill each of them at each."""

_armed: dict[str, tuple[str, int]] = {}


class Injected(RuntimeError):
    """What `fail` raises: a mistake that somebody asked for."""


def arm(process: str, text: str | None) -> None:
    """Read the faults of `process` from the setting's text (comma-separated).

    Raises:
        ValueError: A process, place or action does not exist.
    """
    for part in (text or "").replace(" ", "").split(","):
        if not part:
            continue
        point, _, how = part.partition(":")
        owner, _, place = point.partition(".")
        action, _, count = how.partition("@")
        known = place in PLACES.get(owner, ())
        if not known or action not in ACTIONS or not (count or "1").isdecimal():
            there = ", ".join(PLACES.get(owner, tuple(PLACES)))
            raise ValueError(
                f"PERDURE_FAULT has {part!r}; write <process>.<place>:<action>@<n> with an action "
                f"of {', '.join(ACTIONS)}; there are {there}"
            )
        if owner == process:
            _armed[place] = (action, int(count or "1"))


def point(place: str) -> None:
    """Come to a place; what was asked for happens here.

    Raises:
        Injected: `fail` was asked for.
    """
    if not _armed or place not in _armed:
        return
    action, left = _armed[place]
    _armed[place] = (action, left - 1)
    if left != 1:
        return
    if action == "fail":
        raise Injected(f"a mistake at {place}, as PERDURE_FAULT asks for")
    os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
