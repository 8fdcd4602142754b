"""What can be said about a graph of nodes by their positions alone: cycles, order, reach.

A graph is a sequence of successors: `graph[n]` are the positions that node `n` leads to.
Nothing here recurses, so a chain of ten thousand nodes is as good as one of ten.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from .model import Edge, Workflow

Graph: TypeAlias = Sequence[Sequence[int]]


def successors(size: int, edges: Iterable[Edge]) -> list[list[int]]:
    """Return the graph of `size` nodes and their edges, each target once for a source."""
    graph: list[dict[int, None]] = [{} for _ in range(size)]
    for edge in edges:
        graph[edge.source][edge.target] = None
    return [list(targets) for targets in graph]


def reversed_graph(graph: Graph) -> list[list[int]]:
    """Return the graph with every arrow turned round."""
    turned: list[list[int]] = [[] for _ in graph]
    for source, targets in enumerate(graph):
        for target in targets:
            turned[target].append(source)
    return turned


def reachable(graph: Graph, starts: Iterable[int]) -> frozenset[int]:
    """Return the positions that can be reached from `starts`, those among them."""
    found = set(starts)
    waiting = list(found)
    while waiting:
        for target in graph[waiting.pop()]:
            if target not in found:
                found.add(target)
                waiting.append(target)
    return frozenset(found)


def cycles(graph: Graph) -> list[list[int]]:
    """Return the strongly connected components that are cycles, each sorted, lowest first.

    Tarjan's algorithm (SIAM J. Comput. 1, 1972) with a stack of its own in place of the
    recursion. Connections from a node to itself are a cycle of one.
    """
    number = [-1] * len(graph)
    low = [0] * len(graph)
    stack: list[int] = []
    on_stack = [False] * len(graph)
    found: list[list[int]] = []
    count = 0
    for root in range(len(graph)):
        if number[root] >= 0:
            continue
        work: list[tuple[int, int]] = [(root, 0)]
        while work:
            node, at = work.pop()
            if at == 0:
                number[node] = low[node] = count
                count += 1
                stack.append(node)
                on_stack[node] = True
            deeper = False
            targets = graph[node]
            while at < len(targets):
                target = targets[at]
                at += 1
                if number[target] < 0:
                    work.append((node, at))
                    work.append((target, 0))
                    deeper = True
                    break
                if on_stack[target]:
                    low[node] = min(low[node], number[target])
            if deeper:
                continue
            if low[node] == number[node]:
                component = _unwind(stack, on_stack, node)
                if len(component) > 1 or node in graph[node]:
                    found.append(sorted(component))
            if work:
                parent = work[-1][0]
                low[parent] = min(low[parent], low[node])
    return sorted(found)


def _unwind(stack: list[int], on_stack: list[bool], node: int) -> list[int]:
    component: list[int] = []
    while True:
        member = stack.pop()
        on_stack[member] = False
        component.append(member)
        if member == node:
            return component


def topological(graph: Graph) -> tuple[int, ...]:
    """Return the positions so that every arrow points forward; the lowest of the free first.

    Nodes on a cycle, and those behind one, are left out.
    """
    open_edges = [0] * len(graph)
    for targets in graph:
        for target in targets:
            open_edges[target] += 1
    free = [node for node, count in enumerate(open_edges) if count == 0]
    heapify(free)
    order: list[int] = []
    while free:
        node = heappop(free)
        order.append(node)
        for target in graph[node]:
            open_edges[target] -= 1
            if open_edges[target] == 0:
                heappush(free, target)
    return tuple(order)


def reached_from(workflow: Workflow, node_id: str) -> frozenset[int]:
    """Return the positions that an execution fired at `node_id` can reach, its own among them.

    Raises:
        KeyError: There is no such node.
    """
    graph = successors(len(workflow.nodes), workflow.edges)
    return reachable(graph, [workflow.by_id[node_id].position])
