"""The shape of a workflow, read from its definition by brute force.

Which nodes run in which iterations follows from one question: does every way to the node
lead through the body of the region?
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BODIES = {"LOOP": "loop", "FOREACH": "item"}


@dataclass(frozen=True)
class Link:
    """A connection of the definition; `order` is the edge order among those of its target."""

    number: int
    source: str
    port: str
    target: str
    kind: str
    condition: str | None
    otherwise: bool
    order: tuple[int, int]


@dataclass
class Graph:
    """The definition, which links lead back, and where nodes stand ("" is in no region)."""

    nodes: dict[str, dict[str, Any]]
    links: list[Link]
    back: set[int] = field(default_factory=set)
    held: dict[tuple[str, str], bool] = field(default_factory=dict)
    guarding: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    rounds_max: int = 1_000

    def into(self, node_id: str) -> list[Link]:
        found = [link for link in self.links if link.target == node_id]
        return sorted(found, key=lambda link: link.order)

    def out(self, node_id: str) -> list[Link]:
        return [link for link in self.links if link.source == node_id]

    def subtype(self, node_id: str) -> str:
        return str(self.nodes[node_id]["node_subtype"])

    def races(self, node_id: str) -> bool:
        """Tell whether a node is a race; a disabled one waits for all, like any other."""
        return self.subtype(node_id) == "RACE" and not self.nodes[node_id].get("disabled")

    def guards(self, node_id: str, region: str) -> list[str]:
        """Return the races in the scope of a unit to which every way from it leads.

        A way ends where nothing leads on, where the scope does, and with its iteration; one
        that goes round for ever without a way out does not lead there either.
        """
        if (node_id, region) in self.guarding:
            return self.guarding[node_id, region]
        found = self.guarding[node_id, region] = list[str]()
        for race in self.nodes:
            if race == node_id or not self.races(race) or self.parent(race) != region:
                continue
            reached = self._reached([node_id], race)
            over = any(
                self._leaves(region, link) for each in reached for link in self.out(each)
            ) or any(self.subtype(each) in BODIES and not self.ends(each) for each in reached)
            if not over and all(self._leads_to(each, race) for each in reached):
                found.append(race)
        return found

    def _reached(self, starts: list[str], race: str) -> set[str]:
        """Return the nodes that can be reached, on ways that do not lead through a race."""
        reached, waiting = set(starts), list(starts)
        while waiting:
            for link in self.out(waiting.pop()):
                if link.target not in reached and link.target != race:
                    reached.add(link.target)
                    waiting.append(link.target)
        return reached

    def _leads_to(self, node_id: str, race: str) -> bool:
        ways = self._reached([node_id], race)
        return any(link.target == race for each in ways for link in self.out(each))

    def _leaves(self, region: str, link: Link) -> bool:
        """Tell whether a link leads out of a region's iteration, or back to its beginning."""
        back = link.number in self.back and link.target == region
        return back or (region != "" and not self.holds(region, link.target))

    def forward(self, node_id: str) -> list[Link]:
        """Return the links into a node that do not lead back to it."""
        return [link for link in self.into(node_id) if link.number not in self.back]

    def units(self, region: str) -> list[str]:
        """Return what is evaluated in a scope: its nodes, and the entries of regions in it."""
        return [
            node_id for node_id in self.nodes
            if (node_id == region and opens(self, region) == "inside")
            or (node_id != region and self.parent(node_id) == region)
        ]  # fmt: skip

    def parent(self, node_id: str) -> str:
        """Return the deepest region around a node, other than the one it opens itself."""
        if node_id not in self.parents:
            self.parents[node_id] = self._deepest(node_id)
        return self.parents[node_id]

    def _deepest(self, node_id: str) -> str:
        holding = [e for e in self.nodes if e != node_id and self.in_region(e, node_id)]
        return next(
            (e for e in holding if all(o == e or self.in_region(o, e) for o in holding)), ""
        )

    def in_region(self, entry: str, node_id: str) -> bool:
        """Tell whether a node runs inside a region, whatever lies between."""
        return bool(opens(self, entry)) and self.holds(entry, node_id)

    def begins(self, entry: str) -> set[int]:
        """Return the links on which the iterations of a LOOP or FOREACH begin."""
        body = BODIES.get(self.subtype(entry))
        return {link.number for link in self.out(entry) if body and link.port == body}

    def ends(self, entry: str) -> list[Link]:
        """Return the links of a LOOP or FOREACH on which it ends; other entries have none."""
        begins = self.begins(entry)
        loop = self.subtype(entry) in BODIES
        return [link for link in self.out(entry) if loop and link.number not in begins]

    def outwards(self, entry: str) -> list[int]:
        """Return the links that come out of a region's iterations and gather outside it."""
        found: list[int] = []
        for link in self.links:
            starts = link.number in self.begins(entry) or (
                self.holds(entry, link.source)
                and not (link.source == entry and self.subtype(entry) in BODIES)
            )
            own = link.number in self.back and link.target == entry
            if starts and not own and not self._gathered_in(entry, link):
                found.append(link.number)
        return found

    def _gathered_in(self, entry: str, link: Link) -> bool:
        """Tell whether a link's target gathers its input inside the region of `entry`."""
        if link.number in self.back:  # the iterations of the target's region take it
            return self.in_region(entry, link.target) and link.target != entry
        return link.target != entry and self.in_region(entry, link.target)

    def holds(self, entry: str, node_id: str) -> bool:
        """Tell whether every way to a node leads through the body of the region of `entry`."""
        if node_id == entry:
            return opens(self, entry) == "inside"
        if (entry, node_id) not in self.held:
            body = BODIES.get(self.subtype(entry))
            reached = {each for each in self.nodes if not self.into(each)}
            while more := {
                link.target for link in self.links
                if link.source in reached
                and not (link.source == entry and (body is None or link.port == body))
            } - reached:  # fmt: skip
                reached |= more
            self.held.update({(entry, each): each not in reached for each in self.nodes})
        return self.held[entry, node_id]


def opens(graph: Graph, node_id: str) -> str:
    """Return how a node opens a region: `outside` and `inside` say where it runs itself."""
    if graph.subtype(node_id) in BODIES:
        return "outside"
    entered = any(link.target == node_id for link in graph.links if link.number in graph.back)
    return "inside" if entered or graph.nodes[node_id].get("join") == "each" else ""


def read(definition: Mapping[str, Any]) -> Graph:
    nodes = {str(node["node_id"]): dict(node) for node in definition["nodes"]}
    links: list[Link] = []
    for number, each in enumerate(definition["connections"]):
        kind = each.get("connection_type", "MAIN")
        into = str(each.get("target_port", "main"))
        conditions = each.get("conditions", {})
        links.append(
            Link(
                number=number,
                source=each["source_node_id"],
                port="error" if kind == "ERROR" else each.get("source_port", "main"),
                target=each["target_node_id"],
                kind=kind,
                condition=conditions.get("condition"),
                otherwise=bool(conditions.get("else")),
                order=(int(into[5:]) if into.startswith("input") else 0, number),
            )
        )
    graph = Graph(nodes, links)
    graph.rounds_max = definition.get("settings", {}).get("max_iterations", graph.rounds_max)
    graph.back = _ways_back(graph)
    return graph


def _ways_back(graph: Graph) -> set[int]:
    """Return the links that lead back to the node through which every way to them leads."""
    found: set[int] = set()
    for link in graph.links:
        entry = link.target
        reached = {each for each in graph.nodes if not graph.into(each)} - {entry}
        while (
            more := {
                each.target
                for each in graph.links
                if each.source in reached and each.target != entry
            }
            - reached
        ):
            reached |= more
        if link.source not in reached:
            found.add(link.number)
    return found
