"""Everything that runs in one scope: nodes one after the other in topological order.

A region is a call of the same function for each of its iterations, a child execution a call of
`evaluate` for its workflow.
"""

from collections.abc import Mapping
from typing import Any

from . import nodes, regions
from .graph import Graph, Link, opens, read
from .words import ROUNDS_MAX, At, Endless, Items, Meaning, Scope, Stopped, Value, World


def evaluate(definition: Mapping[str, Any], data: Items, world: World) -> Meaning:
    """Return what the execution of a definition, fired at its trigger with `data`, means."""
    graph = read(definition)
    meaning = Meaning()
    evaluation = Evaluation(graph, meaning, world)
    try:
        evaluation.scope("", (), {}, data)
    except Stopped as stopped:
        meaning.status, meaning.stopped = "ERROR", stopped
        return meaning
    for node_id in graph.nodes:
        if graph.out(node_id):
            continue
        runs = [(scope, ports) for (each, scope), ports in meaning.runs.items() if each == node_id]
        for scope, ports in sorted(runs, key=lambda run: [k for _, k in run[0]]):
            if ports and not meaning.undecided(scope):
                meaning.result.extend(item for items in ports.values() for item in items)
    return meaning


class Evaluation:
    """One execution that is evaluated."""

    def __init__(self, graph: Graph, meaning: Meaning, world: World) -> None:
        self.graph, self.meaning, self.world = graph, meaning, world
        self.rounds = 0

    def scope(
        self, region: str, scope: Scope, given: Mapping[int, Value], data: Items | None = None
    ) -> dict[int, Value]:
        """Evaluate what runs in one scope; return what every connection out of it carries."""
        self.rounds += 1
        if self.rounds > ROUNDS_MAX:
            raise Endless
        graph = self.graph
        values: dict[int, Value] = dict(given)
        waiting = graph.units(region)
        stops: list[Stopped] = []
        while ready := [
            u for u in waiting
            if u == region or all(e.number in values for e in graph.forward(u))
        ]:  # fmt: skip
            unit = ready[0]
            waiting.remove(unit)
            if graph.nodes[unit]["node_type"] == "TRIGGER":
                items = list(data or []) if unit == "t" else []
                ports = {"main": items} if items else {}
                if unit == "t":
                    self.meaning.runs[unit, scope] = ports
                values.update(nodes.carried(graph, unit, ports, [], handled=False))
                continue
            won = [r for r in graph.guards(unit, region) if (r, scope) in self.world.winners]
            if won:
                self.meaning.raced[unit, scope] = won
            try:
                self._unit(unit, region, scope, given, values)
            except Stopped as stopped:
                # What a race that was won stops came as far as usual. An error in it came too late,
                # and what would have followed it is not known.
                if not won:
                    stops.append(stopped)  # what depends on it is never ready
                    continue
                leaving = [link.number for link in graph.out(unit)]
                values.update(dict.fromkeys([*leaving, *graph.outwards(unit)]))
        assert stops or not waiting, f"{waiting} wait for each other"
        if stops:
            raise Stopped(*dict.fromkeys(each for stopped in stops for each in stopped.errors))
        return values

    def _unit(
        self,
        unit: str,
        region: str,
        scope: Scope,
        given: Mapping[int, Value],
        values: dict[int, Value],
    ) -> None:
        """Evaluate a node, or the region that it opens in this scope."""
        graph = self.graph
        if unit != region and opens(graph, unit):
            values.update(regions.evaluate(self, unit, scope, values))
            return
        into = [
            (e, values[e.number]) for e in graph.into(unit) if unit != region or e.number in given
        ]
        if graph.races(unit):
            into = self._won(unit, scope, into)
        values.update(self.run(unit, scope, into))

    def run(self, node_id: str, scope: Scope, into: list[tuple[Link, Value]]) -> dict[int, Value]:
        """Run a node once with what is LIVE; return what its connections carry."""
        ports, failed = nodes.run(self, node_id, scope, into)
        self.meaning.runs[node_id, scope] = ports
        if ports is None:
            return dict.fromkeys(e.number for e in self.graph.out(node_id))
        return nodes.carried(self.graph, node_id, ports, failed, handled=bool(failed))

    def child(self, at: At, name: str, items: Items) -> Meaning:
        """Evaluate the child execution that a run has begun; what nobody knows of it is usual."""
        known = self.world.children.get(at)
        world = known.world if known else World(self.world.answers, workflows=self.world.workflows)
        return evaluate(self.world.workflows[name], items, world)

    # Races ----------------------------------------------------------------------------

    def _won(
        self, race: str, scope: Scope, into: list[tuple[Link, Value]]
    ) -> list[tuple[Link, Value]]:
        """Return the connection that won a race, or may have; all of them where none can."""
        live = [each for each in into if each[1] is not None]
        winners = self.world.winners
        won = [each for each in live if each[0].number == winners.get((race, scope))]
        if (race, scope) in winners and not won:
            self.meaning.wrong.append(f"{race} in {scope} was won by what is DEAD")
        return won or live[:1] or into
