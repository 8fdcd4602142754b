"""Nodes of random workflows that wait: for events, calls, people, memory, child executions."""

from random import Random
from typing import Any

from playing import BEGAN, node

ENDS = {
    "event": ("main", "timeout"),
    "hook": ("main", "timeout"),
    "until": ("main",),
    "people": ("approved", "rejected", "response", "timeout"),
    "memory": ("main",),
    "call": ("main",),
}
"""The ports of what waits, by its kind."""

WAITS = ("event", "event", "hook", "until", "people", "people", "memory")
EVENTS = ("paid", "sent")
SOON_S = (0.0, 0.01, 0.5)
"""After how long a wait may time out, so that it often does."""

FIELDS: dict[str, dict[str, Any]] = {
    "APPROVAL": {"title": "may it?"},
    "INPUT": {"title": "how much?", "form": {"type": "object"}},
    "SELECTION": {"title": "which?", "options": [{"value": "a"}, {"value": "b"}]},
    "REVIEW": {"title": "is it good?", "payload": {"n": "{{ $json.n }}"}},
}
"""What each kind of node asks people."""


def waiting_node(
    random: Random, kind: str, name: str, calls: tuple[str, ...], **more: Any
) -> dict[str, Any]:
    """Return a node of a kind that waits; `calls` are the workflows that can be called."""
    match kind:
        case "event":
            key = {"key": "{{ $json.n ?? 0 }}"} if random.random() < 0.3 else {}
            asked: dict[str, Any] = {"event": {"name": random.choice(EVENTS), **key}}
            return _wait(random, name, asked, more)
        case "hook":
            return _wait(random, name, {"webhook": True}, more)
        case "until":
            parameters = {"until": f"{BEGAN.date()}T00:00:00.0{random.randint(1, 9)}Z"}
            return node(name, "FLOW.WAIT", parameters=parameters, **more)
        case "people":
            subtype = random.choice(sorted(FIELDS))
            return node(name, f"HUMAN_IN_THE_LOOP.{subtype}", parameters=FIELDS[subtype], **more)
        case "memory":
            parameters = {"memory_type": "knowledge", "operation": "search", "query": "all"}
            return node(name, "MEMORY.STORE", parameters=parameters, **more)
        case _:
            parameters = {"workflow": random.choice(calls)}
            if random.random() < 0.2:
                more["timeout_s"] = 0.5
            return node(name, "FLOW.SUB_WORKFLOW", parameters=parameters, **more)


def _wait(random: Random, name: str, asked: dict[str, Any], more: Any) -> dict[str, Any]:
    if random.random() < 0.6:
        asked["timeout_seconds"] = random.choice(SOON_S)
    return node(name, "FLOW.WAIT", parameters=asked, **more)
