"""Random pins: what nodes of a test run emit instead of running, and mocks that fail."""

from random import Random
from typing import Any

from specification.graph import read
from specification.nodes import asks_people, ports_of

UNPINNED = ("RACE", "MANUAL")


def pins_for(random: Random, definition: dict[str, Any]) -> dict[str, Any] | None:
    """Return pins for some nodes of a definition, mostly for none."""
    if random.random() < 0.6:
        return None
    graph, pins = read(definition), dict[str, Any]()
    for node_id, node in graph.nodes.items():
        if graph.subtype(node_id) in UNPINNED or random.random() < 0.7:
            continue
        regular = node.get("error_handling") == "CONTINUE_REGULAR_OUTPUT_ON_ERROR"
        looks = graph.subtype(node_id) in ("LOOP", "FOREACH") or asks_people(graph, node_id)
        if random.random() < 0.3 and not node.get("disabled") and not (looks and regular):
            pins[node_id] = {"fail": _failure(random)}
            continue
        count = random.randint(0, 2)
        items = [{"n": random.randint(0, 6)} for _ in range(count)]
        pins[node_id] = {"ports": {random.choice(ports_of(graph, node_id)): items}}
    return pins or None


def _failure(random: Random) -> dict[str, Any]:
    fail: dict[str, Any] = {"type": "mocked", "retryable": random.random() < 0.5}
    if random.random() < 0.5:
        fail["attempts"] = random.randint(1, 2)
    if random.random() < 0.5:
        fail["items"] = [random.randint(0, 2)]
    return fail
