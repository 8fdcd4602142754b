"""What a method is, and the tables that the modules of `methods` fill."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from .errors import ExpressionError
from .limits import Frame, Value, kind_of
from .values import described

Arguments: TypeAlias = Sequence[Value]
Body: TypeAlias = Callable[[Frame, Value, Arguments], Value]
Callback: TypeAlias = Callable[..., Value]


@dataclass(frozen=True, slots=True)
class Method:
    """A method or function: `call(frame, this, arguments)`.

    `callback` is the place of the argument that may be a function, None if none may.
    """

    call: Body
    callback: int | None = None


METHODS: Final[dict[str, dict[type, Method]]] = {}
"""By name, then by the Python type of the value it is called on."""
FUNCTIONS: Final[dict[str, Method]] = {}
"""By name: `parseInt`, `Math.max`, `new Date`."""
CONSTANTS: Final[dict[str, Value]] = {}
"""By name: `Math.PI`."""
PROPERTIES: Final[dict[type, dict[str, Callable[[Frame, Value], Value]]]] = {}
"""What can be read from a value that is neither an array nor an object."""


def method(name: str, *kinds: type, callback: int | None = None) -> Callable[[Body], Body]:
    """Register a method of values of these types."""

    def register(body: Body) -> Body:
        for kind in kinds:
            METHODS.setdefault(name, {})[kind] = Method(body, callback)
        return body

    return register


def function(name: str, callback: int | None = None) -> Callable[[Body], Body]:
    """Register a function, with the namespace in its name."""

    def register(body: Body) -> Body:
        FUNCTIONS[name] = Method(body, callback)
        return body

    return register


def argument(arguments: Arguments, index: int) -> Value:
    """An argument, null when it was not given."""
    return arguments[index] if len(arguments) > index else None


def callback(name: str, arguments: Arguments, index: int = 0) -> Callback:
    """The function among the arguments.

    Raises:
        ExpressionError: `expression_type` when it is missing.
    """
    found = argument(arguments, index)
    if not callable(found):
        raise ExpressionError(
            "expression_type", f"{name}() needs a function: write {name}(x => …)."
        )
    return found


def array(name: str, value: Value) -> list[Value]:
    """An argument that has to be an array.

    Raises:
        ExpressionError: `expression_type` when it is none.
    """
    if kind_of(value) is not list:
        raise ExpressionError(
            "expression_type", f"{name}() needs an array, but got {described(value)}."
        )
    return value
