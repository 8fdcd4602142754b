"""A workflow as the engine sees it: nodes and edges with numbers, ports, compiled parameters.

A `Workflow` is made once for each frozen version (`loading.load`) and never changes, so all
executions of the version share it. Everything asked on the way of an item is a tuple or
dict access: `nodes[position]`, `by_id[node_id]`, `edges[index]`, `in_edges(node)`,
`out_edges(node)`.

Numbers are stable for a frozen version and may stand in events: a node's `position` is its
place in the file; an edge's `index` counts the edges target by target (in file order), and
for one target in edge order: the input's number where the target has numbered inputs, then
`connection_index`, then the place in the file. So the in-edges of a node have neighbouring
indexes, and of two of them the lower one comes first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from perdure_contracts.message import Json

from perdure_engine.expressions import Compiled, Scope
from perdure_engine.nodes.base import ERROR, ErrorMode, NodeSpecification

from .concurrency import Concurrency
from .race import NO_RACES, Races
from .region import BODY_PORTS, NO_REGIONS, TOP, Region, Regions

ConnectionType: TypeAlias = Literal["MAIN", "SUCCESS", "ERROR", "CONDITIONAL"]
"""The connections that carry items. Attachments and context providers are none of them."""

RETRIES_WITHOUT_RECOVERY = 3
"""`max_retries` where the author set none and `settings.recovery` is off (the column's
default). Where recovery is on it is 0: recovery decides about every further attempt."""

RETRY_WAIT_TIME_S = 5
"""`retry_wait_time` where the author set none, in seconds (the column's default)."""

MAX_ITERATIONS = 1_000
"""`settings.max_iterations` where the author set none."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a workflow. Durations are in seconds; None is no limit.

    `priority` is the place of its name among `low`, `normal`, `high`, `critical`.
    """

    execution_timeout_s: float | None = None
    recovery: bool = True
    log_level: Literal["INFO", "DEBUG"] = "INFO"
    max_iterations: int = MAX_ITERATIONS
    error_workflow: str | None = None
    concurrency: Concurrency | None = None
    priority: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One node of a frozen version.

    `parameters` are as the author wrote them, with the defaults of the subtype filled in;
    `compiled` has the same, each top-level one compiled. `prepared` is what the subtype made
    of them for its `run`. `outputs` are its regular ports, first the first of the table;
    `error` is not among them. `retry_wait_time_s` is the first wait, doubled each time.
    `run_timeout_s` bounds all attempts of a run together, `timeout_s` each of them.
    `run_in` says whether a node that the engine can run itself goes to a runner always, or
    only with an input so large that it would hold the others up. `failure_type` is what its
    author says that its failures are. `fixed` are the resolved
    parameters where no expression is in them. `max_iterations` bounds the bare cycle that is
    entered here.
    """

    position: int
    node_id: str
    name: str
    specification: NodeSpecification
    type_version: int = 1
    description: str = ""
    disabled: bool = False
    parameters: Mapping[str, Json] = field(default_factory=dict[str, Json])
    compiled: Mapping[str, Compiled] = field(default_factory=dict[str, Compiled])
    prepared: object = None
    outputs: tuple[str, ...] = ("main",)
    credentials: Json = None
    error_handling: ErrorMode = "STOP_WORKFLOW_ON_ERROR"
    max_retries: int = 0
    retry_wait_time_s: float = RETRY_WAIT_TIME_S
    always_output_data: bool = False
    join: Literal["all", "each"] = "all"
    timeout_s: float | None = None
    run_timeout_s: float | None = None
    run_in: Literal["auto", "runner"] = "auto"
    failure_type: str | None = None
    fixed: Mapping[str, Json] | None = None
    max_iterations: int | None = None

    @property
    def node_type(self) -> str:
        """The node's type, such as `FLOW`."""
        return self.specification.node_type

    @property
    def node_subtype(self) -> str:
        """The node's subtype, such as `IF`."""
        return self.specification.subtype

    @property
    def is_trigger(self) -> bool:
        """Whether the node begins executions instead of being run by them."""
        return self.specification.place == "trigger"

    @property
    def body_ports(self) -> tuple[str, ...]:
        """The ports on which iterations begin; a LOOP and a FOREACH have one."""
        if self.node_subtype not in ("LOOP", "FOREACH"):
            return ()
        return tuple(port for port in self.outputs if port in BODY_PORTS.values())

    @property
    def end_outputs(self) -> tuple[str, ...]:
        """The regular ports on which the end of a run emits."""
        return tuple(port for port in self.outputs if port not in self.body_ports)

    def resolve(self, scope: Scope) -> Mapping[str, Json]:
        """Return the parameters with their expressions evaluated for one item.

        Raises:
            ExpressionError: An expression failed; the item is to be failed with it.
        """
        return {name: compiled.evaluate(scope) for name, compiled in self.compiled.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """A connection that carries items from one port to another.

    `source` and `target` are positions of nodes. `source_port` of an ERROR connection is
    always `error`. `condition` is the compiled condition of a CONDITIONAL connection;
    `otherwise` marks the one that takes what its siblings on the same port did not.
    `place` is the connection's place in the file, from 0.
    """

    index: int
    source: int
    target: int
    source_port: str = "main"
    target_port: str = "main"
    connection_type: ConnectionType = "MAIN"
    connection_index: int = 0
    condition: Compiled | None = None
    otherwise: bool = False
    label: str = ""
    place: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Workflow:
    """A frozen version. Make it with `build`, which fills in the look-up tables."""

    name: str
    sha256: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    settings: Settings
    triggers: tuple[Node, ...]
    by_id: Mapping[str, Node]
    by_name: Mapping[str, Node]
    description: str = ""
    tags: tuple[str, ...] = ()
    static_data: Json = None
    pin_data: Json = None
    incoming: tuple[tuple[Edge, ...], ...] = ()
    outgoing: tuple[tuple[Edge, ...], ...] = ()
    by_port: tuple[Mapping[str, tuple[Edge, ...]], ...] = ()
    inputs: tuple[tuple[str, ...], ...] = ()
    conditional: tuple[tuple[Edge, ...], ...] = ()
    all_triggers: tuple[Node, ...] = ()
    unreachable: tuple[Node, ...] = ()
    regions: Regions = NO_REGIONS
    forward: tuple[tuple[Edge, ...], ...] = ()
    leaving: tuple[tuple[Edge, ...], ...] = ()
    back: frozenset[int] = frozenset()
    gathering_depth: tuple[int, ...] = ()
    inside: frozenset[int] = frozenset()
    races: Races = NO_RACES
    eager: frozenset[int] = frozenset()
    resumable: bool = False
    uses_vars: bool = False
    keeps_data: bool = False
    attached: frozenset[int] = frozenset()
    attachments: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])

    def in_edges(self, node: Node) -> tuple[Edge, ...]:
        """Return the edges into `node`, in edge order."""
        return self.incoming[node.position]

    def forward_edges(self, node: Node) -> tuple[Edge, ...]:
        """Return the edges into `node` that do not lead back to it, in edge order."""
        return self.forward[node.position]

    def leaving_edges(self, node: Node) -> tuple[Edge, ...]:
        """Return the edges that a run's end resolves: all but those into a loop's body."""
        return self.leaving[node.position]

    def region_of(self, node: Node) -> Region | None:
        """Return the region that `node` opens, None if it opens none."""
        number = self.regions.opens[node.position]
        return None if number == TOP else self.regions.regions[number]

    def out_edges(self, node: Node) -> tuple[Edge, ...]:
        """Return the edges out of `node`, by `connection_index`, then place in the file."""
        return self.outgoing[node.position]

    def out_edges_of_port(self, node: Node, port: str) -> tuple[Edge, ...]:
        """Return the edges out of one port of `node`; ERROR connections are on `error`."""
        return self.by_port[node.position].get(port, ())

    def has_error_edge(self, node: Node) -> bool:
        """Tell whether an edge leaves on `error`; without one that error mode stops."""
        return ERROR in self.by_port[node.position]

    def inputs_of(self, node: Node) -> tuple[str, ...]:
        """Return the connected input ports of `node`, each once, in edge order."""
        return self.inputs[node.position]

    def conditional_edges(self, node: Node) -> tuple[Edge, ...]:
        """Return the CONDITIONAL edges among `leaving_edges`, in their order."""
        return self.conditional[node.position]

    def find(self, name: str) -> Node | None:
        """Return the node that an expression calls `name`: by its name, else by its id."""
        return self.by_name.get(name) or self.by_id.get(name)

    def trigger_to_run(self, node_id: str | None = None) -> Node | None:
        """Return the trigger that a start by hand fires, None if there is none.

        `node_id` names it; else it is the only MANUAL trigger, else the first in the file.
        A disabled trigger never fires.
        """
        if node_id is not None:
            node = self.by_id.get(node_id)
            return node if node in self.triggers else None
        manual = [node for node in self.triggers if node.node_subtype == "MANUAL"]
        if len(manual) == 1:
            return manual[0]
        return self.triggers[0] if self.triggers else None


def build(
    *,
    name: str,
    sha256: str,
    nodes: tuple[Node, ...],
    edges: tuple[Edge, ...],
    settings: Settings,
    regions: Regions,
    races: Races = NO_RACES,
    description: str = "",
    tags: tuple[str, ...] = (),
    static_data: Json = None,
    pin_data: Json = None,
    attached: frozenset[int] = frozenset(),
    attachments: Mapping[int, tuple[str, ...]] | None = None,
) -> Workflow:
    """Return the workflow of `nodes` (in file order) and `edges` (by index).

    `triggers` of the result are those that can fire: the disabled ones are left out.
    `unreachable` are nodes to which nothing leads though they are no triggers, `eager` ones
    are those that do not wait for all of their in-edges. It is `resumable` if one of them waits
    for a call of the execution's resume URL. It `uses_vars` if an expression has `$vars`, and
    `keeps_data` if it has static data. Those of `attached` (by position) belong to agents,
    and are never run by themselves; `attachments` has, for each agent, the ids of what it has.
    """
    incoming: list[list[Edge]] = [[] for _ in nodes]
    outgoing: list[list[Edge]] = [[] for _ in nodes]
    for edge in edges:
        incoming[edge.target].append(edge)
        outgoing[edge.source].append(edge)
    for out in outgoing:
        out.sort(key=lambda edge: (edge.connection_index, edge.place))
    back = frozenset(index for region in regions.regions for index in region.back)
    bodies = {region.entry: region.body for region in regions.regions if region.body}
    leaving = tuple(
        tuple(e for e in out if e.source_port != bodies.get(e.source)) for out in outgoing
    )
    return Workflow(
        name=name,
        sha256=sha256,
        nodes=nodes,
        edges=edges,
        settings=settings,
        triggers=tuple(node for node in nodes if node.is_trigger and not node.disabled),
        by_id={node.node_id: node for node in nodes},
        by_name={node.name: node for node in nodes},
        description=description,
        tags=tags,
        static_data=static_data,
        pin_data=pin_data,
        incoming=tuple(tuple(into) for into in incoming),
        outgoing=tuple(tuple(out) for out in outgoing),
        by_port=tuple(_ports(out) for out in outgoing),
        inputs=tuple(tuple(dict.fromkeys(edge.target_port for edge in into)) for into in incoming),
        conditional=tuple(
            tuple(edge for edge in out if edge.connection_type == "CONDITIONAL") for out in leaving
        ),
        all_triggers=tuple(node for node in nodes if node.is_trigger),
        unreachable=tuple(
            node
            for node in nodes
            if not (node.is_trigger or incoming[node.position] or node.position in attached)
        ),
        regions=regions,
        back=back,
        gathering_depth=tuple(
            0 if number == TOP else regions.regions[number].depth for number in regions.gathers
        ),
        forward=tuple(tuple(e for e in into if e.index not in back) for into in incoming),
        leaving=leaving,
        inside=frozenset(each.entry for each in regions.regions if not each.body),
        races=races,
        resumable=any(n.node_subtype == "WAIT" and n.parameters.get("webhook") for n in nodes),
        eager=frozenset(n.position for n in nodes if n.join == "each" or n.position in races.order),
        uses_vars=any(_expressions(nodes, edges)),
        keeps_data=static_data is not None or any(n.node_subtype == "STATIC_DATA" for n in nodes),
        attached=attached,
        attachments=attachments or {},
    )


def _expressions(nodes: tuple[Node, ...], edges: tuple[Edge, ...]) -> Iterator[bool]:
    """Yield, for each thing that was compiled, whether it asks for variables."""
    for node in nodes:
        for compiled in node.compiled.values():
            yield compiled.references.uses_vars
    for edge in edges:
        if edge.condition is not None:
            yield edge.condition.references.uses_vars


def _ports(out: list[Edge]) -> dict[str, tuple[Edge, ...]]:
    ports: dict[str, list[Edge]] = {}
    for edge in out:
        ports.setdefault(edge.source_port, []).append(edge)
    return {port: tuple(edges) for port, edges in ports.items()}
