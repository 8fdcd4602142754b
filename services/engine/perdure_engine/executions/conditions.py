"""CONDITIONAL connections: which items of a port each of them carries (rule 14)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from perdure_contracts.engine import ErrorFacts

from perdure_engine.definition import Edge
from perdure_engine.nodes.base import Item, Outcome, placed
from perdure_engine.nodes.conditions import holds

from .views import RunView


@dataclass(slots=True)
class Picks:
    """The places that each conditional edge carries, and the items that could not be told."""

    places: dict[int, list[int]] = field(default_factory=dict)
    failed: list[tuple[str, int, ErrorFacts]] = field(default_factory=list)


def pick(
    edges: Sequence[Edge], ports: Mapping[str, Sequence[Item]], view: RunView, node_id: str
) -> Picks:
    """Ask the conditions of `edges` of every item on their ports.

    An item that no condition took goes to the edges marked `otherwise`. One for which a
    condition cannot be told goes nowhere, and stands in `failed`.
    """
    picks = Picks({edge.index: [] for edge in edges})
    for port in dict.fromkeys(edge.source_port for edge in edges):
        siblings = [edge for edge in edges if edge.source_port == port]
        items = ports.get(port, ())
        for place in range(len(items)):
            scope = view.output(items, place, node_id)
            taken: list[int] = []
            error: ErrorFacts | None = None
            for edge in siblings:
                answer = holds(edge.condition, scope) if edge.condition is not None else False
                if isinstance(answer, ErrorFacts):
                    error = answer
                    break
                if answer:
                    taken.append(edge.index)
            if error is not None:
                picks.failed.append((port, place, error))
                continue
            for index in taken or [edge.index for edge in siblings if edge.otherwise]:
                picks.places[index].append(place)
    return picks


def without_failed(
    outcome: Outcome, failed: Sequence[tuple[str, int, ErrorFacts]], count: int
) -> Outcome:
    """Return the outcome with the input items failed whose output a condition refused.

    All of them fail that an item comes from, and what else came of those goes with them; what
    comes from none in particular comes from all of the `count` input items.
    """
    errors = dict(outcome.failed)
    for port, place, error in failed:
        for origin in _origins(outcome.ports[port][place], place, count):
            errors.setdefault(origin, error)
    known = -1
    while known != len(errors):
        known = len(errors)
        for items in outcome.ports.values():
            for place, item in enumerate(items):
                origins = _origins(item, place, count)
                error = next((errors[origin] for origin in origins if origin in errors), None)
                if error is not None:
                    errors.update({o: error for o in origins if o not in errors})
    ports: dict[str, list[Item]] = {}
    for port, items in outcome.ports.items():
        kept: list[Item] = []
        for place, item in enumerate(items):
            if any(origin in errors for origin in _origins(item, place, count)):
                continue
            source = item.get("source", place)
            if isinstance(source, list):
                kept.append({**item})
            else:
                kept.append(placed(item, source, len(kept)))
        ports[port] = kept
    return Outcome(ports=ports, failed=tuple(sorted(errors.items(), key=lambda each: each[0])))


def _origins(item: Item, place: int, count: int) -> Sequence[int]:
    """Return the input items that an item comes from; there are `count` of them."""
    source = item.get("source", place)
    origins = source if isinstance(source, list) else [source]
    return [origin for origin in origins if origin < count] or range(count)
