"""Cycles, order and reach, against what brute force finds."""

from hypothesis import given
from hypothesis import strategies as st
from perdure_engine.definition.graph import cycles, reachable, reversed_graph, topological

SIZE = 7


@st.composite
def graphs(draw: st.DrawFn) -> list[list[int]]:
    arrows = draw(st.sets(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1))))
    return [[b for a, b in sorted(arrows) if a == node] for node in range(SIZE)]


@given(graphs())
def test_nodes_are_on_a_cycle_iff_they_reach_themselves(graph: list[list[int]]) -> None:
    on_cycle = {node for node in range(SIZE) if node in reachable(graph, graph[node])}
    found = cycles(graph)
    assert {node for cycle in found for node in cycle} == on_cycle
    for cycle in found:
        for node in cycle:
            back = reachable(reversed_graph(graph), [node])
            assert set(cycle) == reachable(graph, [node]) & back


@given(graphs())
def test_every_arrow_between_ordered_nodes_points_forward(graph: list[list[int]]) -> None:
    order = topological(graph)
    place = {node: at for at, node in enumerate(order)}
    assert all(place[a] < place[b] for a in place for b in graph[a] if b in place)
    behind_cycles = reachable(graph, [node for cycle in cycles(graph) for node in cycle])
    assert set(order) == set(range(SIZE)) - behind_cycles


def test_a_chain_of_ten_thousand_nodes_is_no_deeper_than_one_of_ten() -> None:
    size = 10_000
    graph = [[at + 1] for at in range(size - 1)] + [[0]]
    assert cycles(graph) == [list(range(size))]
    assert topological([*graph[:-1], []]) == tuple(range(size))
