"""What an expression may see: the item, its input, other nodes, the moment, and three maps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from perdure_contracts.message import Json

from .errors import ExpressionError

WORK: Final = 20_000_000
"""Units of work (`limits.FUEL`) that all evaluations with one meter may do: two seconds."""
HELD: Final = 256 * 1024 * 1024
"""Bytes that the results of all evaluations with one meter may take, where they are new."""


class Meter:
    """What many evaluations may use together: each is bounded, and ten thousand of them are not.

    Attributes:
        work: units that are left. The evaluation that begins with some may end with none.
        held: bytes that are left.
    """

    __slots__ = ("held", "work")

    def __init__(self) -> None:
        self.work = WORK
        self.held = HELD

    @property
    def spent(self) -> int:
        """Units that were used so far."""
        return WORK - self.work

    @property
    def is_empty(self) -> bool:
        """Whether work or bytes are used up."""
        return self.work < 0 or self.held < 0

    def check(self) -> None:
        """Refuse to go on when one of them is used up.

        Raises:
            ExpressionError: `expression_fuel` or `expression_output`.
        """
        if self.work < 0:
            raise ExpressionError(
                "expression_fuel",
                "The expressions of this node do too much work for all items together: "
                "do it in a code node, or on fewer items.",
            )
        if self.held < 0:
            raise ExpressionError(
                "expression_output",
                f"The expressions of this node create more than {HELD // 1024 // 1024} MB for all "
                "items together: build less, or let fewer items come.",
            )


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
        meter: what all evaluations of a node's run pay into, None where there is one only.
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
    meter: Meter | None = None
