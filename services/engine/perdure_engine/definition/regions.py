"""Regions: the parts of a workflow that run several times, found when it is validated.

A region is opened by its entry. LOOP and FOREACH always open one, a node with `join: each`
does, and so does the entry of a bare cycle. Its iterations have scopes of their own. To a
region belong the nodes of its cycle, and those that are reached only from inside it: each
node runs in the deepest region that all its in-edges come from. An edge resolves in the
scope in which its target's input is gathered; one that comes out of a deeper region
(`leaves`) resolves when that region ends, with the items of all its iterations.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .graph import cycles, reachable, topological
from .model import Edge, Node
from .region import BODY_PORTS, TOP, Kind, Region, Regions

Code: TypeAlias = Literal[
    "cycle_without_entry", "cycle_with_entries", "loop_not_entry", "done_leads_back",
    "entry_not_possible", "nested_too_deep",
]  # fmt: skip

DEPTH_MAX = 16
"""How deep regions may be nested; scopes are as long, and stand in every key."""

LOOPS: Mapping[str, Kind] = {"LOOP": "loop", "FOREACH": "foreach"}


@dataclass(frozen=True, slots=True)
class CycleFault:
    """A cycle that cannot be run: its nodes, and the edges at fault, by number."""

    code: Code
    nodes: tuple[int, ...]
    edges: tuple[int, ...] = ()


@dataclass(slots=True)
class _Cycles:
    """What is known of the cycles: their entries, and the edges that lead back to them."""

    back: dict[int, list[int]] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    faults: list[CycleFault] = field(default_factory=list)


def find_regions(
    nodes: Sequence[Node], edges: Sequence[Edge]
) -> tuple[Regions, tuple[CycleFault, ...]]:
    """Return the regions of a workflow; with faults only those, and no regions."""
    found = _find_cycles(nodes, edges)
    if found.faults:
        return Regions(), tuple(found.faults)
    placed = _Placed(nodes, edges, found)
    if placed.too_deep:
        return Regions(), (CycleFault("nested_too_deep", tuple(placed.too_deep)),)
    return placed.regions(), ()


def opens(node: Node) -> Kind | None:
    """Return the kind of region that a node opens by itself, None if it opens none."""
    if node.node_type == "FLOW" and node.node_subtype in LOOPS:
        return LOOPS[node.node_subtype]
    return "each" if node.join == "each" else None


# Cycles ---------------------------------------------------------------------------------


def _find_cycles(nodes: Sequence[Node], edges: Sequence[Edge]) -> _Cycles:
    """Find the cycles from the outside in: without the edges back, the next ones show."""
    found = _Cycles()
    waiting: list[tuple[frozenset[int], int]] = [(frozenset(range(len(nodes))), 1)]
    while waiting:
        inside, depth = waiting.pop()
        among = [
            edge for edge in edges
            if edge.source in inside and edge.target in inside and edge.index not in found.dropped
        ]  # fmt: skip
        for cycle in cycles(_graph(len(nodes), among)):
            if depth > DEPTH_MAX:
                found.faults.append(CycleFault("nested_too_deep", tuple(cycle)))
                continue
            entry = _entry(nodes, edges, cycle, among, found)
            if entry is not None:
                members = frozenset(cycle)
                back = [e.index for e in among if e.target == entry and e.source in members]
                found.back[entry] = back
                found.dropped.update(back)
                waiting.append((members, depth + 1))
    return found


def _entry(
    nodes: Sequence[Node],
    edges: Sequence[Edge],
    cycle: Sequence[int],
    among: Sequence[Edge],
    found: _Cycles,
) -> int | None:
    """Return where a cycle is entered, None if it cannot be run; that is noted."""
    members = set(cycle)
    arriving = [e for e in edges if e.target in members and e.source not in members]
    entries = sorted({edge.target for edge in arriving})
    inside = [edge for edge in among if edge.source in members and edge.target in members]
    if not entries:
        _note(found, "cycle_without_entry", cycle, inside[:1])
        return None
    if len(entries) > 1:
        _note(found, "cycle_with_entries", cycle, arriving)
        return None
    entry = nodes[entries[0]]
    if entry.join == "each" or entry.node_subtype == "RACE":
        _note(found, "entry_not_possible", (entry.position,), arriving)
        return None
    wrong = [
        edge for edge in inside
        if edge.source == entry.position
        and opens(entry) is not None
        and edge.source_port != BODY_PORTS[opens(entry) or "loop"]
    ]  # fmt: skip
    if wrong:
        _note(found, "done_leads_back", (entry.position,), wrong)
        return None
    misplaced = _loops_inside(nodes, inside, entry.position)
    if misplaced:
        _note(found, "loop_not_entry", misplaced, [e for e in inside if e.source in misplaced])
        return None
    return entry.position


def _loops_inside(nodes: Sequence[Node], inside: Sequence[Edge], entry: int) -> list[int]:
    """Return the loops from whose bodies a way leads to the entry around their own way back."""
    found: list[int] = []
    for position in sorted({edge.source for edge in inside}):
        kind = opens(nodes[position])
        if position == entry or kind not in BODY_PORTS:
            continue
        around = [e for e in inside if position not in (e.source, e.target) and e.source != entry]
        starts = [
            edge.target for edge in inside
            if edge.source == position and edge.source_port == BODY_PORTS[kind]
        ]  # fmt: skip
        starts = [start for start in starts if start != position]
        if entry in reachable(_graph(len(nodes), around), starts):
            found.append(position)
    return found


def _note(found: _Cycles, code: Code, nodes: Iterable[int], edges: Iterable[Edge]) -> None:
    found.faults.append(CycleFault(code, tuple(nodes), tuple(edge.index for edge in edges)))


def _graph(size: int, edges: Iterable[Edge]) -> list[list[int]]:
    graph: list[list[int]] = [[] for _ in range(size)]
    for edge in edges:
        graph[edge.source].append(edge.target)
    return graph


# Where nodes and edges stand ------------------------------------------------------------


class _Placed:
    """Puts each node into the deepest region that all its in-edges come from."""

    def __init__(self, nodes: Sequence[Node], edges: Sequence[Edge], found: _Cycles) -> None:
        self._nodes, self._edges, self._found = nodes, edges, found
        self._kinds: list[Kind] = []
        self._entries: list[int] = []
        self._parents: list[int] = []
        self._depths: list[int] = []
        self._runs_in = [TOP] * len(nodes)
        self._opens = [TOP] * len(nodes)
        self._gathers = [TOP] * len(nodes)
        self.too_deep: list[int] = []
        self._into: list[list[Edge]] = [[] for _ in nodes]
        forward = [edge for edge in edges if edge.index not in found.dropped]
        for edge in forward:
            self._into[edge.target].append(edge)
        self._order = topological(_graph(len(nodes), forward))
        for position in self._order:
            self._place(nodes[position])

    def _place(self, node: Node) -> None:
        position = node.position
        around = self._shared([self._leads_from(edge) for edge in self._into[position]])
        self._gathers[position] = self._runs_in[position] = around
        kind = opens(node) or ("cycle" if position in self._found.back else None)
        if kind is None:
            return
        number = len(self._kinds)
        depth = 1 if around == TOP else self._depths[around] + 1
        if depth > DEPTH_MAX:
            self.too_deep.append(position)
        self._kinds.append(kind)
        self._entries.append(position)
        self._parents.append(around)
        self._depths.append(depth)
        self._opens[position] = number
        if kind in ("cycle", "each"):
            self._runs_in[position] = number

    def _leads_from(self, edge: Edge) -> int:
        """Return the region in whose scope an edge leaves its source."""
        source = edge.source
        number = self._opens[source]
        if number != TOP and edge.source_port == BODY_PORTS.get(self._kinds[number]):
            return number
        return self._runs_in[source]

    def _shared(self, regions: Sequence[int]) -> int:
        """Return the deepest region that holds all of `regions`."""
        if not regions:
            return TOP
        shared = regions[0]
        for region in regions[1:]:
            while shared != region:
                if self._depth(shared) >= self._depth(region):
                    shared = self._parents[shared]
                else:
                    region = self._parents[region]
        return shared

    def _depth(self, region: int) -> int:
        return 0 if region == TOP else self._depths[region]

    def regions(self) -> Regions:
        """Return what was found."""
        resolves, leaves = [TOP] * len(self._edges), [TOP] * len(self._edges)
        outward: list[list[int]] = [[] for _ in self._kinds]
        for edge in self._edges:
            led = edge.index in self._found.dropped
            where = self._opens[edge.target] if led else self._gathers[edge.target]
            resolves[edge.index] = where
            region = self._leads_from(edge)
            while region != where:
                outward[region].append(edge.index)
                leaves[edge.index], region = region, self._parents[region]
        members: list[list[int]] = [[] for _ in self._kinds]
        inner: list[list[int]] = [[] for _ in self._kinds]
        for position in self._order:
            if self._runs_in[position] != TOP:
                members[self._runs_in[position]].append(position)
        for number, parent in enumerate(self._parents):
            if parent != TOP:
                inner[parent].append(number)
        return Regions(
            regions=tuple(
                Region(
                    number=number,
                    kind=kind,
                    entry=self._entries[number],
                    parent=self._parents[number],
                    depth=self._depths[number],
                    members=tuple(members[number]),
                    inner=tuple(inner[number]),
                    back=tuple(self._found.back.get(self._entries[number], ())),
                    outward=tuple(outward[number]),
                )
                for number, kind in enumerate(self._kinds)
            ),
            runs_in=tuple(self._runs_in),
            opens=tuple(self._opens),
            gathers=tuple(self._gathers),
            resolves=tuple(resolves),
            leaves=tuple(leaves),
        )
