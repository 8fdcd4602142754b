"""A region: a part of a workflow that runs several times; `regions` finds them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["loop", "foreach", "cycle", "each"]
"""What opens a region: a LOOP, a FOREACH, a bare cycle, or a node with `join: each`."""

TOP = -1
"""The number that stands for no region: the scope of the execution itself."""

BODY_PORTS: Mapping[Kind, str] = {"loop": "loop", "foreach": "item"}
"""The ports on which the iterations of a LOOP and a FOREACH begin."""


@dataclass(frozen=True, slots=True)
class Region:
    """A region. `members` run in the scope of an iteration, in topological order.

    `inner` are the regions right inside it, `back` the edges that lead back to the entry,
    `outward` those that leave it, all by number; those of them that leave no region around
    it resolve when it ends. `depth` is the length of the scopes of its iterations. The
    region is named after its entry.
    """

    number: int
    kind: Kind
    entry: int
    parent: int
    depth: int
    members: tuple[int, ...] = ()
    inner: tuple[int, ...] = ()
    back: tuple[int, ...] = ()
    outward: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many nodes and regions an iteration must see to their ends."""
        return len(self.members) + len(self.inner)

    @property
    def body(self) -> str:
        """The port of the entry on which iterations begin; empty where it runs in them."""
        return BODY_PORTS.get(self.kind, "")


@dataclass(frozen=True, slots=True)
class Regions:
    """The regions of a workflow, and where its nodes and edges stand among them.

    `runs_in` has, by a node's position, the region whose iterations it runs in; `opens` the
    region that it opens, `gathers` the region in whose scope its in-edges resolve (that
    around the one it opens). `resolves` has, by an edge's index, the region in whose scope
    it resolves; `leaves` the region whose end it waits for. `TOP` is none of them.
    """

    regions: tuple[Region, ...] = ()
    runs_in: tuple[int, ...] = ()
    opens: tuple[int, ...] = ()
    gathers: tuple[int, ...] = ()
    resolves: tuple[int, ...] = ()
    leaves: tuple[int, ...] = ()


NO_REGIONS = Regions()
"""What a workflow without loops has; its nodes all run at the top."""
