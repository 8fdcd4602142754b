"""What an expression may see: the item, its input, other nodes, the moment, and three maps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from perdure_contracts.message import Json


@dataclass(frozen=True, slots=True)
class NodeView:
    """The items of one node run, or of the input: their data (`json`) in order.

    `index` is the place of the item that pairs with the current one, None when none does.
    """

    items: Sequence[Json] = ()
    index: int | None = None

    @property
    def item(self) -> Json:
        """The paired item's data, null without one."""
        index = self.index
        return None if index is None or not 0 <= index < len(self.items) else self.items[index]


def _no_node(_name: str) -> NodeView | None:
    return None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression is evaluated. What is a function is called only when it is asked for.

    Attributes:
        json: the current item's data, `$json`.
        binary: what is known of its files by their names, `$binary`; null where it has none.
        input: all items of this run, with the current one's index: `$input`, `$itemIndex`.
        node: what `$('Name')` sees, None when that node has no run in reach.
        now: the journal's aware datetime, `$now`.
        vars: `$vars`.
        execution: `$execution`.
        context: `$context`, by the name of the context provider.
        event: `$event`, in the filter of a trigger: the event's attributes.
    """

    json: Json = None
    input: NodeView | Callable[[], NodeView] = field(default_factory=NodeView)
    node: Callable[[str], NodeView | None] = _no_node
    now: datetime | Callable[[], datetime] | None = None
    vars: Mapping[str, Json] | Callable[[], Json] | None = None
    execution: Mapping[str, Json] | Callable[[], Json] | None = None
    context: Mapping[str, Json] | Callable[[], Json] | None = None
    event: Mapping[str, Json] | None = None
    binary: Mapping[str, Json] | None = None
