"""The races of a workflow as data; `races` finds what each of them guards."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Races:
    """The races of a workflow, by position; a disabled RACE is none.

    `order` has where each race stands among all nodes, from the first to the last. `guards`
    has the nearest race to which every way from a unit leads. A unit is a node, or the entry of
    a region and stands for all of it then. `guarded` are the units of each race, in order.
    """

    order: dict[int, int] = field(default_factory=dict)
    guards: dict[int, int] = field(default_factory=dict)
    guarded: dict[int, tuple[int, ...]] = field(default_factory=dict)


NO_RACES = Races()
"""What a workflow without races has."""
