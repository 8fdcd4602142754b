"""Races: which nodes a RACE cancels once it is won (rule 27).

Those whose every way leads to it, and regions only as a whole. Of two races that guard a node
one guards the other, so each node knows the nearest one (`guards`), and that one the next.
"""

from collections.abc import Sequence

from .graph import topological
from .model import Edge, Node
from .race import NO_RACES, Races
from .region import TOP, Regions

RACES_MAX = 200
"""Races of one workflow; more are refused, because each may guard whatever comes before it."""


def races_of(nodes: Sequence[Node]) -> list[int]:
    """Return the positions of the races that are run."""
    return [
        node.position
        for node in nodes
        if node.node_subtype == "RACE" and node.node_type == "FLOW" and not node.disabled
    ]


def find_races(nodes: Sequence[Node], edges: Sequence[Edge], regions: Regions) -> Races:
    """Return the races of a workflow, and what they guard."""
    found = races_of(nodes)
    if not found or not regions.runs_in or len(found) > RACES_MAX:
        return NO_RACES
    return _Guards(nodes, edges, regions, found).races()


class _Guards:
    """Goes from the last node to the first: what guards a unit follows from what it leads to."""

    def __init__(
        self, nodes: Sequence[Node], edges: Sequence[Edge], regions: Regions, races: Sequence[int]
    ) -> None:
        self._races = frozenset(races)
        self._regions = regions
        self._back = {index for region in regions.regions for index in region.back}
        graph: list[list[int]] = [[] for _ in nodes]
        self._out: list[list[Edge]] = [[] for _ in nodes]
        for edge in edges:
            self._out[edge.source].append(edge)
            if edge.index not in self._back:
                graph[edge.source].append(edge.target)
        self._order = topological(graph)
        self._guards: dict[int, int] = {}
        self._depths: dict[int, int] = {}

    def races(self) -> Races:
        places = {position: at for at, position in enumerate(self._order)}
        order = {race: places[race] for race in self._races}
        for position in reversed(self._order):
            guard = self._guard(position)
            if guard is not None:
                self._guards[position] = guard
            if position in self._races:
                self._depths[position] = 1 + self._depths.get(self._guards.get(position, -1), 0)
        guarded: dict[int, list[int]] = {race: [] for race in self._races}
        for position in self._order:
            race = self._guards.get(position)
            while race is not None:
                guarded[race].append(position)
                race = self._guards.get(race)
        return Races(order, self._guards, {race: tuple(units) for race, units in guarded.items()})

    def _guard(self, position: int) -> int | None:
        """Return the nearest race to which every way out of a unit leads."""
        regions = self._regions
        region = regions.opens[position]
        level = regions.runs_in[position]
        inside: list[int] | None = []
        if region != TOP:
            level = regions.regions[region].parent
            inside = self._inside(region)
            if inside is None:
                return None
        within = {position, *inside}
        guard: int | None = None
        first = True
        for source in (position, *inside):
            if self._ends(source):
                return None
            for edge in self._out[source]:
                if edge.target in within:
                    continue
                race = self._next(edge, level)
                if race is None:
                    return None
                guard = race if first else self._shared(guard, race)
                first = False
                if guard is None:
                    return None
        return guard

    def _ends(self, position: int) -> bool:
        """Tell whether a way ends at a node: nothing leads on, or only into the loop it opens."""
        number = self._regions.opens[position]
        body = "" if number == TOP else self._regions.regions[number].body
        return all(edge.source_port == body for edge in self._out[position])

    def _next(self, edge: Edge, level: int) -> int | None:
        """Return the race that comes next behind an edge, if it must come in the same scope."""
        target, regions = edge.target, self._regions
        number = regions.opens[target]
        around = regions.runs_in[target] if number == TOP else regions.regions[number].parent
        if edge.index in self._back or around != level:
            return None
        return target if target in self._races else self._guards.get(target)

    def _shared(self, one: int | None, other: int | None) -> int | None:
        """Return the nearest race that two races both lead to, or are."""
        while one != other:
            if one is None or other is None:
                return None
            if self._depths[one] >= self._depths[other]:
                one = self._guards.get(one)
            else:
                other = self._guards.get(other)
        return one

    def _inside(self, region: int) -> list[int] | None:
        """Return the nodes in a region and in those inside it, None if one of these has no end."""
        found: list[int] = []
        waiting = [region]
        while waiting:
            each = self._regions.regions[waiting.pop()]
            if not each.body and not each.outward:
                return None
            found.extend(each.members)
            waiting.extend(each.inner)
        return found
