"""What the expressions of a run see: its items, other nodes' items, the execution.

Items pair by lineage: an item comes from the input item at its own place unless it says
otherwise (`source`), and an input item is one that an edge carries from another run. So the
item of any ancestor that belongs to an item is found by going back.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from perdure_contracts.engine import Scope
from perdure_contracts.message import Json

from perdure_engine.definition import Edge, Node, Workflow
from perdure_engine.definition.region import TOP
from perdure_engine.expressions import Meter, NodeView
from perdure_engine.expressions import Scope as ExpressionScope
from perdure_engine.nodes.base import MAIN, Inputs, Item

from .overriding import given_items
from .state import Execution, Run, edge_key, place_of

NO_VARS: Mapping[str, Json] = {}
"""What `$vars` is where no expression asks for it."""


def gathered_by(workflow: Workflow, node: Node, scope: Scope) -> tuple[tuple[Edge, ...], Scope]:
    """Return the in-edges that a run in `scope` reads, and the scope in which they resolved.

    The entry of a bare cycle, and a node with `join: each`, run inside their own region: the
    first iteration reads the edges from outside, a later one those that lead back.
    """
    if node.position not in workflow.inside:
        return workflow.forward_edges(node), scope
    region = workflow.region_of(node)
    if region is None or len(scope) < region.depth:
        return workflow.forward_edges(node), scope
    outer, k = scope[:-1], scope[-1][1]
    if region.kind == "each":
        return workflow.forward_edges(node)[k : k + 1], outer
    if k == 0:
        return workflow.forward_edges(node), outer
    back = tuple(workflow.edges[index] for index in region.back)
    return back, (*outer, (node.node_id, k - 1))


def gather(
    state: Execution, workflow: Workflow, node: Node, scope: Scope
) -> tuple[Inputs, tuple[tuple[int, str], ...]]:
    """Return a node's LIVE input, by port in edge order, and the edges that carry it.

    Items that a person gave for the node came by no edge. In a round of a bare cycle its entry
    has the inputs that the round begins with: on the others nothing is missing (rule 28).
    """
    if state.overrides:
        given = given_items(state.overrides.get(place_of(node.node_id, scope)))
        if given is not None:
            names = workflow.inputs_of(node) or (MAIN,)
            return Inputs({names[0]: given}, names), ()
    ports: dict[str, Sequence[Any]] = {}
    edges: list[tuple[int, str]] = []
    into, where = gathered_by(workflow, node, scope)
    for edge in into:
        live = state.edges.get(edge_key(edge.index, where))
        if live is None:
            continue
        edges.append((edge.index, edge.target_port))
        known = ports.get(edge.target_port)
        items = state.items_of(live)
        ports[edge.target_port] = [*known, *items] if known else items
    if where == scope:
        return Inputs(ports, workflow.inputs_of(node)), tuple(edges)
    return Inputs(ports, tuple(dict.fromkeys(edge.target_port for edge in into))), tuple(edges)


class RunView:
    """The scopes of one run's input items: `view(index)`; made once for each run.

    Whatever is evaluated in them pays into one `meter`.
    """

    __slots__ = (
        "_edges", "_inputs", "_inputs_scope", "_json", "_now", "_others", "_scope", "_state",
        "_vars", "_workflow", "meter",
    )  # fmt: skip

    def __init__(
        self,
        state: Execution,
        workflow: Workflow,
        scope: Scope,
        inputs: Inputs,
        edges: tuple[tuple[int, str], ...],
        now: datetime,
        inputs_scope: Scope | None = None,
    ) -> None:
        """Take the run's input items and the LIVE in-edges, (edge index, port), they came by.

        `inputs_scope` is the scope of those edges where it is not that of the run.
        """
        self._inputs_scope = scope if inputs_scope is None else inputs_scope
        self._state = state
        self._workflow = workflow
        self._scope = scope
        self._inputs = inputs
        self._edges = edges
        self._now = now
        given = state.given
        self._vars = NO_VARS if given is None or given.vars is None else given.vars
        self.meter = Meter()
        self._json: list[Json] | None = None
        self._others: dict[str, tuple[Run, list[Json], Mapping[str, int]] | None] = {}

    def __call__(self, index: int) -> ExpressionScope:
        """Return the scope that the expressions of the input item at `index` see."""
        return ExpressionScope(
            json=(item := self._inputs.items[index])["json"],
            binary=item.get("binary_ref"),
            input=lambda: NodeView(self._all(), index),
            node=lambda name: self.node(name, index),
            now=self._now,
            vars=self._vars,
            execution=self._execution,
            context={},
            meter=self.meter,
        )

    def output(self, items: Sequence[Any], place: int, node_id: str) -> ExpressionScope:
        """Return the scope of an item that the run itself emits, for conditional edges."""
        item = items[place]
        origins = _sources(item, place)

        def node(name: str) -> NodeView | None:
            found = self._workflow.find(name)
            if found is not None and found.node_id == node_id:
                return NodeView([each["json"] for each in items], place)
            return self.node(name, origins[0] if origins else None)

        return ExpressionScope(
            json=item["json"],
            binary=item.get("binary_ref"),
            input=lambda: NodeView([each["json"] for each in items], place),
            node=node,
            now=self._now,
            vars=self._vars,
            execution=self._execution,
            context={},
            meter=self.meter,
        )

    def node(self, name: str, index: int | None) -> NodeView | None:
        """Return the items of another node, and which of them belongs to an input item."""
        if name not in self._others:
            self._others[name] = self._find(name)
        found = self._others[name]
        if found is None:
            return None
        run, items, offsets = found
        pair = None if index is None else self._pair(run, index)
        return NodeView(items, None if pair is None else offsets[pair[0]] + pair[1])

    def _all(self) -> list[Json]:
        if self._json is None:
            self._json = [item["json"] for item in self._inputs.items]
        return self._json

    def _execution(self) -> Json:
        state = self._state
        seen: dict[str, Json] = {
            "id": state.execution_id,
            "mode": state.mode,
            "workflow": {
                "id": state.workflow_id,
                "name": state.workflow_name,
                "version": state.workflow_version,
            },
            "trigger": state.trigger,
            "resume_url": None if state.flow is None else state.flow.resume_url or None,
        }
        if state.given is not None and state.given.static_data is not None:
            seen["static_data"] = state.given.static_data
        return seen

    def _find(self, name: str) -> tuple[Run, list[Json], Mapping[str, int]] | None:
        """Return the nearest run of a node, in this scope or one around it, with its items."""
        node = self._workflow.find(name)
        if node is None:
            return None
        for scope in self._scopes_of(node):
            run = self._state.runs.get(place_of(node.node_id, scope))
            if run is not None and run.status == "SUCCESS":
                items: list[Json] = []
                offsets: dict[str, int] = {}
                for port, each in run.ports.items():
                    if port in node.body_ports:
                        continue
                    offsets[port] = len(items)
                    items.extend(item["json"] for item in each)
                return run, items, offsets
        return None

    def _scopes_of(self, node: Node) -> Iterator[Scope]:
        """Return where a node's run may be, nearest first; of an ended region its last round."""
        for depth in range(len(self._scope), -1, -1):
            yield self._scope[:depth]
        workflow, names = self._workflow, list[str]()
        number = workflow.regions.runs_in[node.position]
        while number != TOP:
            region = workflow.regions.regions[number]
            names.append(workflow.nodes[region.entry].node_id)
            number = region.parent
        names.reverse()
        scope: Scope = ()
        for depth, name in enumerate(names):
            here = self._scope[: depth + 1]
            if len(here) > depth and here[:depth] == scope and here[depth][0] == name:
                scope = here
                continue
            over = self._state.over.get(place_of(name, scope))
            if over is None or not over.iterations:
                return
            scope = (*scope, (name, over.iterations - 1))
        yield scope

    def _pair(self, target: Run, index: int) -> tuple[str, int] | None:
        """Return port and place of the item of `target` from which an input item comes.

        An item of several origins pairs with the first of them that leads there.
        """
        waiting = [(self._edges, self._inputs_scope, index)]
        while waiting:
            edges, scope, at = waiting.pop()
            origin = self._origin(edges, scope, at)
            if origin is None:
                continue
            run, port, place = origin
            if run is target:
                return port, place
            before = reversed(_sources(run.ports[port][place], place))
            waiting.extend((run.inputs, run.gathered_in, source) for source in before)
        return None

    def _origin(
        self, edges: tuple[tuple[int, str], ...], scope: Scope, index: int
    ) -> tuple[Run, str, int] | None:
        """Return the run, port and place of the item that arrived as input item `index`."""
        state = self._state
        for edge, _ in edges:
            live = state.edges.get(edge_key(edge, scope))
            for part in () if live is None else live.flat():
                run = state.runs[part.source]
                count = len(run.ports[part.port]) if part.picks is None else len(part.picks)
                if index < count:
                    return run, part.port, index if part.picks is None else part.picks[index]
                index -= count
        return None


def _sources(item: Item, place: int) -> list[int]:
    source = item.get("source", place)
    return source if isinstance(source, list) else [source]
