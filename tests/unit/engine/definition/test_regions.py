"""Regions, their members and the edges that leave them, against what brute force finds."""

from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from perdure_engine.definition.model import Edge, Node
from perdure_engine.definition.region import TOP, Regions
from perdure_engine.definition.regions import DEPTH_MAX, find_regions
from perdure_engine.nodes.base import NodeSpecification

PORTS = {"LOOP": ("loop", "done"), "FOREACH": ("item", "done")}


def node(position: int, subtype: str, join: Literal["all", "each"] = "all") -> Node:
    specification = NodeSpecification("FLOW", subtype, "for a test", "inline")
    return Node(position, f"n{position}", f"n{position}", specification, join=join)


def graph(kinds: str, *links: str) -> tuple[list[Node], list[Edge]]:
    """Return nodes from letters (`n` plain, `L` LOOP, `F` FOREACH, `R` RACE, `e` each)."""
    names = {"n": "NOOP", "L": "LOOP", "F": "FOREACH", "R": "RACE", "e": "NOOP"}
    nodes = [node(at, names[k], "each" if k == "e" else "all") for at, k in enumerate(kinds)]
    edges: list[Edge] = []
    for index, text in enumerate(links):
        source, target = text.split(">")
        number, _, port = source.partition(".")
        edges.append(Edge(index, int(number), int(target), port or "main"))
    return nodes, edges


def found(kinds: str, *links: str) -> Regions:
    regions, faults = find_regions(*graph(kinds, *links))
    assert faults == ()
    return regions


def code(kinds: str, *links: str) -> list[str]:
    regions, faults = find_regions(*graph(kinds, *links))
    assert regions == Regions()
    return [fault.code for fault in faults]


def test_a_loop_holds_its_body_and_what_is_reached_only_from_it() -> None:
    regions = found("nLnnn", "0>1", "1.loop>2", "2>1", "2>3", "1.done>4")
    (region,) = regions.regions
    assert (region.kind, region.entry, region.members) == ("loop", 1, (2, 3))
    assert region.back == (2,) and region.outward == ()
    assert regions.runs_in == (TOP, TOP, 0, 0, TOP)


def test_a_loop_without_a_way_back_is_a_region_all_the_same() -> None:
    regions = found("nFn", "0>1", "1.item>2")
    (region,) = regions.regions
    assert (region.kind, region.members, region.back) == ("foreach", (2,), ())


def test_the_entry_of_a_bare_cycle_runs_in_its_iterations() -> None:
    regions = found("nnnn", "0>1", "1>2", "2>1", "2>3")
    (region,) = regions.regions
    assert (region.kind, region.entry, region.members) == ("cycle", 1, (1, 2, 3))
    assert regions.gathers[1] == TOP and regions.resolves == (TOP, 0, 0, 0)


def test_an_edge_to_a_node_that_is_also_reached_from_outside_waits_for_the_end() -> None:
    regions = found("nLnn", "0>1", "1.loop>2", "2>1", "2>3", "0>3")
    assert regions.runs_in[3] == TOP
    assert regions.leaves == (TOP, TOP, TOP, 0, TOP) and regions.resolves[3] == TOP
    assert regions.regions[0].outward == (3,)


def test_loops_lie_in_loops() -> None:
    links = ("0>1", "1.loop>2", "2.loop>3", "3>2", "2.done>1", "1.done>4")
    regions = found("nLLnn", *links)
    outer, inner = regions.regions
    assert (outer.entry, inner.entry, inner.parent, inner.depth) == (1, 2, 0, 2)
    assert outer.members == (2,) and inner.members == (3,) and outer.inner == (1,)
    assert outer.back == (4,) and inner.back == (3,) and inner.outward == ()


def test_an_edge_that_leaves_two_regions_waits_for_the_outer_one() -> None:
    links = ("0>1", "1.loop>2", "2.loop>3", "3>2", "2.done>1", "3>4", "0>4")
    regions = found("nLLnn", *links)
    assert regions.leaves[5] == 0 and regions.regions[0].outward == (5,)


def test_a_way_back_from_an_inner_cycle_waits_for_the_inner_cycle() -> None:
    regions = found("nLnn", "0>1", "1.loop>2", "2>3", "3>2", "3>1")
    outer, inner = regions.regions
    assert inner.kind == "cycle" and inner.outward == (4,) and outer.back == (4,)
    assert regions.leaves[4] == inner.number and regions.resolves[4] == outer.number


def test_join_each_opens_a_region_around_its_node() -> None:
    regions = found("nnen", "0>2", "1>2", "2>3")
    (region,) = regions.regions
    assert (region.kind, region.members) == ("each", (2, 3))


def test_cycles_that_cannot_be_run_are_named() -> None:
    assert code("nnn", "1>2", "2>1") == ["cycle_without_entry"]
    assert code("nnn", "0>1", "1>2", "2>1", "0>2") == ["cycle_with_entries"]
    assert code("nLn", "0>1", "1.done>2", "2>1") == ["done_leads_back"]
    assert code("nRn", "0>1", "1>2", "2>1") == ["entry_not_possible"]
    assert code("nen", "0>1", "1>2", "2>1") == ["entry_not_possible"]
    assert code("nnLn", "0>1", "1>2", "2.loop>3", "3>1") == ["loop_not_entry"]


def test_done_of_a_loop_may_lie_on_a_cycle_around_it() -> None:
    regions = found("nnLnn", "0>1", "1>2", "2.loop>3", "3>2", "2.done>4", "4>1")
    assert [region.kind for region in regions.regions] == ["cycle", "loop"]


def test_nesting_that_is_too_deep_is_refused() -> None:
    links = ["0>1"]
    for at in range(1, DEPTH_MAX + 2):
        links.append(f"{at}.item>{at + 1}")
    assert code("n" + "F" * (DEPTH_MAX + 1) + "n", *links) == ["nested_too_deep"]
    cycles = [f"{at}>{at + 1}" for at in range(40)] + [f"40>{at}" for at in range(1, 40)]
    assert set(code("n" * 41, *cycles)) == {"nested_too_deep"}


KINDS = st.text("nnnLFe", min_size=1, max_size=7)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Node], list[Edge]]:
    kinds = "n" + draw(KINDS)
    links: dict[str, None] = {}
    for target in range(1, len(kinds)):
        sources = draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=2))
        for source in [*sources[1:], min(sources[0], target - 1)]:
            ports = PORTS.get({"L": "LOOP", "F": "FOREACH"}.get(kinds[source], ""), ("main",))
            links[f"{source}.{draw(st.sampled_from(ports))}>{target}"] = None
    return graph(kinds, *links)


def reached(size: int, edges: list[Edge], without: set[int], gone: int) -> set[int]:
    """Return what the first node reaches without some edges and one node, step by step."""
    seen: set[int] = {0}
    for _ in range(size):
        seen |= {
            edge.target for edge in edges
            if edge.source in seen and edge.index not in without and edge.target != gone
        }  # fmt: skip
    return seen


@settings(max_examples=400, deadline=None)
@given(graphs())
def test_a_node_is_in_a_region_iff_every_way_to_it_leads_through_its_body(
    made: tuple[list[Node], list[Edge]],
) -> None:
    nodes, edges = made
    regions, faults = find_regions(nodes, edges)
    if faults:
        return
    everything = reached(len(nodes), edges, set(), -1)
    for region in regions.regions:
        body = {"loop": "loop", "foreach": "item"}.get(region.kind)
        leading = {e.index for e in edges if e.source == region.entry and e.source_port == body}
        gone = region.entry if body is None else -1
        outside = reached(len(nodes), edges, leading, gone)
        inside: set[int] = set()
        for at in range(len(nodes)):
            number = regions.runs_in[at]
            while number not in (TOP, region.number):
                number = regions.regions[number].parent
            if number == region.number and at in everything:
                inside.add(at)
        assert inside == everything - outside
