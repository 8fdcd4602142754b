"""Regions: loops by batches and by condition, FOREACH, bare cycles, and `join: each`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from . import nodes
from .graph import BODIES, Link, opens
from .words import CONDITIONS, REGULAR, Items, Ports, Scope, Stopped, Value, failed_item

if TYPE_CHECKING:
    from .scopes import Evaluation

Rounds = list[dict[int, Value]]
"""What the connections out of each iteration carry."""


def evaluate(
    here: "Evaluation", entry: str, scope: Scope, values: Mapping[int, Value]
) -> dict[int, Value]:
    """Evaluate a region in all its iterations; return what comes out of it."""
    graph, node = here.graph, here.graph.nodes[entry]
    into = [(link, values[link.number]) for link in graph.forward(entry)]
    live = [items for _, items in into if items is not None]
    outwards = graph.outwards(entry)
    out: dict[int, Value] = dict.fromkeys(outwards)
    if not live:
        here.meaning.runs[entry, scope] = None
        return {**out, **dict.fromkeys([e.number for e in graph.ends(entry)])}
    passed = node.get("disabled") or entry in here.world.pins
    if passed and graph.subtype(entry) in BODIES:
        out.update(here.run(entry, scope, into))
        return {n: v for n, v in out.items() if n in outwards or n not in graph.begins(entry)}
    items = [item for each in live for item in each]
    match opens(graph, entry), graph.subtype(entry):
        case "inside", _ if node.get("join") == "each":
            rounds = _each(here, entry, scope, into)
        case "inside", _:
            rounds = _cycle(here, entry, scope, dict((e.number, v) for e, v in into))
        case _, "LOOP":
            rounds, done = _loop(here, entry, scope, items)
            out.update(_end(here, entry, scope, {"done": done} if done else {}))
        case _:
            rounds = _foreach(here, entry, scope, items, out)
    for each in rounds:
        for number in outwards:
            out[number] = [*(out[number] or []), *(each[number] or [])] or None
    return out


def _end(
    here: "Evaluation", entry: str, scope: Scope, ports: Ports, failed: Items | None = None
) -> dict[int, Value]:
    ports = nodes.emitted(here.graph, entry, ports)
    here.meaning.runs[entry, scope] = ports
    carried = nodes.carried(here.graph, entry, ports, failed or [], handled=failed is not None)
    return {e.number: carried[e.number] for e in here.graph.ends(entry)}


def _iteration(
    here: "Evaluation", entry: str, scope: Scope, k: int, items: Items
) -> dict[int, Value]:
    port = BODIES[here.graph.subtype(entry)]
    carried = nodes.carried(here.graph, entry, {port: items}, [], handled=False)
    begins = here.graph.begins(entry)
    given = {number: value for number, value in carried.items() if number in begins}
    return here.scope(entry, (*scope, (entry, k)), given)


def _came_back(here: "Evaluation", entry: str, values: Mapping[int, Value]) -> Items:
    back = [e for e in here.graph.into(entry) if e.number in here.graph.back]
    return [item for e in back for item in values[e.number] or []]


def _loop(here: "Evaluation", entry: str, scope: Scope, items: Items) -> tuple[Rounds, Items]:
    parameters = here.graph.nodes[entry].get("parameters", {})
    rounds: Rounds = []
    done: Items = []
    if "while" not in parameters:
        size = parameters.get("items_per_batch", 1)
        for k in range(0, -(-len(items) // size)):
            batch = items[k * size : (k + 1) * size]
            rounds.append(_iteration(here, entry, scope, k, batch))
            done.extend(_came_back(here, entry, rounds[-1]))
        return rounds, done
    holds = CONDITIONS[parameters["while"]]
    going = items
    while going:
        if len(rounds) >= parameters.get("max_iterations", here.graph.rounds_max):
            raise Stopped(("max_iterations", entry))
        rounds.append(_iteration(here, entry, scope, len(rounds), going))
        came = _came_back(here, entry, rounds[-1])
        going = [item for item in came if holds(item)]
        done.extend(item for item in came if not holds(item))
    return rounds, done


def _cycle(here: "Evaluation", entry: str, scope: Scope, given: dict[int, Value]) -> Rounds:
    parameters = here.graph.nodes[entry].get("parameters", {})
    most = parameters.get("max_iterations", here.graph.rounds_max)
    rounds: Rounds = []
    back = [e.number for e in here.graph.into(entry) if e.number in here.graph.back]
    while True:
        if len(rounds) >= most:
            raise Stopped(("max_iterations", entry))
        rounds.append(here.scope(entry, (*scope, (entry, len(rounds))), given))
        given = {number: rounds[-1][number] for number in back}
        if all(value is None for value in given.values()):
            return rounds


def _each(
    here: "Evaluation", entry: str, scope: Scope, into: Sequence[tuple[Link, Value]]
) -> Rounds:
    return [
        here.scope(entry, (*scope, (entry, k)), {link.number: value})
        for k, (link, value) in enumerate(into)
        if value is not None
    ]


def _foreach(
    here: "Evaluation", entry: str, scope: Scope, items: Items, out: dict[int, Value]
) -> Rounds:
    node = here.graph.nodes[entry]
    mode = node.get("parameters", {}).get("on_item_error", "fail")
    rounds: Rounds = []
    done: Items = []
    stops: list[Stopped] = []
    for k, item in enumerate(items):
        try:
            values = _iteration(here, entry, scope, k, [item])
        except Stopped as stopped:
            stops.append(stopped)
            here.meaning.loose.add((*scope, (entry, k)))
            if mode == "collect":
                done.append(failed_item(item, *stopped.errors))
            continue
        rounds.append(values)
        done.extend(_came_back(here, entry, values))
    if not stops or mode != "fail":
        out.update(_end(here, entry, scope, {"done": done} if done else {}))
        return rounds
    here.meaning.loose.update((*scope, (entry, k)) for k in range(len(items)))
    kinds = dict.fromkeys(kind for stopped in stops for kind, _ in stopped.errors)
    errors = [(kind, entry) for kind in kinds]
    if not nodes.goes_on(here.graph, entry):
        raise Stopped(*errors)
    failed = [failed_item(item, *errors) for item in items]
    port = "done" if node.get("error_handling") == REGULAR else "error"
    out.update(_end(here, entry, scope, {port: failed}, failed))
    return []
