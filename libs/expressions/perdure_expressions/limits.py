"""What an expression may cost, and the frame that counts it while one is evaluated.

Straight-line code is bounded by its own size, so only what repeats is counted: each call of
an arrow function costs the weight of its body, each method what it touches. One unit of fuel
is about 100 ns of work at most, so that a whole evaluation stays within 10 ms.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from .errors import ExpressionError
from .scope import Scope

Value: TypeAlias = Any
"""Plain JSON, or one of the two values that never leave: `Moment` and `Regex`."""

kind_of: Final[Callable[[Value], type[object]]] = type
"""`type`, for values of which nothing more is known."""

SOURCE_MAX: Final = 16_384
"""Characters of one expression, and of the code inside one template's braces."""
TEMPLATE_MAX: Final = 1_048_576
"""Characters of a text with `{{ … }}` in it."""
PARTS_MAX: Final = 1_000
"""Expressions in one text."""
NODES_MAX: Final = 4_000
"""Nodes of one expression's syntax tree."""
PATTERN_NODES: Final = 200
"""What a regular expression counts for among them: it takes longest to compile."""
NESTING_MAX: Final = 200
"""Steps of the parser's and the compiler's recursion; a pair of parentheses takes three."""
DATA_DEPTH_MAX: Final = 200
"""Levels of arrays and objects in a value that is made, printed or handed out."""
VALUE_DEPTH_MAX: Final = 100
"""Levels of a structure of parameters."""
FUEL: Final = 80_000
"""Units of work for one evaluation."""
ROOM: Final = 16 * 1024 * 1024
"""Bytes that one evaluation may create, whether it keeps them or not."""
RESULT_NODES_MAX: Final = 200_000
"""Values inside one result, each counted as often as it appears."""

LIST_BYTES: Final = 64
ENTRY_BYTES: Final = 100
DICT_BYTES: Final = 232
"""What CPython 3.11 takes for an empty list, one entry of a dict, and a small dict."""


class Frame:
    """The state of one evaluation: what it may still use, and the arrow functions' arguments.

    `kept` is how many bytes its result takes at most, once it is settled.
    """

    __slots__ = ("fuel", "kept", "room", "scope", "slots")

    def __init__(self, scope: Scope, slots: int = 0) -> None:
        self.scope = scope
        self.fuel = FUEL
        self.room = ROOM
        self.kept = 0
        self.slots: list[Value] = [None] * slots

    def spend(self, units: int) -> None:
        """Pay for work before it is done.

        Raises:
            ExpressionError: `expression_fuel` when nothing is left.
        """
        self.fuel -= units
        if self.fuel < 0:
            raise ExpressionError(
                "expression_fuel",
                f"The expression does too much work (limit {FUEL} steps): "
                "do it in a code node, or on fewer items.",
            )

    def hold(self, size_bytes: int) -> None:
        """Pay for memory before it is taken.

        Raises:
            ExpressionError: `expression_output` when nothing is left.
        """
        self.room -= size_bytes
        if self.room < 0:
            raise ExpressionError(
                "expression_output",
                f"The expression creates more than {ROOM // 1024 // 1024} MB of data: "
                "build less, or do it in a code node.",
            )

    def scan(self, text: str) -> None:
        """Pay for reading a text once with a C routine."""
        self.spend(1 + (len(text) >> 6))

    def text(self, length: int, ascii_only: bool = False) -> None:
        """Pay for a new text of `length` characters."""
        self.spend(1 + (length >> 6))
        self.hold(length if ascii_only else length * 4)

    def array(self, length: int) -> None:
        """Pay for a new array of `length` elements."""
        self.spend(1 + length)
        self.hold(LIST_BYTES + 8 * length)

    def object(self, entries: int) -> None:
        """Pay for a new object of `entries` entries."""
        self.spend(1 + entries)
        self.hold(DICT_BYTES + ENTRY_BYTES * entries)
