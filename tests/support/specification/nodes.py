"""What one node makes of its items, its error mode, and what each connection then carries."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from .graph import Graph, Link
from .words import (
    CONDITIONS,
    ITEMS_MAX,
    REGULAR,
    STOP,
    At,
    Endless,
    Items,
    Ports,
    Scope,
    Stopped,
    Value,
    failed_item,
)

if TYPE_CHECKING:
    from .scopes import Evaluation

Placed: TypeAlias = list[tuple[int, dict[str, Any]]]
"""Items with the places of the input items that they come from."""

PORTS = {
    "IF": ("true", "false"), "LOOP": ("done",), "FOREACH": ("done",), "WAIT": ("main", "timeout"),
}  # fmt: skip
PEOPLE = ("approved", "rejected", "response", "timeout")
WAITING = ("WAIT", "STORE")


def ports_of(graph: Graph, node_id: str) -> tuple[str, ...]:
    """Return the ports on which a node ends, the first of the table first."""
    if asks_people(graph, node_id):
        return PEOPLE
    return PORTS.get(graph.subtype(node_id), ("main",))


def asks_people(graph: Graph, node_id: str) -> bool:
    """Tell whether a node waits for the answer of people."""
    return graph.nodes[node_id]["node_type"] == "HUMAN_IN_THE_LOOP"


def run(
    here: "Evaluation", node_id: str, scope: Scope, into: list[tuple[Link, Value]]
) -> tuple[Ports | None, Items]:
    """Return what a node emits, and its failed items; without anything LIVE it is SKIPPED."""
    live = [(link, items) for link, items in into if items is not None]
    if not live:
        return None, []
    items = [item for _, each in live for item in each]
    if len(items) > ITEMS_MAX:
        raise Endless
    at = (node_id, scope)
    if at in here.world.marks:
        return _marked(here, at, items), []
    pin = here.world.pins.get(node_id)
    if pin is not None and "fail" not in pin:
        return {port: given for port, given in pin["ports"].items() if given}, []
    if here.graph.nodes[node_id].get("disabled"):
        first = live[0][0]
        same = [e for link, e in live if link.order[0] == first.order[0]]
        return {ports_of(here.graph, node_id)[0]: [item for each in same for item in each]}, []
    made, errors = _made(here, at, items) if pin is None else _mocked(here, at, items, pin["fail"])
    return after_errors(here.graph, node_id, made, errors)


def after_errors(
    graph: Graph, node_id: str, made: Mapping[str, Placed], errors: Placed
) -> tuple[Ports, Items]:
    """Apply a node's error mode: return what leaves on its ports, and the items that failed."""
    node, leaving = graph.nodes[node_id], {port: list(items) for port, items in made.items()}
    if errors and not goes_on(graph, node_id):
        raise Stopped((errors[0][1]["error"]["type"], node_id))
    if errors and node.get("error_handling") == REGULAR:
        port = {"IF": "false", "LOOP": "done", "FOREACH": "done"}.get(graph.subtype(node_id))
        leaving.setdefault(port or "main", []).extend(errors)
        leaving[port or "main"].sort(key=lambda each: each[0])
    elif errors:
        leaving["error"] = errors
    names = (*ports_of(graph, node_id), "error")
    ports = {name: [json for _, json in leaving[name]] for name in names if leaving.get(name)}
    return ports, [json for _, json in errors]


def goes_on(graph: Graph, node_id: str) -> bool:
    """Tell whether a node's failed items leave it; else they stop what is around it."""
    mode = graph.nodes[node_id].get("error_handling", STOP)
    if mode in (STOP, REGULAR):
        return mode == REGULAR
    return any(link.port == "error" for link in graph.out(node_id))


# What is made ---------------------------------------------------------------------------


def _made(here: "Evaluation", at: At, items: Items) -> tuple[dict[str, Placed], Placed]:
    """Return what a node makes of its items, by port, and those that fail, in order."""
    node_id, scope = at
    subtype = here.graph.subtype(node_id)
    if subtype in WAITING or asks_people(here.graph, node_id):
        return _told(here, at, items)
    if subtype == "SUB_WORKFLOW":
        return _called(here, at, items)
    if subtype == "STOP_AND_ERROR":
        raise Stopped(("stop_and_error", node_id))
    made: dict[str, Placed] = {}
    errors: Placed = []
    for place, json in enumerate(items):
        kind: str | None = None
        port, out = "main", json
        if subtype == "IF":
            answer = CONDITIONS[here.graph.nodes[node_id]["parameters"]["condition"]](json)
            kind = None if isinstance(answer, bool) else "condition_not_boolean"
            port = "true" if answer is True else "false"
        elif subtype == "SET":
            out = {**json, "n": json["n"] + 1}
        elif subtype == "HTTP_REQUEST":
            kind = here.world.answers(node_id, scope, json)
            out = here.world.made(node_id, json)
        if kind is None:
            made.setdefault(port, []).append((place, out))
        else:
            errors.append((place, failed_item(json, (kind, node_id))))
    return made, errors


def _told(here: "Evaluation", at: At, items: Items) -> tuple[dict[str, Placed], Placed]:
    """Return what a node that waits makes of what it was told; all its items went into it."""
    said = here.world.said.get(at)
    port = ports_of(here.graph, at[0])[0]
    if said is None:  # nobody knows: it was stopped, and so was what follows
        return {port: list(enumerate(items))}, []
    if said.failure:
        return {}, _all_fail(at, items, said.failure)
    if said.port not in ports_of(here.graph, at[0]):
        here.meaning.wrong.append(f"{at} left on {said.port}")
    leaving = items if said.items is None else said.items
    if said.told is not None:
        leaving = [{**json, "interaction": dict(said.told)} for json in leaving]
    return {said.port: list(enumerate(leaving))}, []


def _called(here: "Evaluation", at: At, items: Items) -> tuple[dict[str, Placed], Placed]:
    """Return the result of a child execution; one that does not succeed fails the whole run."""
    said, child = here.world.said.get(at), here.world.children.get(at)
    if said is not None and said.failure:
        return {}, _all_fail(at, items, said.failure)
    meaning = here.child(at, here.graph.nodes[at[0]]["parameters"]["workflow"], items)
    here.meaning.wrong.extend(meaning.wrong)
    if meaning.stopped is not None or (child is not None and child.canceled):
        return {}, _all_fail(at, items, "sub_workflow_failed")
    return {"main": list(enumerate(meaning.result))}, []


def _all_fail(at: At, items: Items, kind: str) -> Placed:
    return [(place, failed_item(json, (kind, at[0]))) for place, json in enumerate(items)]


def _marked(here: "Evaluation", at: At, items: Items) -> Ports | None:
    mark = here.world.marks[at]
    if mark is None:
        return None
    return {mark: items} if isinstance(mark, str) else {p: made for p, made in mark.items() if made}


def _mocked(
    here: "Evaluation", at: At, items: Items, fail: Mapping[str, Any]
) -> tuple[dict[str, Placed], Placed]:
    """Return what a mocked node makes: attempts fail as often as the mock says.

    Only what a runner does has attempts. Those that fail are made again as often as the node
    allows, if the error can pass; an item that is no more to fail leaves as it came.
    """
    places = fail.get("items", range(len(items)))
    node = here.graph.nodes[at[0]]
    tries = 1 + (node.get("max_retries", 0) if fail.get("retryable") else 0)
    attempts = fail.get("attempts", tries)
    runs_out = here.graph.subtype(at[0]) != "HTTP_REQUEST" or attempts >= tries
    failing = {place for place in places if runs_out}
    kind = fail.get("type", "mocked")
    if here.graph.subtype(at[0]) != "HTTP_REQUEST":
        return {}, [(p, failed_item(j, (kind, at[0]))) for p, j in enumerate(items) if p in failing]
    good = [(place, json) for place, json in enumerate(items) if place not in failing]
    bad = [(p, failed_item(j, (kind, at[0]))) for p, j in enumerate(items) if p in failing]
    return ({"main": good} if good else {}), bad


# What leaves ----------------------------------------------------------------------------


def carried(
    graph: Graph, node_id: str, ports: Mapping[str, Items], failed: Items, *, handled: bool
) -> dict[int, Value]:
    """Return what each connection out of a node carries, by the kind of the connection."""
    values: dict[int, Value] = {}
    for link in graph.out(node_id):
        items = list(ports.get(link.port, []))
        if link.kind == "ERROR":
            items = failed
        elif link.kind == "SUCCESS" and handled:
            items = []
        elif link.kind == "CONDITIONAL":
            items = [item for item in items if _takes(graph, link, item)]
        values[link.number] = items or None
    return values


def _takes(graph: Graph, link: Link, item: dict[str, Any]) -> bool:
    if link.condition is not None:
        return CONDITIONS[link.condition](item) is True
    beside = [
        e for e in graph.out(link.source)
        if e.kind == "CONDITIONAL" and e.port == link.port and e.condition is not None
    ]  # fmt: skip
    return not any(CONDITIONS[e.condition or ""](item) is True for e in beside)
