"""What the nodes of an expression cost where they are repeated, and which are computed at once."""

from typing import Final

from .scope import Scope
from .syntax import (
    ArrayLiteral,
    Binary,
    Choose,
    FunctionCall,
    Index,
    Logical,
    Member,
    MethodCall,
    ObjectLiteral,
    TextLiteral,
    Unary,
    View,
)

NOWHERE: Final = Scope()
FOLD_FUEL: Final = 500
FOLD_ROOM: Final = 4_096
"""What one constant may cost when it is compiled; a dearer one is computed each time."""
PLAIN: Final[frozenset[type[object]]] = frozenset({bool, int, float, str})
FOLDED: Final = frozenset(
    {Unary, Binary, Logical, Choose, TextLiteral, MethodCall, FunctionCall, Member, Index}
)
CALL_WEIGHT: Final = 2
MOMENT_WEIGHT: Final = 8
WEIGHTS: Final[dict[type, int]] = {
    **{Index: 3, Unary: 2, Binary: 3, Logical: 2, Choose: 2, View: 10},
    **{TextLiteral: 8, ArrayLiteral: 5, ObjectLiteral: 6, MethodCall: 6, FunctionCall: 6},
}
"""Units of fuel that a node in the body of a function costs at each call; others cost one."""
