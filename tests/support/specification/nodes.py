"""What one node makes of its items, its error mode, and what each connection then carries."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from .graph import Graph, Link
from .lists import WHOLE, Placed, Unfit, whole
from .words import (
    CONDITIONS,
    ITEMS_MAX,
    REGULAR,
    STOP,
    VALUES,
    At,
    Endless,
    Item,
    Items,
    Ports,
    Scope,
    Stopped,
    Value,
    failed_item,
)

if TYPE_CHECKING:
    from .scopes import Evaluation

PORTS = {
    "IF": ("true", "false"), "LOOP": ("done",), "FOREACH": ("done",), "WAIT": ("main", "timeout"),
    "FILTER": ("main", "discarded"), "COMPARE": ("only_a", "both", "different", "only_b"),
}  # fmt: skip
REGULAR_PORTS = {
    "IF": "false", "SWITCH": "fallback", "LOOP": "done", "FOREACH": "done", "COMPARE": "both",
}  # fmt: skip
"""Where failed items leave with CONTINUE_REGULAR_OUTPUT_ON_ERROR, `main` for all others."""

PEOPLE = ("approved", "rejected", "response", "timeout")
WAITING = ("WAIT", "STORE")


def ports_of(graph: Graph, node_id: str) -> tuple[str, ...]:
    """Return the ports on which a node ends, the first of the table first."""
    if asks_people(graph, node_id):
        return PEOPLE
    if graph.subtype(node_id) == "SWITCH":
        rules = graph.nodes[node_id]["parameters"]["rules"]
        return (*(rule["name"] for rule in rules), "fallback")
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
    at, pin = (node_id, scope), here.world.pins.get(node_id)
    errors: Placed = []
    if at in here.world.marks:
        mark = here.world.marks[at]
        if mark is None:
            return None, []
        made = _given({mark: items} if isinstance(mark, str) else mark, len(items))
    elif pin is not None and "fail" not in pin:
        made = _given(pin["ports"], len(items))
    elif here.graph.nodes[node_id].get("disabled"):
        first = live[0][0]
        same = [e for link, e in live if link.order[0] == first.order[0]]
        made = _given({ports_of(here.graph, node_id)[0]: [i for e in same for i in e]}, len(items))
    elif pin is not None:
        made, errors = _mocked(here, at, items, pin["fail"])
    elif here.graph.subtype(node_id) in WHOLE:
        made, errors = _of_all(here, at, into, items)
    else:
        made, errors = _made(here, at, items)
    made, refused = _refused(here.graph, node_id, items, made)
    errors = sorted([*errors, *refused], key=lambda each: each[0])
    return after_errors(here.graph, node_id, made, errors)


def _given(ports: Mapping[str, Items], count: int) -> dict[str, Placed]:
    """Return what is emitted as if each item came from the one at its place, else from all."""
    return {
        port: [((k,) if k < count else tuple(range(count)), each) for k, each in enumerate(items)]
        for port, items in ports.items()
    }


def _refused(
    graph: Graph, node_id: str, items: Items, made: Mapping[str, Placed]
) -> tuple[dict[str, Placed], Placed]:
    """Fail the input items of which something came that a connection cannot tell to take."""
    lost = {
        place
        for link in graph.out(node_id)
        if link.condition is not None
        for origins, json in made.get(link.port, [])
        if not isinstance(CONDITIONS[link.condition](json), bool)
        for place in origins
    }
    all_made = [each for port in made.values() for each in port]
    while more := {p for origins, _ in all_made if lost & set(origins) for p in origins} - lost:
        lost |= more
    kept = {port: [e for e in each if not lost & set(e[0])] for port, each in made.items()}
    error = ("condition_not_boolean", node_id)
    return kept, [((place,), failed_item(items[place], error)) for place in sorted(lost)]


def after_errors(
    graph: Graph, node_id: str, made: Mapping[str, Placed], errors: Placed
) -> tuple[Ports, Items]:
    """Apply a node's error mode: return what leaves on its ports, and the items that failed."""
    node, leaving = graph.nodes[node_id], {port: list(items) for port, items in made.items()}
    if errors and not goes_on(graph, node_id):
        raise Stopped((errors[0][1]["error"]["type"], node_id))
    if errors and node.get("error_handling") == REGULAR:
        port = REGULAR_PORTS.get(graph.subtype(node_id), "main")
        leaving[port] = _in_place(leaving.get(port, []), errors)
    elif errors:
        leaving["error"] = errors
    ports = {name: [json for _, json in each] for name, each in leaving.items()}
    return emitted(graph, node_id, ports), [json for _, json in errors]


def _in_place(items: Placed, errors: Placed) -> Placed:
    """Put each error before the first item that comes from a later input item."""
    arranged = list(items)
    for error in errors:
        later = [e for e in items if e[0][:1] > error[0]]
        arranged.insert(arranged.index(later[0]) if later else len(arranged), error)
    return arranged


def emitted(graph: Graph, node_id: str, made: Mapping[str, Items]) -> Ports:
    """Return what leaves: nothing on an empty port, or an empty item where the node says so."""
    ports = {name: list(made.get(name, [])) for name in (*ports_of(graph, node_id), "error")}
    if graph.nodes[node_id].get("always_output_data"):
        ports.update({name: [{}] for name in ports if name != "error" and not ports[name]})
    return {name: items for name, items in ports.items() if items}


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
    given = here.graph.nodes[node_id].get("parameters", {})
    for place, json in enumerate(items):
        kind: str | None = None
        leaving: list[tuple[str, Item]] = [("main", json)]
        if subtype in ("IF", "FILTER", "SWITCH"):
            ports = _routed(subtype, given, json)
            kind = "condition_not_boolean" if ports is None else None
            leaving = [(port, json) for port in ports or ()]
        elif subtype == "SET":
            kept = json if given.get("keep", "all") == "all" else {}
            values = {name: VALUES[value](json) for name, value in given["values"].items()}
            leaving = [("main", {**kept, **values})]
        elif subtype == "SPLIT_OUT":
            listed = json.get(given["field"])
            kind = None if listed is None or isinstance(listed, list) else "not_a_list"
            entries = cast("list[Any]", listed) if isinstance(listed, list) else []
            leaving = [("main", {**json, given["field"]: entry}) for entry in entries]
        elif subtype == "HTTP_REQUEST":
            lost = place in here.world.lost.get(at, ())
            kind = "timeout" if lost else here.world.answers(node_id, scope, json)
            leaving = [("main", here.world.made(node_id, json))]
        if kind is not None:
            errors.append(((place,), failed_item(json, (kind, node_id))))
            continue
        for port, out in leaving:
            made.setdefault(port, []).append(((place,), out))
    return made, errors


def _routed(subtype: str, given: Mapping[str, Any], json: Item) -> list[str] | None:
    """Return the ports on which an item leaves, None where a condition gives no boolean."""
    if subtype != "SWITCH":
        there, other = ("true", "false") if subtype == "IF" else ("main", "discarded")
        answer = CONDITIONS[given["condition"]](json)
        return ([there] if answer else [other]) if isinstance(answer, bool) else None
    ports: list[str] = []
    for rule in given["rules"]:
        answer = CONDITIONS[rule["condition"]](json)
        if not isinstance(answer, bool):
            return None
        if answer:
            ports.append(rule["name"])
            if given.get("mode", "first") == "first":
                break
    return ports or ["fallback"]


def _of_all(
    here: "Evaluation", at: At, into: list[tuple[Link, Value]], items: Items
) -> tuple[dict[str, Placed], Placed]:
    """Return what a node makes of all its items together; where it cannot, all of them fail."""
    sides: dict[int, Placed] = {}
    inputs = [(link.order[0], item) for link, each in into for item in each or ()]
    for place, (number, item) in enumerate(inputs):
        sides.setdefault(number, []).append(((place,), item))
    node = here.graph.nodes[at[0]]
    try:
        connected = {link.order[0] for link, _ in into}
        return whole(node["node_subtype"], node.get("parameters", {}), sides, connected), []
    except Unfit as unfit:
        return {}, _all_fail(at, items, str(unfit))


def _told(here: "Evaluation", at: At, items: Items) -> tuple[dict[str, Placed], Placed]:
    """Return what a node that waits makes of what it was told; all its items went into it."""
    said = here.world.said.get(at)
    port = ports_of(here.graph, at[0])[0]
    if said is None:  # nobody knows: it was stopped, and so was what follows
        return _given({port: items}, len(items)), []
    if said.failure:
        return {}, _all_fail(at, items, said.failure)
    if said.port not in ports_of(here.graph, at[0]):
        here.meaning.wrong.append(f"{at} left on {said.port}")
    leaving = items if said.items is None else said.items
    if said.told is not None:
        leaving = [{**json, "interaction": dict(said.told)} for json in leaving]
    if said.items is not None:
        return {said.port: [(tuple(range(len(items))), json) for json in leaving]}, []
    return _given({said.port: leaving}, len(items)), []


def _called(here: "Evaluation", at: At, items: Items) -> tuple[dict[str, Placed], Placed]:
    """Return the result of a child execution; one that does not succeed fails the whole run."""
    said, child = here.world.said.get(at), here.world.children.get(at)
    if said is not None and said.failure:
        return {}, _all_fail(at, items, said.failure)
    meaning = here.child(at, here.graph.nodes[at[0]]["parameters"]["workflow"], items)
    here.meaning.wrong.extend(meaning.wrong)
    if meaning.stopped is not None or (child is not None and child.canceled):
        return {}, _all_fail(at, items, "sub_workflow_failed")
    return {"main": [(tuple(range(len(items))), json) for json in meaning.result]}, []


def _all_fail(at: At, items: Items, kind: str) -> Placed:
    return [((place,), failed_item(json, (kind, at[0]))) for place, json in enumerate(items)]


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
        return {}, [each for each in _all_fail(at, items, kind) if each[0][0] in failing]
    good = [((place,), json) for place, json in enumerate(items) if place not in failing]
    bad = [each for each in _all_fail(at, items, kind) if each[0][0] in failing]
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
    """Tell whether a connection takes an item; one that cannot be told of goes nowhere."""
    beside = [
        e.condition for e in graph.out(link.source)
        if e.kind == "CONDITIONAL" and e.port == link.port and e.condition is not None
    ]  # fmt: skip
    answers = [CONDITIONS[condition](item) for condition in beside]
    if not all(isinstance(answer, bool) for answer in answers):
        return False
    return not any(answers) if link.condition is None else bool(CONDITIONS[link.condition](item))
